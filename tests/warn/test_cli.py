"""``anlan warn`` against answers of a running process, and what it says when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anlan import cli
from anlan.science.model_file import ModelInfo, encode_model
from anlan.settings import remember
from anlan.warn import model as warn
from tests.warn.answers import WARNINGS
from tests.web.node import WebNode

APP = cli.build()

COMMANDS: list[tuple[list[str], str, Any]] = [
    (["list", "--scope", "haian", "--view", "all"], "warn.warnings", warn.ListWarnings("all", "haian")),
    (["show", "W1"], "warn.warning", warn.GetWarning("W1")),
    (["act", "W1", "dismiss", "--comment", "x"], "warn.act", warn.ActOnWarning("W1", "dismiss", "x")),
    (["missed", "--from", "1970-01-01T00:00:01Z", "--to", "1970-01-01T00:00:02Z"], "warn.missed",
     warn.ListMissed("", 1_000_000, 2_000_000)),
    (["risk"], "warn.risk", warn.GetRisk()),
    (["risk", "haian/tank-farm-a/t-401"], "warn.risk.explain", warn.ExplainRisk("haian/tank-farm-a/t-401")),
    (["risk", "--explain"], "warn.risk.explain", warn.ExplainRisk("")),
    (["features", "pump.efficiency"], "warn.features", warn.ListFeatures("", "pump.efficiency")),
    (["predictions", "--horizon", "2 h"], "warn.predictions", warn.ListPredictions("", 7_200_000_000)),
    (["models", "--every"], "warn.models", warn.ListModels(True)),
    (["model", "show", "seal"], "warn.model", None),
    (["model", "live", "seal", "--version", "2"], "warn.model.act", warn.ActOnModel("seal", "live", 2)),
    (["model", "shadow", "seal"], "warn.model.act", warn.ActOnModel("seal", "shadow")),
    (["model", "retire", "seal"], "warn.model.act", warn.ActOnModel("seal", "retire")),
    (["model", "rollback", "seal", "--comment", "noisy"], "warn.model.act",
     warn.ActOnModel("seal", "rollback", 0, "noisy")),
    (["try", "seal", "--from", "1 h"], "warn.try", None),
    (["floods"], "warn.floods", None),
    (["proposals"], "warn.proposals", None),
    (["status"], "warn.status", warn.StatusQuery()),
]  # fmt: skip


def run(web: WebNode, *arguments: str) -> tuple[int, str]:
    remember(web.settings)
    web.answers.asked.clear()
    result = CliRunner().invoke(APP, ["warn", *arguments, "--data", str(web.settings.data)])
    return result.exit_code, result.output


@pytest.mark.parametrize(("arguments", "subject", "request_"), COMMANDS, ids=[" ".join(c[0][:2]) for c in COMMANDS])
def test_a_command_asks_its_question_and_prints_one_object_or_text(
    web: WebNode, arguments: list[str], subject: str, request_: Any
) -> None:
    code, out = run(web, *arguments, "--json")
    assert code == 0, out
    assert out.count("\n") == 1
    json.loads(out)
    ((asked, request, actor),) = web.answers.asked
    assert (asked, actor.user) == (subject, "system")
    assert request_ is None or request == request_
    code, out = run(web, *arguments)
    assert code == 0
    assert out.strip()


def test_the_list_shows_grade_reason_and_counts(web: WebNode) -> None:
    _, out = run(web, "list")
    assert [out.index(row.id) for row in WARNINGS] == sorted(out.index(row.id) for row in WARNINGS)
    assert "红 red" in out
    assert "将超限" in out
    assert "红 red 1, 橙 orange 2, 黄 yellow 0, 蓝 blue 0" in out


def test_a_model_is_added_from_its_definition_and_takes_its_points_from_its_file(web: WebNode, tmp_path: Path) -> None:
    definition, file = tmp_path / "seal.yaml", tmp_path / "seal.model"
    definition.write_text("{id: seal, kind: detector, horizon: 30 min}")
    file.write_bytes(encode_model(ModelInfo("detection.ensemble", inputs=("e/a/u/p",)), {}))
    code, out = run(web, "model", "add", str(definition), "--file", str(file), "--comment", "summer")
    assert code == 0, out
    ((_, request, _actor),) = web.answers.asked
    assert (request.model.id, request.model.points, request.comment) == ("seal", ("e/a/u/p",), "summer")
    assert request.model.horizon == 1_800_000_000
    assert request.file == file.read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no YAML"),
        ("5", "a model is a mapping"),
        ("{id: x}", "kind"),
        ("models: [{id: a, kind: trend}, {id: b, kind: trend}]", "holds 2 models"),
        ("{id: X!, kind: trend}", "model.id"),
    ],
)
def test_a_definition_with_a_mistake_is_named_and_never_sent(
    web: WebNode, tmp_path: Path, text: str, said: str
) -> None:
    definition = tmp_path / "model.yaml"
    definition.write_text(text)
    code, out = run(web, "model", "add", str(definition), "--json")
    assert code == 1
    error = json.loads(out)["error"]
    assert said in error["detail"]
    assert str(definition) in error["where"]
    assert web.answers.asked == []


def test_without_a_node_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(APP, ["warn", "status", "--data", str(tmp_path), "--json"])
    assert result.exit_code == 1
    assert "no node" in json.loads(result.output)["error"]["title"]


def test_a_feature_file_is_checked_with_its_vectors(tmp_path: Path) -> None:
    from importlib.resources import files

    good = files("anlan.packs.steel").joinpath("features.yaml").read_text(encoding="utf-8")
    file = tmp_path / "features.yaml"
    file.write_text(good, encoding="utf-8")
    result = CliRunner().invoke(APP, ["warn", "check", str(file), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["problems"] == []
    file.write_text(good.replace("id: steel.co-cluster", "idd: steel.co-cluster", 1), encoding="utf-8")
    result = CliRunner().invoke(APP, ["warn", "check", str(file), "--json"])
    assert result.exit_code == 1
    assert "features.yaml" in json.loads(result.output.splitlines()[0])["problems"][0]
