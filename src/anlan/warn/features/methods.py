"""The built-ins a feature file may name: their parameters, what they keep, and what they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from anlan.warn.features import kernels

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Method:
    """One built-in.

    Attributes:
        parameters: name to default, in the order of the kernel's columns; None must be given.
        state: columns of state. baseline: column of the learned level, whose past is shown as "expected".
        window: parameter that says how many seconds its ring holds; ``rings`` how many rings.
        fixed: columns of the ring beside those that the parameter says.
        two: needs ``against``.
        short: columns forgotten after a gap in the steps.
    """

    kernel: Callable[..., Any]
    parameters: dict[str, float | None] = field(default_factory=dict)
    state: int = 0
    baseline: int = -1
    window: str = ""
    rings: int = 1
    fixed: int = 0
    two: bool = False
    short: tuple[int, ...] = ()


_LEARNED: dict[str, float | None] = {"memory": 3 * DAY, "learn": HOUR / 2, "floor": None}

METHODS: dict[str, Method] = {
    "value": Method(kernels.value, {"smooth": 0.0}, 2, short=(1,)),
    "drift": Method(kernels.drift, {"smooth": 60.0, **_LEARNED}, 4, baseline=1, fixed=kernels.LEARNED),
    "slope": Method(kernels.slope, {"window": None, "per": 60.0}, 2, window="window", short=(0, 1)),
    "time_to": Method(
        kernels.time_to, {"window": None, "longest": 1440.0, "toward": 1.0}, 2, window="window", two=True, short=(0, 1)
    ),
    "follow": Method(
        kernels.follow, {"window": None, "least": None}, 4, window="window", rings=2, two=True, short=(0, 1, 2, 3)
    ),
    "oscillation": Method(kernels.oscillation, {"memory": HOUR, "floor": None}, 6, fixed=10, short=(2, 3, 4)),
    "noise": Method(kernels.noise, {"window": 60.0, "memory": 20_000.0, "learn": 600.0}, 5, two=True),
    "freeze": Method(kernels.freeze, {"memory": 7 * DAY, "learn": HOUR}, 5, two=True, short=(1,)),
    "count": Method(kernels.count, {"window": None}, 3, window="window", short=(0, 1, 2)),
    "edges": Method(kernels.edges, {"window": None}, 5, window="window", short=(4,)),
    "cycles": Method(kernels.cycles, {"window": None, "band": None}, 5, window="window"),
    "runtime": Method(kernels.runtime, {"before": 0.0}, 1),
    "held": Method(kernels.held, {}, 1),
    "runaway": Method(
        kernels.runaway, {"window": None, "per": 60.0}, 4, window="window", rings=2, two=True, short=(0, 1, 2, 3)
    ),
    "balance": Method(
        kernels.balance,
        {"window": None, **_LEARNED},
        6,
        baseline=3,
        window="window",
        fixed=kernels.LEARNED,
        two=True,
        short=(0, 1, 2),
    ),
}
"""Every built-in by name."""

COMMON: dict[str, float] = {"settle": 0.0}
"""Parameters of every feature: seconds after ``when`` has become true before it is judged."""
