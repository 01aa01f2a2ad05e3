"""The facts the risk index is made from: what stands now of alarms, warnings, features and the registers.

Alarms come from the stream of events, everything of the registers is asked for every few seconds. What cannot be asked
for keeps its last known state, and health says so: risk is never lowered because somebody does not answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from anlan.core.actor import SYSTEM
from anlan.core.errors import AnlanError
from anlan.core.events import AlarmTransition, Event, WarningState
from anlan.core.health import Health
from anlan.core.time import SECOND, steady_us
from anlan.monitor.model import AlarmList, ListAlarms
from anlan.plant.model import Plant
from anlan.plant.registers.client import RegistersClient
from anlan.plant.registers.model import ListBypasses, ListWork
from anlan.store.fabric.client import Fabric
from anlan.warn.model import FeatureValue
from anlan.warn.risk.model import (
    ActiveAlarm,
    BarrierState,
    ExpiredCalibration,
    FeatureGrade,
    HeadCount,
    OpenWarning,
    RiskFacts,
    StandingBypass,
    WorkInProgress,
)
from anlan.warn.risk.weather import weather_of
from anlan.warn.warnings.record import Kept

PATIENCE = 20 * SECOND
"""How long somebody may be silent before health says so."""
_STANDING = ("unacknowledged", "acknowledged")


class Facts:
    """Facts of one node as they are now.

    Args:
        fabric: asks monitor and registers.
        health: says who does not answer.
    """

    def __init__(self, fabric: Fabric, health: Health) -> None:
        self._fabric = fabric
        self._health = health
        self._registers = RegistersClient(fabric)
        self.alarms: dict[str, ActiveAlarm] = {}
        self._alarms_known = False
        self._barriers: tuple[BarrierState, ...] = ()
        self._bypasses: tuple[StandingBypass, ...] = ()
        self._presence: tuple[HeadCount, ...] = ()
        self._work: tuple[WorkInProgress, ...] = ()
        self._silent: dict[str, int] = {}
        self._feature_since: dict[tuple[str, str], int] = {}

    def alarm(self, event: Event, transition: AlarmTransition, kind: str, path: str) -> None:
        """Take an alarm's transition."""
        # A shelved alarm is out of the operator's sight, not out of the plant: its condition still stands.
        held = transition.suppressed or transition.out_of_service
        if transition.state.value in _STANDING and not held:
            known = self.alarms.get(transition.alarm)
            since = known.since if known else event.time
            alarm = ActiveAlarm(transition.alarm, path, kind, transition.priority, since, transition.instance)
            self.alarms[transition.alarm] = alarm
        else:
            self.alarms.pop(transition.alarm, None)

    async def refresh(self) -> None:
        """Ask for what the registers hold, and once for the alarms that stood before this process began."""
        await self._ask("monitor", self._ask_alarms)
        await self._ask("registers", self._ask_registers)

    async def _ask(self, who: str, question: Callable[[], Awaitable[None]]) -> None:
        try:
            await question()
        except (AnlanError, OSError, TimeoutError) as error:
            since = self._silent.setdefault(who, steady_us())
            if steady_us() - since < PATIENCE:
                return  # parts start one after the other
            self._health.problems[f"facts.{who}"] = (
                f"风险计算缺少 {who} 的最新数据 / the risk index goes on without new facts of {who}: {error}"
            )
        else:
            self._silent.pop(who, None)
            self._health.problems.pop(f"facts.{who}", None)

    async def _ask_alarms(self) -> None:
        if self._alarms_known:
            return
        found = await self._fabric.call("monitor.alarms", ListAlarms("all"), SYSTEM, AlarmList)
        for row in found.rows:
            if row.active and not (row.suppressed or row.out_of_service) and row.alarm not in self.alarms:
                alarm = ActiveAlarm(row.alarm, row.path, row.kind, row.priority, row.raised, row.instance)
                self.alarms[row.alarm] = alarm
        self._alarms_known = True

    async def _ask_registers(self) -> None:
        barriers = await self._registers.barriers(SYSTEM)
        self._barriers = tuple(BarrierState(b.id, b.path, b.kind, b.state, b.since, b.name, b.event) for b in barriers)
        bypasses = await self._registers.bypasses(SYSTEM, ListBypasses(standing=True))
        self._bypasses = tuple(
            StandingBypass(b.id, b.path, b.approved, b.expires, b.safety)
            for b in bypasses
            if b.state in ("active", "expired")
        )
        works = await self._registers.works(SYSTEM, ListWork())
        self._work = tuple(
            WorkInProgress(w.id, w.path, w.kind, w.began or w.start, w.state == "overdue")
            for w in works
            if w.state in ("active", "overdue")
        )
        presence = await self._registers.presence(SYSTEM)
        self._presence = tuple(
            HeadCount(p.path, max(float(p.count or 0), float(p.working)), p.time)
            for p in presence
            if p.count is not None or p.working
        )

    def now(
        self,
        time: int,
        plant: Plant,
        kept: Iterable[Kept],
        features: Mapping[str, Iterable[FeatureValue]],
        last: Callable[[int], float | None],
        of_risk: Collection[str] = (),
    ) -> RiskFacts:
        """Return the facts of this moment.

        Args:
            time: µs UTC.
            plant: plant in force.
            kept: warnings there are.
            features: values of bound features by feature id.
            last: last good value of a point by number.
            of_risk: models that rest on the risk index: what they ask for must not raise the index again.
        """
        return RiskFacts(
            alarms=tuple(self.alarms.values()),
            warnings=_warnings(kept, of_risk),
            features=self._grades(time, features),
            barriers=self._barriers,
            bypasses=self._bypasses,
            calibrations=_expired(plant, time),
            presence=self._presence,
            work=self._work,
            weather=weather_of(plant, last, time),
        )

    def _grades(self, time: int, features: Mapping[str, Iterable[FeatureValue]]) -> tuple[FeatureGrade, ...]:
        found, since = [], {}
        for feature, values in features.items():
            for value in values:
                if value.grade is not None:
                    key = (feature, value.path)
                    since[key] = self._feature_since.get(key, time)
                    found.append(FeatureGrade(feature, value.path, int(value.grade), since[key], value.value))
        self._feature_since = since
        return tuple(found)


def _warnings(kept: Iterable[Kept], of_risk: Collection[str]) -> tuple[OpenWarning, ...]:
    """Return the warnings that raise the risk, each with the gravest grade that models of its own evidence ask for."""
    found = []
    for item in kept:
        row = item.row
        open_ = row.state in (WarningState.RAISED, WarningState.CONFIRMED)
        grades = [m.grade for m in item.members.values() if m.grade and m.model not in of_risk]
        if open_ and row.active and not row.shadow and not item.exercise and grades:
            found.append(OpenWarning(row.id, row.path, min(grades), row.raised, row.model, row.id))
    return tuple(found)


def _expired(plant: Plant, time: int) -> tuple[ExpiredCalibration, ...]:
    return tuple(
        ExpiredCalibration(point.path, point.calibration.expires, point.safety)
        for point in plant.points
        if point.calibration is not None and 0 < point.calibration.expires <= time
    )
