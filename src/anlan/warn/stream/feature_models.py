"""Findings of FEATURE models: the grades that risk features ask for, one subject a place.

A finding's contributions hold the points behind it (by path, shares sum to 1) and then the features that fire (by id,
shares sum to 1, the graver the more), so that people see both and each kind can be compared on its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec
import numpy as np
from numpy.typing import NDArray

from anlan.core.severity import WarningGrade
from anlan.core.time import MINUTE, SECOND
from anlan.science.model_file import Arrays
from anlan.warn.features.engine import FeatureEngine
from anlan.warn.features.kernels import IDLE
from anlan.warn.features.library import number
from anlan.warn.features.rows import feature_rows
from anlan.warn.model import Contribution, FeatureRow, Finding, ModelKind, WarningModel
from anlan.warn.step import STEP_US, Step
from anlan.warn.stream.evidence import MOST_CONTRIBUTIONS, Evidence, model_key, shown
from anlan.warn.stream.feature_state import carry, keys_of
from anlan.warn.stream.subjects import Subjects, grade_of, within

Floats = NDArray[np.float64]
_NO_GRADE = 9
_MOST_FEATURES = 3
_LEAST_EVIDENCE = MINUTE
_MOST_EVIDENCE = 3_600 * SECOND


@dataclass(slots=True)
class _Group:
    """One FEATURE model: ``members`` are rows of bound features, those of subject i at ``first[i]`` and on."""

    model: WarningModel
    subjects: Subjects
    members: NDArray[np.intp]
    first: NDArray[np.intp]
    main: NDArray[np.intp]
    """Row of the feature that made each subject's standing grade, -1 none."""
    blind: int = 0


class FeatureBank:
    """Risk features of a plant, and the FEATURE models over them.

    Args:
        engine: features bound to the plant.
        models: models of any kind; only FEATURE ones judge here.
        evidence: for sample ranges.
    """

    def __init__(self, engine: FeatureEngine, models: Iterable[WarningModel], evidence: Evidence) -> None:
        self.problems: dict[str, tuple[str, str]] = {}
        self.engine = engine
        self._evidence = evidence
        self.bound = engine.bound
        self._state = engine.start()
        self._values = np.full(len(self.bound), np.nan)
        self._grades = np.zeros(len(self.bound), np.int8)
        turn = {"above": 1.0, "below": -1.0, "away": 0.0}
        self._worse = np.array([turn[bound.feature.direction] for bound in self.bound])
        self._groups: list[_Group] = []
        for model in models:
            if model.kind is ModelKind.FEATURE:
                self._add(model)

    def _add(self, model: WarningModel) -> None:
        key = model_key(model.id, model.version)
        places: dict[str, list[int]] = {}
        for row, bound in enumerate(self.bound):
            if chosen(model, bound.feature.id) and within(bound.path, model.scope):
                places.setdefault(bound.path, []).append(row)
        unknown = [each for each in model.features if "*" not in each and each not in self.engine.library.features]
        if unknown:
            listed = ", ".join(unknown[:3])
            self.problems[key] = (f"特征库中没有 {listed}", f"the feature library has no {listed}")
        elif not places:
            self.problems[key] = ("本厂没有可用的特征输入", "no unit has the inputs of its features")
        if model.step < STEP_US or model.step % STEP_US:
            self.problems[key] = ("步长不是 1 秒的整数倍", "its step is not a multiple of one second")
            return
        if places:
            keys = tuple(sorted(places))
            members = np.array([row for path in keys for row in places[path]], np.intp)
            sizes = np.array([len(places[path]) for path in keys], np.intp)
            first = np.concatenate((np.zeros(1, np.intp), np.cumsum(sizes)[:-1])).astype(np.intp)
            subjects = Subjects(keys, model.on_steps, model.off_steps)
            self._groups.append(_Group(model, subjects, members, first, np.full(len(keys), -1, np.intp)))

    @property
    def keys(self) -> tuple[str, ...]:
        """Models that run, as ``id@version``."""
        return tuple(model_key(group.model.id, group.model.version) for group in self._groups)

    @property
    def blind(self) -> dict[str, int]:
        """Judgements of places in which no feature had a value, by ``id@version``."""
        return {model_key(group.model.id, group.model.version): group.blind for group in self._groups}

    def reset(self, backwards: bool) -> None:
        """Time has jumped; if it went back, features begin anew."""
        if backwards:
            self._state = self.engine.start()

    def step(self, step: Step) -> list[Finding]:
        """Take a base step; return what changed."""
        if not len(self.bound):
            return []
        self._state, values = self.engine.step(self._state, step)
        self._values = values.copy()
        due = [group for group in self._groups if step.time % group.model.step == 0]
        if not due:
            return []
        self._grades = self.engine.grade(self._values)
        return [finding for group in due for finding in self._judge(group, step.time)]

    def _judge(self, group: _Group, time: int) -> list[Finding]:
        grades = self._grades[group.members].astype(np.int16)
        grades[grades == 0] = _NO_GRADE
        best = np.minimum.reduceat(grades, group.first)
        # A machine that stands still has no fault to show: that is known, and is not blindness.
        says = np.isfinite(self._values) | (self._state.codes == IDLE)
        known = np.logical_or.reduceat(says[group.members], group.first)
        standing = group.main >= 0
        lost = np.zeros(len(best), np.bool_)
        lost[standing] = ~says[group.main[standing]]
        now = np.where(best == _NO_GRADE, 0, best).astype(np.int8)
        blind = (~known | lost) & (now == 0)
        group.blind += int(blind.sum())
        main = self._main(group, grades, best)
        score = np.where(main >= 0, np.nan_to_num(self._worse[main] * self._values[main]), 0.0)
        score = np.where((main >= 0) & (self._worse[main] == 0), np.abs(np.nan_to_num(self._values[main])), score)
        tell = group.subjects.judge(now, blind, time, score, np.zeros(len(now), np.int64))
        seen = main >= 0
        group.main[seen] = main[seen]
        group.main[(group.subjects.grade == 0) & ~seen] = -1
        return [self._finding(group, int(subject), float(score[subject]), time) for subject in tell]

    def _main(self, group: _Group, grades: NDArray[np.int16], best: NDArray[np.int16]) -> NDArray[np.intp]:
        """Return the first of the gravest features of each subject that asks for a grade, -1 for none."""
        sizes = np.diff(np.concatenate((group.first, [len(group.members)])))
        owner = np.repeat(np.arange(len(best)), sizes)
        hits = np.flatnonzero((grades == best[owner]) & (grades != _NO_GRADE))[::-1]
        main = np.full(len(best), -1, np.intp)
        main[owner[hits]] = group.members[hits]
        return main

    def _rows(self, group: _Group, subject: int) -> list[int]:
        end = group.first[subject + 1] if subject + 1 < len(group.first) else len(group.members)
        return [int(row) for row in group.members[group.first[subject] : end]]

    def _finding(self, group: _Group, subject: int, score: float, time: int) -> Finding:
        model, path = group.model, group.subjects.keys[subject]
        grade = grade_of(int(group.subjects.grade[subject]))
        firing = sorted((r for r in self._rows(group, subject) if self._grades[r]), key=lambda r: (self._grades[r], r))
        if not firing and group.main[subject] >= 0:
            firing = [int(group.main[subject])]
        firing = firing[:_MOST_FEATURES]
        contributions = self._contributions(firing)
        window = max((round(number(self.bound[row].feature.window)) * SECOND for row in firing), default=0)
        window = min(max(window, model.on_steps * model.step, _LEAST_EVIDENCE), _MOST_EVIDENCE)
        zh, en = self._sentences(firing, grade)
        names = [each.name for each in contributions]
        return Finding(
            model=model.id,
            version=model.version,
            path=path,
            time=time,
            grade=grade,
            score=score,
            contributions=contributions,
            samples=self._evidence.samples(names, time - window, time),
            zh=zh,
            en=en,
        )

    def _contributions(self, firing: list[int]) -> tuple[Contribution, ...]:
        weight = {row: 5.0 - (int(self._grades[row]) or 4) for row in firing}
        whole = sum(weight.values())
        features = []
        points: dict[str, Contribution] = {}
        for row in firing:
            share, spec = weight[row] / whole, self.bound[row].feature
            features.append(Contribution(spec.id, share, _number(self._values[row]), None, spec.unit))
            for part in self.engine.explain(row, self._state):
                before = points[part.name].share if part.name in points else 0.0
                points[part.name] = msgspec.structs.replace(part, share=before + share * part.share)
        total = sum(part.share for part in points.values())
        scaled = [msgspec.structs.replace(p, share=p.share / total) for p in points.values()] if total > 0 else []
        largest = sorted(scaled, key=lambda each: (-each.share, each.name))[: MOST_CONTRIBUTIONS - len(features)]
        return (*largest, *features)

    def _sentences(self, firing: list[int], grade: WarningGrade | None) -> tuple[str, str]:
        if grade is None:
            return "风险特征恢复正常", "the risk features are normal again"
        zh, en = [], []
        for row in firing:
            spec, value = self.bound[row].feature, "?"
            if np.isfinite(self._values[row]):
                unit = "" if spec.unit == "1" else spec.unit
                value = f"{shown(float(self._values[row]))} {unit}".strip()
            zh.append(f"{spec.zh} {value}")
            en.append(f"{spec.en} {value}")
        return ";".join(zh), "; ".join(en)

    def rows(self, path: str, feature: str) -> tuple[FeatureRow, ...]:
        """Return the library with the newest values, of one place and all below it or of one feature where given."""
        return feature_rows(self.engine, self._state, path=path, id=feature)

    # --- state --------------------------------------------------------------------------------------------------

    def save(self) -> tuple[Arrays, dict[str, object]]:
        """Return the state as plain arrays and what is not numbers."""
        arrays: Arrays = {f"state.{name}": array for name, array in self._state.snapshot().items()}
        arrays |= {"values": self._values, "grades": self._grades}
        words: dict[str, object] = {"bound": keys_of(self.engine)}
        for key, group in zip(self.keys, self._groups, strict=True):
            arrays |= {f"{key}.{name}": array for name, array in group.subjects.save().items()}
            arrays[f"{key}.blind"] = np.array([group.blind], np.int64)
            arrays[f"{key}.main"] = group.main
            words[key] = list(group.subjects.keys)
        return {name: np.array(array, copy=True) for name, array in arrays.items()}, words

    def load(self, arrays: Arrays, words: dict[str, object]) -> list[tuple[str, str]]:
        """Take the state; return (key, path) of findings whose model or place is gone.

        Every feature whose place and inputs are the same goes on with what it remembers.
        """
        kept = {name[len("state.") :]: array for name, array in arrays.items() if name.startswith("state.")}
        bound = words["bound"]
        keys = [str(key) for key in bound] if isinstance(bound, list) else []
        same = keys == keys_of(self.engine)
        self._state = self.engine.restore(kept)
        if self._state.time != int(kept["time"][0]):
            # The engine takes back only the very same bindings, points and windows.
            self._state = carry(self.engine, keys, kept)
        self._values = self._state.values.copy()
        if same:
            self._grades = arrays["grades"].copy()
        here = dict(zip(self.keys, self._groups, strict=True))
        ended = []
        for key, entry in words.items():
            if key == "bound" or not isinstance(entry, list):
                continue
            part = {name[len(key) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{key}.")}
            group = here.get(key)
            paths = [str(path) for path in entry]
            gone = (group.subjects if group else Subjects((), 1, 1)).load(paths, part)
            ended += [(key, each.key) for each in gone]
            if group is not None:
                group.blind = int(part["blind"][0])
            if group is not None and same and paths == list(group.subjects.keys):
                group.main[:] = part["main"]
        return ended


def chosen(model: WarningModel, feature: str) -> bool:
    """Return whether a FEATURE model takes a feature: named by id, or by a pattern such as ``pump.*``."""
    return any(fnmatchcase(feature, pattern) for pattern in model.features)


def _number(value: np.float64 | float) -> float | None:
    return float(value) if np.isfinite(value) else None
