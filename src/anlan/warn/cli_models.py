"""``anlan warn models``, ``model`` and ``try``: versions of warning models, and what one would have done on history."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anlan.core.errors import InvalidInputError
from anlan.core.output import JsonOption, emit, failing
from anlan.warn.cli import CommentOption, DataOption, FromOption, ToOption, connected, minutes, period, print_rows

if TYPE_CHECKING:
    from anlan.store.fabric.client import Fabric
    from anlan.warn.model import ModelRow, ScoreSheet, TrialResult, WarningModel

ModelArgument = Annotated[str, typer.Argument(help="Id of the model 模型编号.")]
VersionOption = Annotated[int, typer.Option("--version", help="Version; the newest when left out 版本.")]
FileOption = Annotated[Path | None, typer.Option("--file", help="Fitted model file of a detector 模型文件.")]


def add_to(warn: typer.Typer) -> None:
    """Add the commands about models to ``anlan warn``."""
    model = typer.Typer(help="Add a version of a model, and choose which one runs 模型版本.", no_args_is_help=True)
    model.command("show")(show)
    model.command("add")(add)
    model.command("live")(live)
    model.command("shadow")(shadow)
    model.command("retire")(retire)
    model.command("rollback")(rollback)
    warn.add_typer(model, name="model")
    warn.command("models")(models)
    warn.command("try")(try_)


def _print_models(rows: tuple[ModelRow, ...]) -> None:
    for row in rows:
        typer.echo(
            f"{row.mode.value:8} {row.model.id}@{row.model.version}  {row.model.kind.value:9} {row.model.name}  "
            f"{len(row.bound)} 处 bound"
        )
        typer.echo(f"         {_sheet(row.sheet)}")
        if row.problem:
            typer.secho(f"         不运行 does not run: {row.problem_zh} / {row.problem}", fg=typer.colors.RED)


def _sheet(sheet: ScoreSheet) -> str:
    def share(value: float | None) -> str:
        return "–" if value is None else f"{value:.0%}"

    lead = minutes(sheet.leads[len(sheet.leads) // 2]) if sheet.leads else "–"
    weekly = "–" if sheet.false_a_week is None else f"{sheet.false_a_week:.1f}"
    budget = {True: "达标 within budget", False: "低于指标 below budget", None: ""}[sheet.within_budget]
    return (
        f"命中 hit {sheet.hit}, 避免 averted {sheet.averted}, 迟 late {sheet.late}, 误报 false {sheet.false}, "
        f"漏报 missed {sheet.missed}, 未定 open {sheet.open}; 准确率 precision {share(sheet.precision)}, "
        f"召回率 recall {share(sheet.recall)}, 每周误报 false a week {weekly}, 提前量中位 median lead {lead} {budget}"
    )


def models(
    every: Annotated[bool, typer.Option("--every", help="Every version, retired ones too 全部版本.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the models that run, with their score sheets 模型与成绩单.

    Example: anlan warn models --every
    """
    with failing(as_json):
        answer = connected(data, lambda warn: warn.models(every=every))
        emit(answer, as_json, lambda: _print_models(answer))


def show(
    model: ModelArgument,
    start: FromOption = "28 d",
    end: ToOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every version of one model and the warnings of a period 查看模型.

    Example: anlan warn model show level-trend --from "7 d"
    """
    from anlan.warn.model import GetModel

    def human() -> None:
        _print_models(answer.versions)
        print_rows(answer.warnings)

    with failing(as_json):
        since, until = period(start, end)
        answer = connected(data, lambda warn: warn.model(GetModel(model, since, until)))
        emit(answer, as_json, human)


def add(
    definition: Annotated[Path, typer.Argument(help="YAML file of one model 模型定义.")],
    file: FileOption = None,
    comment: CommentOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a version of a model; it begins in shadow 新增模型版本.

    Example: anlan warn model add seal-leak.yaml --file seal-leak.model --comment "夏季数据"
    """
    from anlan.warn.model import AddModel

    with failing(as_json):
        model, raw = read_model(definition, file)
        request = AddModel(model, raw, comment)
        answer = connected(data, lambda warn: warn.add_model(request))
        emit(answer, as_json, lambda: _print_models((answer,)))


def read_model(definition: Path, file: Path | None) -> tuple[WarningModel, bytes]:
    """Return the one model of a YAML file with its fitted file; a detector's points are those of its file.

    Raises:
        InvalidInputError, DecodeError: one of the files is wrong.
    """
    import msgspec
    import yaml

    from anlan.science.model_file import decode_model
    from anlan.warn.models.library import convert

    raw = file.read_bytes() if file is not None else b""
    try:
        row = yaml.safe_load(definition.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"this is no YAML: {error}", where=str(definition)) from error
    if isinstance(row, dict) and isinstance(row.get("models"), list):
        row = row["models"]
    if isinstance(row, list):
        if len(row) != 1:
            raise InvalidInputError(f"it holds {len(row)} models", where=str(definition), fix="one model a file")
        row = row[0]
    model = convert(row, str(definition))
    if raw and not model.points:
        inputs = decode_model(raw, "detection.", str(file)).info.inputs
        model = msgspec.structs.replace(model, points=inputs)
    return model, raw


def _act(model: str, verb: str, version: int, comment: str, data: Path | None, as_json: bool) -> None:
    from anlan.warn.model import ActOnModel

    with failing(as_json):
        request = ActOnModel(model, verb, version, comment)
        answer = connected(data, lambda warn: warn.act_on_model(request))
        emit(answer, as_json, lambda: _print_models((answer,)))


def live(
    model: ModelArgument,
    version: VersionOption = 0,
    comment: CommentOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version warn people; the one that did is retired 启用版本.

    Example: anlan warn model live seal-leak --version 2 --comment "影子运行四周,准确率 80%"
    """
    _act(model, "live", version, comment, data, as_json)


def shadow(
    model: ModelArgument,
    version: VersionOption = 0,
    comment: CommentOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version run silently: kept and scored, told to nobody 转为影子运行.

    Example: anlan warn model shadow seal-leak
    """
    _act(model, "shadow", version, comment, data, as_json)


def retire(
    model: ModelArgument,
    version: VersionOption = 0,
    comment: CommentOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a version 停用版本.

    Example: anlan warn model retire seal-leak --version 1
    """
    _act(model, "retire", version, comment, data, as_json)


def rollback(
    model: ModelArgument, comment: CommentOption = "", data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Go back to the version that was live before 回退到上一版本.

    Example: anlan warn model rollback seal-leak --comment "误报过多"
    """
    _act(model, "rollback", 0, comment, data, as_json)


def try_(
    model: Annotated[str, typer.Argument(help="Id of a model, or a YAML file of one 模型编号或定义文件.")],
    start: FromOption = "24 h",
    end: ToOption = "",
    file: FileOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a model on history, telling nobody, and say what it would have been worth 在历史数据上试算模型.

    Examples: anlan warn try level-trend --from "7 d"
    anlan warn try seal-leak.yaml --file seal-leak.model --from "7 d" --to "1 d"
    """

    def human() -> None:
        print_rows(answer.rows)
        typer.echo(_sheet(answer.sheet))
        typer.echo(f"{answer.steps} 步 steps, {answer.blind} 次无法判断 blind")
        for note in answer.notes:
            typer.echo(f"  {note}")

    with failing(as_json):
        since, until = period(start, end)
        path = Path(model)
        own = path.suffix in (".yaml", ".yml") or path.is_file()
        answer = _try_own(path, file, since, until, data) if own else _try_known(model, since, until, data)
        emit(answer, as_json, human)


def _try_own(path: Path, file: Path | None, start: int, end: int, data: Path | None) -> TrialResult:
    from anlan.store.fabric.session import ask_node

    model, raw = read_model(path, file)

    async def ask(fabric: Fabric) -> TrialResult:
        from anlan.core.actor import SYSTEM
        from anlan.plant.model import decode_plant
        from anlan.warn.features.library import library
        from anlan.warn.trial import try_on_historian

        _, document = await fabric.current_config()
        plant = decode_plant(document)
        return await try_on_historian(
            fabric, plant, model, raw, start, end, SYSTEM, library=library(), progress=_progress
        )

    return ask_node(ask, data, name="warn-cli")


def _try_known(model: str, start: int, end: int, data: Path | None) -> TrialResult:
    from anlan.warn.model import TryModel

    return connected(data, lambda warn: warn.try_model(TryModel(start, end, model)))


def _progress(share: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{'█' * round(share * 40):40} {share:4.0%}" + ("\n" if share >= 1 else ""))
        sys.stderr.flush()
