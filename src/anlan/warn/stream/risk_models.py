"""Findings of RISK models: the live risk of a place has risen above its inherent risk.

The score is how far the index of a place stands above its inherent one; the grades of a RISK model are smallest scores.
Only places with a risk model of their own are judged: places above them roll up what is told already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from anlan.plant.model import Plant
from anlan.science.model_file import Arrays
from anlan.warn.model import Contribution, Finding, ModelKind, RiskNode, WarningModel
from anlan.warn.stream.evidence import MOST_CONTRIBUTIONS, model_key, shown
from anlan.warn.stream.subjects import Subjects, grade_of, grades_above, within

_GRADES = {"red": 50.0, "orange": 35.0, "yellow": 20.0, "blue": 10.0}
_COLOURS = {1: ("红", "red"), 2: ("橙", "orange"), 3: ("黄", "yellow"), 4: ("蓝", "blue")}


class RiskBank:
    """All RISK models of a node; a subject a place.

    Args:
        plant: its places.
        models: models of any kind; only RISK ones judge here.
    """

    def __init__(self, plant: Plant, models: Iterable[WarningModel]) -> None:
        places = sorted(
            {"", *(place.path for place in plant.places), *(unit.path for unit in plant.units)}
            | {"/".join(point.path.split("/")[:-1]) for point in plant.points}
        )
        self._places = tuple(places)
        self._watches: list[tuple[WarningModel, Subjects]] = [
            (model, Subjects(self._places, model.on_steps, model.off_steps))
            for model in models
            if model.kind is ModelKind.RISK
        ]

    @property
    def keys(self) -> tuple[str, ...]:
        """Models that run, as ``id@version``."""
        return tuple(model_key(model.id, model.version) for model, _ in self._watches)

    def take(self, nodes: Sequence[RiskNode], time: int) -> list[Finding]:
        """Take one evaluation of every place; return what changed. Places that are not among them count as unknown."""
        row = {path: index for index, path in enumerate(self._places)}
        own = {row[node.path]: node for node in nodes if node.model and node.path in row}
        findings = []
        for model, subjects in self._watches:
            count = len(self._places)
            score, blind = np.zeros(count), np.ones(count, np.bool_)
            for index, node in own.items():
                if within(node.path, model.scope):
                    score[index], blind[index] = node.index - node.inherent, False
            now = grades_above(np.where(blind, np.nan, score), model.grades or _GRADES)
            tell = subjects.judge(now, blind, time, score, np.zeros(count, np.int64))
            findings += [_finding(model, subjects, int(index), own[int(index)], time) for index in tell]
        return findings

    def save(self) -> tuple[Arrays, dict[str, object]]:
        """Return the state as plain arrays and what is not numbers."""
        arrays: Arrays = {}
        words: dict[str, object] = {}
        for key, (_, subjects) in zip(self.keys, self._watches, strict=True):
            arrays |= {f"{key}.{name}": array for name, array in subjects.save().items()}
            words[key] = list(subjects.keys)
        return arrays, words

    def load(self, arrays: Arrays, words: dict[str, object]) -> list[tuple[str, str]]:
        """Take the state; return (key, path) of findings whose model or place is gone."""
        here = {key: subjects for key, (_, subjects) in zip(self.keys, self._watches, strict=True)}
        ended = []
        for key, entry in words.items():
            paths = [str(path) for path in entry] if isinstance(entry, list) else []
            part = {name[len(key) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{key}.")}
            gone = here.get(key, Subjects((), 1, 1)).load(paths, part)
            ended += [(key, each.key) for each in gone]
        return ended


def _finding(model: WarningModel, subjects: Subjects, index: int, node: RiskNode, time: int) -> Finding:
    grade = grade_of(int(subjects.grade[index]))
    raising = sorted((term for term in node.terms if term.adds > 0), key=lambda term: -term.adds)
    total = sum(term.adds for term in raising)
    causes = dict.fromkeys(cause for term in raising for cause in term.causes if cause.startswith("samples:"))
    zh_colour, en_colour = _COLOURS[int(node.colour)]
    zh = f"风险指数由固有的 {shown(node.inherent)} 升到 {shown(node.index)}({zh_colour})"
    en = f"the risk index rose from an inherent {shown(node.inherent)} to {shown(node.index)} ({en_colour})"
    if raising:
        zh, en = f"{zh};主要因为{raising[0].zh}", f"{en}; mostly {raising[0].en}"
    if grade is None:
        zh, en = "风险指数回落", "the risk index has fallen again"
    return Finding(
        model=model.id,
        version=model.version,
        path=node.path,
        time=time,
        grade=grade,
        score=node.index - node.inherent,
        contributions=tuple(
            Contribution(term.id, term.adds / total, term.value, None, term.unit)
            for term in raising[:MOST_CONTRIBUTIONS]
        ),
        samples=tuple(causes),
        zh=zh,
        en=en,
    )
