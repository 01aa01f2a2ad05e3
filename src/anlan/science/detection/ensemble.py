"""The default detector: several members, charted at several memories, with a false-alarm rate that the user chooses.

``fit`` on normal data, then ``update`` with the next rows, however many: a whole table at once, or one row as it comes.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.time import DAY
from anlan.science.detection.calibrate import PValues
from anlan.science.detection.covariance import blocks_of
from anlan.science.detection.fusion import Fusion
from anlan.science.detection.members import DEFAULT_MEMBERS, NEED_STEADY_LEVELS, load_member, make_member
from anlan.science.detection.prepare import Bools, Preparation, Prepared, fit_preparation
from anlan.science.detection.protocol import Detector, Floats, Notes, Scores, State, Table, Times
from anlan.science.detection.screen import leave_out_faults
from anlan.science.model_file import Arrays, ModelFile, ModelInfo, decode_model, encode_model, training_hash

KIND = "detection.ensemble"
MONTH = 30 * DAY


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user chooses.

    Attributes:
        false_alarm_share: share of normal rows that alarm, 0 < share < 0.5.
        false_alarms_per_month: when given, used instead: false alarms (each of several rows) in 30 days; needs ``time``
            in µs.
        members: names of the detectors, from ``members.MEMBERS``.
        folds: blocks of the training data held out in turn for the calibration.
    """

    false_alarm_share: float = 0.01
    false_alarms_per_month: float | None = None
    members: tuple[str, ...] = DEFAULT_MEMBERS
    folds: int = 10


@dataclass(frozen=True, slots=True)
class EnsembleScores:
    """What the ensemble says of rows.

    Attributes:
        score: -log10 of the p-value, shape (rows,); NaN where it cannot say.
        p_value: share of normal rows that look as unusual; NaN where it cannot say.
        alarm: the p-value is at or below the chosen share; never where it cannot say.
        contribution: shape (rows, variables): each variable's part of ``score``; 0 for those left out.
        members: nearly standard normal score of each member, shape (rows, members).
        stuck: shape (rows, variables): the sensor stands still as it never did in training and was left out.
    """

    score: Floats
    p_value: Floats
    alarm: Bools
    contribution: Floats
    members: Floats
    stuck: Bools


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A fitted ensemble; immutable.

    Attributes:
        settings: what the user chose.
        preparation: scaling, missing values, stuck sensors.
        members: fitted detectors in the order of ``settings.members``.
        fusion: charts over their scores.
        p_values: map from the fused score to p-values.
        share: share of normal rows that alarm.
        notes: visible downgrades stated at fitting.
        info: header of the model file, without ``settings`` and ``notes``.
    """

    settings: Settings
    preparation: Preparation
    members: tuple[Detector, ...]
    fusion: Fusion
    p_values: PValues
    share: float
    notes: tuple[str, ...]
    info: ModelInfo

    @property
    def names(self) -> tuple[str, ...]:
        """Variables in the order that ``update`` wants them in."""
        return self.preparation.names

    def start(self) -> State:
        """Return the state before the first row: plain arrays."""
        state = {f"prepare.{key}": array for key, array in self.preparation.start().items()}
        state |= {f"fusion.{key}": array for key, array in self.fusion.start(len(self.preparation.kept)).items()}
        for name, member in zip(self.settings.members, self.members, strict=True):
            state |= {f"{name}.{key}": array for key, array in member.start().items()}
        return state

    def update(self, state: State, time: Times, values: Floats) -> tuple[State, EnsembleScores]:
        """Return the new state and the scores of the next rows.

        Args:
            state: from ``start`` or the ``update`` before.
            time: int64, in the unit of the training table, shape (rows,).
            values: shape (rows, variables), NaN is missing.

        Raises:
            InvalidInputError: the number of columns is not that of the model.
        """
        if values.ndim != 2 or values.shape[1] != len(self.names) or len(time) != len(values):
            raise InvalidInputError(
                f"values of shape {values.shape} for {len(time)} times",
                fix=f"one column for each of {len(self.names)} variables",
            )
        prepare_state, prepared = self.preparation.update(_part(state, "prepare"), time, values)
        new = {f"prepare.{key}": array for key, array in prepare_state.items()}
        scores = np.full((len(prepared.values), len(self.members)), np.nan)
        blame = np.zeros((*scores.shape, prepared.values.shape[1]))
        for index, (name, member) in enumerate(zip(self.settings.members, self.members, strict=True)):
            member_state, said = run_segments(
                member, _part(state, name), prepared.values, prepared.fresh, prepared.observed[prepared.usable]
            )
            new |= {f"{name}.{key}": array for key, array in member_state.items()}
            scores[:, index], blame[:, index] = said.score, said.contribution
        fusion_state, fused, shares = self.fusion.update(_part(state, "fusion"), scores, blame, prepared.fresh)
        new |= {f"fusion.{key}": array for key, array in fusion_state.items()}
        return new, self._spread(prepared, scores, fused, shares)

    def _spread(self, prepared: Prepared, scores: Floats, fused: Floats, shares: Floats) -> EnsembleScores:
        """Put the scores of the usable rows and kept variables back in their places."""
        rows, variables = len(prepared.usable), len(self.names)
        p_value = np.full(rows, np.nan)
        p_value[prepared.usable] = self.p_values(fused)
        score = -np.log10(p_value)
        members = np.full((rows, len(self.members)), np.nan)
        members[prepared.usable] = self.fusion.standard(scores)
        contribution = np.zeros((rows, variables))
        contribution[np.ix_(np.flatnonzero(prepared.usable), self.preparation.kept)] = shares
        contribution *= np.nan_to_num(score)[:, None]
        stuck = np.zeros((rows, variables), np.bool_)
        stuck[:, self.preparation.kept] = prepared.stuck
        alarm = np.nan_to_num(p_value, nan=1.0) <= self.share
        return EnsembleScores(score, p_value, alarm, contribution, members, stuck)

    def explain(self, scores: EnsembleScores, row: int, count: int = 3) -> list[tuple[str, float]]:
        """Return the variables that add most to the score of a row, each with its share of it (0 to 1)."""
        parts = scores.contribution[row]
        total = float(parts.sum())
        order = np.argsort(-parts, kind="stable")[:count]
        return [(self.names[j], float(parts[j]) / total) for j in order if total > 0 and parts[j] > 0]

    def encode(
        self,
        *,
        model_id: str = "",
        version: int = 1,
        owner: str = "",
        created: int = 0,
        key: Ed25519PrivateKey | None = None,
    ) -> bytes:
        """Return the model file.

        Args:
            model_id: name within a node.
            version: counts up per id.
            owner: who answers for it.
            created: µs UTC.
            key: signs it.
        """
        arrays: Arrays = {f"prepare.{name}": array for name, array in self.preparation.save().items()}
        arrays |= {f"fusion.{name}": array for name, array in self.fusion.save().items()}
        arrays |= self.p_values.save("p_values.")
        for name, member in zip(self.settings.members, self.members, strict=True):
            arrays |= {f"{name}.{key_}": array for key_, array in member.save().items()}
        info = ModelInfo(
            kind=KIND, id=model_id, version=version, created=created, owner=owner,
            training_hash=self.info.training_hash, training_rows=self.info.training_rows,
            training_start=self.info.training_start, training_end=self.info.training_end,
            inputs=self.names, validity=self.info.validity,
            settings=asdict(self.settings) | {"share": self.share}, notes=self.notes,
        )  # fmt: skip
        return encode_model(info, arrays, key)

    @classmethod
    def decode(cls, data: bytes, where: str = "model file") -> Ensemble:
        """Return the ensemble of a model file.

        Raises:
            DecodeError: the file is altered, cut short or of another kind.
        """
        return cls.from_file(decode_model(data, KIND, where), where)

    @classmethod
    def from_file(cls, file: ModelFile, where: str = "model file") -> Ensemble:
        """Return the ensemble of a file already read.

        Raises:
            DecodeError: an array or setting is missing.
        """
        try:
            kept = dict(file.info.settings)
            share = float(kept.pop("share"))
            settings = Settings(**{**kept, "members": tuple(kept["members"])})
        except (KeyError, TypeError, ValueError) as error:
            raise DecodeError(
                f"the model's settings cannot be used: {error}", where=where, fix="fit it again"
            ) from None
        members = tuple(load_member(name, _part(file.arrays, name)) for name in settings.members)
        return cls(
            settings,
            Preparation.load(file.info.inputs, _part(file.arrays, "prepare")),
            members,
            Fusion.load(_part(file.arrays, "fusion")),
            PValues.load(file.arrays, "p_values."),
            share,
            file.info.notes,
            file.info,
        )


def _part(arrays: Arrays, prefix: str) -> Arrays:
    start = f"{prefix}."
    return {key[len(start) :]: array for key, array in arrays.items() if key.startswith(start)}


def run_segments(
    member: Detector, state: State, values: Floats, fresh: Bools, observed: Bools | None = None
) -> tuple[State, Scores]:
    """Return a member's state and scores over rows, its memory cleared at each row that is ``fresh``.

    Members that judge each variable by itself are told which readings were ``observed``, not filled in.
    """
    update: Any = member.update
    told = observed is not None and getattr(member, "wants_observed", False)
    edges = [0, *(int(at) for at in np.flatnonzero(fresh) if at > 0), len(values)]
    parts = []
    for start, end in itertools.pairwise(edges):
        if end > start and fresh[start]:
            state = member.start()
        rest = (observed[start:end],) if told and observed is not None else ()
        state, said = update(state, values[start:end], *rest)
        parts.append(said)
    return state, Scores(
        np.concatenate([part.score for part in parts]), np.concatenate([part.contribution for part in parts])
    )


def fit(train: Table, settings: Settings | None = None, *, runs: NDArray[np.int64] | None = None) -> Ensemble:
    """Return the ensemble fitted on normal data.

    Args:
        train: rows of normal running, at least 60.
        settings: what the user chooses.
        runs: number of the run that each row belongs to, shape (rows,); memory of earlier rows is void between runs.

    Raises:
        InvalidInputError: too few rows, nothing varies, a unit that changes half-way, or settings out of range.
    """
    settings = settings or Settings()
    if not 0 < settings.false_alarm_share < 0.5:
        raise InvalidInputError(
            f"a false-alarm share of {settings.false_alarm_share}",
            where="false_alarm_share",
            fix="more than 0, less than 0.5",
        )
    notes = Notes()
    whole = train
    train, runs = leave_out_faults(train, runs, notes)
    starts = run_starts(len(train), runs)
    preparation = fit_preparation(train, starts, notes)
    values, fresh = _prepare_training(preparation, train, starts)
    settings = replace(settings, members=_suited(settings.members, preparation, notes))
    unfitted = [make_member(name) for name in settings.members]
    # One thread: on matrices of this size more of them wait for one another longer than they work.
    with threadpool_limits(1):
        members = tuple(member.fit(separate_runs(values, fresh), notes) for member in unfitted)
        held_out = cross_fit(members, values, fresh, settings.folds)
    fusion = Fusion.fit(held_out, fresh)
    blame = np.zeros((*held_out.shape, values.shape[1]))
    _, fused, _ = fusion.update(fusion.start(values.shape[1]), held_out, blame, fresh)
    p_values = PValues.fit(fused)
    share = _share(settings, preparation, fused, p_values)
    info = ModelInfo(
        kind=KIND,
        training_hash=training_hash(whole.names, whole.values),
        training_rows=len(whole),
        training_start=int(train.time[0]),
        training_end=int(train.time[-1]),
        inputs=train.names,
        validity={
            train.names[j]: (float(np.nanmin(train.values[:, j])), float(np.nanmax(train.values[:, j])))
            for j in preparation.kept
        },
    )
    return Ensemble(settings, preparation, members, fusion, p_values, share, tuple(notes.lines), info)


def _suited(members: tuple[str, ...], preparation: Preparation, notes: Notes) -> tuple[str, ...]:
    if not preparation.gain.any():
        return members
    left = tuple(name for name in members if name not in NEED_STEADY_LEVELS)
    if left and len(left) < len(members):
        notes.add(f"{', '.join(set(members) - set(left))} left out: it needs steady levels")
    return left or members


def run_starts(rows: int, runs: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return the first row of each run."""
    if runs is None:
        return np.zeros(1, np.int64)
    return np.concatenate(([0], 1 + np.flatnonzero(np.diff(runs[:rows]) != 0))).astype(np.int64)


def _prepare_training(preparation: Preparation, train: Table, starts: NDArray[np.int64]) -> tuple[Floats, Bools]:
    values, fresh = [], []
    for start, end in zip(starts, [*starts[1:], len(train)], strict=True):
        _, part = preparation.update(preparation.start(), train.time[start:end], train.values[start:end])
        values.append(part.values)
        fresh.append(part.fresh)
    return np.concatenate(values), np.concatenate(fresh)


def separate_runs(values: Floats, fresh: Bools) -> Floats:
    """Return the rows with a row of NaN before each one that is fresh, except the first."""
    at = [int(i) for i in np.flatnonzero(fresh) if i > 0]
    return np.insert(values, at, np.nan, axis=0)


WARMUP = 30
"""Rows before a held-out block that fill a member's memory, one time constant of the slowest: held out, not scored."""


def cross_fit(members: tuple[Detector, ...], values: Floats, fresh: Bools, folds: int) -> Floats:
    """Return each member's score of every training row by a copy fitted without the block that the row is in.

    The copies keep the penalties that the members chose on all rows, so that their scores are on one scale.

    Returns:
        Shape (rows, members).
    """
    scores = np.full((len(values), len(members)), np.nan)
    for start, end in blocks_of(len(values), folds):
        warm = max(start - WARMUP, 0)
        keep = np.ones(len(values), np.bool_)
        keep[warm:end] = False
        joint = fresh.copy()
        joint[min(end, len(values) - 1)] = True
        rest = separate_runs(values[keep], joint[keep])
        part = fresh[warm:end].copy()
        part[0] = True
        for index, member in enumerate(members):
            _, said = run_segments(member.fit(rest, Notes()), {}, values[warm:end], part)
            scores[start:end, index] = said.score[start - warm :]
    return scores


def _share(settings: Settings, preparation: Preparation, fused: Floats, p_values: PValues) -> float:
    if settings.false_alarms_per_month is None:
        return settings.false_alarm_share
    alarms = fused >= p_values.threshold(0.01)
    starts = int((alarms[1:] & ~alarms[:-1]).sum() + alarms[0])
    length = max(float(alarms.sum()) / max(starts, 1), 1.0)
    rows = MONTH / preparation.interval
    return float(np.clip(settings.false_alarms_per_month * length / rows, 1e-9, 0.4))
