"""``anlan registers``: barriers, work in progress and head counts of a running node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from anlan.core.actor import Actor
    from anlan.plant.registers.client import RegistersClient
    from anlan.plant.registers.model import BarrierHealth, Presence, Work
    from anlan.store.fabric.client import Fabric

T = TypeVar("T")

DataOption = Annotated[Path | None, typer.Option("--data", help="Data directory of the node 节点的数据目录.")]
ScopeOption = Annotated[str, typer.Option("--scope", help="Only at or below this path, such as haian/ammonia-farm.")]
BarrierArgument = Annotated[str, typer.Argument(help="Id of the barrier 屏障编号.", show_default=False)]
WorkArgument = Annotated[str, typer.Argument(help="Id of the work 作业编号.", show_default=False)]
CommentOption = Annotated[str, typer.Option("--comment", help="What was seen or done 说明.")]

_COLOURS = {
    "failed": typer.colors.RED,
    "bypassed": typer.colors.MAGENTA,
    "degraded": typer.colors.YELLOW,
    "overdue": typer.colors.YELLOW,
}


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    group = typer.Typer(help="Barriers, work in progress, head counts 屏障、作业、在场人数.", no_args_is_help=True)
    barriers = typer.Typer(help="Barriers and their health 屏障.", no_args_is_help=True)
    barriers.command("list")(list_barriers)
    barriers.command("history")(history)
    barriers.command("test")(record_test)
    barriers.command("report")(report)
    barriers.command("act")(act_on_barrier)
    work = typer.Typer(help="Work in progress 作业.", no_args_is_help=True)
    work.command("list")(list_work)
    work.command("plan")(plan)
    work.command("act")(act_on_work)
    presence = typer.Typer(help="Head counts of areas 在场人数.", no_args_is_help=True)
    presence.command("list")(list_presence)
    presence.command("count")(count)
    presence.command("history")(counts)
    for name, part in (("barriers", barriers), ("work", work), ("presence", presence)):
        group.add_typer(part, name=name)
    app.add_typer(group, name="registers")


def _ask(data: Path | None, ask: Callable[[RegistersClient, Actor], Awaitable[T]]) -> T:
    """Ask the node as the person at this machine."""
    import getpass

    from anlan.core.actor import Actor, Grant, Role
    from anlan.plant.registers.client import RegistersClient
    from anlan.store.fabric.session import ask_node

    user = f"local:{getpass.getuser()}"
    actor = Actor(user, user, (Grant(Role.ADMINISTRATOR),))

    async def session(fabric: Fabric) -> T:
        return await ask(RegistersClient(fabric), actor)

    return ask_node(session, data, name="registers-cli")


def _when(time: int) -> str:
    from anlan.core.time import to_iso

    return to_iso(time)[:16].replace("T", " ") if time else "–"


# --- barriers -------------------------------------------------------------------------------------------------------


def list_barriers(
    scope: ScopeOption = "",
    impaired: Annotated[bool, typer.Option("--impaired", help="Only those that are not healthy 仅异常.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List barriers with their health, gravest first 列出屏障.

    Example: anlan registers barriers list --scope haian/ammonia-farm --impaired
    """
    with failing(as_json):
        found = _ask(data, lambda client, actor: client.barriers(actor, scope, impaired=impaired))
        emit({"barriers": found}, as_json, lambda: _print_barriers(found))


def _print_barriers(found: tuple[BarrierHealth, ...]) -> None:
    for item in found:
        state = typer.style(f"{item.state:9}", fg=_COLOURS.get(item.state, typer.colors.GREEN))
        typer.echo(f"{state} {item.id:28} {_when(item.last_test):16} {item.path}  {item.name}")
        for reason in item.reasons:
            typer.echo(f"          {reason.state}: {reason.kind} {reason.ref} {reason.text}".rstrip())
    bad = sum(item.state != "healthy" for item in found)
    typer.echo(f"{len(found)} 道屏障 barriers, {bad} 道异常 impaired")
    if not found:
        typer.echo("在站点文件的 barriers 中填写 write them under barriers in the site's files")


def history(
    barrier: BarrierArgument,
    limit: Annotated[int, typer.Option("--limit", help="Most lines 最多行数.")] = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a barrier's tests and reports, newest first 屏障的试验与降级记录.

    Example: anlan registers barriers history t-401-overfill
    """
    with failing(as_json):
        found = _ask(data, lambda client, actor: client.barrier_history(actor, barrier, limit))

        def human() -> None:
            for entry in found:
                ended = f"  → {_when(entry.ended)} {entry.ended_by}: {entry.closing}" if entry.ended else ""
                typer.echo(f"{_when(entry.time)} {entry.kind:6} {entry.state:9} {entry.who}: {entry.text}{ended}")
            if not found:
                typer.echo("没有记录 nothing recorded")

        emit({"entries": found}, as_json, human)


def record_test(
    barrier: BarrierArgument,
    result: Annotated[str, typer.Option("--result", help="passed, degraded or failed 结果.")],
    comment: CommentOption = "",
    at: Annotated[str, typer.Option("--at", help="When it was done, ISO 8601 or back from now ('2 h') 时间.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a test of a barrier 记录屏障试验.

    Example: anlan registers barriers test t-401-overfill --result passed --comment "联锁动作正常"
    """
    with failing(as_json):
        from anlan.core.time import moment_us, now_us
        from anlan.plant.registers.model import RecordTest

        time = moment_us(at, now_us(), where="--at") if at else 0
        request = RecordTest(barrier, result, comment, time)
        found = _ask(data, lambda client, actor: client.record_test(actor, request))
        emit(found, as_json, lambda: _print_barriers((found,)))


def report(
    barrier: BarrierArgument,
    reason: Annotated[str, typer.Option("--reason", help="What is wrong 原因.")],
    state: Annotated[str, typer.Option("--state", help="degraded or failed 状态.")] = "degraded",
    measures: Annotated[str, typer.Option("--measures", help="What stands in meanwhile 补偿措施.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a barrier is degraded or failed 报告屏障降级或失效.

    Example: anlan registers barriers report t-401-esd --state failed --reason "切断阀卡涩"
    """
    with failing(as_json):
        from anlan.plant.registers.model import ReportBarrier

        request = ReportBarrier(barrier, state, reason, measures)
        found = _ask(data, lambda client, actor: client.report_barrier(actor, request))
        emit(found, as_json, lambda: _print_barriers((found,)))


def act_on_barrier(
    barrier: BarrierArgument,
    verb: Annotated[str, typer.Argument(help="worsen, ease or restore 加重、减轻或恢复.", show_default=False)],
    comment: CommentOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change or end what is reported of a barrier 变更或解除屏障降级.

    Example: anlan registers barriers act t-401-esd restore --comment "更换执行机构,试动正常"
    """
    with failing(as_json):
        found = _ask(data, lambda client, actor: client.act_on_barrier(actor, barrier, verb, comment))
        emit(found, as_json, lambda: _print_barriers((found,)))


# --- work -----------------------------------------------------------------------------------------------------------


def list_work(
    scope: ScopeOption = "",
    every: Annotated[bool, typer.Option("--all", help="Finished and cancelled work too 含已结束.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List work in progress and planned 列出作业.

    Example: anlan registers work list --scope haian
    """
    with failing(as_json):
        from anlan.plant.registers.model import ListWork

        request = ListWork(scope, not every)
        found = _ask(data, lambda client, actor: client.works(actor, request))
        emit({"work": found}, as_json, lambda: _print_work(found))


def _print_work(found: tuple[Work, ...]) -> None:
    from anlan.plant.registers.vocabulary import work_kinds

    for item in found:
        kind = work_kinds().get(item.kind)
        words = f"{kind.zh} {kind.en}" if kind is not None else item.kind
        state = typer.style(f"{item.state:9}", fg=typer.colors.RED if item.state == "overdue" else None)
        typer.echo(f"{state} {item.id} {_when(item.start)} → {_when(item.end)} {item.persons:3} 人  {item.path}")
        typer.echo(f"          {words}  {item.permit}  {item.text}".rstrip())
    people = sum(item.persons for item in found if item.state in ("active", "overdue"))
    typer.echo(f"{len(found)} 项作业 works, 作业中 {people} 人 persons at work")


def plan(
    kind: Annotated[str, typer.Option("--kind", help="hot-work, confined-space, loading, maintenance, … 类型.")],
    path: Annotated[str, typer.Option("--place", help="Enterprise, area or unit 地点.")],
    persons: Annotated[int, typer.Option("--persons", help="How many people 人数.")],
    duration: Annotated[str, typer.Option("--for", help="How long, such as '4 h' 时长.")] = "4 h",
    start: Annotated[str, typer.Option("--start", help="ISO 8601; now when left out 开始.")] = "",
    permit: Annotated[str, typer.Option("--permit", help="Number of the permit 作业票号.")] = "",
    text: Annotated[str, typer.Option("--text", help="What is done 内容.")] = "",
    begin: Annotated[bool, typer.Option("--begin", help="Begin it at once 立即开始.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter work, and begin it at once with --begin 登记作业.

    Example: anlan registers work plan --kind hot-work --place haian/loading --persons 3 --permit DH-0231 --begin
    """
    with failing(as_json):
        from anlan.core.time import duration_us, from_iso, now_us
        from anlan.plant.registers.model import PlanWork

        first = from_iso(start) if start else now_us()
        request = PlanWork(kind, path, first + duration_us(duration), persons, first, text, permit, begin)
        found = _ask(data, lambda client, actor: client.plan_work(actor, request))
        emit(found, as_json, lambda: _print_work((found,)))


def act_on_work(
    work: WorkArgument,
    verb: Annotated[str, typer.Argument(help="begin, finish, extend or cancel.", show_default=False)],
    comment: CommentOption = "",
    duration: Annotated[str, typer.Option("--for", help="extend: how long from now, such as '2 h' 延长.")] = "",
    persons: Annotated[int, typer.Option("--persons", help="Corrected number of people 人数更正.")] = -1,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin, finish, extend or cancel work 开始、结束、延长或取消作业.

    Example: anlan registers work act 01KB… finish --comment "已清理现场"
    """
    with failing(as_json):
        from anlan.core.time import duration_us, now_us
        from anlan.plant.registers.model import ActOnWork

        end = now_us() + duration_us(duration) if duration else 0
        request = ActOnWork(work, verb, comment, end, persons)
        found = _ask(data, lambda client, actor: client.act_on_work(actor, request))
        emit(found, as_json, lambda: _print_work((found,)))


# --- presence -------------------------------------------------------------------------------------------------------


def list_presence(scope: ScopeOption = "", data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show how many people are in each area 各区域在场人数.

    Example: anlan registers presence list --scope haian
    """
    with failing(as_json):
        found = _ask(data, lambda client, actor: client.presence(actor, scope))
        emit({"areas": found}, as_json, lambda: _print_presence(found))


def _print_presence(found: tuple[Presence, ...]) -> None:
    for item in found:
        number = "–" if item.count is None else f"{item.count:g}"
        source = {"point": "门禁/定位 gate", "hand": "人工 by hand"}.get(item.source, "")
        stale = typer.style("  已过时 stale", fg=typer.colors.YELLOW) if item.stale and item.source else ""
        typer.echo(f"{number:>5} 人  {item.path:32} {_when(item.time)}  {source}{stale}")
    known = sum(item.count or 0 for item in found)
    typer.echo(f"共 {known:g} 人 people in {len(found)} 个区域 areas")


def count(
    area: Annotated[str, typer.Argument(help="Path of the area 区域.", show_default=False)],
    people: Annotated[int, typer.Argument(help="How many people 人数.", show_default=False)],
    holds: Annotated[str, typer.Option("--holds", help="How long the count holds, such as '8 h' 有效时长.")] = "8 h",
    comment: CommentOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter a head count by hand: a number, no names 人工清点.

    Example: anlan registers presence count haian/loading 6 --holds "8 h"
    """
    with failing(as_json):
        from anlan.core.time import duration_us
        from anlan.plant.registers.model import CountPeople

        request = CountPeople(area, people, duration_us(holds), comment)
        found = _ask(data, lambda client, actor: client.count_people(actor, request))
        emit(found, as_json, lambda: _print_presence((found,)))


def counts(
    area: Annotated[str, typer.Argument(help="Path of the area 区域.", show_default=False)],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the counts by hand of an area, newest first 人工清点记录.

    Example: anlan registers presence history haian/loading
    """
    with failing(as_json):
        from anlan.plant.registers.model import PresenceHistory

        found = _ask(data, lambda client, actor: client.presence_history(actor, PresenceHistory(area)))

        def human() -> None:
            for row in found:
                typer.echo(f"{_when(row.time)} → {_when(row.until)} {row.count:5} 人  {row.who}  {row.comment}")
            if not found:
                typer.echo("没有人工清点 no counts by hand")

        emit({"counts": found}, as_json, human)
