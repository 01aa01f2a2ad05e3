"""The compiled alarm kernel: arrays in, transitions out.

Rules (``reference.py`` says the same in plain Python, and tests hold one to the other):

- A sample is evaluated only if its source time is newer than its point's newest; of equal times the later in the log
  becomes the last value. A source time further ahead of the receipt than the policy allows counts as bad quality.
- An unknown input (bad, NaN) never raises, never clears, and pauses a pending delay; a paused on-delay fires at the
  first known sample that still meets the condition, if its time is up.
- A value holds until the next sample: a sample at or after onset + delay fires a pending delay at exactly that time
  before it is itself evaluated, so ticks only make it sooner, never different. An unknown sample fires no clear.
- ``[low, high]`` of a point is the band in which a good value can change nothing: most samples cost one comparison
  however many definitions the point has.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from anlan.core.events import AlarmState
from anlan.core.quality import Quality
from anlan.monitor.conditions import condition, is_active, run, truth_of
from anlan.monitor.layout import (
    FOREVER,
    LONGEST_TICK,
    NEVER,
    PENDING_OFF,
    PENDING_ON,
    ROLE_CONDITION,
    ROLE_ENABLE,
    Clock,
    Kind,
    State,
    Tables,
)
from anlan.monitor.machine import ARROWS, STATES, Arrow, GuardIndex, Hold
from anlan.monitor.machine_code import Out, allocating, compiled, inlined

LAYOUT = "93c4acb8dc2528bc"
"""Fingerprint of the constants and helpers compiled in below: changing it makes the cached machine code stale."""

_UNACK = STATES.index(AlarmState.UNACKNOWLEDGED)
_ACK = STATES.index(AlarmState.ACKNOWLEDGED)
_LATCHED_UNACK = STATES.index(AlarmState.LATCHED_UNACKNOWLEDGED)
_LATCHED_ACK = STATES.index(AlarmState.LATCHED_ACKNOWLEDGED)
_NORMAL = STATES.index(AlarmState.NORMAL)

_RAISE, _CLEAR = ARROWS.index(Arrow.RAISE), ARROWS.index(Arrow.CLEAR)
_REALARM, _ANNOUNCE = ARROWS.index(Arrow.REALARM), ARROWS.index(Arrow.ANNOUNCE)
_COVER, _UNCOVER = ARROWS.index(Arrow.COVER), ARROWS.index(Arrow.UNCOVER)
_EXPIRE, _REMOVE = ARROWS.index(Arrow.EXPIRE), ARROWS.index(Arrow.REMOVE)
_HELD_BY_DESIGN = ARROWS.index(Arrow.SUPPRESS_BY_DESIGN)
_FREED_BY_DESIGN = ARROWS.index(Arrow.UNSUPPRESS_BY_DESIGN)

_SHELVED, _ENABLE, _CONNECTOR = int(Hold.SHELVED), int(Hold.ENABLE), int(Hold.CONNECTOR)
_GUARD_RANG, _GUARD_NEVER, _GUARD_LATCHED = (
    int(g) for g in (GuardIndex.RANG, GuardIndex.NEVER_RANG, GuardIndex.LATCHED)
)

_UP, _DOWN, _RATE, _DEVIATION = int(Kind.UP), int(Kind.DOWN), int(Kind.RATE), int(Kind.DEVIATION)
_STATE, _STALE, _BAD, _VOTE = int(Kind.STATE), int(Kind.STALE), int(Kind.BAD), int(Kind.VOTE)
_EXPRESSION = int(Kind.EXPRESSION)

_OBSERVED, _TICK, _OUT, _TOUCHED = int(Clock.OBSERVED), int(Clock.TICK), int(Clock.OUT), int(Clock.TOUCHED)
_SAMPLES, _LATE, _REPEATED = int(Clock.SAMPLES), int(Clock.LATE), int(Clock.REPEATED)
_FUTURE, _UNMAPPED, _AGED = int(Clock.FUTURE), int(Clock.UNMAPPED), int(Clock.AGED)

_BAD_CLOCK, _NOT_A_NUMBER = int(Quality.BAD_CLOCK), int(Quality.BAD_NOT_A_NUMBER)


@compiled
def _covered(tables: Tables, state: State, d: int) -> bool:
    rule = tables.rules[d]
    for at in range(rule.by_first, rule.by_end):
        other = int(tables.pool[at])
        if is_active(state, other) and state.alarms[other].holds == 0:
            return True
    return False


@inlined
def _touch(state: State, d: int) -> None:
    alarm = state.alarms[d]
    if alarm.touched == 0:
        alarm.touched = 1
        state.touched[state.clock[_TOUCHED]] = d
        state.clock[_TOUCHED] += 1


@compiled
def _emit(
    tables: Tables, state: State, out: Out, d: int, arrow: int, time: int, value: float, quality: int, rung: bool
) -> None:
    """Write a transition out, moving the state along the table."""
    alarm = state.alarms[d]
    before = alarm.state
    guard = _GUARD_LATCHED if tables.rules[d].latched else (_GUARD_RANG if alarm.rang else _GUARD_NEVER)
    after = tables.machine[arrow, guard, before]
    if after < 0:
        return
    if arrow in (_RAISE, _REALARM, _ANNOUNCE):
        alarm.rang = 1 if rung else 0
    if arrow in (_RAISE, _REALARM):
        alarm.raised = time
    alarm.state = after
    alarm.changed = time
    record = out[state.clock[_OUT]]
    record.definition = d
    record.arrow = arrow
    record.before = before
    record.after = after
    record.holds = alarm.holds
    record.covered = alarm.covered
    record.rung = 1 if rung else 0
    record.quality = quality
    record.time = time
    record.value = value
    record.onset = alarm.onset
    record.last = alarm.last
    record.first_sequence = alarm.first_sequence
    record.last_sequence = alarm.last_sequence
    state.clock[_OUT] += 1
    _touch(state, d)


@compiled
def _tell(tables: Tables, state: State, out: Out, d: int, arrow: int, time: int, rung: bool) -> None:
    """Emit an arrow that no sample fired, with the newest value."""
    alarm = state.alarms[d]
    rule = tables.rules[d]
    value = float(alarm.value)
    quality = int(alarm.quality)
    if rule.kind == _UP or rule.kind == _DOWN:
        # Inside the quiet band the alarm's own value is not kept up.
        value = float(state.points[rule.point].value)
        quality = int(state.points[rule.point].quality)
    _emit(tables, state, out, d, arrow, time, value, quality, rung)


@compiled
def _raise(tables: Tables, state: State, out: Out, d: int, time: int) -> None:
    alarm = state.alarms[d]
    alarm.pending = 0
    alarm.paused = 0
    state.timers[d] = FOREVER
    alarm.covered = 1 if _covered(tables, state, d) else 0
    rung = alarm.holds == 0 and alarm.covered == 0 and alarm.aged == 0
    _emit(tables, state, out, d, _RAISE, time, float(alarm.value), int(alarm.quality), rung)


@compiled
def _clear(tables: Tables, state: State, out: Out, d: int, time: int) -> None:
    alarm = state.alarms[d]
    alarm.pending = 0
    alarm.paused = 0
    state.timers[d] = FOREVER
    alarm.covered = 0
    rung = alarm.holds == 0 and alarm.aged == 0
    _emit(tables, state, out, d, _CLEAR, time, float(alarm.value), int(alarm.quality), rung)


@compiled
def _announce(tables: Tables, state: State, out: Out, d: int, time: int) -> None:
    """Ring an instance that stands without having rung, once nothing speaks against it."""
    alarm = state.alarms[d]
    silent = alarm.state == _UNACK and alarm.rang == 0
    if silent and alarm.holds == 0 and alarm.covered == 0 and alarm.aged == 0:
        _tell(tables, state, out, d, _ANNOUNCE, time, True)


@compiled
def _freed(tables: Tables, state: State, out: Out, d: int, time: int) -> None:
    """Alarm anew when the last hold was lifted and the alarm stands or is latched."""
    alarm = state.alarms[d]
    latched = alarm.state == _LATCHED_UNACK or alarm.state == _LATCHED_ACK
    if alarm.holds == 0 and (latched or is_active(state, d)):
        alarm.covered = 1 if not latched and _covered(tables, state, d) else 0
        _tell(tables, state, out, d, _REALARM, time, alarm.covered == 0)


@inlined
def _begin(tables: Tables, state: State, d: int, which: int, time: int, received: int, sequence: int) -> None:
    alarm = state.alarms[d]
    alarm.pending = which
    alarm.paused = 0
    alarm.onset = time
    alarm.received = received
    alarm.first_sequence = sequence


@inlined
def _delay(tables: Tables, state: State, d: int) -> int:
    if state.alarms[d].pending == PENDING_ON:
        return int(tables.rules[d].on_delay)
    return int(tables.rules[d].off_delay)


@inlined
def _pend(tables: Tables, state: State, out: Out, d: int, which: int, time: int, received: int, sequence: int) -> None:
    """Begin or go on with a pending change; fire it when its delay is over."""
    alarm = state.alarms[d]
    if alarm.pending != which:
        _begin(tables, state, d, which, time, received, sequence)
    alarm.paused = 0
    delay = _delay(tables, state, d)
    if time >= alarm.onset + delay:
        if which == PENDING_ON:
            _raise(tables, state, out, d, time)
        else:
            _clear(tables, state, out, d, time)
    else:
        state.timers[d] = alarm.received + delay


@inlined
def _step(
    tables: Tables,
    state: State,
    out: Out,
    d: int,
    truth: int,
    value: float,
    quality: int,
    time: int,
    received: int,
    sequence: int,
    aged: bool,
) -> None:
    """Take the condition of definition ``d`` (1 true, 0 false, -1 unknown) at ``time``."""
    alarm = state.alarms[d]
    if tables.rules[d].multi and time < alarm.clock:
        time = alarm.clock
    if alarm.pending != 0 and alarm.paused == 0:
        due = alarm.onset + _delay(tables, state, d)
        if time >= due:
            if alarm.pending == PENDING_ON:
                _raise(tables, state, out, d, due)
            elif truth != -1:
                _clear(tables, state, out, d, due)
    alarm.clock = time
    alarm.aged = 1 if aged else 0
    if truth == -1:
        if alarm.pending != 0:
            alarm.paused = 1
            state.timers[d] = FOREVER
        return
    alarm.value = value
    alarm.quality = quality
    alarm.last = time
    alarm.last_sequence = sequence
    active = is_active(state, d)
    if (truth == 1) == active:
        alarm.pending = 0
        alarm.paused = 0
        state.timers[d] = FOREVER
        if active and alarm.rang == 0:
            _announce(tables, state, out, d, time)
    elif truth == 1:
        _pend(tables, state, out, d, PENDING_ON, time, received, sequence)
    else:
        _pend(tables, state, out, d, PENDING_OFF, time, received, sequence)


@inlined
def _band(tables: Tables, state: State, row: int) -> None:
    """Compute the values between which the point's definitions cannot change."""
    point = state.points[row]
    low = -math.inf
    high = math.inf
    quiet = point.quiet == 1
    for at in range(tables.entry_first[row], tables.entry_first[row + 1]):
        if not quiet:
            break
        d = int(tables.entries[at, 0])
        alarm = state.alarms[d]
        rule = tables.rules[d]
        active = is_active(state, d)
        silent = alarm.state == _UNACK and alarm.rang == 0 and alarm.holds == 0 and alarm.covered == 0
        restless = alarm.pending != 0 or alarm.release != 0 or silent
        if restless or (active and (rule.kind >= _STALE or alarm.aged != 0)):
            quiet = False
        elif rule.kind == _UP:
            if active:
                low = max(low, rule.limit - rule.deadband)
            else:
                high = min(high, np.nextafter(rule.limit, -math.inf))
        elif rule.kind == _DOWN:
            if active:
                high = min(high, rule.limit + rule.deadband)
            else:
                low = max(low, np.nextafter(rule.limit, math.inf))
    point.low = low if quiet else math.inf
    point.high = high if quiet else -math.inf


@compiled
def _band_of(tables: Tables, state: State, d: int) -> None:
    row = int(tables.rules[d].point)
    if row >= 0:
        _band(tables, state, row)


@compiled
def _cover(tables: Tables, state: State, out: Out, d: int, time: int) -> None:
    if not is_active(state, d):
        return
    alarm = state.alarms[d]
    covered = 1 if _covered(tables, state, d) else 0
    if covered == alarm.covered:
        return
    alarm.covered = covered
    _tell(tables, state, out, d, _COVER if covered else _UNCOVER, time, False)
    _announce(tables, state, out, d, time)
    _band_of(tables, state, d)


@compiled
def _settle(tables: Tables, state: State, out: Out) -> None:
    """After something changed: who is covered now, and the bands of the points concerned."""
    for at in range(state.clock[_TOUCHED]):
        d = state.touched[at]
        state.alarms[d].touched = 0
    count = state.clock[_TOUCHED]
    for at in range(count):
        d = int(state.touched[at])
        rule = tables.rules[d]
        for place in range(rule.over_first, rule.over_end):
            _cover(tables, state, out, int(tables.pool[place]), int(state.alarms[d].changed))
    # What _cover emitted touched covered definitions; they cover nothing more because of it.
    for at in range(count):
        _band_of(tables, state, int(state.touched[at]))
    for at in range(state.clock[_TOUCHED]):
        state.alarms[state.touched[at]].touched = 0
    state.clock[_TOUCHED] = 0


@compiled
def _hold(tables: Tables, state: State, out: Out, d: int, hold: int, arrow: int, time: int, quiet: bool) -> None:
    """Set or lift a hold by design; with ``quiet`` nothing is said of an alarm that is normal."""
    alarm = state.alarms[d]
    if arrow == _HELD_BY_DESIGN:
        if alarm.holds & hold:
            return
        alarm.holds |= hold
    else:
        if not alarm.holds & hold:
            return
        alarm.holds &= ~hold
    if not quiet or alarm.state != _NORMAL:
        _tell(tables, state, out, d, arrow, time, False)
    if arrow == _FREED_BY_DESIGN:
        _freed(tables, state, out, d, time)


@compiled
def _evaluate(
    tables: Tables, state: State, out: Out, row: int, time: int, received: int, sequence: int, aged: bool
) -> None:
    """Evaluate every definition that looks at the point of ``row``, whose newest sample is in place."""
    quality = int(state.points[row].quality)
    known = quality < 0x80
    for at in range(tables.entry_first[row], tables.entry_first[row + 1]):
        d = int(tables.entries[at, 0])
        roles = tables.entries[at, 1]
        rule = tables.rules[d]
        enabled = -1
        if roles & ROLE_ENABLE:
            enabled = truth_of(run(tables, state, rule.enable_first, rule.enable_end))
            if enabled == 0:
                _hold(tables, state, out, d, _ENABLE, _HELD_BY_DESIGN, time, False)
        if roles & ROLE_CONDITION:
            if rule.kind == _STALE:
                if not aged and (is_active(state, d) or state.alarms[d].pending != 0):
                    _step(tables, state, out, d, 0, math.nan, quality, time, received, sequence, False)
            else:
                truth, value = condition(tables, state, d, time, known)
                _step(tables, state, out, d, truth, value, quality, time, received, sequence, aged)
            if state.alarms[d].release:
                state.alarms[d].release = 0
                _hold(tables, state, out, d, _CONNECTOR, _FREED_BY_DESIGN, time, True)
        if enabled == 1:
            _hold(tables, state, out, d, _ENABLE, _FREED_BY_DESIGN, time, False)
    if state.clock[_TOUCHED] > 0:
        _settle(tables, state, out)
    if state.points[row].quiet != 0:
        _band(tables, state, row)


@inlined
def _take(
    tables: Tables,
    state: State,
    out: Out,
    row: int,
    time: int,
    value: float,
    quality: int,
    received: int,
    sequence: int,
    max_age: int,
    max_ahead: int,
) -> None:
    """Take one sample that is not inside its point's quiet band."""
    point = state.points[row]
    if time > received + max_ahead:
        state.clock[_FUTURE] += 1
        point.quality = _BAD_CLOCK
        point.seen = state.clock[_OBSERVED]
        _evaluate(tables, state, out, row, received, received, sequence, False)
        return
    if quality < 0x80 and not math.isfinite(value):
        quality = _NOT_A_NUMBER
    if time <= point.time or time < 0:
        if time == point.time:
            state.clock[_REPEATED] += 1
            point.value = value
            point.quality = quality
            if quality < 0x80 and point.good_time == time:
                point.good_value = value
        else:
            state.clock[_LATE] += 1
        return
    aged = time < received - max_age
    if aged:
        state.clock[_AGED] += 1
    else:
        point.seen = state.clock[_OBSERVED]
    point.time = time
    point.value = value
    point.quality = quality
    _evaluate(tables, state, out, row, time, received, sequence, aged)
    if quality < 0x80:
        point.good_time = time
        point.good_value = value


@compiled
def samples(
    tables: Tables,
    state: State,
    out: Out,
    point: NDArray[np.int32],
    time: NDArray[np.int64],
    value: NDArray[np.float64],
    quality: NDArray[np.uint8],
    start: int,
    received: int,
    sequence: int,
    max_age: int,
    max_ahead: int,
) -> int:
    """Evaluate a batch from row ``start`` on; return the row it stopped at because ``out`` is full, or the length.

    ``state.clock[Clock.OUT]`` says how many transitions stand in ``out``.
    """
    rows = len(tables.row_of)
    oldest = received - max_age
    newest = received + max_ahead
    observed = state.clock[_OBSERVED]
    capacity = len(out)
    for at in range(start, len(point)):
        number = int(point[at])
        row = int(tables.row_of[number]) if 0 <= number < rows else -1
        if row < 0:
            state.clock[_UNMAPPED] += 1
            continue
        record = state.points[row]
        moment = int(time[at])
        measured = float(value[at])
        if (
            quality[at] < 0x80
            and record.low <= measured <= record.high
            and moment > record.time
            and oldest <= moment <= newest
            and moment >= 0
        ):
            record.time = moment
            record.value = measured
            record.quality = quality[at]
            record.seen = observed
            continue
        if state.clock[_OUT] + tables.worst[row] > capacity:
            state.clock[_SAMPLES] += at - start
            return at
        _take(tables, state, out, row, moment, measured, int(quality[at]), received, sequence, max_age, max_ahead)
    state.clock[_SAMPLES] += len(point) - start
    return len(point)


@compiled
def shift(state: State, back: int) -> None:
    """The node's clock was set back (forward when negative), µs: what waits for it keeps its remaining time."""
    for d in range(len(state.timers)):
        if state.timers[d] != FOREVER:
            state.timers[d] -= back
            state.alarms[d].received -= back
        if state.until[d] != FOREVER:
            state.until[d] -= back


@compiled
def _advance(state: State, time: int) -> None:
    last = state.clock[_TICK]
    if last > NEVER:
        passed = time - last
        if passed < 0:
            shift(state, -passed)
            passed = 0
        state.clock[_OBSERVED] += min(passed, LONGEST_TICK)
    state.clock[_TICK] = time


@allocating
def due(tables: Tables, state: State, time: int) -> NDArray[np.int64]:
    """Set the clock and return the definitions whose timer has run out, in the order in which they were due."""
    _advance(state, time)
    count = 0
    for d in range(len(state.timers)):
        if state.timers[d] <= time:
            count += 1
    found = np.empty(count, np.int64)
    moments = np.empty(count, np.int64)
    at = 0
    if count:
        for d in range(len(state.timers)):
            if state.timers[d] <= time:
                found[at] = d
                moments[at] = state.alarms[d].onset + _delay(tables, state, d)
                at += 1
    return found[np.argsort(moments, kind="mergesort")]


@compiled
def act(
    tables: Tables, state: State, out: Out, d: int, arrow: int, hold: int, sets: bool, time: int, until: int
) -> None:
    """Fire an arrow of a person, the clock or the configuration; ``hold`` 0 for those that move the state."""
    alarm = state.alarms[d]
    if hold == 0:
        if arrow == _REMOVE:
            alarm.holds = 0
            alarm.covered = 0
            alarm.pending = 0
            state.timers[d] = FOREVER
            state.until[d] = FOREVER
        _tell(tables, state, out, d, arrow, time, False)
        _settle(tables, state, out)
        return
    if hold == _SHELVED:
        state.until[d] = until if sets else FOREVER
    if sets:
        alarm.holds |= hold
    else:
        alarm.holds &= ~hold
    _tell(tables, state, out, d, arrow, time, False)
    if not sets:
        _freed(tables, state, out, d, time)
    _settle(tables, state, out)


@compiled
def tick(tables: Tables, state: State, out: Out, fires: NDArray[np.int64], time: int, sequence: int) -> None:
    """Let time pass: pending delays that ``due`` found, stale points, shelvings that end."""
    for d in fires:
        alarm = state.alarms[d]
        moment = alarm.onset + _delay(tables, state, d)
        if alarm.pending == PENDING_ON:
            _raise(tables, state, out, d, moment)
        else:
            _clear(tables, state, out, d, moment)
        _settle(tables, state, out)
    for place in range(len(tables.stale)):
        d = int(tables.stale[place])
        alarm = state.alarms[d]
        rule = tables.rules[d]
        if alarm.pending == 0 and not is_active(state, d) and not alarm.holds & _CONNECTOR:
            point = state.points[rule.point]
            if state.clock[_OBSERVED] - point.seen >= rule.stale_after:
                _step(tables, state, out, d, 1, math.nan, int(point.quality), time, time, sequence, False)
                _touch(state, d)
    _settle(tables, state, out)
    for d in range(len(state.until)):
        if state.until[d] <= time:
            act(tables, state, out, d, _EXPIRE, _SHELVED, False, int(state.until[d]), FOREVER)


@compiled
def connector(
    tables: Tables, state: State, out: Out, d: int, points: NDArray[np.int32], up: bool, time: int, sequence: int
) -> None:
    """Take a connector's loss or return.

    Its own alarm ``d`` rings or clears; its points' stale and bad-quality alarms are held by design until it is back. A
    stale point then has its whole time again; a bad point stays held until its next sample.
    """
    _step(tables, state, out, d, 0 if up else 1, math.nan, 0, time, time, sequence, False)
    for place in range(len(points)):
        row = int(points[place])
        if up:
            state.points[row].seen = state.clock[_OBSERVED]
        for at in range(tables.entry_first[row], tables.entry_first[row + 1]):
            c = int(tables.entries[at, 0])
            rule = tables.rules[c]
            if rule.point != row or (rule.kind != _STALE and rule.kind != _BAD):
                continue
            alarm = state.alarms[c]
            if not up:
                alarm.release = 0
                _hold(tables, state, out, c, _CONNECTOR, _HELD_BY_DESIGN, time, True)
            elif rule.kind == _STALE:
                if alarm.holds & _CONNECTOR and is_active(state, c):
                    _clear(tables, state, out, c, max(time, int(alarm.clock)))
                _hold(tables, state, out, c, _CONNECTOR, _FREED_BY_DESIGN, time, True)
            elif alarm.holds & _CONNECTOR:
                if is_active(state, c) or alarm.pending != 0:
                    alarm.release = 1
                else:
                    _hold(tables, state, out, c, _CONNECTOR, _FREED_BY_DESIGN, time, True)
            _touch(state, c)
    _settle(tables, state, out)


@compiled
def free_connector(tables: Tables, state: State, out: Out, d: int, time: int) -> None:
    """Lift the hold of a connector that is no longer the point's."""
    state.alarms[d].release = 0
    _hold(tables, state, out, d, _CONNECTOR, _FREED_BY_DESIGN, time, True)
    _touch(state, d)
    _settle(tables, state, out)


@compiled
def reconsider(tables: Tables, state: State, out: Out, d: int, time: int, sequence: int) -> None:
    """Evaluate a definition that is new or changed on the points' newest values."""
    rule = tables.rules[d]
    enabled = -1
    if rule.enable_end > rule.enable_first:
        enabled = truth_of(run(tables, state, rule.enable_first, rule.enable_end))
        if enabled == 0:
            _hold(tables, state, out, d, _ENABLE, _HELD_BY_DESIGN, time, False)
    elif state.alarms[d].holds & _ENABLE:
        enabled = 1
    if rule.kind <= _EXPRESSION and rule.kind != _RATE and rule.kind != _STALE:
        row = int(rule.point)
        seen = row >= 0 and state.points[row].time > NEVER
        if seen or rule.multi:
            known = row >= 0 and state.points[row].quality < 0x80
            quality = int(state.points[row].quality) if row >= 0 else 0
            truth, value = condition(tables, state, d, time, known)
            _step(tables, state, out, d, truth, value, quality, time, time, sequence, False)
    if enabled == 1:
        _hold(tables, state, out, d, _ENABLE, _FREED_BY_DESIGN, time, False)
    _touch(state, d)
    _settle(tables, state, out)


@compiled
def bands(tables: Tables, state: State) -> None:
    """Compute the quiet bands and timers of a state that was just put together."""
    for d in range(len(state.timers)):
        alarm = state.alarms[d]
        alarm.touched = 0
        state.timers[d] = FOREVER
        if alarm.pending != 0 and alarm.paused == 0:
            state.timers[d] = alarm.received + _delay(tables, state, d)
    for row in range(len(state.points)):
        _band(tables, state, row)
