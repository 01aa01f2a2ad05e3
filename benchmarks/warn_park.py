"""Early warning in the virtual park: slow faults by seed, what was warned of before an alarm, and false warnings.

Each seed runs one park: a normal hour and a half, then four slow faults at once in four different units: a pump's seal
that wears, an exchanger that fouls, a gas detector that drifts, a control valve that begins to stick. What is judged
sees samples as a connector would deliver them; which unit is faulty is known to this account alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anlan.core import log
from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.events import Event
from anlan.core.severity import WarningGrade
from anlan.core.time import HOUR, SECOND
from anlan.monitor.engine import Engine
from anlan.plant.compiler import compile_site, numbers_in_file_order
from anlan.plant.model import Plant
from anlan.plant.site_file import load
from anlan.sim import catalogue
from anlan.sim.park import Park
from anlan.sim.schedule import Schedule
from anlan.sim.signals import layout
from anlan.sim.site import HOME
from anlan.sim.upsets import Scenario, Upset
from anlan.warn.features.library import library
from anlan.warn.library import load_models
from anlan.warn.model import Finding
from anlan.warn.stream.engine import WarnEngine

BEGIN = 1_800_000_000_000_000
NORMAL_S = 5400.0
FAULT_S = 5400.0
KINDS = ("seal-wear", "fouling", "drift", "stiction")


@dataclass
class Fault:
    """One slow fault of a seed, and what became of it; times in s of plant time."""

    upset: Upset
    unit: str
    alarmed: float | None = None
    warned: float | None = None
    top: tuple[str, ...] = ()
    model: str = ""

    @property
    def before_alarm(self) -> bool:
        """Whether a warning came before the unit's first alarm."""
        return self.warned is not None and (self.alarmed is None or self.warned < self.alarmed)

    @property
    def right_top(self) -> bool:
        """Whether the first warning's largest contribution is of the faulty unit; for a detector, the very point."""
        wanted = self.upset.target if self.upset.kind == "drift" else self.unit
        return bool(self.top) and (self.top[0] == wanted or self.top[0].startswith(wanted + "/"))


@dataclass
class Account:
    """What one run of the park gave."""

    faults: list[Fault]
    seconds: float = 0.0
    false: list[Finding] = field(default_factory=list)
    after_escape: int = 0
    alarms: int = 0


def plant_of_park() -> Plant:
    """Return the compiled plant of the packaged park."""
    document = load(HOME)
    return compile_site(document, numbers_in_file_order(document))


def faults_of(seed: int) -> tuple[Upset, ...]:
    """Return four slow faults in four units, drawn from ``seed``."""
    rng = np.random.default_rng([seed, 11])
    plan = layout()
    sealed = {point.unit_path for point in plan.points if point.id == "seal-pressure"}
    pumps = [item for item in plan.items if item.kind == "pump" and item.parameters["duty"] and item.path in sealed]
    pumps = [item for item in pumps if item.substance in catalogue.table("limits")]
    exchangers = [item.path for item in plan.items if item.kind == "exchanger"]
    gas = [point for point in plan.points if point.kind in ("combustible-gas", "toxic-gas")]
    pump = pumps[int(rng.integers(len(pumps)))]
    fouled, stuck = rng.choice(exchangers, 2, replace=False)
    detector = gas[int(rng.integers(len(gas)))]
    return (
        Upset("seal-wear", pump.path, NORMAL_S, FAULT_S, 0.05, pump.substance),
        Upset("fouling", str(fouled), NORMAL_S, FAULT_S, float(rng.uniform(0.8, 2.0))),
        Upset("drift", detector.path, NORMAL_S, FAULT_S, float(rng.uniform(0.3, 0.6)) * detector.high),
        Upset("stiction", str(stuck), NORMAL_S, FAULT_S, float(rng.uniform(6.0, 12.0))),
    )


def unit_of(path: str) -> str:
    """Return ``enterprise/area/unit`` of a path."""
    return "/".join(path.split("/")[:3])


def seconds_of_park(park: Park, plant: Plant, duration: float) -> Iterator[tuple[int, SampleBatch]]:
    """Yield each second of plant time (µs UTC) with the samples that connectors would deliver in it."""
    numbers = plant.point_by_path()
    number = np.array([numbers[point.path].number for point in park.points], np.int32)
    schedule = Schedule(list(park.points), phases=4, start=0)
    per_second = round(1.0 / park.dt)
    for _ in range(round(duration)):
        for _ in range(per_second):
            park.step()
        due = schedule.due(round(park.time * 1000))
        rows = np.sort(np.concatenate(due)) if due else np.empty(0, np.intp)
        now = BEGIN + round(park.time * 1e6)
        time = np.full(len(rows), now, np.int64)
        yield now, SampleBatch(number[rows], time, park.values[rows], park.quality[rows])


def play(park: Park, plant: Plant, duration: float, faults: tuple[Upset, ...] = ()) -> Account:
    """Run ``duration`` s of the park through the alarms and the warnings."""
    account = Account([Fault(upset, unit_of(upset.target)) for upset in faults], seconds=duration)
    warnings = WarnEngine(plant, load_models(), library(), {}, "bench")
    alarms = Engine(plant, "bench")
    for sequence, (now, batch) in enumerate(seconds_of_park(park, plant, duration), start=1):
        header = BatchHeader("bench", now)
        rung = [*alarms.samples(batch, header, sequence), *alarms.tick(log.Tick(now), sequence)]
        warnings.take(batch, header, sequence)
        for event in rung:
            if event.type == "alarm.transition":
                warnings.alarm(event, sequence)
                _alarmed(account, event, park.time)
        for finding in warnings.tick(now, sequence):
            _warned(account, finding, park.time)
    return account


def _alarmed(account: Account, event: Event, time: float) -> None:
    if event.data.get("arrow") != "raise" or not event.data.get("rung", True):
        return
    account.alarms += 1
    for fault in account.faults:
        if time >= fault.upset.start and fault.alarmed is None and unit_of(event.data["alarm"]) == fault.unit:
            fault.alarmed = time


def _warned(account: Account, finding: Finding, time: float) -> None:
    if finding.grade is None or finding.grade >= WarningGrade.BLUE:
        return
    mine = [fault for fault in account.faults if time >= fault.upset.start and _about(finding, fault)]
    for fault in mine:
        if fault.warned is None:
            fault.warned, fault.model = time, finding.model
            fault.top = tuple(item.name for item in finding.contributions[:3])
    if mine:
        return
    # Once gas escapes from the worn seal, its neighbours smell it: true, but no longer about the faulty unit alone.
    if any(f.upset.kind == "seal-wear" and time > f.upset.start + 0.75 * f.upset.duration for f in account.faults):
        account.after_escape += 1
    else:
        account.false.append(finding)


def _about(finding: Finding, fault: Fault) -> bool:
    """Whether a finding is about the faulty unit, or names one of its points."""
    names = (finding.path, *(item.name for item in finding.contributions))
    return any(unit_of(name) == fault.unit for name in names)


def run(
    quick: bool = False, progress: Callable[[str], None] = lambda _: None, seeds: int = 20, days: float = 2.0
) -> dict[str, Any]:
    """Return rates by kind of fault over ``seeds`` seeds, and false warnings above blue per normal day."""
    plant = plant_of_park()
    count, hours = (3, 1.0) if quick else (seeds, days * 24)
    accounts = []
    for seed in range(1, count + 1):
        upsets = faults_of(seed)
        park = Park(seed, speed=5, scenario=Scenario(upsets))
        accounts.append(play(park, plant, NORMAL_S + FAULT_S, upsets))
        progress(f"seed {seed}: " + ", ".join(_line(fault) for fault in accounts[-1].faults))
    result: dict[str, Any] = {"seeds": count, "faults": {kind: _figures(accounts, kind) for kind in KINDS}}
    result["beside_the_faults"] = _false(accounts)
    normal = []
    for part in range(max(1, round(hours / 6))):
        park = Park(1000 + part, speed=5, scenario=Scenario.quiet())
        normal.append(play(park, plant, min(hours, 6.0) * 3600))
        progress(f"normal running {part + 1}: {len(normal[-1].false)} warnings above blue")
    result["normal_day"] = _false(normal)
    return result


def _line(fault: Fault) -> str:
    if fault.warned is None:
        return f"{fault.upset.kind} not warned of"
    lead = "no alarm" if fault.alarmed is None else f"{fault.alarmed - fault.warned:.0f} s before the alarm"
    return f"{fault.upset.kind} {lead} ({fault.model})"


def _figures(accounts: list[Account], kind: str) -> dict[str, Any]:
    faults = [fault for account in accounts for fault in account.faults if fault.upset.kind == kind]
    leads = [
        fault.alarmed - fault.warned
        for fault in faults
        if fault.before_alarm and fault.alarmed is not None and fault.warned is not None
    ]
    after = [fault.warned - fault.upset.start for fault in faults if fault.warned is not None]
    return {
        "warned_before_alarm": sum(fault.before_alarm for fault in faults) / len(faults),
        "right_top_contribution": sum(fault.right_top for fault in faults) / len(faults),
        "alarmed_at_all": sum(fault.alarmed is not None for fault in faults) / len(faults),
        "median_s_after_start": float(np.median(after)) if after else None,
        "median_lead_s": float(np.median(leads)) if leads else None,
    }


def _false(accounts: list[Account]) -> dict[str, Any]:
    days = sum(account.seconds for account in accounts) * SECOND / (24 * HOUR)
    by_model: dict[str, int] = {}
    for account in accounts:
        for finding in account.false:
            by_model[finding.model] = by_model.get(finding.model, 0) + 1
    total = sum(by_model.values())
    escaped = sum(account.after_escape for account in accounts)
    counted = {"days": days, "false_above_blue": total, "per_day": total / days, "by_model": by_model}
    return counted | ({"about_neighbours_once_gas_escaped": escaped} if escaped else {})
