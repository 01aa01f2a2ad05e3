"""In the virtual park four slow faults are seen before their first alarm, and calm brings no warning.

A short slice: 22 minutes, with the learning period cut to eight by the site's own parameters. The faults are put into
the equipment; the engine sees only samples.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from anlan.plant.model import FeatureBinding, Plant, WarnPlan
from anlan.sim.park import Park
from anlan.sim.upsets import Scenario, Upset
from anlan.warn.features.engine import FeatureEngine
from anlan.warn.features.library import Library, library
from tests.sim.judge import Judge
from tests.sim.judge import plant as park_plant
from tests.warn.features.feed import Feed

PUMP, FOULED, STUCK = "donglan/electrolysis/p-101a", "donglan/eo/e-209", "donglan/eo/e-207"
DETECTOR = "donglan/chlorine/v-113/cl2-2"
SEEN_BY = {
    PUMP: ("pump.seal-pressure-decline", f"{PUMP}/seal-pressure"),
    FOULED: ("exchanger.pressure-drop-growth", f"{FOULED}/pressure-drop"),
    STUCK: ("valve.tracking-error", None),
    DETECTOR: ("gas.detector-drift", DETECTOR),
}
BEGIN, END = 720, 1320


def plant() -> Plant:
    quick = {"learn": 480.0}
    places = {PUMP: PUMP, FOULED: FOULED, DETECTOR: DETECTOR.rpartition("/")[0]}
    given = tuple(FeatureBinding(SEEN_BY[path][0], unit, {}, quick) for path, unit in places.items())
    return msgspec.structs.replace(park_plant(), warn=WarnPlan(given))


class Run:
    """What happened: when each place first asked for yellow or graver, its top contribution, and when it first rang."""

    def __init__(self) -> None:
        self.engine = FeatureEngine(plant(), Library([library().features[name] for name, _ in SEEN_BY.values()]))
        span = (BEGIN, END - BEGIN)
        upsets = (Upset("fouling", FOULED, *span, 2.0), Upset("drift", DETECTOR, *span, 0.4))
        self.park = Park(5, speed=5, scenario=Scenario(upsets))
        self.judge = Judge(self.park)
        self.warned: dict[str, tuple[float, str]] = {}
        self.early: list[str] = []
        state = self.engine.start()
        feed = Feed(self.engine.plant, self.park)
        for n in range(1, END):
            step = next(feed.steps(1))
            self.engine.step(state, step)
            if n > BEGIN:
                self.worsen((n - BEGIN) / (END - BEGIN))
            if n % 10 == 0:
                self.judge.look() if n > BEGIN else None
                self.look(n, self.engine.grade(state.values))

    def worsen(self, share: float) -> None:
        """Let the seal leak more and the valve stand still."""
        pumps, row = self.park.locate(PUMP)
        pumps.seal[row] = share
        exchangers, row = self.park.locate(STUCK)
        exchangers.valve.band[row] = 100.0

    def look(self, n: int, grades: np.ndarray) -> None:
        for index in np.flatnonzero((grades > 0) & (grades <= 3)):
            path = self.engine.bound[index].path
            if n <= BEGIN or path not in SEEN_BY:
                self.early.append(f"{self.engine.bound[index].feature.id} {path} at {n} s")
            else:
                self.warned.setdefault(path, (float(n), self.engine.explain(index)[0].name))


@pytest.fixture(scope="module")
def run() -> Run:
    return Run()


@pytest.mark.parametrize("path", SEEN_BY)
def test_a_slow_fault_is_seen_before_its_first_alarm(run: Run, path: str) -> None:
    warned, top = run.warned[path]
    rung = [at for alarm, (at, _, _) in run.judge.raised.items() if alarm.startswith(path)]
    assert not rung or warned < min(rung)
    assert top == SEEN_BY[path][1] or (SEEN_BY[path][1] is None and top.startswith(path))


def test_nothing_else_is_warned_of(run: Run) -> None:
    assert run.early == []
