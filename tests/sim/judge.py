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


class Judge:
    """Says which definitions hold now, second by second; on-delays in whole steps of 1 s of plant time."""

    def __init__(self, park: Park) -> None:
        self.park = park
        index = {point.path: point.index for point in park.points}
        self.rows = {point.number: index[point.path] for point in plant().points}
        self._since: dict[str, float] = {}
        self._before = park.values.copy()
        self.raised: dict[str, tuple[float, int, str]] = {}

    def look(self) -> set[str]:
        """Return the ids of the alarms in alarm now."""
        active = set()
        for alarm in plant().alarms:
            if alarm.kind in ("stale", "bad-quality") or not self._holds(alarm):
                self._since.pop(alarm.id, None)
                continue
            since = self._since.setdefault(alarm.id, self.park.time)
            if self.park.time - since >= alarm.on_delay / 1e6:
                active.add(alarm.id)
                self.raised.setdefault(alarm.id, (self.park.time, alarm.priority, alarm.kind))
        self._before = self.park.values.copy()
        return active

    def _true(self, condition: str) -> bool:
        expression = parsed(condition)
        values = [self.park.values[self.park.index_of(name)] for name in expression.names]
        return bool(evaluate(expression, values) == 1.0)

    def _holds(self, alarm: AlarmDefinition) -> bool:
        values, row = self.park.values, self.rows[alarm.point]
        value, limit = values[row], alarm.limit or 0.0
        if alarm.enable and not self._true(alarm.enable):
            return False
        if alarm.kind == "expression":
            return self._true(alarm.expression)
        if alarm.kind in ("HH", "H"):
            return bool(value > limit)
        if alarm.kind in ("LL", "L"):
            return bool(value < limit)
        if alarm.kind == "rate":
            return bool(abs(value - self._before[row]) > limit)
        if alarm.kind == "deviation":
            return bool(abs(value - values[self.rows[alarm.other]]) > limit)
        if alarm.kind == "state":
            return int(value) in alarm.states
        inputs = np.array([values[self.rows[number]] for number in alarm.inputs])
        return bool((alarm.direction * (inputs - limit) > 0).sum() >= alarm.needed)
