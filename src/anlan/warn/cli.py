"""``anlan warn``: warnings, risk, features and predicted alarms of a running node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from anlan.store.fabric.client import Fabric
    from anlan.warn.client import WarnClient
    from anlan.warn.model import RiskMap, RiskNode, WarningDetail, WarningRow

T = TypeVar("T")

DataOption = Annotated[Path | None, typer.Option("--data", help="Data directory of the node 节点的数据目录.")]
ScopeOption = Annotated[str, typer.Option("--scope", help="Only below this path, such as haian/tank-farm-a 范围.")]
FromOption = Annotated[str, typer.Option("--from", help="ISO 8601, or back from now: '24 h' 起始时间.")]
ToOption = Annotated[str, typer.Option("--to", help="ISO 8601; now when left out 缺省为当前.")]
CommentOption = Annotated[str, typer.Option("--comment", help="What was seen or done, or why 说明.")]

GRADES = {1: "红 red", 2: "橙 orange", 3: "黄 yellow", 4: "蓝 blue"}
COLOURS = {1: typer.colors.RED, 2: typer.colors.BRIGHT_RED, 3: typer.colors.YELLOW, 4: typer.colors.BLUE}


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    from anlan.warn.cli_models import add_to

    warn = typer.Typer(help="Early warning on a running node 预警.", no_args_is_help=True)
    warn.command("list")(list_)
    warn.command("show")(show)
    warn.command("act")(act)
    warn.command("missed")(missed)
    warn.command("risk")(risk)
    warn.command("features")(features)
    warn.command("check")(check)
    warn.command("predictions")(predictions)
    warn.command("floods")(floods)
    warn.command("proposals")(proposals)
    warn.command("status")(status)
    add_to(warn)
    app.add_typer(warn, name="warn")


def connected(data: Path | None, ask: Callable[[WarnClient], Awaitable[T]]) -> T:
    """Return what ``ask`` returns with a client to the node whose data are in ``data``."""
    from anlan.store.fabric.session import ask_node

    async def begin(fabric: Fabric) -> T:
        from anlan.core.actor import SYSTEM
        from anlan.warn.client import WarnClient

        return await ask(WarnClient(fabric, SYSTEM))

    return ask_node(begin, data, name="warn-cli")


def when(time: int) -> str:
    """Return a moment for people, empty when there is none."""
    from anlan.core.time import to_iso

    return to_iso(time)[:19] if time else ""


def minutes(duration: int) -> str:
    """Return a duration (µs) in minutes, empty when there is none."""
    return f"{duration / 60e6:.0f} min" if duration else ""


def period(start: str, end: str) -> tuple[int, int]:
    """Return the µs UTC of ``--from`` and ``--to``."""
    from anlan.core.time import moment_us, now_us

    now = now_us()
    return moment_us(start, now, where="--from"), moment_us(end, now, where="--to") if end else now


def print_rows(rows: tuple[WarningRow, ...]) -> None:
    """Print warnings, a line each."""
    for row in rows:
        mark = "影子 shadow " if row.shadow else "" if row.active else "已消失 over "
        worth = f" [{row.outcome.value}]" if row.outcome else ""
        typer.secho(f"{GRADES[row.grade]:10}", fg=COLOURS[row.grade], nl=False)
        typer.echo(f" {row.state.value:10}{when(row.raised):20} {minutes(row.lead):>8}  {row.id}  {row.path}{worth}")
        typer.echo(f"           {mark}{row.zh or row.en} ({', '.join(row.models)})")


def list_(
    view: Annotated[str, typer.Option("--view", help="open, closed, shadow or all.")] = "open",
    scope: ScopeOption = "",
    model: Annotated[str, typer.Option("--model", help="Only of this model 模型.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List warnings, gravest first 列出预警.

    Example: anlan warn list --scope haian/tank-farm-a
    """
    from anlan.warn.model import ListWarnings

    def human() -> None:
        print_rows(answer.rows)
        red, orange, yellow, blue = answer.open_by_grade
        typer.echo(f"未关闭 open: 红 red {red}, 橙 orange {orange}, 黄 yellow {yellow}, 蓝 blue {blue}")

    with failing(as_json):
        answer = connected(data, lambda warn: warn.warnings(ListWarnings(view, scope, model)))
        emit(answer, as_json, human)


def show(
    warning: Annotated[str, typer.Argument(help="Id of the warning 预警号.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one warning: reason, evidence, history, similar cases 查看一条预警.

    Example: anlan warn show 01KAF3Z5T2N8Q4R6S9V0W1X2Y3
    """
    with failing(as_json):
        answer = connected(data, lambda warn: warn.warning(warning))
        emit(answer, as_json, lambda: _print_detail(answer))


def _print_detail(answer: WarningDetail) -> None:
    row = answer.row
    print_rows((row,))
    for text in (row.en, row.action_zh, row.action_en):
        if text:
            typer.echo(f"  {text}")
    for part in row.contributions:
        now = "" if part.value is None else f"{part.value:g} {part.unit}"
        should = "" if part.expected is None else f"(通常 expected {part.expected:g})"
        typer.echo(f"  {'█' * round(part.share * 20):20} {part.share:5.0%}  {part.name}  {now} {should}")
    for step in answer.steps:
        typer.echo(f"  {when(step.time)}  {GRADES[step.grade]:10} {step.arrow:16} {step.who} {step.comment}")
    for case in answer.similar:
        worth = case.outcome.value if case.outcome else ""
        typer.echo(f"  类似 similar {case.likeness:4.0%}  {case.warning}  {case.path}  {worth} {case.comment}")


def act(
    warning: Annotated[str, typer.Argument(help="Id of the warning 预警号.")],
    verb: Annotated[str, typer.Argument(help="answer, confirm, dismiss, close or averted 处理方式.")],
    comment: CommentOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer, confirm, dismiss (with a reason) or close a warning, or state that it was averted 处理预警.

    Example: anlan warn act 01KAF3Z5T2N8Q4R6S9V0W1X2Y3 dismiss --comment "仪表校验中"
    """
    with failing(as_json):
        answer = connected(data, lambda warn: warn.act(warning, verb, comment))
        emit(answer, as_json, lambda: print_rows((answer,)))


def missed(
    start: FromOption = "7 d",
    end: ToOption = "",
    scope: ScopeOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List target events that no warning came before 列出漏报.

    Example: anlan warn missed --from "7 d"
    """
    from anlan.warn.model import ListMissed

    def human() -> None:
        for item in answer:
            models = ", ".join(item.models) or "–"
            typer.echo(f"{when(item.time):20} P{item.priority}  {item.target}  应由 by {models}")
        typer.echo(f"{len(answer)} 次漏报 missed")

    with failing(as_json):
        since, until = period(start, end)
        answer = connected(data, lambda warn: warn.missed(ListMissed(scope, since, until)))
        emit(answer, as_json, human)


def risk(
    path: Annotated[str, typer.Argument(help="Explain this place term by term 逐项说明.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Explain the whole site 说明全厂.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the live risk of every place, or explain one 实时风险.

    Examples: anlan warn risk
    anlan warn risk haian/tank-farm-a/t-401
    """
    with failing(as_json):
        if path or explain:
            node = connected(data, lambda warn: warn.explain(path))
            emit(node, as_json, lambda: _print_node(node, terms=True))
            return
        answer = connected(data, lambda warn: warn.risk())
        emit(answer, as_json, lambda: _print_map(answer))


def _print_map(answer: RiskMap) -> None:
    for node in answer.nodes:
        _print_node(node)


def _print_node(node: RiskNode, *, terms: bool = False) -> None:
    typer.secho(f"{GRADES[node.colour]:10}", fg=COLOURS[node.colour], nl=False)
    typer.echo(f" {node.index:5.1f} (固有 inherent {node.inherent:5.1f})  {node.path or '全厂 site'}  {node.name}")
    for term in node.terms if terms else ():
        typer.echo(f"  +{term.adds:5.1f}  {term.zh} / {term.en}  [{term.source}]")
    for lacking in node.lacking if terms else ():
        typer.echo(f"  缺 lacking: {lacking}")


def features(
    feature: Annotated[str, typer.Argument(help="Id of one feature 特征编号.")] = "",
    scope: ScopeOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the risk features and their newest values 风险特征库.

    Example: anlan warn features --scope haian/tank-farm-a/t-401
    """

    def human() -> None:
        for row in answer:
            typer.echo(f"{row.id:32} {row.name} / {row.name_en}  {len(row.values)} 处 bound")
            for value in row.values if feature or scope else ():
                shown = "–" if value.value is None else f"{value.value:g} {row.unit}"
                grade = GRADES[value.grade] if value.grade else ""
                typer.echo(f"    {shown:>16} {grade:10} {value.path}  {value.reason_zh} {value.reason}")
            for place, why in row.unbound.items() if feature else ():
                typer.echo(f"    不能运行 cannot run: {place}: {why}")

    with failing(as_json):
        answer = connected(data, lambda warn: warn.features(scope, feature))
        emit(answer, as_json, human)


def check(
    file: Annotated[Path, typer.Argument(help="A file of risk features 特征文件.", exists=True, dir_okay=False)],
    as_json: JsonOption = False,
) -> None:
    """Check a file of risk features: its form, and every test vector in it 检查特征文件.

    Example: anlan warn check my-pack/features.yaml
    """
    from anlan.warn.features.vectors import check_file

    def human() -> None:
        for problem in problems:
            typer.secho(problem, fg="red", err=True)
        typer.echo(f"{len(specs)} 个特征 features, {len(problems)} 个问题 problems")

    with failing(as_json):
        specs, problems = check_file(file)
        emit({"features": [spec.id for spec in specs], "problems": problems}, as_json, human)
        if problems:
            raise typer.Exit(1)


def predictions(
    scope: ScopeOption = "",
    horizon: Annotated[str, typer.Option("--horizon", help="How far ahead, such as '1 h' 提前量.")] = "1 h",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the limits that trending points will reach, soonest first 预计报警.

    Example: anlan warn predictions --horizon "2 h"
    """
    from anlan.core.time import duration_us
    from anlan.warn.model import ListPredictions

    def human() -> None:
        for item in answer:
            typer.echo(
                f"{when(item.expected):20} {item.probability:4.0%}  P{item.priority} {item.alarm}  "
                f"{item.value:g} → {item.limit:g} {item.unit}  {item.name}"
            )
        typer.echo(f"{len(answer)} 个预计报警 predicted alarms")

    with failing(as_json):
        ahead = duration_us(horizon)
        answer = connected(data, lambda warn: warn.predictions(ListPredictions(scope, ahead)))
        emit(answer, as_json, human)


def floods(
    start: FromOption = "7 d",
    end: ToOption = "",
    scope: ScopeOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List alarm floods with the likely root alarm and the most similar past flood 报警洪流.

    Example: anlan warn floods --from "7 d"
    """
    from anlan.warn.model import ListFloods

    def human() -> None:
        for row in answer:
            root = f"根源 root {row.root} {row.root_probability:.0%}" if row.root else ""
            typer.echo(f"{when(row.start):20} {row.alarms:4} 条 alarms  {row.id}  {root}")

    with failing(as_json):
        since, until = period(start, end)
        answer = connected(data, lambda warn: warn.floods(ListFloods(since, until, scope)))
        emit(answer, as_json, human)


def proposals(
    start: FromOption = "7 d",
    end: ToOption = "",
    scope: ScopeOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose deadbands and delays for the noisiest alarms, with their effect on history 报警优化建议.

    Example: anlan warn proposals --from "7 d" --scope haian/tank-farm-a
    """
    from anlan.warn.model import ListProposals

    def human() -> None:
        for item in answer:
            old = "–" if item.old is None else f"{item.old:g}"
            typer.echo(
                f"{item.alarm}  {item.field}: {old} → {item.new:g} {item.unit}  "
                f"{item.raised} → {item.would_raise} 次 raised  {item.reason_zh or item.reason}"
            )

    with failing(as_json):
        since, until = period(start, end)
        answer = connected(data, lambda warn: warn.proposals(ListProposals(since, until, scope)))
        emit(answer, as_json, human)


def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show how far early warning is in the log, and what is wrong 预警进程状态.

    Example: anlan warn status
    """

    def human() -> None:
        typer.echo(
            f"记录 record {answer.sequence}, 落后 behind {answer.behind}, 步 steps {answer.steps}, "
            f"模型 models {answer.models}, 特征 features {answer.features}, {when(answer.time)}"
        )
        for problem in answer.problems:
            typer.secho(f"  {problem}", fg=typer.colors.YELLOW)

    with failing(as_json):
        answer = connected(data, lambda warn: warn.status())
        emit(answer, as_json, human)
