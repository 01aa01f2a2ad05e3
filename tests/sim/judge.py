"""A plain reading of the park's alarm definitions, to judge a run without the alarm engine."""

from __future__ import annotations

from functools import cache

import numpy as np

from anlan.core.expression import evaluate, parse
from anlan.plant.compiler import compile_site, numbers_in_file_order
from anlan.plant.model import AlarmDefinition, Plant
from anlan.plant.site_file import load
from anlan.sim.park import Park
from anlan.sim.site import HOME


@cache
def plant() -> Plant:
    """Return the packaged site, compiled."""
    document = load(HOME)
    return compile_site(document, numbers_in_file_order(document))


parsed = cache(parse)
SIDES = {"HH": 1.0, "H": 1.0, "L": -1.0, "LL": -1.0}


class Judge:
    """Says which definitions hold now, second by second; on-delays in whole steps of 1 s of plant time."""

    def __init__(self, park: Park) -> None:
        self.park = park
        index = {point.path: point.index for point in park.points}
        self.rows = {point.number: index[point.path] for point in plant().points}
        self._since: dict[str, float] = {}
        alarms = [alarm for alarm in plant().alarms if alarm.kind not in ("stale", "bad-quality")]
        self._limits = [alarm for alarm in alarms if alarm.kind in SIDES]
        self._others = [alarm for alarm in alarms if alarm.kind not in SIDES]
        self._limit_rows = np.array([self.rows[alarm.point] for alarm in self._limits])
        self._bounds = np.array([alarm.limit for alarm in self._limits])
        self._sides = np.array([SIDES[alarm.kind] for alarm in self._limits])
        self._before = park.values.copy()
        self.raised: dict[str, tuple[float, int, str]] = {}

    def look(self) -> set[str]:
        """Return the ids of the alarms in alarm now."""
        beyond = self._sides * (self.park.values[self._limit_rows] - self._bounds) > 0
        holding = [self._limits[row] for row in np.flatnonzero(beyond)] + [a for a in self._others if self._holds(a)]
        holding = [alarm for alarm in holding if not alarm.enable or self._true(alarm.enable)]
        now = self.park.time
        self._since = {alarm.id: self._since.get(alarm.id, now) for alarm in holding}
        active = {alarm.id for alarm in holding if now - self._since[alarm.id] >= alarm.on_delay / 1e6}
        for alarm in holding:
            if alarm.id in active:
                self.raised.setdefault(alarm.id, (now, alarm.priority, alarm.kind))
        self._before = self.park.values.copy()
        return active

    def _true(self, condition: str) -> bool:
        expression = parsed(condition)
        values = [self.park.values[self.park.index_of(name)] for name in expression.names]
        return bool(evaluate(expression, values) == 1.0)

    def _holds(self, alarm: AlarmDefinition) -> bool:
        values, row = self.park.values, self.rows[alarm.point]
        value, limit = values[row], alarm.limit or 0.0
        if alarm.kind == "expression":
            return self._true(alarm.expression)
        if alarm.kind == "rate":
            return bool(abs(value - self._before[row]) > limit)
        if alarm.kind == "deviation":
            return bool(abs(value - values[self.rows[alarm.other]]) > limit)
        if alarm.kind == "state":
            return int(value) in alarm.states
        inputs = np.array([values[self.rows[number]] for number in alarm.inputs])
        return bool((alarm.direction * (inputs - limit) > 0).sum() >= alarm.needed)
