"""``anlan history``: query, export and status of a running node's historian."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from anlan.core.errors import InvalidInputError
from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from anlan.store.fabric.client import Fabric
    from anlan.store.historian.requests import ExportFormat, SeriesQuery

T = TypeVar("T")

DataOption = Annotated[Path | None, typer.Option("--data", help="Data directory of the node 节点的数据目录.")]
PointsArgument = Annotated[list[str], typer.Argument(help="Paths (or numbers) of points 测点路径或编号.")]
StartOption = Annotated[str, typer.Option("--from", help="ISO 8601, or back from now: '24 h'.")]
EndOption = Annotated[str, typer.Option("--to", help="ISO 8601; now when left out 缺省为当前.")]
KindOption = Annotated[str, typer.Option("--kind", help="raw, bucket, m4, as-of or wind.")]
BucketOption = Annotated[str, typer.Option("--bucket", help="Length of a bucket, such as '1 min'.")]
WidthOption = Annotated[int, typer.Option("--width", help="Pixel columns of m4.")]
LimitOption = Annotated[int, typer.Option("--limit", help="Most rows.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    history = typer.Typer(help="Time series of a running node 历史数据.", no_args_is_help=True)
    history.command("query")(query)
    history.command("export")(export)
    history.command("status")(status)
    app.add_typer(history, name="history")


def query(
    points: PointsArgument,
    start: StartOption = "1 h",
    end: EndOption = "",
    kind: KindOption = "raw",
    bucket: BucketOption = "1 min",
    width: WidthOption = 1000,
    limit: LimitOption = 100_000,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a series 查询历史数据.

    Example: anlan history query haian/tank-farm-a/t-401/pressure --from "24 h" --kind bucket --bucket "1 h"
    """

    async def ask(fabric: Fabric) -> dict[str, object]:
        from anlan.core.actor import SYSTEM
        from anlan.store.historian.client import HistorianClient, truncated

        request = await _request(fabric, points, start, end, kind, bucket, width, limit)
        table = await HistorianClient(fabric, SYSTEM).series(request)
        columns = {name: [_plain(value) for value in table[name].to_pylist()] for name in table.column_names}
        return {"rows": table.num_rows, "truncated": truncated(table), "columns": columns}

    with failing(as_json):
        answer = _connected(data, ask)
        emit(answer, as_json, lambda: _print_columns(answer["columns"]))


def export(
    points: PointsArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .parquet or .csv.")],
    start: StartOption = "24 h",
    end: EndOption = "",
    kind: KindOption = "raw",
    bucket: BucketOption = "1 min",
    width: WidthOption = 1000,
    limit: LimitOption = 50_000_000,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a series to a Parquet or CSV file 导出历史数据.

    Example: anlan history export haian/tank-farm-a/t-401/pressure --from 2026-11-01 --to 2026-11-02 -o pressure.parquet
    """

    async def ask(fabric: Fabric) -> int:
        from anlan.core.actor import SYSTEM
        from anlan.store.historian.client import HistorianClient

        form = _format(output)
        request = await _request(fabric, points, start, end, kind, bucket, width, limit)
        part = output.with_name(output.name + ".part")
        written = 0
        with part.open("wb") as file:
            async for piece in HistorianClient(fabric, SYSTEM).export(request, form):
                written += file.write(piece)
        part.replace(output)
        return written

    with failing(as_json):
        written = _connected(data, ask)
        result = {"file": str(output), "bytes": written}
        emit(result, as_json, lambda: typer.echo(f"已写入 wrote {output}: {written} bytes"))


def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Say how full and how far behind the historian is 历史库状态.

    Example: anlan history status --json
    """

    async def ask(fabric: Fabric) -> object:
        from anlan.core.actor import SYSTEM
        from anlan.store.historian.client import HistorianClient

        return await HistorianClient(fabric, SYSTEM).status()

    def human() -> None:
        for name in ("engine", "rows", "bytes", "events", "mark", "behind"):
            typer.echo(f"{name:8} {getattr(answer, name)}")

    with failing(as_json):
        answer = _connected(data, ask)
        emit(answer, as_json, human)


def _connected(data: Path | None, ask: Callable[[Fabric], Awaitable[T]]) -> T:
    from anlan.store.fabric.session import ask_node

    return ask_node(ask, data, name="history")


async def _request(
    fabric: Fabric, points: list[str], start: str, end: str, kind: str, bucket: str, width: int, limit: int
) -> SeriesQuery:
    from anlan.core.time import duration_us, moment_us, now_us
    from anlan.store.historian.requests import SeriesKind, SeriesQuery

    if kind not in [item.value for item in SeriesKind]:
        raise InvalidInputError(f"no kind {kind!r}", where="--kind", fix="one of raw, bucket, m4, as-of, wind")
    now = now_us()
    return SeriesQuery(
        kind=SeriesKind(kind),
        points=await _numbers(fabric, points),
        start=moment_us(start, now, where="--from"),
        end=moment_us(end, now, where="--to") if end else now + 1,
        bucket=duration_us(bucket),
        width=width,
        limit=limit,
    )


async def _numbers(fabric: Fabric, points: list[str]) -> tuple[int, ...]:
    from anlan.core.errors import NotFoundError
    from anlan.store.historian.points import PointTable

    try:
        table = PointTable.of(*await fabric.current_config())
    except NotFoundError:
        table = PointTable()
    by_path = {point.path: number for number, point in table.by_number.items()}
    numbers = []
    for name in points:
        number = by_path.get(name, int(name) if name.isdigit() else None)
        if number is None:
            raise NotFoundError("no point has this path", where=name, fix="see 'anlan check' for the site's points")
        numbers.append(number)
    return tuple(numbers)


def _format(output: Path) -> ExportFormat:
    from anlan.store.historian.requests import ExportFormat

    forms = {".parquet": ExportFormat.PARQUET, ".csv": ExportFormat.CSV}
    if output.suffix not in forms:
        raise InvalidInputError(f"no format for {output.suffix!r}", where=str(output), fix="end in .parquet or .csv")
    return forms[output.suffix]


def _plain(value: object) -> object:
    # JSON has no NaN: null says that there is no number.
    return None if isinstance(value, float) and value != value else value


def _print_columns(columns: object) -> None:
    from anlan.core.time import to_iso

    assert isinstance(columns, dict)
    typer.echo("\t".join(columns))
    for row in zip(*columns.values(), strict=True):
        cells = zip(columns, row, strict=True)
        typer.echo("\t".join(to_iso(int(cell)) if name == "time" else str(cell) for name, cell in cells))
