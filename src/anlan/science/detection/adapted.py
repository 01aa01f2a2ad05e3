"""The ensemble behind what may be normal in more than one way: operating regimes, and levels that drift slowly.

Raw rows are brought to what they would read in one regime and without the drift, then judged by the ensemble. A row on
the way between regimes, or in a regime never trained on, gets no score: it is said to be that, not called a fault.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import msgspec
import numba
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.ensemble import KIND, Ensemble, EnsembleScores, Settings, fit
from anlan.science.detection.protocol import Floats, Notes, State, Table, Times
from anlan.science.detection.recalibrate import Recalibration
from anlan.science.detection.regimes import KNOWN, PASSING, UNKNOWN, RegimeWatch
from anlan.science.model_file import Arrays, decode_model, encode_model, training_hash

ADAPTED_KIND = "detection.adapted"

_LEAST_ROWS = 30
_CALM = 4.0
_SMOOTH = 10
_USUAL = 0.9
_ROUNDS = 5
_FOREVER = 1 << 40
_MOST_TRANSIENT = 120
_SETTLE_PER_ROW = 10


@dataclass(frozen=True, slots=True)
class RegimeScaling:
    """Level and spread of every variable in each regime.

    Attributes:
        watch: tells regimes apart by the set-points.
        columns: numbers of the set-points among the variables, shape (settings,).
        center, scale: of each variable in each regime, shape (regimes, variables).
        common_center, common_scale: what rows are brought to, shape (variables,).
        transient: rows after a change of regime that are not judged.
    """

    watch: RegimeWatch
    columns: NDArray[np.int64]
    center: Floats
    scale: Floats
    common_center: Floats
    common_scale: Floats
    transient: int

    def start(self) -> State:
        """Return the state before the first row."""
        count = np.array([UNKNOWN, self.transient], np.int64)
        return {f"watch.{name}": array for name, array in self.watch.start().items()} | {"regime": count}

    def update(self, state: State, values: Floats) -> tuple[State, Floats, NDArray[np.int8]]:
        """Return the new state, the rows as in one regime (NaN where not to be judged) and what each row's regime is.

        The last is ``KNOWN``, ``PASSING`` or ``NEW``, int8, shape (rows,). A missing set-point counts as unchanged.
        """
        watch_state = {name[6:]: array for name, array in state.items() if name.startswith("watch.")}
        chosen = np.ascontiguousarray(values[:, self.columns])
        watch_state, _ = self.watch.update(watch_state, chosen)
        assert self.watch.regimes is not None
        label = self.watch.regimes.assign(chosen)
        regime = state["regime"].copy()
        said = watch_state["said"].copy()
        adapted = np.empty(values.shape)
        _to_common(
            np.ascontiguousarray(values, dtype=np.float64), label, said, self.center, self.scale,
            self.common_center, self.common_scale, self.transient, regime, adapted,
        )  # fmt: skip
        # What was said belongs to these rows, not to the state that a restart resumes from.
        kept = {f"watch.{name}": array for name, array in watch_state.items() if name != "said"}
        return kept | {"watch.said": np.empty(0, np.int8), "regime": regime}, adapted, said

    def save(self) -> Arrays:
        """Return the numbers as plain arrays."""
        return {f"watch.{name}": array for name, array in self.watch.save().items()} | {
            "columns": self.columns, "center": self.center, "scale": self.scale, "common_center": self.common_center,
            "common_scale": self.common_scale, "transient": np.array([self.transient], np.int64),
        }  # fmt: skip

    @classmethod
    def load(cls, arrays: Arrays) -> RegimeScaling:
        """Return what ``save`` wrote.

        Raises:
            DecodeError: an array is missing.
        """
        watch = RegimeWatch.load({name[6:]: array for name, array in arrays.items() if name.startswith("watch.")})
        try:
            return cls(
                watch, arrays["columns"], arrays["center"], arrays["scale"], arrays["common_center"],
                arrays["common_scale"], int(arrays["transient"][0]),
            )  # fmt: skip
        except (KeyError, IndexError) as error:
            raise DecodeError(f"the regimes lack {error}", fix="use the original model file") from None


@numba.njit(cache=True)
def _to_common(  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    values, label, said, center, scale, common_center, common_scale, transient, regime, adapted
):
    for i in range(values.shape[0]):
        k = label[i] if label[i] >= 0 else regime[0]
        if k != regime[0]:
            # The very first row starts no transient: nothing has changed yet.
            regime[1] = 0 if regime[0] >= 0 else transient
            regime[0] = k
        if said[i] != KNOWN:
            # One wild reading of a set-point must not silence what follows for as long as a real change does.
            regime[1] = max(regime[1] - _SETTLE_PER_ROW, 0)
        elif regime[1] < transient:
            regime[1] += 1
            said[i] = PASSING
        for j in range(values.shape[1]):
            if k < 0 or said[i] != KNOWN:
                adapted[i, j] = np.nan
            else:
                adapted[i, j] = common_center[j] + common_scale[j] * (values[i, j] - center[k, j]) / scale[k, j]


def fit_scaling(table: Table, settings: tuple[str, ...], runs: NDArray[np.int64], notes: Notes) -> RegimeScaling:
    """Return the scaling by regimes of the set-points ``settings``.

    Args:
        table: training rows.
        settings: names of the set-points or slow variables that tell the regimes apart.
        runs: run of each row.
        notes: takes what was found.

    Raises:
        InvalidInputError: a set-point is not in the table, or no row has all of them.
    """
    chosen = table.select(settings)
    watch = RegimeWatch().fit(chosen.values, notes)
    assert watch.regimes is not None
    columns = np.array([table.names.index(name) for name in settings], np.int64)
    label = watch.regimes.assign(chosen.values)
    largest = int(np.bincount(label[label >= 0], minlength=len(watch.regimes)).argmax())
    since = _rows_since_change(label, runs)
    transient = 0
    for _ in range(_ROUNDS):
        # Rows that still settle would shift the level of the regime, and that in turn what counts as settled.
        center, scale = _locations(table.values, np.where(since >= transient, label, UNKNOWN), len(watch.regimes))
        standard = np.nan_to_num((table.values - center[label]) / scale[label])
        again = _transient(standard, since, label)
        if again <= transient:
            break
        transient = again
    for number, rows in enumerate(np.bincount(label[since >= transient] + 1, minlength=len(watch.regimes) + 1)[1:]):
        if rows < _LEAST_ROWS:
            notes.add(f"regime {number + 1} has only {rows} settled training rows: its limits are rough")
    if transient:
        notes.add(f"the {transient} rows after a change of regime are not judged: so long it takes to settle")
    return RegimeScaling(watch, columns, center, scale, center[largest], scale[largest], transient)


def _rows_since_change(label: NDArray[np.int64], runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row how many rows ago the regime changed; very many in the first regime of a run."""
    since = np.empty(len(label), np.int64)
    last = -_FOREVER
    for row in range(len(label)):
        if row == 0 or runs[row] != runs[row - 1]:
            last = row - _FOREVER
        elif label[row] != label[row - 1]:
            last = row
        since[row] = row - last
    return since


def _locations(values: Floats, label: NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
    """Return level and spread of each variable in each regime."""
    common = np.nan_to_num(np.nanmedian(values, axis=0))
    found = [_location(values[label == number], common) for number in range(count)]
    return np.array([center for center, _ in found]), _without_zeros(np.array([scale for _, scale in found]))


def _location(rows: Floats, fallback: Floats) -> tuple[Floats, Floats]:
    center, scale = fallback.copy(), np.zeros(len(fallback))
    for number, column in enumerate(rows.T):
        there = column[np.isfinite(column)]
        if len(there):
            center[number] = np.median(there)
            spread = 1.4826 * np.median(np.abs(there - center[number]))
            deviation = there.std()
            spread = spread if spread > 0.1 * deviation else deviation
            # Median and MAD only find what to leave out: of few rows, mean and deviation of the rest err far less.
            rest = there[np.abs(there - center[number]) <= _CALM * spread]
            center[number], scale[number] = rest.mean(), rest.std()
    return center, scale


def _without_zeros(scale: Floats) -> Floats:
    """Return the spreads with a variable that stands still in a regime given its smallest spread in another, or 1."""
    positive = np.where(scale > 0, scale, np.inf).min(axis=0)
    return np.where(scale > 0, scale, np.where(np.isfinite(positive), positive, 1.0))


def _transient(standard: Floats, since: NDArray[np.int64], label: NDArray[np.int64]) -> int:
    """Return how many rows nine in ten changes of regime take until the variables are as near to normal as later on.

    How near is measured by the largest mean deviation of ``_SMOOTH`` rows; later on is the second half of each stay.
    """
    changes = np.flatnonzero(since == 0)
    stays = [slice(at, at + _stay(label, since, at)) for at in map(int, changes)]
    means = [_largest_mean(standard[stay]) for stay in stays if stay.stop - stay.start >= 2 * _SMOOTH]
    if not means:
        return 0
    usual = float(np.quantile(np.concatenate([mean[len(mean) // 2 :] for mean in means]), _USUAL))
    lengths = [int(np.argmax(mean <= usual)) if (mean <= usual).any() else len(mean) for mean in means]
    return min(int(np.ceil(np.quantile(lengths, 0.9))), _MOST_TRANSIENT)


def _stay(label: NDArray[np.int64], since: NDArray[np.int64], at: int) -> int:
    later = np.flatnonzero((label[at:] != label[at]) | (since[at:] != np.arange(len(since) - at)))
    return int(later[0]) if len(later) else len(label) - at


def _largest_mean(standard: Floats) -> Floats:
    total = np.cumsum(np.concatenate([np.zeros((1, standard.shape[1])), standard]), axis=0)
    means: Floats = np.abs(total[_SMOOTH:] - total[:-_SMOOTH]).max(axis=1) / _SMOOTH
    return means


@dataclass(frozen=True, slots=True)
class Adapted:
    """An ensemble with what stands before it.

    Attributes:
        ensemble: judges the adapted rows.
        scaling: brings regimes together, or ``None``.
        recalibration: takes slow drift out, or ``None``.
    """

    ensemble: Ensemble
    scaling: RegimeScaling | None = None
    recalibration: Recalibration | None = None

    def start(self) -> State:
        """Return the state before the first row."""
        state = {f"ensemble.{name}": array for name, array in self.ensemble.start().items()}
        state["clock"] = CLOCK.copy()
        if self.scaling is not None:
            state |= {f"scaling.{name}": array for name, array in self.scaling.start().items()}
        if self.recalibration is not None:
            state |= {f"recalibration.{name}": array for name, array in self.recalibration.start().items()}
        return state

    def update(self, state: State, time: Times, values: Floats) -> tuple[State, EnsembleScores, NDArray[np.int8]]:
        """Return the new state, the scores, and ``KNOWN``, ``PASSING`` or ``NEW`` for each row."""
        new: State = {}
        said = np.full(len(values), KNOWN, np.int8)
        if self.scaling is not None:
            part, values, said = self.scaling.update(_part(state, "scaling"), values)
            new |= {f"scaling.{name}": array for name, array in part.items()}
        if self.recalibration is not None:
            part, values = self.recalibration.update(_part(state, "recalibration"), values)
            new |= {f"recalibration.{name}": array for name, array in part.items()}
        judged = said == KNOWN
        new["clock"], running = _without_unjudged(state["clock"], time, judged)
        if not judged.any():
            kept = {name: array for name, array in state.items() if name.startswith("ensemble.")}
            return new | kept, _unjudged(len(values), len(self.ensemble.names), len(self.ensemble.members)), said
        part, scores = self.ensemble.update(_part(state, "ensemble"), running[judged], values[judged])
        return new | {f"ensemble.{name}": array for name, array in part.items()}, _spread(scores, judged), said

    def drift(self, state: State) -> dict[str, float]:
        """Return how far each variable's level has moved, in training standard deviations; empty without it."""
        if self.recalibration is None:
            return {}
        level, _ = self.recalibration.moved(_part(state, "recalibration"))
        return dict(zip(self.ensemble.names, (float(number) for number in level), strict=True))

    def encode(self, *, owner: str = "", created: int = 0, key: Ed25519PrivateKey | None = None) -> bytes:
        """Return the model file; a plain ensemble's where nothing stands before it."""
        if self.scaling is None and self.recalibration is None:
            return self.ensemble.encode(owner=owner, created=created, key=key)
        file = decode_model(self.ensemble.encode(owner=owner, created=created), KIND)
        arrays = file.arrays
        if self.scaling is not None:
            arrays |= {f"before.scaling.{name}": array for name, array in self.scaling.save().items()}
        if self.recalibration is not None:
            arrays |= {f"before.recalibration.{name}": array for name, array in self.recalibration.save().items()}
        return encode_model(msgspec.structs.replace(file.info, kind=ADAPTED_KIND), arrays, key)

    @classmethod
    def decode(cls, data: bytes, where: str = "model file") -> Adapted:
        """Return what ``encode`` wrote, or a plain ensemble with nothing before it.

        Raises:
            DecodeError: the file is altered, cut short or no model of detection.
        """
        file = decode_model(data, "detection.", where)
        if file.info.kind not in (KIND, ADAPTED_KIND):
            raise DecodeError(f"a model of kind {file.info.kind}", where=where, fix=f"{KIND} or {ADAPTED_KIND}")
        scaling, recalibration = _part(file.arrays, "before.scaling"), _part(file.arrays, "before.recalibration")
        return cls(
            Ensemble.from_file(file, where),
            RegimeScaling.load(scaling) if scaling else None,
            Recalibration.load(recalibration) if recalibration else None,
        )


CLOCK = np.array([np.iinfo(np.int64).min, 0], np.int64)
"""Time of the last row (none yet) and how much of the time passed in rows that were not judged."""


def _without_unjudged(
    clock: NDArray[np.int64], time: Times, judged: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], Times]:
    """Return the new clock and times that stand still over unjudged rows.

    The ensemble remembers rows of known regimes: a change of regime must not clear that, a pause in the data must.
    """
    if not len(time):
        return clock, time
    first = time[0] if clock[0] == CLOCK[0] else clock[0]
    steps = np.diff(time, prepend=first)
    offset = clock[1] + np.cumsum(np.where(judged, 0, steps))
    return np.array([time[-1], offset[-1]], np.int64), np.asarray(time - offset, np.int64)


def _unjudged(rows: int, variables: int, members: int) -> EnsembleScores:
    none = np.full(rows, np.nan)
    return EnsembleScores(
        none, none.copy(), np.zeros(rows, np.bool_), np.zeros((rows, variables)), np.full((rows, members), np.nan),
        np.zeros((rows, variables), np.bool_),
    )  # fmt: skip


def _spread(scores: EnsembleScores, judged: NDArray[np.bool_]) -> EnsembleScores:
    """Return the scores put back in the places of the judged rows."""
    if judged.all():
        return scores
    whole = _unjudged(len(judged), scores.contribution.shape[1], scores.members.shape[1])
    for name in EnsembleScores.__dataclass_fields__:
        getattr(whole, name)[judged] = getattr(scores, name)
    return whole


def _part(arrays: Arrays, prefix: str) -> Arrays:
    start = f"{prefix}."
    return {name[len(start) :]: array for name, array in arrays.items() if name.startswith(start)}


def fit_adapted(
    train: Table,
    settings: Settings | None = None,
    *,
    runs: NDArray[np.int64] | None = None,
    set_points: tuple[str, ...] = (),
    recalibrate: bool = False,
) -> Adapted:
    """Return an ensemble fitted on normal data, behind regimes and recalibration where asked for.

    Args:
        train: rows of normal running.
        settings: of the ensemble.
        runs: run of each row.
        set_points: variables that tell the regimes apart; none leaves regimes out.
        recalibrate: take slow drift out of each level.

    Raises:
        InvalidInputError: the rows cannot carry a fit.
    """
    runs = np.zeros(len(train), np.int64) if runs is None else runs
    notes = Notes()
    values, time = train.values, train.time
    judged = np.ones(len(train), np.bool_)
    scaling = recalibration = None
    edges = [0, *(int(at) + 1 for at in np.flatnonzero(np.diff(runs))), len(train)]
    parts = [slice(start, end) for start, end in itertools.pairwise(edges) if end > start]
    if set_points:
        if len(train) < 2 * _LEAST_ROWS:
            raise InvalidInputError(f"{len(train)} training rows are too few", fix=f"give at least {2 * _LEAST_ROWS}")
        scaling = fit_scaling(train, set_points, runs, notes)
        done = [scaling.update(scaling.start(), values[part])[1:] for part in parts]
        values = np.concatenate([adapted for adapted, _ in done])
        judged = np.concatenate([said for _, said in done]) == KNOWN
        time = np.concatenate([_without_unjudged(CLOCK, time[part], judged[part])[1] for part in parts])
    if recalibrate:
        recalibration = Recalibration().fit(values, notes)
        # The ensemble must see in training what it will see: rows out of the same recalibration, a fresh one each run.
        values = np.concatenate([recalibration.update(recalibration.start(), values[part])[1] for part in parts])
    ensemble = fit(Table(train.names, time[judged], values[judged]), settings, runs=runs[judged])
    seen = {name: train.values[:, number] for number, name in enumerate(train.names) if name in ensemble.info.validity}
    info = msgspec.structs.replace(
        ensemble.info,
        training_rows=len(train),
        training_start=int(train.time[0]),
        training_end=int(train.time[-1]),
        training_hash=training_hash(train.names, train.values),
        validity={name: (float(np.nanmin(column)), float(np.nanmax(column))) for name, column in seen.items()},
    )
    told = tuple(dict.fromkeys([*notes.lines, *ensemble.notes]))
    return Adapted(replace(ensemble, info=info, notes=told), scaling, recalibration)
