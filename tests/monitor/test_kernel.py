"""The compiled kernel equals the plain reference on everything that can happen."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule

from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.events import Event
from anlan.core.expression import Op
from anlan.core.time import SECOND
from anlan.monitor import conditions, kernel, layout, machine, machine_code
from anlan.monitor.engine import Engine
from anlan.monitor.machine import Arrow
from anlan.monitor.reference import Reference, Transition
from tests.monitor.plants import START, A, B, C, D, batch, every_kind, header

VALUES = [-12.0, -10.0, -9.5, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 9.0, 10.0, 12.0, 19.0, 20.0, 25.0]
UNKNOWN = [float("nan"), float("inf"), float("-inf")]
PLANT = every_kind()


def told(event: Event) -> dict[str, Any]:
    data = event.data
    keys = ("alarm", "arrow", "before", "state", "point")
    flags = {
        key: data.get(key, key == "rung") for key in ("shelved", "suppressed", "out_of_service", "covered", "rung")
    }
    return {
        **{key: data[key] for key in keys},
        **flags,
        "time": event.time,
        "value": data.get("value"),
        "quality": data.get("quality", 0),
    }


def expected(transition: Transition, reference: Reference) -> dict[str, Any]:
    definition = reference.compiled.definitions[transition.definition]
    return {
        "alarm": definition.id,
        "arrow": transition.arrow,
        "before": transition.before,
        "state": transition.after,
        "point": definition.point,
        "shelved": bool(transition.holds & 1),
        "suppressed": bool(transition.holds & 14),
        "out_of_service": bool(transition.holds & 16),
        "covered": transition.covered,
        "rung": transition.rung,
        "time": transition.time,
        "value": transition.value,
        "quality": transition.quality,
    }


values = st.one_of(st.sampled_from(VALUES), st.sampled_from(VALUES), st.sampled_from(UNKNOWN))
qualities = st.sampled_from([0, 0, 0, 0, 0x40, 0x80, 0x89])
numbers = st.sampled_from([A, A, B, C, D, 5, 99, -1])
steps = st.sampled_from([0, 100_000, 500_000, 1_000_000, 1_000_000, 2_000_000, 3_000_000])


class KernelEqualsReference(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(PLANT, "test", "r1")
        self.reference = Reference(self.engine.compiled)
        self.now = 0
        self.sequence = 0

    def next(self) -> int:
        self.sequence += 1
        return self.sequence

    def check(self, events: list[Event], transitions: list[Transition]) -> None:
        alarms = [told(event) for event in events if event.type == "alarm.transition"]
        assert alarms == [expected(transition, self.reference) for transition in transitions]

    @rule(
        rows=st.lists(
            st.tuples(
                numbers, st.sampled_from([0, 0, 0, -100_000, -1_000_000, -3_000_000, 700_000]), values, qualities
            ),
            min_size=1,
            max_size=6,
        ),
        step=steps,
        ahead=st.sampled_from([0, 0, 0, 0, 0, 0, -700, 100]),
    )
    def samples(self, rows: list[tuple[int, int, float, int]], step: int, ahead: int) -> None:
        self.now += step
        rows = [
            (n, self.now + at * 250_000 + offset + ahead * SECOND, v, q) for at, (n, offset, v, q) in enumerate(rows)
        ]
        batched = batch(rows)
        received = START + self.now + len(rows) * 250_000
        self.now += len(rows) * 250_000
        events = self.engine.samples(batched, header(received - START), self.next())
        self.check(events, self.reference.samples(batched, received))

    @rule(
        step=st.sampled_from([100_000, 500_000, 1_000_000, 2_000_000, 8_000_000, -2_000_000]), times=st.integers(1, 6)
    )
    def tick(self, step: int, times: int) -> None:
        for _ in range(times):
            self.now += step
            events = self.engine.tick(log.Tick(START + self.now), self.next())
            self.check(events, self.reference.tick(START + self.now))

    @rule(up=st.booleans())
    def connector(self, up: bool) -> None:
        time = START + self.now
        events = self.engine.connector(log.ConnectorRecord(time, "dcs", up), self.next())
        self.check(events, self.reference.connector("dcs", up, time))

    @rule(verb=st.sampled_from(list(machine.VERBS)), pick=st.integers(0, 14), length=st.integers(1, 5))
    def command(self, verb: str, pick: int, length: int) -> None:
        time = START + self.now
        alarm = self.engine.compiled.definitions[pick].id
        until = time + length * SECOND if verb == Arrow.SHELVE else 0
        instance = self.engine.instances[pick]
        command = log.Command("c", time, verb, alarm, SYSTEM, instance, "why", until)
        outcome = self.engine.command(command, self.next())
        if outcome.refused:
            assert outcome.events == []
            return
        self.check(outcome.events, self.reference.act(pick, Arrow(verb), time, until))

    @rule()
    def restart(self) -> None:
        snapshot = self.engine.snapshot()
        self.engine = Engine.restore(PLANT, snapshot)


TestKernelEqualsReference = KernelEqualsReference.TestCase
TestKernelEqualsReference.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_the_layout_fingerprint_is_current() -> None:
    """Compiled code is cached by kernel.py's own time and size: the file must change when its constants do."""
    parts = [
        layout.POINT.descr, layout.RULE.descr, layout.ALARM.descr, layout.OUT.descr,
        [(kind.name, int(kind)) for kind in (*layout.Kind, *layout.Clock, *machine.Hold, *machine.GuardIndex, *Op)],
        [arrow.value for arrow in machine.ARROWS], [state.value for state in machine.STATES],
        [layout.NEVER, layout.FOREVER, layout.LONGEST_TICK, layout.PENDING_ON, layout.PENDING_OFF],
        [layout.ROLE_CONDITION, layout.ROLE_ENABLE],
        [Path(module.__file__).read_bytes() for module in (conditions, machine_code)],
    ]  # fmt: skip
    fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    if fingerprint != kernel.LAYOUT:
        pytest.fail(f'write LAYOUT = "{fingerprint}" into kernel.py')
