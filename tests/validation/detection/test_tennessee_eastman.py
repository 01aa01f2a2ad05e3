"""The figures that the default ensemble reaches on Tennessee Eastman are held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from benchmarks.detection import HARD, read_tep

from anlan.science.detection.bench import FaultResult, judge_fault
from anlan.science.detection.ensemble import fit

LIMITS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("limits.yaml").read_text())["tennessee_eastman"]


@pytest.fixture(scope="module")
def judged(shared_data: Path) -> tuple[dict[int, FaultResult], float]:
    folder = shared_data / "process"
    model = fit(read_tep(folder, "train")[0][0])
    alarms = {
        fault: (model.update(model.start(), table.time, table.values)[1].alarm, active)
        for fault, (table, active) in read_tep(folder, "test").items()
    }
    normal = float(alarms.pop(0)[0].mean())
    return {fault: judge_fault(alarm, active) for fault, (alarm, active) in alarms.items()}, normal


def test_detection_of_faults_that_leave_a_mark(judged: tuple[dict[int, FaultResult], float]) -> None:
    seen = [one for fault, one in judged[0].items() if fault not in HARD]
    assert np.mean([one.detection for one in seen]) >= LIMITS["least_mean_detection"]
    assert min(one.detection for one in seen) >= LIMITS["least_each_detection"]
    assert np.mean([one.delay for one in seen]) <= LIMITS["most_mean_delay"]


def test_false_alarms(judged: tuple[dict[int, FaultResult], float]) -> None:
    assert judged[1] <= LIMITS["most_false_alarms_normal_run"]
    assert np.mean([one.false_alarm for one in judged[0].values()]) <= LIMITS["most_false_alarms_before_faults"]
