"""Fitted detectors on the stream: each on its own step, from means of base steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import AnlanError
from anlan.plant.model import Plant
from anlan.science.detection.adapted import Adapted
from anlan.science.detection.ensemble import Ensemble, EnsembleScores
from anlan.science.model_file import Arrays
from anlan.warn.model import Contribution, Finding, ModelKind, WarningModel
from anlan.warn.step import STEP_US, Step
from anlan.warn.stream.evidence import MOST_CONTRIBUTIONS, Evidence, model_key, names_of, shown
from anlan.warn.stream.subjects import Subjects, grade_below, grade_of

_LEAST_SHARE = 0.02
_EVIDENCE_ROWS = 20
"""Rows of a model that its evidence reaches back: the memory of the charts that most findings come from."""

Problem = tuple[str, str]


def common_place(paths: Iterable[str]) -> str:
    """Return the unit or place that all points lie in; empty where they share none."""
    parts = [path.split("/")[:-1] for path in paths]
    shared: list[str] = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/".join(shared)


@dataclass(slots=True)
class _Running:
    """One fitted model at work."""

    model: WarningModel
    detector: Adapted
    path: str
    rows: NDArray[np.intp]
    state: Arrays
    subjects: Subjects
    total: NDArray[np.float64]
    count: NDArray[np.float64]
    grades: dict[str, float]
    base_steps: int = 0
    blind: int = 0
    rows_run: int = 0
    units: tuple[str, ...] = ()
    broken: bool = False

    @property
    def key(self) -> str:
        return model_key(self.model.id, self.model.version)

    @property
    def ensemble(self) -> Ensemble:
        return self.detector.ensemble

    def forget(self) -> None:
        self.total[:] = 0.0
        self.count[:] = 0.0
        self.base_steps = 0


class DetectorBank:
    """All DETECTOR models of a node.

    Args:
        plant: its points.
        models: models of any kind; only DETECTOR ones run here.
        files: model files by (id, version).
        evidence: for sample ranges.

    Attributes:
        problems: why a model does not run, Chinese and English, by ``id@version``.
    """

    def __init__(
        self,
        plant: Plant,
        models: Iterable[WarningModel],
        files: Mapping[tuple[str, int], bytes],
        evidence: Evidence,
    ) -> None:
        self.problems: dict[str, Problem] = {}
        self._evidence = evidence
        self._running: list[_Running] = []
        rows = {point.path: row for row, point in enumerate(plant.points)}
        for model in models:
            if model.kind is ModelKind.DETECTOR:
                self._add(model, rows, files.get((model.id, model.version)))

    def _add(self, model: WarningModel, rows: dict[str, int], file: bytes | None) -> None:
        key = model_key(model.id, model.version)
        problem = _step_problem(model)
        if problem is None and file is None:
            problem = ("缺少模型文件", "its model file is missing")
        if problem is not None or file is None:
            self.problems[key] = problem or ("", "")
            return
        try:
            detector = Adapted.decode(file, key)
        except AnlanError as error:
            self.problems[key] = (f"模型文件不能使用:{error}", str(error))
            return
        ensemble = detector.ensemble
        problem = _input_problem(model, ensemble, rows)
        if problem is not None:
            self.problems[key] = problem
            return
        count = len(ensemble.names)
        self._running.append(
            _Running(
                model,
                detector,
                model.scope[0] if len(model.scope) == 1 else common_place(ensemble.names),
                np.array([rows[name] for name in ensemble.names], np.intp),
                detector.start(),
                Subjects((key,), model.on_steps, model.off_steps),
                np.zeros(count),
                np.zeros(count),
                model.grades or _default_grades(ensemble.share),
                units=tuple(self._evidence.points[name].unit for name in ensemble.names),
            )
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """Models that run, as ``id@version``."""
        return tuple(running.key for running in self._running if not running.broken)

    @property
    def blind(self) -> dict[str, int]:
        """Steps in which a model could not say anything, by ``id@version``."""
        return {running.key: running.blind for running in self._running}

    @property
    def steps(self) -> dict[str, int]:
        """Steps that a model ran, by ``id@version``."""
        return {running.key: running.rows_run for running in self._running}

    def reset(self, backwards: bool) -> None:
        """Time has jumped: half a step of a model is none; if it went back, what was learnt of later rows is void."""
        for running in self._running:
            running.forget()
            if backwards:
                running.state = running.detector.start()

    def step(self, step: Step) -> list[Finding]:
        """Take a base step; return what changed."""
        findings = []
        for running in self._running:
            if running.broken:
                continue
            count = step.count[running.rows]
            there = count > 0
            running.total[there] += (step.mean[running.rows] * count)[there]
            running.count += count
            running.base_steps += 1
            if step.time % running.model.step == 0:
                if running.base_steps == running.model.step // STEP_US:
                    findings += self._row(running, step)
                running.forget()
        return findings

    def _row(self, running: _Running, step: Step) -> list[Finding]:
        held = step.last[running.rows]
        values = np.where(running.count > 0, running.total / np.maximum(running.count, 1.0), held)
        running.rows_run += 1
        if not _enough(running.ensemble, values):
            running.blind += 1
            return []
        time = np.array([step.time], np.int64)
        try:
            # A row between regimes, or of one never trained on, has no score: blind, and neither normal nor a fault.
            running.state, scores, _ = running.detector.update(running.state, time, values[None, :])
        except (AnlanError, ValueError, IndexError, ArithmeticError) as error:
            # One model that breaks must not take the others with it.
            self.problems[running.key] = (f"模型运行出错:{error}", f"the model broke: {error}")
            running.broken = True
            return []
        p_value, score = float(scores.p_value[0]), float(scores.score[0])
        blind = not np.isfinite(score)
        running.blind += blind
        now = np.array([grade_below(p_value, running.grades)], np.int8)
        figure = np.array([0.0 if blind else score])
        tell = running.subjects.judge(now, np.array([blind]), step.time, figure, np.zeros(1, np.int64))
        return [self._finding(running, step.time, values, scores)] if len(tell) else []

    def _finding(self, running: _Running, time: int, values: NDArray[np.float64], scores: EnsembleScores) -> Finding:
        model = running.model
        contributions = self._contributions(running, values, scores)
        names = [contribution.name for contribution in contributions]
        grade = grade_of(int(running.subjects.grade[0]))
        p_value, score = float(scores.p_value[0]), float(scores.score[0])
        zh, en = self._sentences(running, p_value, contributions)
        start = time - max(_EVIDENCE_ROWS, model.on_steps) * model.step
        return Finding(
            model=model.id,
            version=model.version,
            path=running.path,
            time=time,
            grade=grade,
            score=score if np.isfinite(score) else 0.0,
            p_value=p_value if np.isfinite(p_value) else None,
            contributions=contributions,
            samples=self._evidence.samples(names, start, time),
            zh=zh,
            en=en,
        )

    def _contributions(
        self, running: _Running, values: NDArray[np.float64], scores: EnsembleScores
    ) -> tuple[Contribution, ...]:
        preparation = running.ensemble.preparation
        expected = np.full(len(values), np.nan)
        if running.detector.scaling is None and running.detector.recalibration is None:
            level = running.state["ensemble.prepare.level"]
            expected[preparation.kept] = preparation.center + level * preparation.scale
        parts = np.nan_to_num(scores.contribution[0])
        total = float(parts.sum())
        if total <= 0:
            return ()
        order = np.argsort(-parts, kind="stable")[:MOST_CONTRIBUTIONS]
        return tuple(
            Contribution(
                running.ensemble.names[j],
                float(parts[j]) / total,
                _number(values[j]),
                _number(expected[j]),
                running.units[j],
            )
            for j in order
            if parts[j] / total >= _LEAST_SHARE
        )

    def _sentences(self, running: _Running, p_value: float, contributions: tuple[Contribution, ...]) -> tuple[str, str]:
        if not running.subjects.grade[0]:
            return "读数组合恢复正常", "the readings together are normal again"
        chance = f"{p_value:.2g}"
        zh = f"这些测点的读数组合在正常运行中出现的概率只有 {chance}"
        en = f"normal running gives such readings together with probability {chance}"
        if contributions:
            top = contributions[0]
            name_zh, name_en = names_of(self._evidence.points[top.name])
            zh, en = f"{zh};主要来自{name_zh}", f"{en}; mostly {name_en}"
            if top.value is not None and top.expected is not None:
                is_, should = f"{shown(top.value)} {top.unit}", f"{shown(top.expected)} {top.unit}"
                zh, en = f"{zh}(现为 {is_},通常 {should})", f"{en} (is {is_}, usually {should})"
        return zh, en

    def save(self) -> tuple[Arrays, dict[str, object]]:
        """Return the state as plain arrays and what is not numbers."""
        arrays: Arrays = {}
        for running in self._running:
            parts = {f"state.{name}": array for name, array in running.state.items()} | running.subjects.save()
            parts |= {"total": running.total.copy(), "count": running.count.copy()}
            parts["counts"] = np.array([running.base_steps, running.blind, running.rows_run, running.broken], np.int64)
            arrays |= {f"{running.key}.{name}": array.copy() for name, array in parts.items()}
        words: dict[str, object] = {
            running.key: [running.path, running.ensemble.info.training_hash] for running in self._running
        }
        return arrays, words

    def load(self, arrays: Arrays, words: dict[str, object]) -> list[tuple[str, str]]:
        """Take the state of models that still run unchanged; return (key, path) of findings whose model is gone."""
        here = {running.key: running for running in self._running}
        ended = []
        for key, entry in words.items():
            path, fingerprint = entry if isinstance(entry, list) else ("", "")
            part = {name[len(key) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{key}.")}
            running = here.get(key)
            same = running is not None and fingerprint == running.ensemble.info.training_hash
            if running is not None and same and running.path == path:
                running.state = {n[len("state.") :]: a.copy() for n, a in part.items() if n.startswith("state.")}
                running.subjects.load([key], part)
                running.total[:], running.count[:] = part["total"], part["count"]
                running.base_steps, running.blind, running.rows_run, broken = (int(n) for n in part["counts"])
                if broken:
                    running.broken = True
                    self.problems[key] = ("模型运行出错,已停用", "the model broke before the restart and is stopped")
            elif part["grade"][0] > 0:
                ended.append((key, path))
        return ended


def _default_grades(share: float) -> dict[str, float]:
    return {"orange": share / 100, "yellow": share / 10, "blue": share}


def _step_problem(model: WarningModel) -> Problem | None:
    if model.step < STEP_US or model.step % STEP_US:
        return (
            f"步长 {model.step} µs 不是 1 秒的整数倍",
            f"its step of {model.step} µs is not a multiple of one second",
        )
    return None


def _input_problem(model: WarningModel, ensemble: Ensemble, rows: dict[str, int]) -> Problem | None:
    if model.points and set(model.points) != set(ensemble.names):
        odd = sorted(set(model.points) ^ set(ensemble.names))
        listed = "、".join(odd[:3])
        return (
            f"定义的测点与模型文件不一致:{listed}",
            f"its points differ from those of its file: {', '.join(odd[:3])}",
        )
    missing = [name for name in ensemble.names if name not in rows]
    if missing:
        return (
            f"缺少 {len(missing)} 个输入测点:{'、'.join(missing[:3])}",
            f"{len(missing)} of its inputs are not there: {', '.join(missing[:3])}",
        )
    return None


def _enough(ensemble: Ensemble, values: NDArray[np.float64]) -> bool:
    """Return whether there are as many readings as the model needs to say anything."""
    preparation = ensemble.preparation
    return bool(np.isfinite(values[preparation.kept]).mean() >= preparation.least_observed)


def _number(value: np.float64 | float) -> float | None:
    return float(value) if np.isfinite(value) else None
