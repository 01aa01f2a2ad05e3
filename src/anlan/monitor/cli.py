"""``anlan alarms``: list, acknowledge, shelve, try definitions on history, alarm performance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from anlan.monitor.model import ActResult, AlarmList, TryResult
    from anlan.monitor.performance import Performance
    from anlan.plant.model import Plant
    from anlan.store.fabric.client import Fabric

T = TypeVar("T")

DataOption = Annotated[Path | None, typer.Option("--data", help="Data directory of the node 节点的数据目录.")]
AlarmsArgument = Annotated[list[str], typer.Argument(help="Alarm ids PATH.KIND, or group:NAME 报警编号.")]
FromOption = Annotated[str, typer.Option("--from", help="ISO 8601, or back from now: '24 h' 起始时间.")]
ToOption = Annotated[str, typer.Option("--to", help="ISO 8601; now when left out 缺省为当前.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    alarms = typer.Typer(help="Alarms of a running node 报警.", no_args_is_help=True)
    alarms.command("list")(list_)
    alarms.command("ack")(acknowledge)
    alarms.command("shelve")(shelve)
    alarms.command("try")(try_)
    alarms.command("performance")(performance)
    app.add_typer(alarms, name="alarms")


def list_(
    view: Annotated[str, typer.Option("--view", help="standing, shelved, suppressed, out-of-service or all.")] = (
        "standing"
    ),
    scope: Annotated[str, typer.Option("--scope", help="Only below this path, such as haian/tank-farm-a.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List alarms as the operator sees them 列出报警.

    Example: anlan alarms list --scope haian/tank-farm-a
    """

    async def ask(fabric: Fabric) -> AlarmList:
        from anlan.core.actor import SYSTEM
        from anlan.monitor.model import AlarmList, ListAlarms

        return await fabric.call("monitor.alarms", ListAlarms(view, scope), SYSTEM, AlarmList)

    def human() -> None:
        from anlan.core.time import to_iso

        for row in answer.rows:
            value = "–" if row.value is None else f"{row.value:g} {row.unit}"
            raised = to_iso(row.raised)[:19] if row.raised else ""
            typer.echo(f"P{row.priority} {row.state.value:24} {raised:20} {value:>14}  {row.alarm}  {row.name}")
        typer.echo(f"{len(answer.rows)} 条报警 alarms, {answer.unacknowledged} 条未确认 unacknowledged")

    with failing(as_json):
        answer = _connected(data, ask)
        emit(answer, as_json, human)


def acknowledge(
    alarms: AlarmsArgument,
    comment: Annotated[str, typer.Option("--comment", help="What was seen or done.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Acknowledge alarms as they stand now 确认报警.

    Example: anlan alarms ack haian/tank-farm-a/t-401/pressure.HH --comment "现场已确认"
    """

    async def ask(fabric: Fabric) -> ActResult:
        from anlan.core.actor import SYSTEM
        from anlan.monitor.model import Act, ActResult, AlarmList, ListAlarms

        found = await fabric.call("monitor.alarms", ListAlarms("all"), SYSTEM, AlarmList)
        instances = {row.alarm: row.instance for row in found.rows}
        act = Act("acknowledge", tuple(alarms), tuple(instances.get(alarm, "") for alarm in alarms), comment)
        return await fabric.call("monitor.act", act, SYSTEM, ActResult, timeout=30)

    _act(data, as_json, ask)


def shelve(
    alarms: AlarmsArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why 原因.")],
    duration: Annotated[str, typer.Option("--for", help="How long, such as '30 min' 时长.")] = "30 min",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shelve alarms for a while 搁置报警; each priority has its longest time.

    Example: anlan alarms shelve haian/tank-farm-a/t-401/level.H --for "30 min" --reason "仪表校验"
    """

    async def ask(fabric: Fabric) -> ActResult:
        from anlan.core.actor import SYSTEM
        from anlan.core.time import duration_us, now_us
        from anlan.monitor.model import Act, ActResult

        act = Act("shelve", tuple(alarms), comment=reason, until=now_us() + duration_us(duration))
        return await fabric.call("monitor.act", act, SYSTEM, ActResult, timeout=30)

    _act(data, as_json, ask)


def _act(data: Path | None, as_json: bool, ask: Callable[[Fabric], Awaitable[ActResult]]) -> None:
    def human() -> None:
        for alarm in answer.done:
            typer.echo(f"已完成 done: {alarm}")
        for alarm, why in answer.refused.items():
            typer.secho(f"未执行 refused: {alarm}: {why}", fg=typer.colors.RED, err=True)

    with failing(as_json):
        answer = _connected(data, ask)
        emit(answer, as_json, human)
    if answer.refused:
        raise typer.Exit(1)


def try_(
    site: Annotated[Path, typer.Argument(help="Site file or folder with the definitions to try 站点文件.")],
    start: FromOption = "24 h",
    end: ToOption = "",
    file: Annotated[Path | None, typer.Option("--file", help="CSV or Parquet instead of the historian.")] = None,
    alarm: Annotated[str, typer.Option("--alarm", help="Only alarms whose id begins so 只试这些报警.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a site's alarm definitions would have raised on history 在历史数据上试算报警定义.

    Examples: anlan alarms try site.yaml --from "7 d" --alarm haian/tank-farm-a
    anlan alarms try site.yaml --file record.csv
    """
    with failing(as_json):
        answer = _try_file(site, file, alarm, start, end) if file else _try_history(site, alarm, start, end, data)
        emit(answer, as_json, lambda: _print_trial(answer))


def _print_trial(answer: TryResult) -> None:
    for id_, count in sorted(answer.raised.items(), key=lambda item: -item[1]):
        typer.echo(f"{count:7} 次 raised  {answer.in_alarm_s[id_]:12.1f} s 在报警 in alarm  {id_}")
    typer.echo(f"{answer.samples} 个样本 samples")


def _definitions(plant: Plant, prefix: str) -> tuple[Any, ...]:
    found = tuple(definition for definition in plant.alarms if definition.id.startswith(prefix))
    if not found:
        raise NotFoundError("the site has no such alarm", where=prefix or "alarms", fix="see 'anlan check SITE'")
    return found


def _try_file(site: Path, file: Path, prefix: str, start: str, end: str) -> TryResult:
    from anlan.monitor.trial import Trial
    from anlan.monitor.trial_file import read
    from anlan.plant.compiler import compile_site, numbers_in_file_order
    from anlan.plant.site_file import load

    document = load(site)
    plant = compile_site(document, numbers_in_file_order(document))
    definitions = _definitions(plant, prefix)
    batch = read(file, plant)
    if not len(batch):
        raise InvalidInputError("holds no samples", where=str(file))
    newest = int(batch.time[-1]) + 1
    # A file is usually tried whole: the default of --from is meant for the historian.
    first, last = _period(start, end, newest)
    if start == "24 h":
        first = int(batch.time[0])
    trial = Trial(plant, definitions, first, last)
    trial.feed(batch.take((batch.time >= first) & (batch.time < last)))
    return trial.result()


def _try_history(site: Path, prefix: str, start: str, end: str, data: Path | None) -> TryResult:
    async def ask(fabric: Fabric) -> TryResult:
        from anlan.core.actor import SYSTEM
        from anlan.core.time import now_us
        from anlan.monitor.model import TryDefinition
        from anlan.monitor.trial import try_on_historian
        from anlan.plant.compiler import compile_site
        from anlan.plant.model import decode_plant
        from anlan.plant.site_file import load

        document = load(site)
        _, current = await fabric.current_config()
        numbers = {point.path: point.number for point in decode_plant(current).points}
        # Points the node does not know yet have no history; any number of their own will do.
        unknown = [item.path for item in document.points() if item.path not in numbers]
        numbers |= {path: max(numbers.values(), default=0) + at for at, path in enumerate(unknown, start=1)}
        plant = compile_site(document, numbers)
        now = now_us()
        period = _period(start, end, now)
        request = TryDefinition(_definitions(plant, prefix), *period)
        return await try_on_historian(fabric, plant, request, SYSTEM, unknown=frozenset(numbers[p] for p in unknown))

    return _connected(data, ask)


def performance(
    start: FromOption = "24 h",
    end: ToOption = "",
    position: Annotated[str, typer.Option("--position", help="Operator position 岗位; all when left out.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Alarm performance by EEMUA 191 / ISA-18.2 from the journal 报警绩效.

    Example: anlan alarms performance --from "7 d" --position board-a
    """

    async def ask(fabric: Fabric) -> Performance:
        from anlan.core.time import now_us
        from anlan.monitor.journal import performance_of_journal

        now = now_us()
        first, last = _period(start, end, now)
        return await performance_of_journal(fabric, first, last, position)

    def human() -> None:
        typer.echo(f"{answer.total} 次报警 alarms, 等级 grade {answer.grade}")
        for name, figure in answer.figures.items():
            mark = "✓" if figure.good else "~" if figure.tolerable else "✗"
            typer.echo(f"{mark} {name:18} {figure.value:10.3f}  目标 target {figure.target:g}  {figure.unit}")
        for id_, count in answer.top:
            typer.echo(f"{count:7} {id_}")

    with failing(as_json):
        answer = _connected(data, ask)
        emit(answer, as_json, human)


def _period(start: str, end: str, now: int) -> tuple[int, int]:
    from anlan.core.time import moment_us

    return moment_us(start, now, where="--from"), moment_us(end, now, where="--to") if end else now


def _connected(data: Path | None, ask: Callable[[Fabric], Awaitable[T]]) -> T:
    from anlan.store.fabric.session import ask_node

    return ask_node(ask, data, name="alarms-cli")
