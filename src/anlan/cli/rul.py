"""``anlan rul …``: remaining useful life from tables of units that ran to failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from anlan.science.prognosis.rul import CrossValidation, RulModel
    from anlan.science.prognosis.runs import Runs

UnitOption = Annotated[str, typer.Option("--unit", help="Column that names the unit of a row.")]
CycleOption = Annotated[str, typer.Option("--cycle", help="Column that counts the cycles of a unit.")]
SettingsOption = Annotated[
    str,
    typer.Option("--settings", help="Columns of operating settings, with commas; default: setting… and op…."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of remaining useful life."""
    group = typer.Typer(
        help="Remaining useful life with calibrated intervals · 剩余寿命预测.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.add_typer(group, name="rul")
    group.command("fit")(fit)
    group.command("predict")(predict)
    group.command("bench")(bench)


def fit(
    train: Annotated[Path, typer.Argument(help="Parquet or CSV of units that ran to failure.")],
    model: Annotated[Path, typer.Option("--model", help="Model file to write.")],
    unit: UnitOption = "unit",
    cycle: CycleOption = "cycle",
    settings: SettingsOption = "",
    cap: Annotated[
        float | None,
        typer.Option("--cap", help="Cycles left that are told apart at most; default 125, or by the lives."),
    ] = None,
    share: Annotated[float, typer.Option("--share", help="Share of truths within low and high.")] = 0.9,
    seed: Annotated[int, typer.Option("--seed", help="Seed; the same one gives the same model.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A rough model in seconds.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn remaining life from units that ran to failure: the last row of each unit is its end.

    Columns: unit, cycle, settings (setting… or op…), and sensors: all other numeric columns. Operating regimes are
    found from the settings. The file holds numbers only and is checked by its hash when read.

    Example: anlan rul fit train_FD001.parquet --model engine.model
    """
    with failing(as_json):
        from anlan.core.errors import InvalidInputError
        from anlan.core.time import now_us
        from anlan.science.model_file import encode_model
        from anlan.science.prognosis import rul

        if not 0.5 <= share < 1.0:
            raise InvalidInputError(f"a share of {share:g}", where="--share", fix="between 0.5 and 0.99, such as 0.9")
        runs, notes = _read(train, unit, cycle, settings)
        fitted, checked = rul.fit(runs, seed, cap, share, _progress(as_json), rul.QUICK if quick else rul.USUAL)
        info, arrays = rul.save(fitted)
        model.write_bytes(encode_model(_dated(info, now_us()), arrays))
        result = _fitted(model, fitted, checked, notes)
        emit(result, as_json, lambda: _print_fit(result))


def _dated(info: Any, created: int) -> Any:
    import msgspec

    return msgspec.structs.replace(info, created=created)


def _fitted(path: Path, model: RulModel, checked: CrossValidation, notes: list[str]) -> dict[str, Any]:
    return {
        "model": str(path), "units": model.info.settings["units"], "rows": model.info.training_rows, "cap": model.cap,
        "regimes": int(model.members.normaliser.group.max()) + 1, "sensors": list(model.needed),
        "blend": model.info.settings["blend"], "cross_validation": checked.figures(),
        "notes": [*notes, *model.info.notes],
    }  # fmt: skip


def _print_fit(result: dict[str, Any]) -> None:
    figures = result["cross_validation"]
    typer.echo(
        f"{result['units']} units · 台, {result['rows']} rows · 行, {result['regimes']} regimes · 工况, "
        f"{len(result['sensors'])} sensors · 传感器"
    )
    typer.echo(
        f"cross-validation · 交叉验证: RMSE {figures['rmse']:.2f} cycles · 循环, "
        f"interval coverage · 区间覆盖率 {figures['coverage']:.1%}, mean width · 平均宽度 {figures['width']:.1f}"
    )
    typer.echo("blend · 组合权重: " + ", ".join(f"{name} {weight:.2f}" for name, weight in result["blend"].items()))
    _print_notes(result["notes"])
    typer.echo(f"written · 已写入: {result['model']}")


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        typer.secho(f"note · 注意: {note}", fg=typer.colors.YELLOW, err=True)


def predict(
    model: Annotated[Path, typer.Argument(help="Model file from 'anlan rul fit'.")],
    test: Annotated[Path, typer.Argument(help="Parquet or CSV with the columns of the training table.")],
    out: Annotated[Path, typer.Option("--out", help="Table to write: unit, rul, low, high.")],
    every_cycle: Annotated[
        bool, typer.Option("--every-cycle", help="Every row, with its cycle and health, instead of each unit's last.")
    ] = False,
    unit: UnitOption = "unit",
    cycle: CycleOption = "cycle",
    as_json: JsonOption = False,
) -> None:
    """Predict the cycles left of each unit after its last row, with the interval that holds the truth.

    A value at the model's cap means "at least that". Units keep the order of the file.

    Example: anlan rul predict engine.model test_FD001.parquet --out rul.csv
    """
    with failing(as_json):
        from anlan.cli.table_files import suffix_of, write_file
        from anlan.science.detection.protocol import Notes
        from anlan.science.model_file import decode_model
        from anlan.science.prognosis import rul

        suffix_of(out)
        fitted = rul.load(decode_model(model.read_bytes(), rul.KIND, str(model)))
        runs, lines = _read(test, unit, cycle, "", fitted)
        notes = Notes(list(lines))
        said, row = fitted.predict(runs, every_cycle, notes)
        columns = _columns(runs, row, said, every_cycle)
        write_file(out, columns)
        result = {
            "out": str(out), "units": len(runs.units), "rows": len(row), "cap": fitted.cap,
            "share": fitted.info.settings["share"], "model": fitted.info.training_hash, "notes": notes.lines,
        }  # fmt: skip
        emit(result, as_json, lambda: _print_predict(result, columns))


def _columns(runs: Runs, row: Any, said: Any, every_cycle: bool) -> dict[str, Any]:
    import numpy as np

    names: Any = np.array(runs.units)[runs.unit_of_row[row]]
    # Numbers stay numbers, so that the table joins with the one it came from.
    if all(name.lstrip("-").isdigit() and str(int(name)) == name for name in runs.units):
        names = names.astype(np.int64)
    columns = {"unit": names}
    if every_cycle:
        columns["cycle"] = runs.cycle[row]
    columns |= {"rul": said.rul, "low": said.low, "high": said.high}
    if every_cycle:
        columns["health"] = said.health
    return columns


def _print_predict(result: dict[str, Any], columns: dict[str, Any]) -> None:
    order = columns["rul"].argsort(kind="stable")[:5]
    typer.echo(f"{result['units']} units · 台; shortest remaining life first · 剩余寿命最短者:")
    for one in order:
        typer.echo(
            f"  {columns['unit'][one]}: {columns['rul'][one]:.1f} cycles · 循环 "
            f"({result['share']:.0%}: {columns['low'][one]:.1f} … {columns['high'][one]:.1f})"
        )
    _print_notes(result["notes"])
    typer.echo(f"written · 已写入: {result['out']}")


def bench(
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with train_FD….parquet, test_FD….parquet and RUL_FD….csv.")
    ] = None,
    sets: Annotated[str, typer.Option("--sets", help="Sets to run, with commas; default: all in the folder.")] = "",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds to average over.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Measure C-MAPSS beside ridge, plain boosted trees and published figures; nothing is chosen on test data.

    Example: anlan rul bench --data cmapss --seeds 5
    """
    with failing(as_json):
        from anlan.cli.bench import load_benchmark

        module = load_benchmark("rul")
        result = module.run(
            data, tuple(one.strip() for one in sets.split(",") if one.strip()), seeds, _progress(as_json)
        )
        emit(result, as_json, lambda: typer.echo(module.text(result)))


def _progress(as_json: bool) -> Callable[[str], None]:
    return lambda line: None if as_json else typer.echo(line, err=True)


def _read(path: Path, unit: str, cycle: str, settings: str, model: RulModel | None = None) -> tuple[Runs, list[str]]:
    from anlan.cli.run_tables import read_runs

    if model is None:
        wanted = tuple(name.strip() for name in settings.split(",") if name.strip())
        return read_runs(path, unit, cycle, wanted)
    return read_runs(path, unit, cycle, model.setting_names, model.sensor_names, model.needed)
