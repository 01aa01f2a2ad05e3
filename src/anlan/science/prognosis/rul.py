"""Remaining useful life with calibrated intervals, from units that ran to failure.

Three members look at the same history: boosted trees over many features, a Gaussian process over few of the denoised
signals, and similar recorded lives. Their blend comes from cross-validation over units of the training data, and so do
the
intervals: errors on units that a model had not seen, whole pipeline refitted without them.

The life left is held at a cap: while a machine is as good as new its signals cannot tell 200 cycles from 300. A
prediction at the cap means "at least that".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Floats, Notes
from anlan.science.detection.regimes import Regimes
from anlan.science.model_file import Arrays, ModelFile, ModelInfo, training_hash
from anlan.science.prognosis import features, gaussian, similarity
from anlan.science.prognosis.conformal import Intervals, calibrate
from anlan.science.prognosis.features import Ints, Windows
from anlan.science.prognosis.health import HealthIndex, fit_health
from anlan.science.prognosis.normalise import Normaliser, fit_normaliser
from anlan.science.prognosis.replaced import cut_replaced
from anlan.science.prognosis.runs import Runs
from anlan.science.prognosis.trees import Trees, train

KIND = "prognosis.rul"
CAP = 125.0
"""Cycles; the common choice for C-MAPSS (Heimes 2008)."""

LEAST_UNITS = 8
LEAST_ROWS = 200
MEMBERS = ("trees", "process", "similarity")

_USUAL_LIVES = (80.0, 600.0)
_USUAL_LIFE = 200.0
_CAP_SHARE = 0.6

_PROCESS_KINDS = [
    features.mean_of(2), features.mean_of(3), features.slope_of(2), features.slope_of(3),
    features.growth_of(2), features.growth_of(3), features.CHANGE,
]  # fmt: skip

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work goes into a fit.

    Attributes:
        folds: of the cross-validation.
        tree_rounds, tree_seeds: trees a seed, and seeds averaged.
        tree_rows: most rows the trees learn from.
        process: of the Gaussian process.
    """

    folds: int = 5
    tree_rounds: int = 300
    tree_seeds: int = 2
    tree_rows: int = 12_000
    process: gaussian.Effort = gaussian.USUAL


USUAL = Effort()
QUICK = Effort(folds=3, tree_rounds=80, tree_seeds=1, tree_rows=6_000, process=gaussian.Effort(250, 250, 3_000, 10))
"""A rough model in seconds."""


def _quiet(line: str) -> None:
    del line


@dataclass(frozen=True, slots=True)
class Members:
    """All that is fitted on one set of units."""

    normaliser: Normaliser
    health: HealthIndex
    windows: Windows
    trees: Trees
    process: gaussian.Process
    library: similarity.Library

    def predict(self, runs: Runs, cap: float, rows: Ints | None = None) -> Floats:
        """Return what each member says, shape (rows, members)."""
        view = _View.of(runs, self.normaliser, self.health, self.windows)
        chosen = np.arange(len(runs)) if rows is None else rows
        said = (
            self.trees.predict(view.wide[chosen]),
            self.process.predict(view.narrow[chosen]),
            self.library.predict(self.process.reduce(view.narrow[chosen])),
        )
        return np.clip(np.column_stack(said), 0.0, cap)


@dataclass(frozen=True, slots=True)
class _View:
    """What the members look at: many features of the sensors, few of the signals."""

    wide: Floats
    narrow: Floats

    @classmethod
    def of(cls, runs: Runs, normaliser: Normaliser, health: HealthIndex, windows: Windows) -> _View:
        values, _ = normaliser.normalised(runs)
        signals = values @ normaliser.directions
        index = health.of(signals, runs.starts)
        by_sensor = windows.features(np.column_stack([values, health.raw(signals, runs.starts)]), runs.starts)
        by_signal = windows.features(signals, runs.starts)
        narrow = by_signal[:, features.columns(_PROCESS_KINDS, signals.shape[1])]
        return cls(np.column_stack([by_sensor, index]), narrow)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Remaining life of rows, in cycles, each of shape (rows,).

    Attributes:
        rul: held at the model's cap: at the cap it means "at least".
        low, high: interval that holds the (capped) truth with the probability of the model.
        health: index, 1 as new, 0 at the end.
    """

    rul: Floats
    low: Floats
    high: Floats
    health: Floats


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Predictions of training rows by models that had not seen their units.

    Attributes:
        predicted: of the blend, shape (rows,); members: of each, shape (rows, members); low, high: intervals calibrated
            on the other folds only.
        truth: life left, capped; unit: number of the unit of each row.
    """

    predicted: Floats
    members: Floats
    low: Floats
    high: Floats
    truth: Floats
    unit: Ints

    def figures(self) -> dict[str, float]:
        """Return RMSE, that of each member, and the share of truths within the intervals."""
        error = self.predicted - self.truth
        figures = {"rmse": float(np.sqrt(np.mean(error**2)))}
        for number, name in enumerate(MEMBERS):
            figures[f"rmse_{name}"] = float(np.sqrt(np.mean((self.members[:, number] - self.truth) ** 2)))
        figures["coverage"] = float(np.mean((self.low <= self.truth) & (self.truth <= self.high)))
        figures["width"] = float(np.mean(self.high - self.low))
        return figures


@dataclass(frozen=True, slots=True)
class RulModel:
    """A fitted model; see ``fit``.

    Attributes:
        info: header of its file.
        members: fitted parts.
        blend: weight of each member, shape (members,).
        intervals: fitted ranges.
        cap: cycles.
    """

    info: ModelInfo
    members: Members
    blend: Floats
    intervals: Intervals
    cap: float

    @property
    def setting_names(self) -> tuple[str, ...]:
        """Return the settings it was fitted on."""
        return tuple(self.info.settings["setting_names"])

    @property
    def sensor_names(self) -> tuple[str, ...]:
        """Return the sensors it was fitted on, those left out included."""
        return tuple(self.info.settings["sensor_names"])

    @property
    def needed(self) -> tuple[str, ...]:
        """Return the sensors it needs."""
        return tuple(self.sensor_names[one] for one in self.members.normaliser.chosen)

    def predict(self, runs: Runs, every_cycle: bool = False, notes: Notes | None = None) -> tuple[Prediction, Ints]:
        """Return the remaining life of each unit at its last row, or at every row.

        Args:
            runs: units with the settings and sensors of the model, in its order.
            every_cycle: all rows.
            notes: takes what lowers the trust in the result, such as gaps or a unit that was changed half-way.

        Returns:
            the prediction and the row of ``runs`` that each of its entries belongs to.
        """
        notes = notes if notes is not None else Notes()
        self._check(runs, notes)
        kept, row = cut_replaced(runs, self.members.normaliser, self.members.windows, notes)
        chosen = np.arange(len(kept)) if every_cycle else kept.starts[1:] - 1
        blended = self.members.predict(kept, self.cap, chosen) @ self.blend
        low, high = self.intervals.apply(blended, self.cap)
        return Prediction(blended, low, high, self.health(kept)[chosen]), row[chosen]

    def health(self, runs: Runs) -> Floats:
        """Return the health index of every row, shape (rows,)."""
        values, _ = self.members.normaliser.normalised(runs)
        return self.members.health.of(values @ self.members.normaliser.directions, runs.starts)

    def _check(self, runs: Runs, notes: Notes) -> None:
        if runs.setting_names != self.setting_names or runs.sensor_names != self.sensor_names:
            raise InvalidInputError("the columns are not those the model was fitted on", fix="give them in its order")
        normaliser = self.members.normaliser
        missing = np.isnan(runs.sensors[:, normaliser.chosen])
        if missing.any():
            notes.add(f"{int(missing.sum())} sensor values are missing: the unit's last one before stands for each")
        for number in np.flatnonzero(missing.all(axis=0)):
            notes.add(f"{self.needed[number]} is missing throughout: the mean of its regime stands for it")
        if normaliser.regimes is not None:
            known = normaliser.regimes.known(runs.settings)
            if not known.all():
                notes.add(
                    f"{int((~known).sum())} rows run at settings unlike all of training: the nearest regime counts"
                )


def fit(
    runs: Runs,
    seed: int = 0,
    cap: float | None = None,
    share: float = 0.9,
    progress: Progress = _quiet,
    effort: Effort = USUAL,
) -> tuple[RulModel, CrossValidation]:
    """Return a model of remaining life, and its cross-validation over units.

    Args:
        runs: units that ran to failure; the last row of each is its end.
        seed: of the folds and of the members.
        cap: cycles above which the life left is not told apart; ``None`` takes 125, or a share of the median life where
            lives are much shorter or longer than those of C-MAPSS.
        share: of truths that the intervals hold.
        progress: told what is being fitted.
        effort: how much work goes into it.

    Raises:
        InvalidInputError: too few units or rows, or no sensor that changes over the lives.
    """
    notes = Notes()
    _check_enough(runs)
    windows, cap = _scales(runs, cap, notes)
    progress("normalisation · 归一化")
    whole = fit_normaliser(runs, notes)
    runs, _ = cut_replaced(runs, whole, windows, notes)
    truth = np.minimum(runs.remaining, cap)
    members = _cross_validate(runs, whole.regimes, windows, cap, seed, progress, effort)
    blend = _blend(members, truth)
    checked = _calibrated(
        members @ blend, members, truth, runs.unit_of_row, _folds(runs, seed, effort.folds), share, cap
    )
    intervals = calibrate(checked.predicted, truth, runs.unit_of_row, share)
    progress("final fit · 最终拟合")
    fitted = _fit_members(runs, whole.regimes, windows, cap, seed, effort)
    info = _info(runs, cap, share, seed, windows, notes, checked, blend)
    return RulModel(info, fitted, blend, intervals, cap), checked


def _check_enough(runs: Runs) -> None:
    if len(runs.units) < LEAST_UNITS or len(runs) < LEAST_ROWS:
        raise InvalidInputError(
            f"{len(runs.units)} units with {len(runs)} rows are too few to learn remaining life from",
            fix=f"at least {LEAST_UNITS} units that ran to failure, {LEAST_ROWS} rows in all; 100 units are usual",
        )
    if not len(runs.sensor_names):
        raise InvalidInputError("there is no sensor column", fix="give numeric columns beside unit, cycle and settings")


def _scales(runs: Runs, cap: float | None, notes: Notes) -> tuple[Windows, float]:
    life = float(np.median(runs.lives))
    usual = _USUAL_LIVES[0] <= life <= _USUAL_LIVES[1]
    windows = Windows(1.0 if usual else life / _USUAL_LIFE)
    if not usual:
        notes.add(f"the median life is {life:g} rows: windows are stretched by {windows.stretch:.3g}")
    if cap is None:
        cap = CAP
        longest = float(np.median(runs.remaining[runs.starts[:-1]]))
        if not usual or longest < _CAP_SHARE * CAP or longest > 5 * CAP:
            cap = max(1.0, round(_CAP_SHARE * longest))
            notes.add(f"remaining life is capped at {cap:g}, {_CAP_SHARE:.0%} of the median life")
    if not cap > 0:
        raise InvalidInputError("the cap must be positive", where="--cap", fix=f"such as {CAP:g}")
    return windows, float(cap)


def _fit_members(
    runs: Runs, regimes: Regimes | None, windows: Windows, cap: float, seed: int, effort: Effort
) -> Members:
    normaliser = fit_normaliser(runs, Notes(), regimes)
    truth = np.minimum(runs.remaining, cap)
    signals = normaliser.normalised(runs)[0] @ normaliser.directions
    health = fit_health(signals, runs.starts, runs.remaining, cap, windows.stretch)
    view = _View.of(runs, normaliser, health, windows)
    # A unit that lives long has many rows of its youth; the square root keeps it from ruling.
    weight = np.repeat(1.0 / np.sqrt(runs.lives), runs.lives.astype(np.int64))
    weight /= weight.mean()
    rows = np.arange(0, len(runs), max(1, -(-len(runs) // effort.tree_rows)))
    seeds = tuple(seed * effort.tree_seeds + k for k in range(effort.tree_seeds))
    trees, _ = train(view.wide[rows], truth[rows], weight[rows], effort.tree_rounds, seeds)
    process = gaussian.fit_process(view.narrow, truth, weight, seed, effort.process)
    library = similarity.build(process.reduce(view.narrow), truth, runs.starts)
    return Members(normaliser, health, windows, trees, process, library)


def _folds(runs: Runs, seed: int, most: int) -> Ints:
    """Return the fold of each unit; each fold gets lives of all lengths."""
    generator = np.random.default_rng(seed)
    order = np.argsort(runs.lives, kind="stable")
    folds = np.empty(len(order), dtype=np.int64)
    count = min(most, len(order))
    for at in range(0, len(order), count):
        part = order[at : at + count]
        folds[part] = generator.permutation(count)[: len(part)]
    return folds


def _cross_validate(
    runs: Runs, regimes: Regimes | None, windows: Windows, cap: float, seed: int, progress: Progress, effort: Effort
) -> Floats:
    folds = _folds(runs, seed, effort.folds)
    out = np.zeros((len(runs), len(MEMBERS)))
    for number in range(int(folds.max()) + 1):
        progress(f"cross-validation {number + 1}/{int(folds.max()) + 1} · 交叉验证")
        others, own = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        members = _fit_members(runs.take(others), regimes, windows, cap, seed, effort)
        out[folds[runs.unit_of_row] == number] = members.predict(runs.take(own), cap)
    return out


def _blend(members: Floats, truth: Floats) -> Floats:
    """Return weights, none negative, of sum 1, with the least squares of out-of-fold errors."""
    heavy = 1e3 * np.sqrt(len(truth)) * float(np.abs(truth).max())
    left = np.vstack([members, np.full((1, members.shape[1]), heavy)])
    weights, _ = scipy.optimize.nnls(left, np.append(truth, heavy))
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _calibrated(
    predicted: Floats, members: Floats, truth: Floats, unit: Ints, folds: Ints, share: float, cap: float
) -> CrossValidation:
    low, high = np.empty_like(truth), np.empty_like(truth)
    fold = folds[unit]
    for number in range(int(folds.max()) + 1):
        others, own = fold != number, fold == number
        ranges = calibrate(predicted[others], truth[others], unit[others], share)
        low[own], high[own] = ranges.apply(predicted[own], cap)
    return CrossValidation(predicted, members, low, high, truth, unit)


def _info(
    runs: Runs, cap: float, share: float, seed: int, windows: Windows, notes: Notes, checked: CrossValidation, blend:
    Floats
) -> ModelInfo:  # fmt: skip
    names = (*runs.setting_names, *runs.sensor_names)
    table = np.column_stack([runs.unit_of_row, runs.cycle, runs.settings, runs.sensors])
    both = np.column_stack([runs.settings, runs.sensors])
    with np.errstate(invalid="ignore"):
        lowest, highest = np.nanmin(both, axis=0), np.nanmax(both, axis=0)
    ranges = {
        name: (float(low), float(high))
        for name, low, high in zip(names, lowest, highest, strict=True)
        if np.isfinite(low) and np.isfinite(high)
    }
    settings = {
        "cap": cap, "share": share, "seed": seed, "stretch": windows.stretch, "units": len(runs.units),
        "setting_names": list(runs.setting_names), "sensor_names": list(runs.sensor_names),
        "cross_validation": checked.figures(),
        "blend": {name: float(weight) for name, weight in zip(MEMBERS, blend, strict=True)},
    }  # fmt: skip
    return ModelInfo(
        KIND, training_hash=training_hash(("unit", "cycle", *names), table), training_rows=len(runs), inputs=names,
        validity=ranges, settings=settings, notes=tuple(notes.lines),
    )  # fmt: skip


def save(model: RulModel) -> tuple[ModelInfo, Arrays]:
    """Return header and arrays of a model for ``model_file.encode_model``."""
    parts = {
        "normaliser": model.members.normaliser.save(), "health": model.members.health.save(),
        "trees": model.members.trees.save(), "process": model.members.process.save(),
        "library": model.members.library.save(), "intervals": model.intervals.save(), "blend": {"": model.blend},
    }  # fmt: skip
    return model.info, {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def load(file: ModelFile) -> RulModel:
    """Return the model of a file read by ``model_file.decode_model`` with ``KIND``.

    Raises:
        DecodeError: a part is missing or the parts do not fit together.
    """

    def part(name: str) -> Arrays:
        return {k.removeprefix(f"{name}/"): v for k, v in file.arrays.items() if k.startswith(f"{name}/")}

    settings = file.info.settings
    try:
        blend, cap, stretch = part("blend")[""], float(settings["cap"]), float(settings["stretch"])
        sensors, _ = len(settings["sensor_names"]), len(settings["setting_names"])
    except (KeyError, TypeError) as error:
        raise DecodeError(f"the model lacks {error}", fix="use the original model file") from None
    members = Members(
        Normaliser.load(part("normaliser")),
        HealthIndex.load(part("health")),
        Windows(stretch),
        Trees.load(part("trees")),
        gaussian.Process.load(part("process")),
        similarity.Library.load(part("library")),
    )
    if blend.shape != (len(MEMBERS),) or (members.normaliser.chosen >= sensors).any():
        raise DecodeError("the parts of the model do not fit together", fix="use the original model file")
    return RulModel(file.info, members, blend, Intervals.load(part("intervals")), cap)
