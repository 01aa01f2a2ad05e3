"""Counters and state of one process, published once a second and shown in system health."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec


class HealthReport(msgspec.Struct, frozen=True):
    """What a process says of itself on ``health.<process>``; ``problems`` are sentences, empty when all is well."""

    process: str
    pid: int
    time: int
    ready: bool
    started: int
    counters: dict[str, float] = {}
    problems: tuple[str, ...] = ()
    details: dict[str, object] = {}


@dataclass
class Health:
    """Mutable health of this process; services add to ``counters`` and set ``problems`` by key."""

    process: str
    started: int = 0
    ready: bool = False
    counters: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    details: dict[str, object] = field(default_factory=dict)

    def count(self, name: str, amount: float = 1) -> None:
        """Add ``amount`` to a counter."""
        self.counters[name] = self.counters.get(name, 0) + amount

    def report(self, pid: int, time: int) -> HealthReport:
        """Return the report of this moment (µs UTC)."""
        return HealthReport(
            process=self.process,
            pid=pid,
            time=time,
            ready=self.ready,
            started=self.started,
            counters=dict(self.counters),
            problems=tuple(self.problems.values()),
            details=dict(self.details),
        )
