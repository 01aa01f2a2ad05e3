"""What goes wrong in the park, and when: a fixed opening for demonstrations, then rare upsets drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from anlan.sim.units.air import Leak

if TYPE_CHECKING:
    from anlan.sim.park import Park


@dataclass(frozen=True, slots=True)
class Upset:
    """One thing that goes wrong.

    Attributes:
        kind: key of ``KINDS``. target: path of a unit or point, id of a device or connector.
        start, duration: plant time, s. size: in the kind's own measure (see its function).
        gas: substance of a leak.
    """

    kind: str
    target: str
    start: float
    duration: float
    size: float = 1.0
    gas: str = ""


def _leak(park: Park, upset: Upset, progress: float) -> None:
    """Release ``size`` kg/s of gas at a unit; a pump also loses its seal pressure."""
    item = next(item for item in park.layout.items if item.path == upset.target)
    if progress == 0.0:
        park.leaks.append(Leak(upset.gas, item.x, item.y, upset.size, upset.start, upset.start + upset.duration))
    if item.kind == "pump":
        park.pumps.seal[park.locate(upset.target)[1]] = float(progress < 1.0)
    if progress >= 1.0:
        park.leaks = [leak for leak in park.leaks if leak.end > park.time]


def _pump_trip(park: Park, upset: Upset, progress: float) -> None:
    row = park.locate(upset.target)[1]
    if progress == 0.0:
        park.pumps.trip(row)
    elif progress >= 1.0:
        park.pumps.restart(row)


def _machine_trip(park: Park, upset: Upset, progress: float) -> None:
    group, row = park.locate(upset.target)
    group.state[row] = 1.0 if progress >= 1.0 else 2.0


def _high_level(park: Park, upset: Upset, progress: float) -> None:
    """Let ``size`` kg/s too much into a tank."""
    row = park.locate(upset.target)[1]
    park.tanks.surplus[row] = upset.size if progress < 1.0 else 0.0


def _cooling_loss(park: Park, upset: Upset, progress: float) -> None:
    """Take the fraction ``size`` of a reactor's coolant away."""
    park.reactors.cooling[park.locate(upset.target)[1]] = 1.0 - upset.size if progress < 1.0 else 1.0


def _valve_stick(park: Park, upset: Upset, progress: float) -> None:
    """Let a control valve stick, and move its set point by ``size`` so that it should move."""
    group, row = park.locate(upset.target)
    if progress == 0.0:
        group.loop.setpoint[row] += upset.size
    elif progress >= 1.0:
        group.loop.setpoint[row] -= upset.size
    group.valve.band[row] = 0.2 if progress >= 1.0 else 100.0


def _stiction(park: Park, upset: Upset, progress: float) -> None:
    """Let a control valve's stiction grow by ``size`` per cent over the duration; it is freed at the end."""
    group, row = park.locate(upset.target)
    group.valve.band[row] = 0.2 if progress >= 1.0 else 0.2 + upset.size * progress


def _fouling(park: Park, upset: Upset, progress: float) -> None:
    """Let an exchanger foul by ``size`` an hour; it is cleaned at the end."""
    row = park.locate(upset.target)[1]
    park.exchangers.growth[row] = 0.0005 if progress >= 1.0 else upset.size
    if progress >= 1.0:
        park.exchangers.fouling[row] = 0.05


def _wear(park: Park, upset: Upset, progress: float) -> None:
    """Let vibration grow by ``size`` over the duration."""
    group, row = park.locate(upset.target)
    group.wear[row] = 0.0 if progress >= 1.0 else upset.size * min(1.0, 3 * progress)


def _seal_wear(park: Park, upset: Upset, progress: float) -> None:
    """Let a seal lose its barrier fluid bit by bit; in the last quarter gas escapes, ``size`` kg/s at the end."""
    item = next(item for item in park.layout.items if item.path == upset.target)
    park.pumps.seal[park.locate(upset.target)[1]] = 0.0 if progress >= 1.0 else progress
    mine = [leak for leak in park.leaks if leak.start == upset.start and leak.end == upset.start + upset.duration]
    if progress >= 1.0:
        park.leaks = [leak for leak in park.leaks if leak not in mine]
    elif progress > 0.75:
        rate = upset.size * (progress - 0.75) / 0.25
        leak = Leak(upset.gas, item.x, item.y, rate, upset.start, upset.start + upset.duration)
        park.leaks = [*(other for other in park.leaks if other not in mine), leak]


def _drift(park: Park, upset: Upset, progress: float) -> None:
    """Let a transmitter drift by ``size`` over the duration; it is calibrated at the end."""
    park.bias[park.index_of(upset.target)] = 0.0 if progress >= 1.0 else upset.size * progress


def _spike(park: Park, upset: Upset, progress: float) -> None:
    """Add ``size`` to a point for a while: exhaust at a detector, an operator's hand at an analyser."""
    park.bias[park.index_of(upset.target)] = 0.0 if progress >= 1.0 else upset.size


def _freeze(park: Park, upset: Upset, progress: float) -> None:
    park.frozen[park.index_of(upset.target)] = progress < 1.0


def _fail(park: Park, upset: Upset, progress: float) -> None:
    park.fail(park.index_of(upset.target), progress < 1.0)


def _state(park: Park, upset: Upset, progress: float) -> None:
    """Set a constant state point to ``size``; it goes back at the end."""
    index = park.index_of(upset.target)
    park.true[index] = park.points[index].wander[0] if progress >= 1.0 else upset.size


def _breaker(park: Park, upset: Upset, progress: float) -> None:
    park.feeders.closed[park.locate(upset.target)[1]] = float(progress >= 1.0)


def _silence(park: Park, upset: Upset, progress: float) -> None:
    (park.silent.discard if progress >= 1.0 else park.silent.add)(upset.target)


def _cut(park: Park, upset: Upset, progress: float) -> None:
    (park.cut.discard if progress >= 1.0 else park.cut.add)(upset.target)


KINDS: dict[str, Callable[[Park, Upset, float], None]] = {
    "leak": _leak,
    "pump-trip": _pump_trip,
    "machine-trip": _machine_trip,
    "high-level": _high_level,
    "cooling-loss": _cooling_loss,
    "valve-stick": _valve_stick,
    "stiction": _stiction,
    "fouling": _fouling,
    "wear": _wear,
    "seal-wear": _seal_wear,
    "drift": _drift,
    "spike": _spike,
    "freeze": _freeze,
    "fail": _fail,
    "state": _state,
    "breaker": _breaker,
    "silence": _silence,
    "cut": _cut,
}

OPENING = (
    Upset("pump-trip", "donglan/eo/p-203a", 3, 90),
    Upset("leak", "haian/pump-station/p-402a", 4, 50, 0.25, "ammonia"),
    Upset("state", "haian/loading/bay-3/grounding", 5, 12, 0.0),
    Upset("high-level", "donglan/tank-farm/t-322", 2, 60, 120.0),
    Upset("cooling-loss", "donglan/ethoxylation/r-302", 6, 150, 0.95),
    Upset("valve-stick", "donglan/eo/e-205", 6, 110, 6.0),
    Upset("silence", "weather-2", 8, 55),
    Upset("fail", "donglan/eo/r-201/temperature-2", 9, 60),
    Upset("freeze", "haian/ammonia-farm/t-405/temperature-top", 10, 600),
    Upset("drift", "donglan/chlorine/v-113/cl2-2", 12, 900, 0.9),
    Upset("fouling", "donglan/eo/e-209", 12, 900, 40.0),
    Upset("wear", "haian/pump-station/p-503a", 10, 240, 6.5),
    Upset("cut", "asu-plc", 35, 20),
    Upset("machine-trip", "donglan/electrolysis/k-102", 45, 120),
    Upset("breaker", "gangneng/substation/f-07", 70, 60),
)


@dataclass
class Scenario:
    """A list of upsets and how far it has come; each is applied once at its start, each step, and once at its end."""

    upsets: tuple[Upset, ...]
    _begun: set[int] = field(default_factory=set)
    _ended: set[int] = field(default_factory=set)

    @staticmethod
    def quiet() -> Scenario:
        """Return a scenario in which nothing goes wrong."""
        return Scenario(())

    @staticmethod
    def demonstration(seed: int, hours: float = 24.0) -> Scenario:
        """Return the fixed opening followed by rare upsets drawn from ``seed``."""
        return Scenario((*OPENING, *random_upsets(seed, hours)))

    @staticmethod
    def running(seed: int, hours: float = 24.0) -> Scenario:
        """Return rare upsets only: a normal day."""
        return Scenario(random_upsets(seed, hours, first=60.0))

    def apply(self, park: Park) -> None:
        """Apply what is due at the park's time."""
        now = park.time
        for number, upset in enumerate(self.upsets):
            if number in self._ended or now < upset.start:
                continue
            over = now >= upset.start + upset.duration
            progress = 1.0 if over else 0.0 if number not in self._begun else (now - upset.start) / upset.duration
            self._begun.add(number)
            KINDS[upset.kind](park, upset, progress)
            if over:
                self._ended.add(number)


def random_upsets(seed: int, hours: float, first: float = 240.0) -> tuple[Upset, ...]:
    """Return upsets at about six an hour, most of them nuisances, drawn from ``seed``."""
    from anlan.sim.signals import layout

    rng = np.random.default_rng([seed, 7])
    plan = layout()
    pumps = [item.path for item in plan.items if item.kind == "pump" and item.parameters["duty"]]
    gas = [point.path for point in plan.points if point.kind in ("combustible-gas", "toxic-gas")]
    spans = {point.path: point.high for point in plan.points}
    bays = [item.path for item in plan.items if item.kind == "loading-bay"]
    exchangers = [item.path for item in plan.items if item.kind == "exchanger"]
    makers: tuple[tuple[float, Callable[[float], Upset]], ...] = (
        (0.35, lambda at: (lambda path: Upset("spike", path, at, 15, 0.4 * spans[path]))(str(rng.choice(gas)))),
        (0.15, lambda at: Upset("state", f"{rng.choice(bays)}/grounding", at, 10, 0.0)),
        (0.15, lambda at: Upset("wear", str(rng.choice(pumps)), at, 300, 4.0)),
        (0.15, lambda at: Upset("pump-trip", str(rng.choice(pumps)), at, 180)),
        (0.10, lambda at: Upset("valve-stick", str(rng.choice(exchangers)), at, 240, 5.0)),
        (0.10, lambda at: Upset("silence", str(rng.choice(["weather-1", "weather-2", "fire-gangneng"])), at, 90)),
    )
    found: list[Upset] = []
    at = first
    while True:
        at += float(rng.exponential(600.0))
        if at > hours * 3600:
            return tuple(found)
        choice = int(rng.choice(len(makers), p=[weight for weight, _ in makers]))
        found.append(makers[choice][1](round(at, 1)))
