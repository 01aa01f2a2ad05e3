"""The works on a real fabric: files to the revision in force, reload, broken files, restart."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from anlan.core import log
from anlan.core.errors import NotFoundError, PermissionDeniedError
from anlan.core.health import Health
from anlan.plant import service
from anlan.plant.model import decode_plant
from anlan.store.fabric.client import Fabric
from tests.plant.registers.conftest import ANN, RITA, SUE, Works, works

__all__ = ["works"]  # the fixture


async def records_of_config(works: Works) -> int:
    info = await works.fabric.jetstream.stream_info("LOG", subjects_filter=log.CONFIG)
    return int((info.state.subjects or {}).get(log.CONFIG, 0))


async def test_puts_the_site_in_force_once(works: Works) -> None:
    revision, document = await works.fabric.current_config()
    plant = decode_plant(document)
    assert [(point.path, point.number) for point in plant.points] == [("e/a/u/p", 1), ("e/a/u/gas", 2), ("w/a/u/p", 3)]
    status = await works.plant.status(ANN)
    assert (status.revision, status.valid, status.points) == (revision, True, 3)
    assert [finding.code for finding in status.findings] == ["calibration-expired"]
    assert (await works.plant.status(RITA)).findings == ()
    (event,) = await works.events("config.revision", 1)
    assert (event.subject, event.data["revision"], event.data["points_added"]) == ("park", revision, 3)
    await works.plant.reload(ANN)
    assert await records_of_config(works) == 1
    with pytest.raises(PermissionDeniedError):
        await works.plant.reload(RITA)


async def test_a_changed_file_is_in_force_without_a_restart(works: Works) -> None:
    before = works.health.details["revision"]
    works.site.write_text(
        works.site.read_text()
        .replace("HH: 1.9", "HH: 1.85")
        .replace("id: p, kind: pressure}", "id: p, kind: pressure, unit: kPa}")
    )
    await works.until(lambda: works.health.details["revision"] != before)
    _, plant = await works.plant.current()
    assert {alarm.id: alarm.limit for alarm in plant.alarms}["e/a/u/p.HH"] == 1.85
    # The unit changed, so the number did; the others keep theirs.
    assert {point.path: point.number for point in plant.points} == {"e/a/u/p": 1, "e/a/u/gas": 2, "w/a/u/p": 4}


async def test_a_broken_file_leaves_the_old_revision_in_force_and_shows(works: Works) -> None:
    good = works.site.read_text()
    revision = works.health.details["revision"]
    works.site.write_text(good.replace("HH: 1.9", "HH: 1.2"))
    await works.until(lambda: "site" in works.health.problems)
    assert "limits in the wrong order" in works.health.problems["site"]
    assert f"revision {revision} stays in force" in works.health.problems["site"]
    status = await works.plant.status(ANN)
    assert (status.revision, status.valid) == (revision, False)
    assert ("limits-order", 12) in [(finding.code, finding.line) for finding in status.findings]
    events = await works.events("config.revision", 2)
    assert events[1].data["refused"] is True
    works.site.write_text(good)
    await works.until(lambda: "site" not in works.health.problems)
    assert await records_of_config(works) == 1


async def test_a_restart_with_broken_files_keeps_what_was_in_force(works: Works) -> None:
    revision = works.health.details["revision"]
    good = works.site.read_text()
    works.site.write_text("site: [")
    await works.until(lambda: "site" in works.health.problems)
    settings = replace(works.fabric.settings, site=works.site)
    async with await Fabric.connect(settings, "works") as fabric:
        health, stop = Health("works"), asyncio.Event()
        task = asyncio.create_task(service.run(fabric, health, stop))
        await works.until(lambda: health.ready)
        assert health.details["revision"] == revision
        assert "site" in health.problems
        works.site.write_text(good)
        await works.until(lambda: "site" not in health.problems)
        stop.set()
        await asyncio.wait_for(task, 15)
    assert await records_of_config(works) == 1


async def test_without_any_configuration_requests_say_so(works: Works) -> None:
    book = service.Book(works.fabric, Health("x"), None)  # type: ignore[arg-type]  # never reaches the records
    assert (await book.status(service.PlantStatus(), ANN)).revision == ""
    desk = service.Desk("n", None, book)  # type: ignore[arg-type]  # never reaches the records
    with pytest.raises(NotFoundError, match="no configuration"):
        _ = desk.plant


async def test_the_log_is_told_again_before_it_forgets(works: Works) -> None:
    settings = replace(works.fabric.settings, site=works.site, log_age_s=0)
    async with await Fabric.connect(settings, "works") as fabric:
        book = service.Book(fabric, Health("x"), None)  # type: ignore[arg-type]  # the records are not reached
        book.revision = "abc"
        before = await records_of_config(works)
        await book.remember()
        assert await records_of_config(works) == before + 1


async def test_a_list_is_proposed_from_the_command_line(works: Works, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from anlan.plant import cli
    from tests.plant.test_excel import put

    app = typer.Typer()
    cli.register(app)
    book = tmp_path / "points.xlsx"
    site, data = str(works.site), str(works.fabric.settings.data)

    def command(*words: str) -> dict[str, object]:
        environment = {"ANLAN_FABRIC_PORT": str(works.fabric.settings.fabric_port)}
        result = CliRunner().invoke(app, ["plant", *words, "--json"], env=environment)
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.output))

    await asyncio.to_thread(command, "points-export", site, str(book))
    put(book, "e/a/u/gas", {"H": 8})
    answer = await asyncio.to_thread(command, "points-import", site, str(book), "--propose", "GBZ 2.1", "--data", data)
    (change,) = await works.registers.changes(ANN, pending=True)
    assert answer["proposed"] == change.id
    assert (change.safety, change.reason) == (True, "GBZ 2.1")
    assert (await works.registers.act_on_change(SUE, change.id, "approve")).state == "applied"
    assert "limits: {H: 8}" in works.site.read_text()
