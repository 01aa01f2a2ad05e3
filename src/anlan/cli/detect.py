"""``anlan detect …``: fit a detector on normal data, score a table with it, explain a row, measure it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anlan.core.errors import InvalidInputError, UnavailableError
from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from anlan.cli.detect_work import Fitted, Judged

TrainArgument = Annotated[Path, typer.Argument(help="Parquet or CSV of normal running, one row a time.")]
ModelArgument = Annotated[Path, typer.Argument(help="Model written by 'anlan detect fit'.")]
TestArgument = Annotated[Path, typer.Argument(help="Parquet or CSV with the columns the model was fitted on.")]
ColumnsOption = Annotated[
    str, typer.Option("--columns", help="Variables to use, by commas; without it all numeric ones that vary.")
]
IgnoreOption = Annotated[str, typer.Option("--ignore", help="Columns to leave out, by commas.")]
TimeOption = Annotated[str, typer.Option("--time", help="Time column; without it a date column or one named time.")]
GroupOption = Annotated[str, typer.Option("--group", help="Column that names the run of a row; runs start afresh.")]
WhereOption = Annotated[
    list[str] | None, typer.Option("--where", help="Only rows that meet this, such as 'fault==0'; may be repeated.")
]
TopOption = Annotated[int, typer.Option("--top", min=1, max=50, help="How many variables to name.")]

_BAR = 40
_SHOWN_NOTES = 12
_SETS = ("tep", "skab", "nab", "rates")


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _say(as_json: bool) -> Any:
    return lambda line: None if as_json else typer.echo(line, err=True)


def _show_notes(notes: list[str]) -> None:
    for note in notes[:_SHOWN_NOTES]:
        typer.secho(f"  note: {note}", fg=typer.colors.YELLOW)
    if len(notes) > _SHOWN_NOTES:
        typer.secho(f"  … and {len(notes) - _SHOWN_NOTES} more notes (--json shows all)", fg=typer.colors.YELLOW)


def register(app: typer.Typer) -> None:
    """Add the commands of detection."""
    detect = typer.Typer(
        help="Find what is unusual in tables of measurements: fit, score, explain.", no_args_is_help=True
    )
    app.add_typer(detect, name="detect")
    detect.command("fit")(_fit)
    detect.command("score")(_score)
    detect.command("explain")(_explain)
    detect.command("bench")(_bench)


def _fit(
    train: TrainArgument,
    model: Annotated[Path, typer.Option("--model", help="Where the model is written.")],
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Share of normal rows that may alarm, 0 to 0.5.")
    ] = 0.01,
    per_month: Annotated[
        float | None, typer.Option("--per-month", help="Instead: false alarms in 30 days; needs a time column.")
    ] = None,
    members: Annotated[str, typer.Option("--members", help="Detectors of the ensemble, by commas.")] = "",
    set_points: Annotated[
        str, typer.Option("--set-points", help="Set-points that tell operating regimes apart, by commas; or 'auto'.")
    ] = "",
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Take slow drift out of each variable, within bounds; said in scores.")
    ] = False,
    columns: ColumnsOption = "",
    ignore: IgnoreOption = "",
    time: TimeOption = "",
    group: GroupOption = "",
    where: WhereOption = None,
    owner: Annotated[str, typer.Option("--owner", help="Who answers for the model; written into it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Learn what normal is from a table, and write it as a model file.

    Numeric columns that vary are the variables; text, switches, constants, row counters and label columns are left out
    and said so. The limit is set from the training rows alone, by the false alarms you allow.

    Examples: anlan detect fit normal.parquet --model plant.model --per-month 1 ·
    anlan detect fit rig.csv --model rig.model --where 'anomaly==0' --group experiment
    """
    with failing(as_json):
        from anlan.cli.detect_work import fit_file
        from anlan.cli.tables import Selection

        selection = Selection(_split(columns), _split(ignore), time, group, tuple(where or ()))
        made = fit_file(
            train, model, selection, share=false_alarms, per_month=per_month, members=_split(members), owner=owner,
            say=_say(as_json), set_points=_split(set_points), recalibrate=recalibrate,
        )  # fmt: skip
        emit(made.summary(), as_json, lambda: _show_fit(made))


def _show_fit(made: Fitted) -> None:
    summary = made.summary()
    typer.echo(
        f"{summary['model']}: {summary['rows']} rows in {summary['runs']} run(s), {summary['variables']} variables"
    )
    typer.echo(f"  members: {', '.join(summary['members'])}")
    typer.echo(f"  alarms at a p-value of {summary['share']:.3g}: that share of normal rows")
    _show_notes(summary["notes"])


def _score(
    model: ModelArgument,
    test: TestArgument,
    out: Annotated[Path, typer.Option("--out", help="Where the scores are written: .parquet or .csv.")],
    top: TopOption = 3,
    time: TimeOption = "",
    group: GroupOption = "",
    where: WhereOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score every row of a table: score, p-value, alarm and the variables that add most.

    Columns are found by name; others may be there too. Rows that cannot be scored (too much missing) have an empty
    score and no alarm, and their number is said.

    Example: anlan detect score plant.model today.parquet --out scores.csv
    """
    with failing(as_json):
        from anlan.cli.detect_work import judge_file, write_scores
        from anlan.cli.table_files import suffix_of
        from anlan.cli.tables import Selection

        suffix_of(out)  # a wrong name is told before the work, not after it
        judged = judge_file(model, test, Selection(time=time, group=group, where=tuple(where or ())), _say(as_json))
        write_scores(judged, out, top)
        emit(judged.summary(out), as_json, lambda: _show_score(judged, out))


def _show_score(judged: Judged, out: Path) -> None:
    summary = judged.summary(out)
    typer.echo(f"{out}: {summary['rows']} rows, {summary['alarms']} in alarm ({summary['alarm_share']:.2%})")
    for run in summary["runs"][:_SHOWN_NOTES]:
        first = "none" if run["first_alarm"] is None else f"first at {run['first_alarm']}"
        name = f"run {run['run']}: " if run["run"] else ""
        typer.echo(f"  {name}{run['alarms']} of {run['rows']} rows in alarm, {first}; most often {run['top'] or '–'}")
    _show_notes(summary["notes"])


def _explain(
    model: ModelArgument,
    test: TestArgument,
    row: Annotated[
        int | None, typer.Option("--row", min=1, help="Row of the file, from 1; without it the most unusual one.")
    ] = None,
    at: Annotated[str, typer.Option("--at", help="Instead: what stands in the time column of the row.")] = "",
    top: TopOption = 10,
    time: TimeOption = "",
    group: GroupOption = "",
    where: WhereOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a row is unusual: what each member thinks of it, and which variables add how much.

    Example: anlan detect explain plant.model today.parquet --row 181
    """
    with failing(as_json):
        from anlan.cli.detect_work import explain_row, judge_file
        from anlan.cli.tables import Selection

        judged = judge_file(model, test, Selection(time=time, group=group, where=tuple(where or ())), _say(as_json))
        told = explain_row(judged, row, at, top)
        emit(told, as_json, lambda: _show_explanation(told))


def _show_explanation(told: dict[str, Any]) -> None:
    typer.echo(f"row {told['row']} ({told['at']}){' of run ' + told['run'] if told['run'] else ''}")
    if told["score"] is None:
        typer.echo("  it cannot be scored: too many values are missing")
    else:
        alarm = "ALARM" if told["alarm"] else "no alarm"
        typer.echo(f"  score {told['score']:.2f}, p-value {told['p_value']:.3g}: {alarm} (limit {told['share']:.3g})")
    typer.echo("  members (standard deviations from normal)")
    for name, value in told["members"].items():
        typer.echo(f"    {name:<24}{'–' if value is None else f'{value:+.2f}'}")
    typer.echo("  variables")
    for part in told["contributions"]:
        bar = "█" * max(1, round(part["share"] * _BAR))
        value = "missing" if part["value"] is None else f"{part['value']:.6g}"
        typer.echo(f"    {part['name']:<24}{part['share']:>6.1%} {bar:<{_BAR}} {value}  (trained {part['trained']})")
    _show_notes(told["notes"])


def _bench(
    data: Annotated[
        Path, typer.Option("--data", help="Folder with process/tep, process/skab, process/nab; or the folder process.")
    ] = Path("data"),
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="tep, skab, nab or rates; may be repeated; without it all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure detection on public data sets, with PCA and an isolation forest in the same run; and every member's rate.

    Example: anlan detect bench --data data --set tep --json
    """
    with failing(as_json):
        from anlan.cli.bench import _print_tree, load_benchmark

        wanted = tuple(sets or _SETS)
        unknown = [name for name in wanted if name not in _SETS]
        if unknown:
            raise InvalidInputError(f"there is no set {unknown[0]}", where="--set", fix=f"one of {', '.join(_SETS)}")
        folder = data.absolute()
        folder = folder.parent if folder.name == "process" else folder
        missing = [name for name in wanted if name != "rates" and not (folder / "process" / name).is_dir()]
        if missing:
            raise UnavailableError(
                f"the data set {missing[0]} is not there",
                where=str(folder / "process" / missing[0]),
                fix="give the folder of the data sets with --data",
            )
        module = load_benchmark("detection")
        result = module.run(data=folder, sets=wanted, progress=_say(as_json))
        text = getattr(module, "text", None)
        emit(result, as_json, lambda: typer.echo(text(result)) if text is not None else _print_tree(result))
        if result.get("ok") is False:
            raise typer.Exit(1)
