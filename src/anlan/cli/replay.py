"""``anlan replay``: a file through the whole live path, with an account of every row and every bit."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anlan.cli.options import free_port, node_settings
from anlan.core.errors import InvalidInputError, UnavailableError
from anlan.core.output import JsonOption, emit, failing
from anlan.settings import Settings

if TYPE_CHECKING:
    from anlan.cli.trial_node import TrialNode
    from anlan.perceive.model import ConnectorStatus

PARTS = ("works", "alarms", "gateway", "historian")
_ALL_TIME = (-(1 << 53), 1 << 53)


def _site_with_file(site: Path, folder: Path, file: Path, speed: str) -> str:
    """Copy the site to ``folder`` with its replay connector set to ``file`` and ``speed``; return that connector's id.

    Raises:
        InvalidInputError: the site has no connector of kind replay.
    """
    from ruamel.yaml import YAML

    source = site if site.is_dir() else site.parent
    wanted = [path for path in source.iterdir() if path.suffix in (".yaml", ".yml", ".geojson", ".json")]
    folder.mkdir(parents=True, exist_ok=True)
    for path in wanted if site.is_dir() else [site, *(path for path in wanted if path.suffix in (".geojson", ".json"))]:
        shutil.copy(path, folder / path.name)
    yaml = YAML()
    for path in sorted(folder.glob("*.y*ml")):
        document = yaml.load(path.read_text("utf-8"))
        for connector in (document or {}).get("connectors") or ():
            if connector.get("kind") == "replay":
                connector["file"], connector["speed"] = str(file.absolute()), speed
                with path.open("w", encoding="utf-8") as handle:
                    yaml.dump(document, handle)
                return str(connector["id"])
    raise InvalidInputError(
        "the site has no connector of kind replay", where=str(site), fix="see examples/skab/site.yaml for its block"
    )


async def _status(node: TrialNode, connector: str) -> ConnectorStatus | None:
    from anlan.core.actor import SYSTEM
    from anlan.perceive.model import ConnectorStatus, ListConnectors

    listed = await node.fabric.call(
        "perceive.connectors", ListConnectors(), SYSTEM, tuple[ConnectorStatus, ...], timeout=30
    )
    return next((status for status in listed if status.id == connector), None)


async def _finished(node: TrialNode, connector: str, say: Callable[[str], None]) -> ConnectorStatus:
    shown = 0
    while True:
        status = await _status(node, connector)
        if status is not None and status.state == "misconfigured":
            raise InvalidInputError(status.reason, where=connector)
        if status is not None and status.details.get("finished"):
            if status.details.get("failed"):
                raise InvalidInputError(str(status.details["failed"]), where=connector)
            return status
        sent = int(str(status.details.get("samples_emitted", 0))) if status is not None else 0
        if sent - shown >= 1_000_000:
            shown = sent
            say(f"{sent:,} samples")
        await asyncio.sleep(0.1)


async def _read_back(node: TrialNode, connector: str) -> dict[str, dict[str, int]]:
    """Return stored samples and their fingerprint by point path, read from the historian."""
    from anlan.perceive.connectors.replay import fingerprint

    plant = await node.plant()
    numbers = {point.number: point.path for point in plant.points if point.connector == connector}
    result: dict[str, dict[str, int]] = {}
    for number, path in numbers.items():
        table = await node.series((number,), *_ALL_TIME)
        times, values = table["time"].to_numpy(), table["value"].to_numpy()
        result[path] = {"samples": len(table), "fingerprint": fingerprint(times, values)}
    return result


async def _expected(settings: Settings, connector: str, node: TrialNode) -> dict[str, dict[str, int]]:
    """Read the file a second time, without the platform, and return what should have been stored by point path."""
    from anlan.perceive.connectors.replay import ReplayConnector

    plant = await node.plant()
    spec = next(item for item in plant.connectors if item.id == connector)
    options = {**spec.options, "speed": "max"}
    numbers = {point.path: point.number for point in plant.points if point.path in spec.map}
    context = _FileOnly(type(spec)(spec.id, spec.kind, options, spec.map), numbers, settings.node)
    reader = ReplayConnector(context.spec, context)
    task = asyncio.ensure_future(reader.run())
    await reader.finished.wait()
    task.cancel()
    return {path: {"samples": count, "fingerprint": total} for path, (count, total) in reader.fingerprints().items()}


class _FileOnly:
    """A context that takes everything and keeps nothing: the file as the connector reads it, without a platform."""

    def __init__(self, spec: Any, numbers: dict[str, int], node: str) -> None:
        self.spec = spec
        self.numbers: Mapping[str, int] = numbers
        self.node = node
        self.details: dict[str, object] = {}

    def emit(self, batch: object, *, received: int | None = None) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    async def writable(self) -> None:
        await asyncio.sleep(0)

    def dead_letter(self, raw: bytes, reason: Exception, *, source: str = "") -> None:
        return

    def unmapped(self, tag: str, count: int = 1) -> None:
        return

    def up(self, *, clock_offset_us: int = 0) -> None:
        return

    def down(self, reason: str) -> None:
        return

    def event(self, type_: str, subject: str, time: int, data: dict[str, Any], *, key: str) -> None:
        return

    def secret(self, name: str) -> str:
        raise InvalidInputError(f"a replay needs no secret {name!r}")


async def _run(settings: Settings, connector: str, say: Callable[[str], None]) -> dict[str, Any]:
    from anlan.cli.trial_node import TrialNode, rung_by_kind

    async with TrialNode(settings, PARTS, say) as node:
        status = await _finished(node, connector, say)
        await node.drained(300)
        stored = await _read_back(node, connector)
        expected = await _expected(settings, connector, node)
        alarms = await rung_by_kind(node)
        errors = node.errors()
    samples_in = sum(row["samples"] for row in expected.values())
    samples_stored = sum(row["samples"] for row in stored.values())
    different = sorted(path for path, row in expected.items() if stored.get(path) != row)
    return {
        "ok": not different and not errors and samples_in == samples_stored,
        "file_rows": status.details.get("rows_read"),
        "bad_rows": status.details.get("rows_bad"),
        "times_moved": status.details.get("repeats_moved"),
        "samples_in": samples_in,
        "samples_stored": samples_stored,
        "bit_exact": not different,
        "different": different,
        "alarms": alarms,
        "points": {path: row["samples"] for path, row in stored.items()},
        "errors": errors,
    }


def _print(result: dict[str, Any]) -> None:
    typer.echo(
        f"rows {result['file_rows']:,}, samples in {result['samples_in']:,}, stored {result['samples_stored']:,}"
    )
    typer.echo(f"read back {'bit-exact' if result['bit_exact'] else 'DIFFERENT: ' + ', '.join(result['different'])}")
    typer.echo(f"alarms {result['alarms']}")
    for line in result["errors"]:
        typer.echo(f"  {line}")


def replay(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet file.")],
    site: Annotated[Path, typer.Option("--site", help="Site with a connector of kind replay.")],
    speed: Annotated[str, typer.Option(help="Times real time, or max.")] = "max",
    data: Annotated[Path | None, typer.Option("--data", help="Keep the node's data here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a file through connector, log, alarms and historian, and account for every row.

    Example: anlan replay skab_experiments.parquet --site examples/skab --speed max --json
    """
    with failing(as_json):
        if not file.is_file():
            raise InvalidInputError("there is no such file", where=str(file), fix="a CSV or Parquet file")
        if not site.exists():
            raise InvalidInputError("there is no such site", where=str(site), fix="a site file or folder")
        folder = data or Path(tempfile.mkdtemp(prefix="anlan-replay-"))
        if (folder / "fabric").exists():
            raise UnavailableError("this directory already holds a node", where=str(folder), fix="choose a new --data")
        try:
            connector = _site_with_file(site, folder / "site", file, speed)
            settings = node_settings(data=folder / "data", site=folder / "site", node="replay")
            settings = replace(settings, fabric_port=free_port())
            say = (lambda line: typer.echo(line, err=True)) if as_json else typer.echo
            result = asyncio.run(_run(settings, connector, say))
        finally:
            if data is None:
                shutil.rmtree(folder, ignore_errors=True)
        emit(result, as_json, lambda: _print(result))
        if not result["ok"]:
            raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)
