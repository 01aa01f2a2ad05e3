"""The catalogue: no key that code uses is missing, both languages are there, no Chinese stands elsewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from anlan.web import i18n

SOURCE = Path(i18n.__file__).resolve().parent.parent.parent
PYTHON = sorted(
    [
        *(SOURCE / "web").rglob("*.py"),
        SOURCE / "monitor/page.py",
        SOURCE / "monitor/performance_view.py",
        SOURCE / "perceive/page.py",
        *(SOURCE / "warn").glob("page*.py"),
    ]
)
SCRIPTS = sorted((SOURCE / "web/static").glob("*.js"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")
MINE = ("live", "components", "pages", "theme", "i18n")


def literals(text: str) -> set[str]:
    return set(re.findall(r"""\b[tT]\(\s*f?["'`]([a-z_]+\.[\w-]+)["'`]""", text))


def stems(text: str) -> set[str]:
    return set(re.findall(r"""\b[tT]\(\s*f?["'`]([a-z_]+)\.(?:\$?\{)""", text))


@pytest.mark.parametrize("path", [*PYTHON, *SCRIPTS], ids=lambda path: path.name)
def test_every_text_that_code_asks_for_is_in_the_catalogue(path: Path) -> None:
    catalogue = i18n.catalogue()
    text = path.read_text(encoding="utf-8")
    assert {key for key in literals(text) if key not in catalogue} == set()
    tables = {key.partition(".")[0] for key in catalogue}
    assert stems(text) - tables == set()


def test_texts_of_enumerations_are_complete() -> None:
    from anlan.core.actor import Role
    from anlan.core.events import AlarmState, WarningOutcome, WarningState
    from anlan.core.severity import AlarmPriority
    from anlan.monitor.machine import Arrow
    from anlan.plant.registers.machine import MACHINES
    from anlan.warn.model import ModelKind, ModelMode
    from anlan.warn.risk.model import TermKind
    from anlan.warn.warnings.machine import VERBS
    from anlan.warn.warnings.machine import Arrow as WarningArrow

    catalogue = i18n.catalogue()
    wanted = {f"wstate.{state.value}" for state in WarningState} | {f"warrow.{arrow.value}" for arrow in WarningArrow}
    wanted |= {f"outcome.{outcome.value}" for outcome in WarningOutcome} | {f"wverb.{verb}" for verb in VERBS}
    wanted |= {f"termkind.{kind.value}" for kind in TermKind} | {f"models.kind_{kind.value}" for kind in ModelKind}
    wanted |= {f"models.{mode.value}" for mode in ModelMode}
    wanted |= {f"state.{state.value}" for state in AlarmState} | {f"arrow.{arrow.value}" for arrow in Arrow}
    wanted |= {f"role.{role.value}" for role in Role} | {f"priority.{priority.value}" for priority in AlarmPriority}
    wanted |= {f"regstate.{state}" for machine in MACHINES for state in machine.states}
    wanted |= {
        f"kind.{kind}"
        for kind in ("HH", "H", "L", "LL", "rate", "deviation", "state", "stale", "bad-quality", "vote", "expression")
    }
    assert {key for key in wanted if key not in catalogue} == set()


def test_both_languages_are_there_and_name_the_same_values() -> None:
    for key, (chinese, english) in i18n.catalogue().items():
        assert chinese, key
        assert english, key
        assert not CHINESE.search(english) or key in ("head.language", "head.language_short"), key
        assert sorted(re.findall(r"\{\w+\}", chinese)) == sorted(re.findall(r"\{\w+\}", english)), key


def test_no_chinese_text_stands_in_code() -> None:
    found = []
    own = [
        path
        for path in PYTHON
        if path.parent.name in MINE or path.parent.name in ("monitor", "perceive", "warn") or path.name == "shell.py"
    ]
    assert len(own) > 20
    for path in own:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        found += [
            f"{path.name}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and CHINESE.search(node.value)
            and id(node) not in docstrings
        ]
    found += [
        f"{path.name}: {line}"
        for path in SCRIPTS
        for line in path.read_text(encoding="utf-8").splitlines()
        if CHINESE.search(line)
    ]
    assert found == []


def test_an_unknown_key_comes_back_as_itself() -> None:
    assert i18n.translator("en")("no.such-key") == "no.such-key"
    assert i18n.translator("en")("alarms.chosen", n=3) == "3 chosen"
