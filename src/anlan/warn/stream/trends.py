"""Predicted alarms: when each trending point with limits will reach them, and the findings of TREND models.

The score of a predicted alarm is ``5 - priority - urgency``, where urgency is 0 while no more time is left than the
alarm's time to act and grows by one each time the time left triples: a critical alarm that leaves no more than the time
to act scores 4, with three times as much 3. The grades of a TREND model are smallest scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.core.time import HOUR, MINUTE, SECOND
from anlan.plant.model import AlarmDefinition, Plant, Point
from anlan.science.model_file import Arrays
from anlan.science.prognosis import time_to_limit as prognosis
from anlan.warn.model import Contribution, Finding, Forecast, ModelKind, PredictedAlarm, WarningModel
from anlan.warn.step import Step
from anlan.warn.stream.evidence import Evidence, model_key, shown, span
from anlan.warn.stream.subjects import Subjects, grade_of, grades_above, within

FEED = 5 * SECOND
"""Samples of so long are averaged before they enter the fits."""

EVERY = 10 * SECOND
"""How often limits are looked at."""

USUAL_TIME_TO_ACT = (3 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR)
"""Time to act of an alarm that states none, by priority: the bounds of ``core.severity.priority_of``."""

LEAST_SEEN = 5 * MINUTE
"""A point must have been watched for so long before its trend is told: what follows a start is no trend."""

LONGEST = 24 * HOUR
_NOT_YET = 1 << 62
_LEAST_STREAK = 2
_STEPS_OF_CONE = 61
_EVIDENCE = 10 * MINUTE
_DIRECTIONS = {"HH": 1, "H": 1, "L": -1, "LL": -1}
_WORDS = {
    "HH": ("高高限", "HH limit"),
    "H": ("高限", "H limit"),
    "L": ("低限", "L limit"),
    "LL": ("低低限", "LL limit"),
}
_OUTCOME = ("level", "slope", "probability", "median", "low", "high", "outlook")
_GRADES = {"red": 4.0, "orange": 3.0, "yellow": 2.0, "blue": 1.0}


@dataclass(frozen=True, slots=True)
class _Limits:
    """Alarms with a limit, one row each, in the order of points; ``place`` is the point's row in the bank."""

    definitions: tuple[AlarmDefinition, ...]
    place: NDArray[np.int64]
    limit: NDArray[np.float64]
    direction: NDArray[np.int64]
    priority: NDArray[np.float64]
    time_to_act: NDArray[np.int64]


@dataclass(slots=True)
class _Outcome:
    """What the last look said of every alarm; times µs from ``time``, NaN where it is not coming."""

    time: int
    level: NDArray[np.float64]
    slope: NDArray[np.float64]
    probability: NDArray[np.float64]
    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    outlook: NDArray[np.int8]


@dataclass(slots=True)
class _Watch:
    """One TREND model: a subject a point."""

    model: WarningModel
    subjects: Subjects
    places: NDArray[np.int64]
    """Rows of the bank, one a subject."""


def limit_alarms(plant: Plant) -> tuple[AlarmDefinition, ...]:
    """Return the enabled alarms at HH, H, L and LL limits of numbered points."""
    numbers = {point.number for point in plant.points}
    return tuple(
        alarm
        for alarm in plant.alarms
        if alarm.kind in _DIRECTIONS and alarm.enabled and alarm.limit is not None and alarm.point in numbers
    )


class TrendBank:
    """Trends of every point that has limits.

    Args:
        plant: points and alarms.
        models: models of any kind; only TREND ones judge here.
        evidence: for sample ranges.
    """

    def __init__(self, plant: Plant, models: Iterable[WarningModel], evidence: Evidence) -> None:
        self._evidence = evidence
        alarms = limit_alarms(plant)
        watched = {alarm.point for alarm in alarms}
        rows = [row for row, point in enumerate(plant.points) if point.number in watched]
        self._rows = np.array(rows, np.intp)
        self.points: tuple[Point, ...] = tuple(plant.points[row] for row in rows)
        self._place = {point.number: place for place, point in enumerate(self.points)}
        self._by_path = {point.path: place for place, point in enumerate(self.points)}
        self._limits = _limits(alarms, self._place)
        self._state: Arrays = prognosis.start(len(rows))
        self._total, self._count = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
        self._since = np.full(len(rows), _NOT_YET, np.int64)
        self._streak = np.zeros(len(alarms), np.int32)
        self._outcome: _Outcome | None = None
        self._time = 0
        self._watches = [self._watch(model) for model in models if model.kind is ModelKind.TREND]

    def _watch(self, model: WarningModel) -> _Watch:
        places = [place for place, point in enumerate(self.points) if within(point.path, model.scope)]
        keys = tuple(self.points[place].path for place in places)
        return _Watch(model, Subjects(keys, model.on_steps, model.off_steps), np.array(places, np.int64))

    @property
    def keys(self) -> tuple[str, ...]:
        """Models that run, as ``id@version``."""
        return tuple(model_key(watch.model.id, watch.model.version) for watch in self._watches)

    def reset(self, backwards: bool) -> None:
        """Time has jumped; if it went back, the fits begin anew."""
        self._forget()
        self._streak[:] = 0
        self._outcome = None
        if backwards:
            self._state = prognosis.start(len(self.points))
            self._since[:] = _NOT_YET

    def _forget(self) -> None:
        self._total[:] = 0.0
        self._count[:] = 0

    def step(self, step: Step) -> list[Finding]:
        """Take a base step; return what changed."""
        self._time = step.time
        if not len(self._rows):
            return []
        count = step.count[self._rows]
        self._total += np.where(count > 0, step.mean[self._rows] * count, 0.0)
        self._count += count
        if step.time % FEED == 0:
            self._feed(step.time)
        if step.time % EVERY:
            return []
        self._look(step.time)
        return [finding for watch in self._watches for finding in self._judge(watch, step.time)]

    def _feed(self, time: int) -> None:
        there = np.flatnonzero(self._count > 0)
        if len(there):
            self._since[there] = np.minimum(self._since[there], time)
            value = self._total[there] / self._count[there]
            middle = np.full(len(there), time - FEED // 2, np.int64)
            self._state = prognosis.update(self._state, there, middle, value, np.ones(len(there), np.bool_))
        self._forget()

    def _look(self, time: int) -> None:
        limits = self._limits
        said = prognosis.forecast(self._state, limits.place, limits.limit, limits.direction, time, HOUR / SECOND)
        coming = said.outlook == prognosis.Outlook.TOWARDS
        coming &= time - self._since[limits.place] >= LEAST_SEEN
        with np.errstate(invalid="ignore"):
            coming &= said.median * SECOND <= LONGEST
        self._streak = np.where(coming, self._streak + 1, 0).astype(np.int32)
        median, low, high = (np.where(coming, each * SECOND, np.nan) for each in (said.median, said.low, said.high))
        self._outcome = _Outcome(time, said.level, said.slope, said.probability, median, low, high, said.outlook)

    # --- findings -----------------------------------------------------------------------------------------------

    def _scores(self, horizon: int) -> NDArray[np.float64]:
        """Return the score of each alarm, NaN where it is not coming within ``horizon``."""
        limits, outcome = self._limits, self._outcome
        if outcome is None:
            return np.full(len(limits.place), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            urgency = np.maximum(np.log(np.maximum(outcome.median, 1.0) / limits.time_to_act) / np.log(3.0), 0.0)
            return np.where(outcome.median <= horizon, 5.0 - limits.priority - urgency, np.nan)

    def _judge(self, watch: _Watch, time: int) -> list[Finding]:
        model, outcome = watch.model, self._outcome
        if outcome is None or time % max(model.step, EVERY) or not len(watch.places):
            return []
        scores = self._scores(model.horizon)
        best = self._best(scores)[watch.places]
        has = best >= 0
        score = np.where(has, scores[best], 0.0)
        lead = np.where(has, np.nan_to_num(outcome.median[best]), 0.0).astype(np.int64)
        seen = np.zeros(len(self.points), np.bool_)
        seen[self._limits.place[outcome.outlook > prognosis.Outlook.STALE]] = True
        now = grades_above(np.where(has, score, np.nan), model.grades or _GRADES)
        tell = watch.subjects.judge(now, ~seen[watch.places], time, score, lead)
        return [self._finding(watch, int(subject), int(best[subject]), float(score[subject]), time) for subject in tell]

    def _best(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the row of the alarm with the highest score of each point, the soonest of equal ones, -1 for none."""
        best = np.full(len(self.points), -1, np.int64)
        rows = np.flatnonzero(np.isfinite(scores))
        outcome = self._outcome
        if outcome is None or not len(rows):
            return best
        order = rows[np.lexsort((-outcome.median[rows], scores[rows]))]
        best[self._limits.place[order]] = order
        return best

    def _finding(self, watch: _Watch, subject: int, row: int, score: float, time: int) -> Finding:
        model, path = watch.model, watch.subjects.keys[subject]
        grade = grade_of(int(watch.subjects.grade[subject]))
        base = Finding(
            model=model.id,
            version=model.version,
            path=path,
            time=time,
            grade=grade,
            score=score,
            samples=self._evidence.samples([path], time - _EVIDENCE, time),
            zh="已到达报警限" if self._reached(path) else "趋势不再指向报警限",
            en="the limit is reached" if self._reached(path) else "the trend no longer leads to a limit",
        )
        if row < 0:
            return base
        predicted = self._predicted(row)
        zh, en = _sentences(predicted, time) if grade is not None else (base.zh, base.en)
        return Finding(
            **{name: getattr(base, name) for name in ("model", "version", "path", "time", "grade", "score", "samples")},
            lead=predicted.expected - time,
            target=predicted.alarm,
            contributions=(Contribution(path, 1.0, predicted.value, predicted.limit, predicted.unit),),
            zh=zh,
            en=en,
        )

    def _reached(self, path: str) -> bool:
        rows = self._limits.place == self._by_path[path]
        return self._outcome is not None and bool((self._outcome.outlook[rows] == prognosis.Outlook.BEYOND).any())

    # --- questions ----------------------------------------------------------------------------------------------

    def _predicted(self, row: int) -> PredictedAlarm:
        outcome = self._outcome
        if outcome is None:
            raise InvalidInputError("nothing is predicted yet", fix="wait for more samples")
        definition, point = self._limits.definitions[row], self.points[int(self._limits.place[row])]
        expected, low, high = (
            outcome.time + int(each[row]) if np.isfinite(each[row]) and each[row] <= LONGEST else 0
            for each in (outcome.median, outcome.low, outcome.high)
        )
        probability = float(outcome.probability[row])
        return PredictedAlarm(
            alarm=definition.id,
            path=point.path,
            point=point.number,
            kind=definition.kind,
            limit=float(self._limits.limit[row]),
            value=float(outcome.level[row]),
            rate=float(outcome.slope[row]),
            probability=probability if np.isfinite(probability) else 0.0,
            expected=expected,
            earliest=low,
            latest=high,
            priority=definition.priority,
            unit=point.unit,
            name=point.name,
            name_en=point.name_en,
        )

    def predictions(self, scope: str, horizon: int, now: int) -> tuple[PredictedAlarm, ...]:
        """Return predicted alarms below ``scope`` that are expected within ``horizon`` µs of ``now``, soonest first."""
        outcome = self._outcome
        if outcome is None:
            return ()
        until = max(now, outcome.time) + horizon - outcome.time
        with np.errstate(invalid="ignore"):
            rows = np.flatnonzero((outcome.median <= until) & (self._streak >= _LEAST_STREAK))
        scopes = (scope,) if scope else ()
        found = [self._predicted(int(row)) for row in rows]
        return tuple(sorted((each for each in found if within(each.path, scopes)), key=lambda p: (p.expected, p.alarm)))

    def forecast(self, path: str, horizon: int) -> Forecast:
        """Return the cone of a point; not trending where only noise is seen, too little, or it has no limits."""
        place = self._by_path.get(path)
        if place is None or not self._time:
            return Forecast(path, False)
        try:
            cone = prognosis.cone(self._state, place, self._time, horizon / SECOND, _STEPS_OF_CONE)
        except InvalidInputError:
            return Forecast(path, False)
        one = np.array([place], np.int64)
        said = prognosis.forecast(self._state, one, np.zeros(1), np.ones(1, np.int64), self._time)
        stale = said.outlook[0] == prognosis.Outlook.STALE
        return Forecast(
            path=path,
            trending=bool(said.trending[0]) and not stale,
            times=tuple(int(each) for each in cone.time),
            median=tuple(float(each) for each in cone.median),
            low=tuple(float(each) for each in cone.low),
            high=tuple(float(each) for each in cone.high),
            alarms=tuple(each for each in self.predictions(path, horizon, self._time) if each.path == path),
        )

    # --- state --------------------------------------------------------------------------------------------------

    def save(self) -> tuple[Arrays, dict[str, object]]:
        """Return the state as plain arrays and what is not numbers."""
        arrays: Arrays = {f"fit.{name}": array for name, array in self._state.items()}
        arrays |= {
            "numbers": np.array([point.number for point in self.points], np.int64),
            "total": self._total, "count": self._count, "since": self._since, "streak": self._streak,
            "times": np.array([self._time, self._outcome.time if self._outcome else 0], np.int64),
        }  # fmt: skip
        if self._outcome is not None:
            arrays |= {f"outcome.{name}": getattr(self._outcome, name) for name in _OUTCOME}
        words: dict[str, object] = {"alarms": [alarm.id for alarm in self._limits.definitions]}
        for key, watch in zip(self.keys, self._watches, strict=True):
            arrays |= {f"{key}.{name}": array for name, array in watch.subjects.save().items()}
            words[key] = list(watch.subjects.keys)
        return {name: array.copy() for name, array in arrays.items()}, words

    def load(self, arrays: Arrays, words: dict[str, object]) -> list[tuple[str, str]]:
        """Take the state, points by number; return (key, path) of findings whose model or point is gone."""
        before = {int(number): row for row, number in enumerate(arrays["numbers"])}
        pairs = [(before[p.number], place) for place, p in enumerate(self.points) if p.number in before]
        source, target = (np.array([pair[side] for pair in pairs], np.intp) for side in (0, 1))
        for name in self._state:
            if name == "constants":
                continue
            self._state[name][target] = arrays[f"fit.{name}"][source]
        self._total[target], self._count[target] = arrays["total"][source], arrays["count"][source]
        self._since[target] = arrays["since"][source]
        self._time, looked = (int(number) for number in arrays["times"])
        alarms = [alarm.id for alarm in self._limits.definitions]
        streak = dict(zip(_texts(words["alarms"]), arrays["streak"].tolist(), strict=True))
        self._streak = np.array([streak.get(alarm, 0) for alarm in alarms], np.int32)
        if looked and words["alarms"] == alarms:
            self._outcome = _Outcome(looked, *(arrays[f"outcome.{name}"].copy() for name in _OUTCOME))
        ended = []
        here = dict(zip(self.keys, self._watches, strict=True))
        for key, paths in words.items():
            if key == "alarms":
                continue
            part = {name[len(key) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{key}.")}
            watch = here.get(key)
            subjects = watch.subjects if watch else Subjects((), 1, 1)
            ended += [(key, gone.key) for gone in subjects.load(_texts(paths), part)]
        return ended


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise TypeError("not a list of texts")
    return [str(each) for each in value]


def _limits(alarms: tuple[AlarmDefinition, ...], place: dict[int, int]) -> _Limits:
    usual = [alarm.time_to_act or USUAL_TIME_TO_ACT[alarm.priority - 1] for alarm in alarms]
    return _Limits(
        alarms,
        np.array([place[alarm.point] for alarm in alarms], np.int64),
        np.array([alarm.limit for alarm in alarms], np.float64),
        np.array([_DIRECTIONS[alarm.kind] for alarm in alarms], np.int64),
        np.array([alarm.priority for alarm in alarms], np.float64),
        np.array(usual, np.int64),
    )


def _sentences(predicted: PredictedAlarm, time: int) -> tuple[str, str]:
    zh_kind, en_kind = _WORDS[predicted.kind]
    zh_left, en_left = span(predicted.expected - time)
    limit = f"{shown(predicted.limit)} {predicted.unit}".strip()
    value = f"{shown(predicted.value)} {predicted.unit}".strip()
    name_zh, name_en = predicted.name or predicted.path, predicted.name_en or predicted.path
    zh = f"{name_zh}现为 {value},按目前趋势约 {zh_left}后达到{zh_kind} {limit}"
    en = f"{name_en} is {value} and on its present trend reaches its {en_kind} {limit} in about {en_left}"
    if predicted.earliest:
        zh_soon, en_soon = span(predicted.earliest - time)
        zh, en = f"{zh}(最早约 {zh_soon})", f"{en} (at the earliest {en_soon})"
    return zh, en
