"""``anlan registers`` against a running works process."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from anlan.plant.registers import cli
from anlan.settings import remember
from tests.plant.registers import conftest
from tests.plant.registers.conftest import Works

APP = typer.Typer()
cli.register(APP)


@pytest.fixture(autouse=True)
def _with_a_barrier(monkeypatch: pytest.MonkeyPatch) -> None:
    barrier = "barriers: [{id: dike, path: e/a, kind: dike, name: 防火堤}]\n"
    monkeypatch.setattr(conftest, "SITE", conftest.SITE + barrier)


async def _run(works: Works, *words: str, code: int = 0) -> Any:
    arguments = ["registers", *words, "--data", str(works.fabric.settings.data)]
    for extra in ([], ["--json"]) if words[-1] in ("list", "history") else (["--json"],):
        done = await asyncio.to_thread(CliRunner().invoke, APP, [*arguments, *extra])
        assert done.exit_code == code, done.output
    return json.loads(done.output)


async def test_barriers_work_and_counts_from_the_command_line(works: Works) -> None:
    remember(works.fabric.settings)
    (row,) = (await _run(works, "barriers", "list"))["barriers"]
    assert (row["id"], row["state"]) == ("dike", "healthy")
    failed = await _run(works, "barriers", "report", "dike", "--state", "failed", "--reason", "开裂")
    assert failed["state"] == "failed"
    refused = await _run(works, "barriers", "act", "dike", "restore", code=1)
    assert "needs a reason" in refused["error"]["detail"]
    assert (await _run(works, "barriers", "act", "dike", "restore", "--comment", "已修补"))["state"] == "healthy"
    assert (await _run(works, "barriers", "test", "dike", "--result", "passed", "--at", "2 h"))["result"] == "passed"
    assert len((await _run(works, "barriers", "history", "dike"))["entries"]) == 2
    planned = await _run(works, "work", "plan", "--kind", "loading", "--place", "e/a", "--persons", "2", "--begin")
    assert planned["state"] == "active"
    assert len((await _run(works, "work", "list"))["work"]) == 1
    longer = await _run(works, "work", "act", planned["id"], "extend", "--for", "8 h", "--comment", "未装完")
    assert longer["end"] > planned["end"]
    assert (await _run(works, "work", "act", planned["id"], "finish"))["state"] == "finished"
    assert (await _run(works, "presence", "count", "e/a", "7"))["count"] == 7
    areas = (await _run(works, "presence", "list"))["areas"]
    assert {row["path"]: row.get("count") for row in areas} == {"e/a": 7.0, "w/a": None}
    assert (await _run(works, "presence", "history", "e/a"))["counts"][0]["count"] == 7
