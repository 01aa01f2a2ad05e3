"""The plant's commands: check, init, lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from anlan.plant import cli
from anlan.plant.compiler import compile_site, numbers_in_file_order
from anlan.plant.site_file import load
from anlan.plant.starter import CONNECTORS
from tests.plant.test_compiler import SITE, UNIT

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    cli.register(app)
    return app


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE, encoding="utf-8")
    return path


run = CliRunner().invoke


def test_check_prints_every_finding_and_fails(app: typer.Typer, path: Path) -> None:
    path.write_text(SITE.replace("HH: 1.9", "HH: 1.2").replace("kind: toxic-gas, safety", "kind: toxic, safety"))
    result = run(app, ["check", str(path), "--language", "en"])
    assert result.exit_code == 1
    assert "error site.yaml:18" in result.output
    assert "did you mean toxic-gas?" in result.output
    result = run(app, ["check", str(path), "--json"])
    answer = json.loads(result.output)
    assert result.exit_code == 1
    assert (answer["ok"], answer["errors"]) == (False, 2)
    assert answer["findings"][0]["message_zh"].startswith("限值次序不对")


def test_check_counts_what_a_good_site_has(app: typer.Typer, path: Path) -> None:
    result = run(app, ["check", str(path), "--json"])
    assert result.exit_code == 0
    answer = json.loads(result.output)
    assert (answer["ok"], answer["points"], answer["connectors"]) == (True, 4, 1)


def test_check_without_a_site_says_what_to_do(app: typer.Typer) -> None:
    result = run(app, ["check", "--json"])
    assert result.exit_code == 1
    assert "--schema" in json.loads(result.output)["error"]["fix"]


def test_the_schema_accepts_what_the_check_accepts(app: typer.Typer, path: Path) -> None:
    import jsonschema_rs
    import yaml

    schema = json.loads(run(app, ["check", "--schema"]).output)
    validator = jsonschema_rs.Draft202012Validator(schema)
    data = json.loads(json.dumps(yaml.safe_load(SITE), default=str))
    assert [error.message for error in validator.iter_errors(data)] == []
    data["enterprises"][0]["areas"][0]["units"][0]["points"][0]["limts"] = {}
    assert "limts" in str([error.message for error in validator.iter_errors(data)])


@pytest.mark.parametrize("connector", CONNECTORS)
def test_init_writes_a_site_that_passes_its_check(app: typer.Typer, tmp_path: Path, connector: str) -> None:
    folder = tmp_path / "new"
    result = run(app, ["init", str(folder), "--yes", "--connector", connector, "--json"])
    assert result.exit_code == 0, result.output
    document = load(folder)
    assert document.warnings == ()
    plant = compile_site(document, numbers_in_file_order(document))
    assert len(plant.points) == 6
    assert len(plant.connectors) == (connector != "none")
    again = run(app, ["init", str(folder), "--yes"])
    assert again.exit_code == 1
    assert "already" in again.output


def test_init_asks_in_both_languages(app: typer.Typer, tmp_path: Path) -> None:
    result = run(app, ["init", str(tmp_path / "n")], input="东港\ndonggang\nhaian\nmodbus\n10.0.0.7:502\n")
    assert result.exit_code == 0, result.output
    assert "站点名称 name of the site" in result.output
    document = load(tmp_path / "n")
    assert (document.site.site.name, document.site.site.id) == ("东港", "donggang")
    assert document.site.connectors[0].options()["host"] == "10.0.0.7"


@pytest.mark.parametrize(
    "arguments", [["--id", "a b"], ["--connector", "telepathy"], ["--endpoint", "nowhere"], ["--timezone", "Mars"]]
)
def test_init_refuses_what_makes_no_site(app: typer.Typer, tmp_path: Path, arguments: list[str]) -> None:
    result = run(app, ["init", str(tmp_path / "n"), "--yes", *arguments])
    assert result.exit_code == 1
    assert not (tmp_path / "n").exists()


def test_lists_go_out_and_in_and_are_written_only_on_demand(app: typer.Typer, path: Path, tmp_path: Path) -> None:
    from tests.plant.test_excel import put

    book = tmp_path / "p.xlsx"
    assert run(app, ["plant", "points-export", str(path), str(book)]).exit_code == 0
    assert "nothing changes" in run(app, ["plant", "points-import", str(path), str(book)]).output
    put(book, f"{UNIT}/pressure", {"HH": 1.8})
    shown = json.loads(run(app, ["plant", "points-import", str(path), str(book), "--json"]).output)
    assert (shown["applied"], shown["safety"]) == (False, False)
    assert "HH: 1.8" in shown["diff"]
    assert path.read_text() == SITE
    assert json.loads(run(app, ["plant", "points-import", str(path), str(book), "--apply", "--json"]).output)["applied"]
    assert "HH: 1.8" in path.read_text()
    alarms = tmp_path / "a.xlsx"
    assert run(app, ["plant", "alarms-export", str(path), str(alarms)]).exit_code == 0
    assert "nothing changes" in run(app, ["plant", "alarms-import", str(path), str(alarms)]).output


def test_the_example_site_passes_its_check() -> None:
    document = load(ROOT / "examples" / "quickstart" / "site.yaml", now_us=0)
    assert document.warnings == ()
    assert len(list(document.points())) == 10


def test_the_example_in_the_docs_passes_its_check(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "site-files.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    (tmp_path / "site.yaml").write_text(blocks[0], encoding="utf-8")
    assert len(list(load(tmp_path).points())) == 1
    alarms = "\n".join("                " + line for line in blocks[1].splitlines())
    point = "              - id: gas\n                kind: toxic-gas\n" + alarms + "\n              - {id: level-2}\n"
    site, _, _ = blocks[0].partition("              - {id: pressure")
    site += point + "positions: [{id: desk-1}]\n"
    (tmp_path / "site.yaml").write_text(site, encoding="utf-8")
    assert len(list(load(tmp_path).points())) == 2
