"""What the alarm service answers: lists of alarms, acts on them, last values, its own state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from anlan.core import log
from anlan.core.actor import Actor, Permission
from anlan.core.batch import BatchHeader, SampleBatch, encode
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.core.ids import new_ulid
from anlan.core.quality import Quality
from anlan.core.time import now_us
from anlan.monitor.engine import REFUSALS, Engine
from anlan.monitor.layout import FOREVER, NEVER, Clock, Kind
from anlan.monitor.machine import NEEDS_REASON, STATES, VERBS, Hold
from anlan.monitor.model import Act, ActResult, AlarmList, AlarmRow, ListAlarms

GROUP = "group:"
VIEWS = ("standing", "shelved", "suppressed", "out-of-service", "all")
MOST_ALARMS = 10_000

_SHOWN_BY_POINT = (Kind.UP, Kind.DOWN, Kind.STATE)
_BY_DESIGN = int(Hold.SUPPRESSED | Hold.ENABLE | Hold.CONNECTOR)


def _picked(engine: Engine, view: str) -> NDArray[np.intp]:
    state, holds = engine.state.alarms["state"], engine.state.alarms["holds"]
    masks = {
        "standing": (state != 0) & (holds == 0),
        "shelved": (holds & int(Hold.SHELVED)) != 0,
        "suppressed": (holds & _BY_DESIGN) != 0,
        "out-of-service": (holds & int(Hold.OUT_OF_SERVICE)) != 0,
        "all": np.ones(len(state), bool),
    }
    if view not in masks:
        raise InvalidInputError(f"{view!r} is no view", where="view", fix=f"one of {', '.join(VIEWS)}")
    return np.flatnonzero(masks[view])


def list_alarms(engine: Engine, request: ListAlarms, actor: Actor) -> AlarmList:
    """Return the alarms of a view that the actor may see."""
    scope = request.scope
    if scope:
        actor.require(Permission.VIEW, scope)
    rows = []
    for d in _picked(engine, request.view):
        place = engine.compiled.places[d]
        inside = not scope or place == scope or place.startswith(scope + "/")
        if inside and actor.sees(place):
            rows.append(_row(engine, int(d)))
    rows.sort(key=lambda row: (not row.active, row.priority, row.acknowledged, -row.raised, row.alarm))
    counted = [row for row in rows if not (row.shelved or row.suppressed or row.out_of_service or row.covered)]
    active = [row.priority for row in counted if row.active]
    return AlarmList(
        rows=tuple(rows),
        unacknowledged=sum(not row.acknowledged for row in counted),
        active_by_priority=(active.count(1), active.count(2), active.count(3), active.count(4)),
        sequence=engine.sequence,
        time=engine.time,
    )


def _row(engine: Engine, d: int) -> AlarmRow:
    definition = engine.compiled.definitions[d]
    alarm = engine.state.alarms[d]
    row = int(engine.compiled.tables.rules[d]["point"])
    value = float(alarm["value"])
    if engine.compiled.tables.rules[d]["kind"] in _SHOWN_BY_POINT and row >= 0:
        value = float(engine.state.points[row]["value"])
    name, name_en = engine.compiled.names[d]
    state = STATES[int(alarm["state"])]
    holds = int(alarm["holds"])
    until = int(engine.state.until[d])
    return AlarmRow(
        alarm=definition.id,
        instance=engine.instances[d],
        point=definition.point,
        path=engine.compiled.paths[d],
        kind=definition.kind,
        state=state,
        priority=definition.priority,
        active=state.value in ("unacknowledged", "acknowledged"),
        acknowledged="unacknowledged" not in state.value,
        shelved=bool(holds & Hold.SHELVED),
        suppressed=bool(holds & _BY_DESIGN),
        out_of_service=bool(holds & Hold.OUT_OF_SERVICE),
        covered=bool(alarm["covered"]),
        latched=definition.latched,
        raised=int(alarm["raised"]),
        changed=int(alarm["changed"]),
        shelved_until=until if until != FOREVER else 0,
        value=value if np.isfinite(value) else None,
        limit=definition.limit,
        unit=engine.compiled.points[row].unit if row >= 0 else "",
        name=name,
        name_en=name_en,
        group=definition.group,
        who=engine.who[d],
        comment=engine.comments[d],
        cause=definition.cause,
        consequence=definition.consequence,
        action=definition.action,
        time_to_act=definition.time_to_act,
        operator_position=definition.operator_position or _position(engine, d),
        safety=definition.safety,
    )


def _position(engine: Engine, d: int) -> str:
    position = int(engine.compiled.positions[d])
    return engine.compiled.position_ids[position] if position >= 0 else ""


def last_values(engine: Engine) -> SampleBatch:
    """Return the newest value of every point that was ever seen; a stale one says so in its quality."""
    points = engine.state.points
    rows = np.flatnonzero(points["time"] > NEVER)
    numbers = np.array([point.number for point in engine.compiled.points], np.int32)
    after = np.array([point.stale_after for point in engine.compiled.points], np.int64)
    age = engine.state.clock[Clock.OBSERVED] - points["seen"]
    quality = points["quality"].copy()
    quality[(after > 0) & (age >= after) & (quality < 0x80)] = Quality.BAD_STALE
    return SampleBatch(numbers[rows], points["time"][rows], points["value"][rows], quality[rows])


def visible_values(engine: Engine, scope: str, actor: Actor) -> bytes:
    """Return the last values of the points in ``scope`` that the actor may see, as a batch message."""
    if scope:
        actor.require(Permission.VIEW, scope)
    batch = last_values(engine)
    sees: dict[str, bool] = {}

    def visible(path: str) -> bool:
        unit = path.rpartition("/")[0]
        if unit not in sees:
            sees[unit] = actor.sees(unit)
        inside = not scope or path == scope or path.startswith(scope + "/")
        return inside and (sees[unit] or actor.sees(path))

    wanted = {point.number for point in engine.compiled.points if visible(point.path)}
    mask = np.array([int(number) in wanted for number in batch.point], bool)
    header = BatchHeader(node=engine.node, received=engine.time, revision=engine.revision)
    return encode(batch.take(mask), header)


class ActDesk:
    """Takes people's acts: checks permission, writes commands to the log, waits until the engine has done them.

    Args:
        engine: returns the engine of this moment.
        submit: appends a command to the log and returns why the engine refused it, empty when done.
    """

    def __init__(self, engine: Callable[[], Engine], submit: Callable[[log.Command], Awaitable[str]]) -> None:
        self._engine = engine
        self._submit = submit

    async def act(self, request: Act, actor: Actor) -> ActResult:
        """Do one verb on alarms, or on the alarms of ``group:NAME``; answers for each alarm by itself."""
        if request.verb not in VERBS:
            raise InvalidInputError(f"{request.verb!r} is no act", where="verb", fix=f"one of {', '.join(VERBS)}")
        if request.verb in NEEDS_REASON and not request.comment.strip():
            raise InvalidInputError(REFUSALS["reason"], where="comment")
        if request.instances and len(request.instances) != len(request.alarms):
            raise InvalidInputError("instances do not line up with alarms", where="instances", fix="one each")
        done: list[str] = []
        refused: dict[str, str] = {}
        for alarm, instance in self._expand(request):
            reason = await self._one(request, actor, alarm, instance)
            if reason:
                refused[alarm] = reason
            else:
                done.append(alarm)
        return ActResult(tuple(done), refused)

    def _expand(self, request: Act) -> list[tuple[str, str]]:
        engine = self._engine()
        wanted: dict[str, str] = {}
        instances = request.instances or ("",) * len(request.alarms)
        for alarm, instance in zip(request.alarms, instances, strict=True):
            if alarm.startswith(GROUP):
                name = alarm[len(GROUP) :]
                members = [d.id for d in engine.compiled.definitions if d.group == name]
                wanted |= {id_: engine.instances[engine.compiled.index[id_]] for id_ in members}
            else:
                wanted[alarm] = instance
        if len(wanted) > MOST_ALARMS:
            raise InvalidInputError(f"{len(wanted)} alarms at once", where="alarms", fix=f"at most {MOST_ALARMS}")
        return list(wanted.items())

    async def _one(self, request: Act, actor: Actor, alarm: str, instance: str) -> str:
        engine = self._engine()
        d = engine.compiled.index.get(alarm)
        if d is None:
            return REFUSALS["unknown"]
        try:
            actor.require(VERBS[request.verb], engine.compiled.places[d])
        except AnlanError as error:
            return REFUSALS["unknown"] if error.code == "not-found" else f"没有权限 / {error.message}"
        time = now_us()
        command = log.Command(
            id=new_ulid(time),
            time=time,
            verb=request.verb,
            alarm=alarm,
            actor=actor,
            instance=instance,
            comment=request.comment,
            until=request.until,
        )
        refused = engine.refusal(command) or await self._submit(command)
        return REFUSALS.get(refused, refused)
