"""Remaining useful life on C-MAPSS: our model beside ridge and plain boosted trees in the same run, and published
figures.

Everything is fitted and chosen on the training file; the test file is only predicted. The truth is capped at the
model's cap as in the literature; figures against the raw truth stand beside.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
from numpy.typing import NDArray

from anlan.cli.run_tables import read_runs
from anlan.core.errors import InvalidInputError
from anlan.science.detection.protocol import Notes
from anlan.science.prognosis import rul
from anlan.science.prognosis.features import Windows
from anlan.science.prognosis.normalise import fit_normaliser
from anlan.science.prognosis.runs import Runs
from anlan.science.prognosis.trees import train
from benchmarks import degradation

Floats = NDArray[np.float64]

AIMS = {"FD001": (10.5, 180.0), "FD003": (10.5, 180.0)}
PUBLISHED: dict[str, dict[str, tuple[float, float | None]]] = {
    # RMSE and score with truth capped at 125, as their authors report them; not run here.
    "DCNN (Li, Ding & Sun 2018)": {
        "FD001": (12.61, 274), "FD002": (22.36, 10412), "FD003": (12.64, 284), "FD004": (23.31, 12466)
    },
    "DKAMFormer (2025, not refereed)": {
        "FD001": (10.68, None), "FD002": (10.70, None), "FD003": (10.52, None), "FD004": (12.89, None)
    },
}  # fmt: skip


def run(
    data: Path | None, sets: tuple[str, ...], seeds: int, progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Return the figures of each set.

    Args:
        data: folder of the C-MAPSS files; ``None`` takes the folder named by ``ANLAN_CMAPSS``.
        sets: such as ``FD001``; empty takes all that the folder holds.
        seeds: runs to average over.
        progress: told what is running.

    Raises:
        InvalidInputError: the folder or a file is missing.
    """
    folder = data or Path(os.environ.get("ANLAN_CMAPSS", ""))
    found = sorted(path.stem.removeprefix("train_") for path in folder.glob("train_FD*.parquet"))
    chosen = sets or tuple(found)
    missing = [name for name in chosen if name not in found]
    if not chosen or missing:
        raise InvalidInputError(
            f"no training file of {', '.join(missing) or 'any set'}", where=str(folder),
            fix="--data FOLDER with train_FD001.parquet, test_FD001.parquet, RUL_FD001.csv, …",
        )  # fmt: skip
    results = {name: _measure(folder, name, seeds, progress) for name in chosen}
    return {"sets": results, "seeds": seeds, "cap": rul.CAP, "peak_memory_mb": _peak_mb()} | _recorded(folder.parent)


def _recorded(folder: Path) -> dict[str, Any]:
    """Return the recorded lives beside the C-MAPSS folder, where there are any."""
    batteries = folder / "battery" / "discharge_cycles.csv.gz"
    bearings = sorted((folder / "ims_bearing").glob("test_*_mean_abs.csv.gz"))
    found: dict[str, Any] = {}
    if batteries.exists():
        found["battery"] = degradation.batteries(batteries)
    if bearings:
        found["bearing"] = {path.name.removesuffix(".csv.gz"): degradation.bearings(path) for path in bearings}
    return found


def _measure(folder: Path, name: str, seeds: int, progress: Callable[[str], None]) -> dict[str, Any]:
    learn, _ = read_runs(folder / f"train_{name}.parquet", "unit", "cycle")
    names = learn.setting_names, learn.sensor_names
    test, _ = read_runs(folder / f"test_{name}.parquet", "unit", "cycle", *names)
    truth = _truth(folder / f"RUL_{name}.csv", test)
    own = []
    for seed in range(seeds):
        progress(f"{name}, seed {seed + 1} of {seeds}")
        own.append(_own(learn, test, truth, seed))
    return {
        "ours": _mean([one["figures"] for one in own]),
        "each_seed": own,
        "ridge": _figures(*_baseline(learn, test, 0, boosted=False), truth),
        "boosted trees": _mean([_figures(*_baseline(learn, test, seed, boosted=True), truth) for seed in range(seeds)]),
        "published": {who: figures[name] for who, figures in PUBLISHED.items() if name in figures},
        "aim": AIMS.get(name),
        "regimes": own[0]["regimes"], "test_units": len(test.units),
    }  # fmt: skip


def _own(learn: Runs, test: Runs, truth: Floats, seed: int) -> dict[str, Any]:
    started = time.perf_counter()
    model, checked = rul.fit(learn, seed)
    trained = time.perf_counter() - started
    model.predict(test)
    started = time.perf_counter()
    said, _ = model.predict(test)
    spent = (time.perf_counter() - started) / len(test.units)
    capped = np.minimum(truth, model.cap)
    figures = _figures(said.rul, model.cap, truth) | {
        "coverage_test": float(np.mean((said.low <= capped) & (capped <= said.high))),
        "coverage_cross_validation": checked.figures()["coverage"],
        "rmse_cross_validation": checked.figures()["rmse"],
        "width_test": float(np.mean(said.high - said.low)),
        "train_s": trained,
        "predict_ms_per_unit": 1e3 * spent,
    }
    return {
        "seed": seed, "figures": figures, "blend": model.info.settings["blend"], "notes": list(model.info.notes),
        "regimes": int(model.members.normaliser.group.max()) + 1,
    }  # fmt: skip


def _baseline(learn: Runs, test: Runs, seed: int, boosted: bool) -> tuple[Floats, float]:
    """Return what a plain model on window features says of the last rows: one model, no blend, usual settings."""
    normaliser = fit_normaliser(learn, Notes())
    windows = Windows()
    rows = windows.features(normaliser.normalised(learn)[0], learn.starts)
    asked = windows.features(normaliser.normalised(test)[0], test.starts)[test.starts[1:] - 1]
    target = np.minimum(learn.remaining, rul.CAP)
    if boosted:
        trees, _ = train(
            rows, target, np.ones(len(target)), 300, (seed,), num_leaves=31, learning_rate=0.05, feature_fraction=0.8,
            bagging_fraction=0.8, lambda_l2=0.0, max_bin=255,
        )  # fmt: skip
        return np.clip(trees.predict(asked), 0, rul.CAP), rul.CAP
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-12
    reduced = (rows - mean) / spread
    ridge = 30.0 * np.eye(rows.shape[1])
    line = np.linalg.solve(reduced.T @ reduced + ridge, reduced.T @ (target - target.mean()))
    return np.clip((asked - mean) / spread @ line + target.mean(), 0, rul.CAP), rul.CAP


def _figures(said: Floats, cap: float, truth: Floats) -> dict[str, float]:
    figures = {}
    for label, true in (("", np.minimum(truth, cap)), ("_raw", truth)):
        error = said - true
        figures[f"rmse{label}"] = float(np.sqrt(np.mean(error**2)))
        # Asymmetric score of the PHM 2008 challenge (Saxena et al. 2008): late predictions cost more.
        figures[f"score{label}"] = float(np.sum(np.where(error < 0, np.exp(-error / 13), np.exp(error / 10)) - 1))
    return figures


def _mean(figures: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}


def _truth(path: Path, test: Runs) -> Floats:
    table = pyarrow.csv.read_csv(path)
    by_unit = dict(zip((str(one) for one in table["unit"].to_pylist()), table["rul"].to_pylist(), strict=True))
    return np.array([by_unit[unit] for unit in test.units], dtype=np.float64)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def text(result: dict[str, Any]) -> str:
    """Return the figures as a table for people."""
    lines = [f"mean of {result['seeds']} seeds; truth capped at {result['cap']:g} (raw beside)"]
    for name, figures in result["sets"].items():
        lines += ["", f"{name}: {figures['regimes']} regimes, {figures['test_units']} test units"]
        lines.append(f"  {'':32}{'RMSE':>8}{'score':>9}{'RMSE raw':>10}{'score raw':>11}")
        for who in ("ours", "boosted trees", "ridge"):
            one = figures[who]
            lines.append(
                f"  {who:32}{one['rmse']:8.2f}{one['score']:9.0f}{one['rmse_raw']:10.2f}{one['score_raw']:11.0f}"
            )
        for who, (rmse, score) in figures["published"].items():
            lines.append(f"  {who:32}{rmse:8.2f}{'' if score is None else format(score, '.0f'):>9}")
        own = figures["ours"]
        lines.append(
            f"  90 % intervals cover {own['coverage_cross_validation']:.1%} in cross-validation (RMSE "
            f"{own['rmse_cross_validation']:.2f}) and {own['coverage_test']:.1%} on test, "
            f"width {own['width_test']:.1f}; training {own['train_s']:.0f} s, "
            f"prediction {own['predict_ms_per_unit']:.2f} ms a unit"
        )
    for cell, forecasts in result.get("battery", {}).items():
        shown = (
            f"{one['left']} left: {one['median']:.0f} ({one['low']:.0f} … {_or_never(one['high'])})"
            for one in forecasts
        )
        lines += ["", f"battery {cell}, cycles to 1.4 Ah, median (90 %): {'; '.join(shown)}"]
    for test, channels in result.get("bearing", {}).items():
        lines += ["", f"bearing {test}: limit 1.5 × healthy; hours of lead; other calls before"]
        for name, one in channels.items():
            passed = f"passed, lead {one['lead_h']:.1f} h" if one["passed"] else "never passed"
            lines.append(f"  {name:16} {passed}; {one['calls_before']} other calls in {one['samples']} samples")
    return "\n".join(lines)


def _or_never(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"
