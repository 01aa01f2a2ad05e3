"""The alarm engine: a pure function of the log. It takes records in order and gives the events they make.

No clock, no I/O, no randomness: the same records give the same events with the same ids.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from anlan.core import ids, log
from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.errors import DecodeError
from anlan.core.events import (
    MAX_CAUSES,
    AlarmFlood,
    AlarmTransition,
    Event,
    EventType,
    sample_range,
)
from anlan.monitor import kernel
from anlan.monitor.compiled import CONNECTOR_KIND, Compiled, compile_plant, connector_alarm, quiet_points
from anlan.monitor.floods import FloodChange, Floods
from anlan.monitor.layout import (
    ALARM,
    COUNTERS,
    FOREVER,
    LONGEST_TICK,
    NEVER,
    OUT,
    POINT,
    Clock,
    State,
    fresh_state,
)
from anlan.monitor.machine import ARROWS, HOLDS, NEEDS_REASON, STATES, VERBS, Arrow, Hold
from anlan.monitor.machine_code import Out
from anlan.plant.model import Plant

STREAM = "LOG"
SNAPSHOT_VERSION = 1

_BY_DESIGN = Hold.SUPPRESSED | Hold.ENABLE | Hold.CONNECTOR
_MAKES_INSTANCE = (ARROWS.index(Arrow.RAISE), ARROWS.index(Arrow.REALARM))
_RINGS = (*_MAKES_INSTANCE, ARROWS.index(Arrow.ANNOUNCE))
_FROM_SAMPLES = (ARROWS.index(Arrow.RAISE), ARROWS.index(Arrow.CLEAR))
_HOLD_OF = {row.arrow: row for row in HOLDS if row.hold not in (Hold.ENABLE, Hold.CONNECTOR)}

REFUSALS = {
    "unknown": "没有这条报警 / there is no such alarm",
    "verb": "没有这种操作 / there is no such act",
    "instance": "报警实例已更新,请刷新后再确认 / the alarm has a newer instance",
    "nothing": "没有需要确认的报警 / there is nothing to acknowledge",
    "reset-active": "条件仍然成立,不能复位 / the condition still holds",
    "reset-unacknowledged": "请先确认再复位 / acknowledge it before the reset",
    "reset-nothing": "没有需要复位的报警 / there is nothing to reset",
    "set": "已处于该状态 / it already is",
    "not-set": "不处于该状态 / it is not",
    "reason": "必须填写原因 / a reason is needed",
    "until": "必须给出将来的搁置截止时间 / an end in the future is needed",
    "longest": "超过该优先级允许的最长搁置时间 / longer than this priority may be shelved",
}


class Outcome(NamedTuple):
    """What a command did: its events, or why it was refused (a key of ``REFUSALS``, empty when done)."""

    events: list[Event]
    refused: str


@dataclass
class _Act:
    """Who fired the arrows that are drained next."""

    who: str = ""
    comment: str = ""
    until: int = 0


_NOBODY = _Act()


class Engine:
    """Alarm engine of one node.

    Args:
        plant: the compiled plant; an empty one until the log names a revision.
        node: id of the node, part of every event id.
        revision: configuration revision of ``plant``.
    """

    def __init__(self, plant: Plant, node: str, revision: str = "") -> None:
        self.node = node
        self.compiled: Compiled = compile_plant(plant, revision)
        self.state: State = fresh_state(len(self.compiled.points), len(self.compiled.definitions))
        self.instances: list[str] = [""] * len(self.compiled.definitions)
        self.who: list[str] = [""] * len(self.compiled.definitions)
        self.comments: list[str] = [""] * len(self.compiled.definitions)
        self.connectors_down: set[str] = set()
        self.floods = Floods()
        self.sequence = 0
        self.time = 0
        self._events: list[Event] = []
        self._prepare()

    def _prepare(self) -> None:
        self.state.points["quiet"] = quiet_points(self.compiled.tables)
        kernel.bands(self.compiled.tables, self.state)
        self._out = Out(np.empty(self.compiled.most_out, OUT))

    @property
    def revision(self) -> str:
        """Configuration revision in force."""
        return self.compiled.revision

    @property
    def counters(self) -> dict[str, int]:
        """How many samples were taken, late, repeated, ahead of time, unmapped, too old to ring."""
        return {name: int(self.state.clock[cell]) for name, cell in COUNTERS.items()}

    # --- records of the log -------------------------------------------------------------------------------------

    def samples(self, batch: SampleBatch, header: BatchHeader, sequence: int) -> list[Event]:
        """Evaluate a batch in row order."""
        self._begin(sequence, header.received)
        policy = self.compiled.plant.policy
        point, time, value, quality = (_readonly(c) for c in (batch.point, batch.time, batch.value, batch.quality))
        at = 0
        while at < len(batch):
            at = kernel.samples(
                self.compiled.tables,
                self.state,
                self._out,
                point,
                time,
                value,
                quality,
                at,
                header.received,
                sequence,
                policy.max_age,
                policy.max_ahead,
            )
            self._drain(_NOBODY)
        return self._end()

    def tick(self, tick: log.Tick, sequence: int) -> list[Event]:
        """Let time pass: delays, stale points, shelvings and floods that end."""
        self._begin(sequence, tick.time)
        self._follow_clock(tick)
        tables, state = self.compiled.tables, self.state
        fires = _readonly(kernel.due(tables, state, tick.time))
        kernel.tick(tables, state, self._out, fires, tick.time, sequence)
        self._drain(_NOBODY)
        for change in self.floods.tick(tick.time):
            self._flood(change)
        return self._end()

    def _follow_clock(self, tick: log.Tick) -> None:
        """Move what waits along with a clock that was set forward: a delay lasts as long as it says."""
        last = int(self.state.clock[Clock.TICK])
        ahead = tick.time - last - tick.passed
        if tick.passed > 0 and last > NEVER and ahead > LONGEST_TICK:
            kernel.shift(self.state, -ahead)

    def command(self, command: log.Command, sequence: int) -> Outcome:
        """Do what a person asked, or say why not."""
        self._begin(sequence, command.time)
        refused = self.refusal(command)
        if not refused:
            d = self.compiled.index[command.alarm]
            hold = _HOLD_OF.get(Arrow(command.verb))
            kernel.act(
                self.compiled.tables,
                self.state,
                self._out,
                d,
                ARROWS.index(Arrow(command.verb)),
                int(hold.hold) if hold else 0,
                bool(hold and hold.sets),
                command.time,
                command.until if command.until else FOREVER,
            )
            self.who[d], self.comments[d] = command.actor.user, command.comment
            self._drain(_Act(command.actor.user, command.comment, command.until))
        return Outcome(self._end(), refused)

    def connector(self, record: log.ConnectorRecord, sequence: int) -> list[Event]:
        """Take the loss or return of a connector; a repeat changes nothing."""
        self._begin(sequence, record.time)
        if record.up:
            self.connectors_down.discard(record.connector)
        else:
            self.connectors_down.add(record.connector)
        self._connector(record.connector, record.up, record.time, record.reason)
        return self._end()

    def _connector(self, connector: str, up: bool, time: int, reason: str) -> None:
        d = self.compiled.index.get(connector_alarm(connector))
        if d is None or self.compiled.definitions[d].kind != CONNECTOR_KIND:
            return
        rows = _readonly(self.compiled.connector_points[connector])
        kernel.connector(self.compiled.tables, self.state, self._out, d, rows, up, time, self.sequence)
        if reason:
            self.comments[d] = reason
        self._drain(_Act(comment=reason))

    def config(self, plant: Plant, revision: str, time: int, sequence: int) -> list[Event]:
        """Put a configuration in force; alarms whose definition id stays keep their state, removed ones end."""
        self._begin(sequence, time)
        before, old = self.compiled, self.state
        after = compile_plant(plant, revision)
        remove = ARROWS.index(Arrow.REMOVE)
        for id_, d in before.index.items():
            alarm = old.alarms[d]
            if id_ not in after.index and (alarm["state"] or alarm["holds"]):
                kernel.act(before.tables, old, self._out, d, remove, 0, False, time, FOREVER)
                self._drain(_NOBODY)
        self._carry(before, old, after)
        for connector in sorted(self.connectors_down):
            self._connector(connector, False, time, "")
        self._reconsider(before, time)
        return self._end()

    def _carry(self, before: Compiled, old: State, after: Compiled) -> None:
        state = fresh_state(len(after.points), len(after.definitions))
        state.clock[:] = old.clock
        state.points["seen"] = old.clock[Clock.OBSERVED]
        known = {point.number: row for row, point in enumerate(before.points)}
        pairs = [(known[p.number], row) for row, p in enumerate(after.points) if p.number in known]
        _copy_rows(old.points, state.points, pairs)
        kept = [(before.index[id_], d) for id_, d in after.index.items() if id_ in before.index]
        _copy_rows(old.alarms, state.alarms, kept)
        _copy_rows(old.until, state.until, kept)
        texts = [self.instances, self.who, self.comments]
        for place, text in enumerate(texts):
            fresh = [""] * len(after.definitions)
            for source, target in kept:
                fresh[target] = text[source]
            texts[place] = fresh
        self.instances, self.who, self.comments = texts
        self.compiled, self.state = after, state
        self.connectors_down &= set(after.connector_points)
        self._prepare()

    def _reconsider(self, before: Compiled, time: int) -> None:
        """Evaluate what is new or changed on the last values, and free what waits for a connector no longer its own."""
        tables, state = self.compiled.tables, self.state
        waiting = {int(row) for name in self.connectors_down for row in self.compiled.connector_points[name]}
        for d, definition in enumerate(self.compiled.definitions):
            alarm = state.alarms[d]
            if alarm["holds"] & Hold.CONNECTOR and not alarm["release"] and tables.rules[d]["point"] not in waiting:
                kernel.free_connector(tables, state, self._out, d, time)
                self._drain(_NOBODY)
            old = before.index.get(definition.id)
            if old is None or before.definitions[old] != definition:
                kernel.reconsider(tables, state, self._out, d, time, self.sequence)
                self._drain(_NOBODY)

    # --- commands -----------------------------------------------------------------------------------------------

    def refusal(self, command: log.Command) -> str:
        """Return why a command cannot be done now (a key of ``REFUSALS``), or an empty text."""
        d = self.compiled.index.get(command.alarm)
        if d is None:
            return "unknown"
        if command.verb not in VERBS:
            return "verb"
        if command.verb in NEEDS_REASON and not command.comment.strip():
            return "reason"
        hold = _HOLD_OF.get(Arrow(command.verb))
        if hold is None:
            return self._state_refusal(command, d)
        is_set = bool(self.state.alarms[d]["holds"] & hold.hold)
        if is_set == hold.sets:
            return "set" if is_set else "not-set"
        if command.verb == Arrow.SHELVE:
            longest = self.compiled.plant.policy.shelve_longest[self.compiled.definitions[d].priority - 1]
            if command.until <= command.time:
                return "until"
            if command.until > command.time + longest:
                return "longest"
        return ""

    def _state_refusal(self, command: log.Command, d: int) -> str:
        state = int(self.state.alarms[d]["state"])
        possible = self.compiled.tables.machine[ARROWS.index(Arrow(command.verb)), 0, state] >= 0
        if command.verb == Arrow.ACKNOWLEDGE:
            if not possible:
                return "nothing"
            return "" if command.instance == self.instances[d] else "instance"
        if possible:
            return ""
        name = STATES[state].value
        if name in ("unacknowledged", "acknowledged"):
            return "reset-active"
        return "reset-unacknowledged" if name.startswith("latched") else "reset-nothing"

    # --- events -------------------------------------------------------------------------------------------------

    def _begin(self, sequence: int, time: int) -> None:
        self.sequence = sequence
        self.time = max(self.time, time)
        self.state.clock[Clock.OUT] = 0
        self._events = []

    def _end(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _id(self, time: int) -> str:
        return ids.ulid_of(time, self.node, STREAM, self.sequence, len(self._events))

    def _drain(self, act: _Act) -> None:
        """Turn the transitions the kernel wrote into events."""
        count = int(self.state.clock[Clock.OUT])
        if count == 0:
            return
        self.state.clock[Clock.OUT] = 0
        for record in self._out[:count].tolist():
            self._event(_Record(*record), act)

    def _event(self, record: _Record, act: _Act) -> None:
        d = record.definition
        definition = self.compiled.definitions[d]
        id_ = self._id(record.time)
        previous = self.instances[d]
        makes_instance = record.arrow in _MAKES_INSTANCE
        if makes_instance:
            self.instances[d] = id_
        shelves = ARROWS[record.arrow] == Arrow.SHELVE
        payload = AlarmTransition(
            alarm=definition.id,
            instance=self.instances[d],
            arrow=ARROWS[record.arrow].value,
            state=STATES[record.after],
            before=STATES[record.before],
            point=definition.point,
            priority=definition.priority,
            shelved=bool(record.holds & Hold.SHELVED),
            suppressed=bool(record.holds & _BY_DESIGN),
            out_of_service=bool(record.holds & Hold.OUT_OF_SERVICE),
            covered=bool(record.covered),
            rung=bool(record.rung),
            value=record.value if record.value == record.value else None,
            limit=definition.limit,
            quality=record.quality,
            who=act.who if ARROWS[record.arrow] in VERBS else "",
            comment=act.comment,
            until=act.until if shelves else 0,
            revision=self.compiled.revision,
            sequence=self.sequence,
        )
        event = Event(
            id=id_,
            type=EventType.ALARM.value,
            source=self.node,
            time=record.time,
            subject=definition.id,
            causes=self._causes(record, "" if record.arrow == _MAKES_INSTANCE[0] else previous),
            data=msgspec.to_builtins(payload),
        )
        self._events.append(event)
        if record.rung and record.arrow in _RINGS:
            self._rang(d, event)

    def _causes(self, record: _Record, instance: str) -> tuple[str, ...]:
        causes = [instance] if instance else []
        if record.arrow in _FROM_SAMPLES and record.last > 0:
            for number in self._looked_at(record.definition):
                if len(causes) < MAX_CAUSES:
                    causes.append(
                        sample_range(
                            self.node, number, record.onset, record.last, record.first_sequence, record.last_sequence
                        )
                    )
        return tuple(causes)

    def _looked_at(self, d: int) -> tuple[int, ...]:
        """Numbers of the points whose samples a definition goes by."""
        definition = self.compiled.definitions[d]
        if definition.kind == "vote":
            return definition.inputs
        if definition.kind == "deviation":
            return (definition.point, definition.other)
        if definition.kind == "expression":
            rule = self.compiled.tables.rules[d]
            code = self.compiled.tables.code[rule["code_first"] : rule["code_end"]]
            rows = dict.fromkeys(int(row) for op, row in code if op == 0 and row >= 0)
            return tuple(self.compiled.points[row].number for row in rows)
        return () if definition.kind in ("stale", CONNECTOR_KIND) else (definition.point,)

    def _rang(self, d: int, event: Event) -> None:
        position = int(self.compiled.positions[d])
        name = self.compiled.position_ids[position] if position >= 0 else ""
        change = self.floods.rang(name, event.time, event.id)
        if change is not None:
            self._flood(change)

    def _flood(self, change: FloodChange) -> None:
        payload = AlarmFlood(
            position=change.position,
            state="begin" if change.begins else "end",
            began=change.began,
            alarms=change.alarms,
        )
        self._events.append(
            Event(
                id=self._id(change.time),
                type=EventType.FLOOD.value,
                source=self.node,
                time=change.time,
                subject=f"positions/{change.position}" if change.position else "positions",
                causes=change.causes,
                data=msgspec.to_builtins(payload),
            )
        )

    # --- state --------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return a copy of the state; writing it out may take its time."""
        return Snapshot(
            version=SNAPSHOT_VERSION,
            node=self.node,
            revision=self.revision,
            sequence=self.sequence,
            time=self.time,
            numbers=[point.number for point in self.compiled.points],
            definitions=[definition.id for definition in self.compiled.definitions],
            layout=_LAYOUT,
            arrays={name: array.tobytes() for name, array in self.state._asdict().items() if name in _STORED},
            instances=list(self.instances),
            who=list(self.who),
            comments=list(self.comments),
            connectors_down=sorted(self.connectors_down),
            floods=self.floods.dump(),
        )

    @staticmethod
    def restore(plant: Plant, snapshot: Snapshot) -> Engine:
        """Return the engine that ``snapshot`` was taken of.

        Raises:
            DecodeError: taken by another version or with another plant.
        """
        engine = Engine(plant, snapshot.node, snapshot.revision)
        same = (
            snapshot.version == SNAPSHOT_VERSION
            and snapshot.layout == _LAYOUT
            and snapshot.numbers == [point.number for point in engine.compiled.points]
            and snapshot.definitions == [definition.id for definition in engine.compiled.definitions]
        )
        if not same:
            raise DecodeError("the snapshot does not fit this version or plant", where=snapshot.revision)
        for name in _STORED:
            array = getattr(engine.state, name)
            array[:] = np.frombuffer(snapshot.arrays[name], array.dtype)
        engine.instances, engine.who, engine.comments = snapshot.instances, snapshot.who, snapshot.comments
        engine.connectors_down = set(snapshot.connectors_down)
        engine.floods.load(snapshot.floods)
        engine.sequence, engine.time = snapshot.sequence, snapshot.time
        engine._prepare()
        return engine

    def copy(self) -> Engine:
        """Return an engine of its own in the same state, to try something on."""
        twin = object.__new__(Engine)
        twin.__dict__.update(self.__dict__)
        twin.state = self.state.copy()
        twin.instances, twin.who, twin.comments = list(self.instances), list(self.who), list(self.comments)
        twin.connectors_down = set(self.connectors_down)
        twin.floods = Floods()
        twin.floods.load(self.floods.dump())
        twin._out = Out(np.empty(len(self._out), OUT))
        twin._events = []
        return twin


_STORED = ("points", "alarms", "until", "clock")
_LAYOUT = hashlib.sha256(repr((POINT.descr, ALARM.descr, STATES, list(Hold), list(Clock))).encode()).hexdigest()[:16]


class Snapshot(msgspec.Struct):
    """The state of an engine after the record ``sequence`` of the log; ``events`` is the mark in the event log."""

    version: int
    node: str
    revision: str
    sequence: int
    time: int
    numbers: list[int]
    definitions: list[str]
    layout: str
    arrays: dict[str, bytes]
    instances: list[str]
    who: list[str]
    comments: list[str]
    connectors_down: list[str]
    floods: bytes
    events: int = 0


class _Record(NamedTuple):
    """A row of ``layout.OUT``."""

    definition: int
    arrow: int
    before: int
    after: int
    holds: int
    covered: int
    rung: int
    quality: int
    time: int
    value: float
    onset: int
    last: int
    first_sequence: int
    last_sequence: int


def _readonly(column: NDArray[Any]) -> NDArray[Any]:
    """One type of array for the kernel, whether it came zero-copy out of a message or not."""
    view = column.view() if column.flags.c_contiguous and column.flags.aligned else column.copy()
    view.flags.writeable = False
    return view


def _copy_rows(source: NDArray[Any], target: NDArray[Any], pairs: list[tuple[int, int]]) -> None:
    if pairs:
        rows = np.array(pairs, np.intp)
        target[rows[:, 1]] = source[rows[:, 0]]
