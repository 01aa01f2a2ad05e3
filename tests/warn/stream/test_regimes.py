"""A fitted detector that knows its set-points: a set-point change on the stream is no finding, a fault is."""

from __future__ import annotations

from functools import cache

import numpy as np

from anlan.science.detection.adapted import fit_adapted
from anlan.science.detection.ensemble import Settings
from anlan.science.detection.protocol import Floats, Table
from anlan.warn.model import Finding, ModelKind, WarningModel
from anlan.warn.stream.engine import NO_FEATURES, WarnEngine
from tests.warn.stream.models import PLANT
from tests.warn.stream.plants import PATHS, START, A, B, C, S, batch, header

NAMES = (PATHS[A], PATHS[B], PATHS[C])
MODEL = WarningModel("regimes", ModelKind.DETECTOR, step=S, grades={"blue": 1e-4}, on_steps=3, off_steps=3)


def running(set_point: Floats, seed: int) -> Floats:
    """Return rows of set-point, flow that follows it, and a temperature."""
    chance = np.random.default_rng(seed)
    flow = 4.0 * set_point + chance.normal(0, 0.1, len(set_point))
    return np.column_stack([set_point, flow, 50.0 + chance.normal(0, 0.1, len(set_point))])


@cache
def files(set_points: tuple[str, ...]) -> bytes:
    plan = np.repeat(np.tile([5.0, 9.0], 6), 300)
    values = running(plan, 3)
    time = START - (len(values) - np.arange(len(values), dtype=np.int64)) * S
    settings = Settings(0.001, members=("lagged_t2",))
    return fit_adapted(Table(NAMES, time, values), settings, set_points=set_points).encode()


def findings(values: Floats, set_points: tuple[str, ...]) -> tuple[list[Finding], WarnEngine]:
    engine = WarnEngine(PLANT, (MODEL,), NO_FEATURES, {("regimes", 1): files(set_points)})
    assert engine.problems == {}
    found: list[Finding] = []
    for second, row in enumerate(values, 1):
        engine.take(
            batch(*((n, float(second), float(v)) for n, v in zip((A, B, C), row, strict=True))), header(), second
        )
        found += engine.tick(START + second * S, second)
    return found, engine


def test_a_trained_set_point_change_is_no_finding_and_a_fault_is() -> None:
    plan = np.repeat([5.0, 9.0, 5.0], 150)
    values = running(plan, 4)
    found, _ = findings(values, (PATHS[A],))
    assert found == []
    values[380:, 1] += 1.5
    found, _ = findings(values, (PATHS[A],))
    assert found[0].time >= START + 380 * S
    assert found[0].contributions[0].name == PATHS[B]


def test_a_set_point_never_trained_on_is_blind_rather_than_a_fault() -> None:
    found, engine = findings(running(np.repeat([5.0, 14.0], 150), 5), (PATHS[A],))
    assert found == []
    assert engine.blind["regimes@1"] >= 100


def test_its_state_is_taken_up_again() -> None:
    values = running(np.repeat([5.0, 9.0], 60), 6)
    _, engine = findings(values, (PATHS[A],))
    again = WarnEngine(PLANT, (MODEL,), NO_FEATURES, {("regimes", 1): files((PATHS[A],))})
    assert again.restore(engine.snapshot()) == []
    assert again.snapshot() == engine.snapshot()
