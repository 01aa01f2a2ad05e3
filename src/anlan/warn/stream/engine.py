"""The engine of the stream: log in, findings out. No clock, no I/O: the same log gives the same findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.events import Event
from anlan.plant.model import Plant
from anlan.science.model_file import ModelInfo, decode_model, encode_model
from anlan.warn.model import FeatureValue, Finding, Forecast, PredictedAlarm, WarningModel
from anlan.warn.stream.grid import Grid

KIND = "warn.stream"


class WarnEngine:
    """Everything that runs on the steps of one node.

    Args:
        plant: the compiled plant.
        models: warning models to run, live and shadow alike; versions of one model may run side by side.
        features: library of risk features, as ``FeatureEngine`` takes it.
        files: fitted model file of each DETECTOR, by (id, version).
        node: id of the node, in the evidence.
    """

    def __init__(
        self,
        plant: Plant,
        models: Iterable[WarningModel],
        features: Any,
        files: Mapping[tuple[str, int], bytes],
        node: str = "",
    ) -> None:
        self.plant = plant
        self.node = node
        self.models = tuple(models)
        self.features = features
        self.files = dict(files)
        self.grid = Grid(plant)
        self.sequence = 0
        self.time = 0
        self.steps = 0
        self.blind: dict[str, int] = {}
        self.problems: dict[str, tuple[str, str]] = {}

    def take(self, batch: SampleBatch, header: BatchHeader, sequence: int) -> None:
        """Take a batch of the log."""
        self.sequence = sequence
        self.grid.take(batch, header, sequence)

    def alarm(self, event: Event, sequence: int = 0) -> None:
        """Take an alarm's transition."""
        self.grid.alarm(event, sequence)

    def tick(self, time: int, sequence: int) -> list[Finding]:
        """Let the log's clock reach ``time`` (µs UTC); return what changed."""
        self.sequence = sequence
        findings: list[Finding] = []
        for step in self.grid.tick(time, sequence):
            self.steps += 1
            self.time = step.time
        return findings

    def predictions(self, scope: str = "", horizon: int = 3_600_000_000, now: int = 0) -> tuple[PredictedAlarm, ...]:
        """Return predicted alarms below ``scope`` within ``horizon`` µs of ``now``, soonest first."""
        return ()

    def forecast(self, path: str, horizon: int = 3_600_000_000) -> Forecast:
        """Return the cone of one point."""
        return Forecast(path, False)

    def feature_values(self, path: str = "", feature: str = "") -> dict[str, tuple[FeatureValue, ...]]:
        """Return the values of bound features by feature id, of one place or of one feature where given."""
        return {}

    def configure(self, plant: Plant) -> list[Finding]:
        """Put another plant in force; points keep their state by number. Findings whose place is gone end."""
        self.grid.configure(plant)
        self.plant = plant
        return []

    def snapshot(self) -> bytes:
        """Return the state as one file of plain arrays."""
        arrays, words = self.grid.save()
        numbers = {"engine.numbers": np.array([self.sequence, self.time, self.steps], np.int64)}
        return encode_model(
            ModelInfo(KIND, settings={"grid": words}), {f"grid.{k}": v for k, v in arrays.items()} | numbers
        )

    def restore(self, data: bytes) -> None:
        """Take the state of a snapshot, made with this plant or an earlier one of the node.

        Raises:
            DecodeError: no snapshot, or altered.
        """
        file = decode_model(data, KIND, "snapshot of the warnings' stream")
        self.grid.load({k[5:]: v for k, v in file.arrays.items() if k.startswith("grid.")}, file.info.settings["grid"])
        self.sequence, self.time, self.steps = (int(number) for number in file.arrays["engine.numbers"])
