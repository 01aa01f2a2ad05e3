"""The engine of the stream: log in, findings out. No clock, no I/O: the same log gives the same findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.errors import DecodeError
from anlan.core.events import Event
from anlan.plant.model import Plant
from anlan.science.model_file import Arrays, ModelInfo, decode_model, encode_model
from anlan.warn.features.engine import FeatureEngine
from anlan.warn.features.library import Library
from anlan.warn.model import FeatureRow, FeatureValue, Finding, Forecast, PredictedAlarm, RiskNode, WarningModel
from anlan.warn.step import STEP_US, Step
from anlan.warn.stream.detectors import DetectorBank
from anlan.warn.stream.evidence import Evidence
from anlan.warn.stream.feature_models import FeatureBank
from anlan.warn.stream.grid import Grid
from anlan.warn.stream.risk_models import RiskBank
from anlan.warn.stream.trends import TrendBank

KIND = "warn.stream"
SNAPSHOT_VERSION = 2

NO_FEATURES = Library(())


class WarnEngine:
    """Everything that runs on the steps of one node.

    Args:
        plant: the compiled plant.
        models: warning models to run, live and shadow alike; versions of one model may run side by side.
        features: the feature library; ``NO_FEATURES`` for none.
        files: fitted model file of each DETECTOR, by (id, version).
        node: id of the node, in the evidence.

    Attributes:
        sequence: log sequence taken last.
        time: end of the last step, µs UTC; 0 before the first.
        steps: base steps run.
    """

    def __init__(
        self,
        plant: Plant,
        models: Iterable[WarningModel],
        features: Library,
        files: Mapping[tuple[str, int], bytes],
        node: str = "",
    ) -> None:
        self.node = node
        self.models = tuple(models)
        self.sequence = 0
        self.time = 0
        self.steps = 0
        self._files = dict(files)
        self._library = features
        self.grid = Grid(plant)
        self._build(plant)

    def _build(self, plant: Plant) -> None:
        self.plant = plant
        self.evidence = Evidence(plant, self.grid.marks, self.node)
        self._detectors = DetectorBank(plant, self.models, self._files, self.evidence)
        self._trends = TrendBank(plant, self.models, self.evidence)
        self._bank = FeatureBank(FeatureEngine(plant, self._library), self.models, self.evidence)
        self._risk = RiskBank(plant, self.models)

    # --- what it says of itself ---------------------------------------------------------------------------------

    @property
    def problems(self) -> dict[str, tuple[str, str]]:
        """Why a model does not run, Chinese and English, by ``id@version``."""
        return self._detectors.problems | self._bank.problems

    @property
    def running(self) -> tuple[str, ...]:
        """Models that run, as ``id@version``."""
        return (*self._bank.keys, *self._detectors.keys, *self._trends.keys, *self._risk.keys)

    @property
    def blind(self) -> dict[str, int]:
        """Judgements in which a model could say nothing, by ``id@version``; never counted as normal."""
        return self._detectors.blind | self._bank.blind

    @property
    def counters(self) -> dict[str, int]:
        """What became of the samples, steps run, jumps of time, blind judgements."""
        return self.grid.counters | {"steps": self.steps, "blind": sum(self.blind.values())}

    @property
    def features(self) -> FeatureEngine:
        """The features bound to the plant."""
        return self._bank.engine

    # --- records of the log -------------------------------------------------------------------------------------

    def take(self, batch: SampleBatch, header: BatchHeader, sequence: int) -> None:
        """Take a batch of the log."""
        self.sequence = sequence
        self.grid.take(batch, header, sequence)

    def alarm(self, event: Event, sequence: int = 0) -> None:
        """Take an alarm's transition; of the same event twice the second changes nothing but the count of rings."""
        self.grid.alarm(event, sequence)

    def tick(self, time: int, sequence: int) -> list[Finding]:
        """Let the log's clock reach ``time`` (µs UTC); return what changed."""
        self.sequence = sequence
        return [finding for step in self.grid.tick(time, sequence) for finding in self.step(step)]

    def step(self, step: Step) -> list[Finding]:
        """Run everything on one base step; return what changed."""
        if self.time and step.time != self.time + STEP_US:
            backwards = step.time <= self.time
            for member in self.members.values():
                member.reset(backwards)
        self.time = step.time
        self.steps += 1
        return [finding for member in self.members.values() for finding in member.step(step)]

    def risk(self, nodes: Sequence[RiskNode], time: int) -> list[Finding]:
        """Take an evaluation of the risk of all places; return what changed.

        A call is a step of the RISK models: call it at their ``step``.
        """
        return self._risk.take(nodes, time)

    # --- questions ----------------------------------------------------------------------------------------------

    def predictions(self, scope: str = "", horizon: int = 3_600_000_000, now: int = 0) -> tuple[PredictedAlarm, ...]:
        """Return predicted alarms below ``scope`` that are expected within ``horizon`` µs of ``now``, soonest first."""
        return self._trends.predictions(scope, horizon, now)

    def forecast(self, path: str, horizon: int = 3_600_000_000) -> Forecast:
        """Return the cone of one point from the last step on, ``horizon`` µs far."""
        return self._trends.forecast(path, horizon)

    def feature_rows(self, path: str = "", feature: str = "") -> tuple[FeatureRow, ...]:
        """Return the feature library with its newest values, of one place and all below it or of one feature."""
        return self._bank.rows(path, feature)

    def feature_values(self, path: str = "", feature: str = "") -> dict[str, tuple[FeatureValue, ...]]:
        """Return the newest values by feature id, of one place and all below it or of one feature where given."""
        return {row.id: row.values for row in self.feature_rows(path, feature)}

    # --- configuration ------------------------------------------------------------------------------------------

    def configure(self, plant: Plant) -> list[Finding]:
        """Put another plant in force; points keep their state by number. Findings whose place is gone end."""
        saved = self._save()
        self.grid.configure(plant)
        self._build(plant)
        return self._load(*saved)

    def use(self, models: Iterable[WarningModel], files: Mapping[tuple[str, int], bytes]) -> list[Finding]:
        """Run other models from here on; those that stay go on as they are. Findings whose model is gone end."""
        saved = self._save()
        self.models, self._files = tuple(models), dict(files)
        self._build(self.plant)
        return self._load(*saved)

    def _save(self) -> tuple[Arrays, dict[str, Any]]:
        arrays: Arrays = {}
        words: dict[str, Any] = {}
        for name, bank in self._banks().items():
            part, word = bank.save()
            arrays |= {f"{name}/{key}": array for key, array in part.items()}
            words[name] = word
        return arrays, words

    def _load(self, arrays: Arrays, words: dict[str, Any]) -> list[Finding]:
        ended: list[Finding] = []
        for name, bank in self._banks().items():
            part = {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{name}/")}
            ended += [self._ended(key, path) for key, path in bank.load(part, words[name])]
        return ended

    @property
    def members(self) -> dict[str, FeatureBank | DetectorBank | TrendBank]:
        """What runs on every step, in this order, by name; ``step`` calls them one after the other."""
        return {"features": self._bank, "detectors": self._detectors, "trends": self._trends}

    def _banks(self) -> dict[str, Any]:
        return {"features": self._bank, "detectors": self._detectors, "trends": self._trends, "risk": self._risk}

    def _ended(self, key: str, path: str) -> Finding:
        model, _, version = key.rpartition("@")
        return Finding(
            model=model,
            version=int(version),
            path=path,
            time=self.time,
            grade=None,
            score=0.0,
            zh="模型或对象已不在运行配置中",
            en="the model or the place is no longer configured",
        )

    # --- state --------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return the state as one file of plain arrays, hashed."""
        arrays, words = self._save()
        grid, grid_words = self.grid.save()
        arrays |= {f"grid/{name}": array for name, array in grid.items()}
        arrays["engine"] = np.array([SNAPSHOT_VERSION, self.sequence, self.time, self.steps], np.int64)
        return encode_model(ModelInfo(KIND, id=self.node, settings=words | {"grid": grid_words}), arrays)

    def restore(self, data: bytes) -> list[Finding]:
        """Take the state of a snapshot of this node; call it on a fresh engine.

        Returns:
            The end of findings whose model or place is no longer there; nothing where plant and models are the same.

        Raises:
            DecodeError: no snapshot, altered, or of another version. Use a fresh engine then.
        """
        where = "snapshot of the warnings' stream"
        file = decode_model(data, KIND, where)
        try:
            version, self.sequence, self.time, self.steps = (int(number) for number in file.arrays["engine"])
            if version != SNAPSHOT_VERSION:
                raise DecodeError(f"a snapshot of version {version}", where=where, fix="the log is read from its start")
            grid = {name[len("grid/") :]: array for name, array in file.arrays.items() if name.startswith("grid/")}
            self.grid.load(grid, file.info.settings["grid"])
            return self._load(file.arrays, file.info.settings)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DecodeError(f"it cannot be used: {error!r}", where=where, fix="start afresh") from error
