"""The engine: a pure function of the log; what each rule of the alarm life cycle does."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.errors import DecodeError
from anlan.core.events import Event
from anlan.core.time import MINUTE, SECOND
from anlan.monitor.engine import Engine, Outcome, Snapshot
from anlan.monitor.floods import Floods
from anlan.plant.model import AlarmDefinition, OperatorPosition, Plant, Point
from tests.monitor.plants import PATHS, START, A, B, C, D, batch, definition, every_kind, header, plant, point

S = SECOND


class Run:
    """Drives an engine; times are seconds since START."""

    def __init__(self, *alarms: AlarmDefinition, site: Plant | None = None, **more: object) -> None:
        self.engine = Engine(site or plant(*alarms, **more), "test", "r1")
        self.sequence = 0

    def sample(self, at: float, value: float, number: int = A, quality: int = 0, received: float = -1) -> list[Event]:
        self.sequence += 1
        rows = [(number, round(at * S), value, quality)]
        receipt = round((received if received >= 0 else at) * S)
        return self.engine.samples(batch(rows), header(receipt), self.sequence)

    def tick(self, at: float) -> list[Event]:
        self.sequence += 1
        return self.engine.tick(log.Tick(START + round(at * S)), self.sequence)

    def ticks(self, start: float, end: float) -> list[Event]:
        return [event for at in range(round(start * 10), round(end * 10) + 1) for event in self.tick(at / 10)]

    def act(self, verb: str, alarm: str, at: float, *, until: float = 0, instance: str | None = None) -> Outcome:
        self.sequence += 1
        d = self.engine.compiled.index[alarm]
        named = self.engine.instances[d] if instance is None else instance
        end = START + round(until * S) if until else 0
        command = log.Command("c", START + round(at * S), verb, alarm, SYSTEM, named, "because", end)
        return self.engine.command(command, self.sequence)

    def connector(self, up: bool, at: float) -> list[Event]:
        self.sequence += 1
        return self.engine.connector(log.ConnectorRecord(START + round(at * S), "dcs", up), self.sequence)

    def config(self, site: Plant, at: float) -> list[Event]:
        self.sequence += 1
        return self.engine.config(site, "r2", START + round(at * S), self.sequence)


def arrows(events: list[Event]) -> list[tuple[str, str, bool]]:
    return [(e.subject.rpartition(".")[2], e.data["arrow"], e.data.get("rung", True)) for e in events]


def seconds(events: list[Event]) -> list[float]:
    return [(event.time - START) / S for event in events]


def test_a_delay_fires_at_onset_plus_delay_by_sample_and_by_tick_alike() -> None:
    alarm = definition(A, "H", limit=10.0, on_delay=2 * S)
    by_sample = Run(alarm)
    events = by_sample.sample(1, 12) + by_sample.sample(5, 13)
    by_tick = Run(alarm)
    ticked = by_tick.sample(1, 12, received=1.5) + by_tick.tick(3.4) + by_tick.tick(3.5)
    assert arrows(events) == arrows(ticked) == [("H", "raise", True)]
    assert seconds(events) == seconds(ticked) == [3.0]
    assert events[0].causes == (f"samples:test/{A}/{START + S}..{START + S}#1-1",)


def test_what_fell_back_before_its_delay_never_alarms() -> None:
    run = Run(definition(A, "H", limit=10.0, on_delay=2 * S))
    assert run.sample(1, 12) + run.sample(2, 9) + run.sample(9, 9) + run.ticks(2, 9) == []


def test_reaching_the_limit_alarms_and_the_deadband_keeps_it() -> None:
    run = Run(definition(A, "H", limit=10.0, deadband=2.0))
    assert arrows(run.sample(1, 10.0)) == [("H", "raise", True)]
    assert run.sample(2, 8.0) == []
    assert arrows(run.sample(3, 7.99)) == [("H", "clear", True)]


def test_equal_values_of_low_alarms_mirror_high_ones() -> None:
    run = Run(definition(A, "L", limit=10.0, deadband=2.0))
    assert arrows(run.sample(1, 10.0)) == [("L", "raise", True)]
    assert run.sample(2, 12.0) == []
    assert arrows(run.sample(3, 12.01)) == [("L", "clear", True)]


@pytest.mark.parametrize(("value", "quality"), [(float("nan"), 0), (float("inf"), 0), (0.0, 0x80), (0.0, 0x89)])
def test_unknown_never_clears_even_after_the_off_delay(value: float, quality: int) -> None:
    run = Run(definition(A, "H", limit=10.0, off_delay=2 * S))
    run.sample(1, 12)
    assert run.sample(2, value, quality=quality) + run.ticks(2, 20) + run.sample(21, value, quality=quality) == []
    run.sample(22, 5)
    assert run.sample(23, value, quality=quality) + run.ticks(23, 40) == []
    assert arrows(run.sample(41, 5)) == [("H", "clear", True)]


def test_a_future_source_time_counts_as_bad_and_blocks_nothing() -> None:
    run = Run(definition(A, "H", limit=10.0), definition(A, "bad-quality"))
    events = run.sample(5000, 12, received=10)
    assert [(event.subject, event.time - START) for event in events] == [(f"{PATHS[A]}.bad-quality", 10 * S)]
    assert arrows(run.sample(11, 12)) == [("H", "raise", True), ("bad-quality", "clear", True)]
    assert run.engine.counters["future"] == 1


def test_late_and_repeated_samples_are_counted_and_not_evaluated() -> None:
    run = Run(definition(A, "H", limit=10.0))
    run.sample(5, 1)
    assert run.sample(4, 50, received=6) + run.sample(5, 50, received=6) == []
    assert (run.engine.counters["late"], run.engine.counters["repeated"]) == (1, 1)
    assert run.engine.state.points["value"][0] == 50


def test_old_data_are_journalled_and_ring_once_they_catch_up() -> None:
    run = Run(definition(A, "H", limit=10.0))
    assert arrows(run.sample(1, 12, received=2000)) == [("H", "raise", False)]
    assert run.sample(2, 12, received=2000) == []
    assert arrows(run.sample(1999, 12, received=2000)) == [("H", "announce", True)]
    alone = Run(definition(A, "H", limit=10.0))
    alone.sample(1, 12, received=2000)
    assert [event.data["state"] for event in alone.sample(2, 1, received=2000)] == ["normal"]


def test_the_more_urgent_limit_covers_and_uncovers() -> None:
    run = Run(definition(A, "H", limit=10.0, covered_by=(f"{PATHS[A]}.HH",)), definition(A, "HH", limit=20.0))
    assert arrows(run.sample(1, 25)) == [("HH", "raise", True), ("H", "raise", False)]
    assert arrows(run.sample(2, 15)) == [("HH", "clear", True), ("H", "uncover", False), ("H", "announce", True)]
    assert arrows(run.sample(3, 25)) == [("HH", "raise", True), ("H", "cover", False)]
    assert arrows(run.sample(4, 1)) == [("HH", "clear", True), ("H", "clear", True)]
    shelved = Run(definition(A, "H", limit=10.0, covered_by=(f"{PATHS[A]}.HH",)), definition(A, "HH", limit=20.0))
    shelved.act("shelve", f"{PATHS[A]}.HH", 0, until=600)
    assert arrows(shelved.sample(1, 25)) == [("HH", "raise", False), ("H", "raise", True)]


def test_shelving_ends_by_itself_and_the_alarm_rings_as_a_new_instance() -> None:
    id_ = f"{PATHS[A]}.H"
    run = Run(definition(A, "H", limit=10.0))
    first = run.sample(1, 12)[0].id
    assert arrows(run.act("shelve", id_, 2, until=62).events) == [("H", "shelve", False)]
    assert run.ticks(3, 61.9) == []
    events = run.tick(62.05)
    assert arrows(events) == [("H", "expire", False), ("H", "re-alarm", True)]
    assert seconds(events) == [62.0, 62.0]
    assert events[1].data["instance"] == events[1].id != first
    assert events[1].causes == (first,)
    assert run.act("acknowledge", id_, 63, instance=first).refused == "instance"
    assert run.act("acknowledge", id_, 63, instance="").refused == "instance"
    assert run.act("acknowledge", id_, 63).refused == ""


def test_what_came_and_went_while_shelved_asks_for_nothing() -> None:
    run = Run(definition(A, "H", limit=10.0))
    run.act("shelve", f"{PATHS[A]}.H", 0, until=60)
    run.sample(1, 12)
    assert [event.data["state"] for event in run.sample(2, 1)] == ["normal"]
    assert arrows(run.tick(60)) == [("H", "expire", False)]


@pytest.mark.parametrize(
    ("verb", "until", "refused"),
    [
        ("shelve", 0, "until"),
        ("shelve", 7300, "longest"),
        ("unshelve", 0, "not-set"),
        ("return-to-service", 0, "not-set"),
        ("reset", 0, "reset-nothing"),
        ("acknowledge", 0, "nothing"),
        ("dance", 0, "verb"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(verb: str, until: float, refused: str) -> None:
    run = Run(definition(A, "H", limit=10.0))
    outcome = run.act(verb, f"{PATHS[A]}.H", 0, until=until)
    assert (outcome.refused, outcome.events) == (refused, [])


def test_a_hold_needs_a_reason_and_is_not_set_twice() -> None:
    run = Run(definition(A, "H", limit=10.0))
    command = log.Command("c", START, "suppress", f"{PATHS[A]}.H", SYSTEM, comment="  ")
    assert run.engine.command(command, 1).refused == "reason"
    assert run.act("suppress", f"{PATHS[A]}.H", 1).refused == ""
    assert run.act("suppress", f"{PATHS[A]}.H", 2).refused == "set"


def test_a_latched_alarm_stays_until_it_is_acknowledged_and_reset() -> None:
    id_ = f"{PATHS[A]}.HH"
    run = Run(definition(A, "HH", limit=20.0, latched=True))
    run.sample(1, 25)
    assert run.act("reset", id_, 2).refused == "reset-active"
    assert [event.data["state"] for event in run.sample(3, 1)] == ["latched-unacknowledged"]
    assert run.act("reset", id_, 4).refused == "reset-unacknowledged"
    assert run.act("acknowledge", id_, 5).events[0].data["state"] == "latched-acknowledged"
    reset = run.act("reset", id_, 6).events[0]
    assert (reset.data["state"], reset.data["who"], reset.data["comment"]) == ("normal", "system", "because")


def test_an_enabling_condition_suppresses_by_design_and_unknown_changes_nothing() -> None:
    run = Run(definition(B, "H", limit=10.0, enable="'e/b/u/d' == 1"))
    assert arrows(run.sample(1, 0, D)) == [("H", "suppress-by-design", False)]
    assert arrows(run.sample(2, 15, B)) == [("H", "raise", False)]
    assert run.sample(3, 1, D, quality=0x80) == []
    assert arrows(run.sample(4, 1, D)) == [("H", "unsuppress-by-design", False), ("H", "re-alarm", True)]


def test_a_silent_point_goes_stale_after_observed_time_only() -> None:
    run = Run(definition(A, "stale"))
    run.tick(0)
    run.sample(0.1, 1)
    assert run.tick(3600) == []
    events = run.ticks(3600.1, 3610)
    assert arrows(events) == [("stale", "raise", True)]
    assert seconds(events) == [3604.0]
    assert arrows(run.sample(3611, 1)) == [("stale", "clear", True)]


def test_a_lost_connector_rings_once_and_holds_its_points_stale_alarms() -> None:
    run = Run(definition(A, "stale"), definition(A, "bad-quality"))
    run.tick(0)
    run.sample(0, 1)
    assert arrows(run.connector(False, 1)) == [("lost", "raise", True)]
    assert run.connector(False, 2) == []
    assert run.ticks(2, 30) == []
    assert arrows(run.sample(30.1, 1, quality=0x82)) == [("bad-quality", "raise", False)]
    assert arrows(run.connector(True, 31)) == [("lost", "clear", True)]
    assert run.ticks(31, 34.9) == []
    assert arrows(run.sample(34.95, 1, quality=0x82)) == [
        ("bad-quality", "unsuppress-by-design", False),
        ("bad-quality", "re-alarm", True),
    ]
    assert arrows(run.ticks(35, 45)) == [("stale", "raise", True)]


def test_a_new_revision_keeps_states_and_ends_removed_alarms() -> None:
    high, low = definition(A, "H", limit=10.0), definition(A, "L", limit=0.0)
    run = Run(high, low)
    instance = run.sample(1, 12)[0].id
    run.act("shelve", low.id, 2, until=600)
    changed = plant(msgspec.structs.replace(high, priority=1), definition(B, "H", limit=10.0))
    events = run.config(changed, 3)
    assert arrows(events) == [("L", "remove", False)]
    assert run.engine.instances[run.engine.compiled.index[high.id]] == instance
    assert run.engine.revision == "r2"
    assert arrows(run.sample(4, 1)) == [("H", "clear", True)]
    assert run.config(plant(), 5)[0].data["state"] == "normal"


def test_a_changed_limit_counts_from_now_on() -> None:
    run = Run(definition(A, "H", limit=10.0))
    run.sample(1, 8)
    events = run.config(plant(definition(A, "H", limit=7.0)), 2)
    assert arrows(events) == [("H", "raise", True)]
    assert arrows(run.config(plant(definition(A, "H", limit=9.0)), 3)) == [("H", "clear", True)]


def test_points_keep_their_values_when_the_order_changes() -> None:
    run = Run(definition(C, "deviation", other=A, limit=5.0))
    run.sample(1, 1, A)
    grown = plant(
        definition(C, "deviation", other=A, limit=5.0), points=(point(A), Point(1, "e/a/u/z", "x", ""), point(C))
    )
    run.config(grown, 2)
    assert arrows(run.sample(3, 9, C)) == [("deviation", "raise", True)]


def test_a_vote_waits_for_its_unknown_inputs() -> None:
    run = Run(definition(C, "vote", inputs=(A, B, C), needed=2, limit=10.0))
    assert run.sample(1, 12, A) + run.sample(2, 12, B, quality=0x80) == []
    assert arrows(run.sample(3, 12, C)) == [("vote", "raise", True)]
    assert run.sample(4, 1, A) == []
    assert arrows(run.sample(5, 1, B)) == [("vote", "clear", True)]


def test_floods_begin_above_ten_and_end_below_five_in_ten_minutes() -> None:
    alarms = [definition(A, "H", limit=float(at), name=f"n{at}") for at in range(1, 31)]
    run = Run(*alarms)
    events = []
    for at in range(1, 15):
        events += run.sample(at, float(at))
    begins = [event for event in events if event.type == "alarm.flood"]
    assert [(event.time - START, event.data["position"], event.data["alarms"]) for event in begins] == [
        (11 * S, "board-a", 11)
    ]
    assert len(begins[0].causes) == 11
    over = [event for at in range(15, 700) for event in run.tick(at)]
    assert [(event.time - START, event.data["alarms"]) for event in over] == [(610 * S, 14)]


def test_flood_state_survives_a_restart() -> None:
    floods = Floods()
    for at in range(10):
        assert floods.rang("p", at * S, str(at)) is None
    twin = Floods()
    twin.load(floods.dump())
    assert twin.rang("p", 11 * S, "x") == floods.rang("p", 11 * S, "x") is not None
    assert twin.in_flood() == {"p": 11 * S}


def test_a_set_back_clock_keeps_what_waits() -> None:
    run = Run(definition(A, "H", limit=10.0, on_delay=5 * S))
    run.tick(100)
    run.sample(100, 12)
    assert run.tick(50) == []
    assert run.ticks(50.1, 54.9) == []
    assert seconds(run.tick(55)) == [105.0]


# --- the log decides, not how it was cut -----------------------------------------------------------------------------

rows = st.tuples(
    st.sampled_from([A, A, B, C, D]),
    st.integers(-2, 3),
    st.sampled_from([-12.0, 0.0, 1.0, 6.0, 9.0, 10.0, 15.0, 25.0, float("nan")]),
    st.sampled_from([0, 0, 0, 0x80]),
)


def steps(drawn: list[tuple[int, int, float, int]]) -> list[tuple[int, int, float, int]]:
    clock = 0
    made = []
    for number, step, value, quality in drawn:
        clock += max(step, 0) * S // 2
        made.append((number, clock + min(step, 0) * S, value, quality))
    return made


def outline(events: list[Event]) -> list[tuple[str, str, int, bool, object]]:
    return [(e.subject, e.data["arrow"], e.time, e.data.get("rung", True), e.data.get("value")) for e in events]


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, min_size=1, max_size=60), st.data())
def test_how_samples_are_cut_into_batches_does_not_matter(
    drawn: list[tuple[int, int, float, int]], data: st.DataObject
) -> None:
    made = steps(drawn)
    received = max(row[1] for row in made) + S
    whole = Engine(every_kind(), "test").samples(batch(made), header(received), 1)
    cut = Engine(every_kind(), "test")
    events: list[Event] = []
    at = sequence = 0
    while at < len(made):
        sequence += 1
        end = data.draw(st.integers(at + 1, len(made)))
        events += cut.samples(batch(made[at:end]), header(received), sequence)
        at = end
    assert outline(events) == outline(whole)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=10, max_size=60), st.integers(0, 59))
def test_a_replay_and_a_restart_in_the_middle_give_the_same_events(
    drawn: list[tuple[int, int, float, int]], middle: int
) -> None:
    site = every_kind()

    def play(restart: int) -> list[Event]:
        engine = Engine(site, "test", "r1")
        events: list[Event] = []
        for at, row in enumerate(steps(drawn)):
            if at == restart:
                engine = Engine.restore(site, msgspec.msgpack.decode(stored(engine), type=Snapshot))
            events += engine.samples(batch([row]), header(row[1]), 2 * at + 1)
            events += engine.tick(log.Tick(START + row[1]), 2 * at + 2)
        return events

    assert play(-1) == play(-1) == play(middle)


def stored(engine: Engine) -> bytes:
    return msgspec.msgpack.encode(engine.snapshot())


def test_a_full_output_buffer_only_cuts_the_batch() -> None:
    alarms = [definition(A, "H", limit=10.0, name=f"n{at}") for at in range(40)]
    rows = [(A, at, 25.0 if at % 2 else 0.0, 0) for at in range(2000)]
    run = Run(*alarms)
    events = run.engine.samples(batch(rows), header(S), 1)
    assert len([e for e in events if e.type == "alarm.transition"]) == 40 * 1999
    assert len({event.id for event in events}) == len(events)


def test_a_snapshot_of_another_plant_is_refused() -> None:
    snapshot = Engine(every_kind(), "test", "r1").snapshot()
    with pytest.raises(DecodeError, match="does not fit"):
        Engine.restore(plant(definition(A, "H", limit=1.0)), snapshot)


def test_a_copy_leaves_the_engine_alone() -> None:
    run = Run(definition(A, "H", limit=10.0))
    twin = run.engine.copy()
    assert twin.samples(batch([(A, S, 12.0, 0)]), header(S), -1)
    assert run.engine.instances == [""] * len(run.engine.instances)
    assert arrows(run.sample(1, 12)) == [("H", "raise", True)]


def test_read_only_and_unaligned_columns_are_taken() -> None:
    run = Run(definition(A, "H", limit=10.0))
    raw = np.zeros(1 + 8, np.uint8)
    time = raw[1:].view(np.int64)
    time[0] = START + S
    value = np.array([12.0])
    value.flags.writeable = False
    made = SampleBatch(np.array([A], np.int32), time, value, np.zeros(1, np.uint8))
    assert arrows(run.engine.samples(made, BatchHeader("gw", START + S), 1)) == [("H", "raise", True)]


def test_an_alarm_belongs_to_the_position_it_names_or_whose_place_holds_it() -> None:
    site = plant(
        definition(A, "H", limit=1.0, operator_position="board-b"),
        definition(A, "HH", limit=1.0),
        definition(C, "H", limit=1.0),
        positions=(OperatorPosition("board-a", scope=("e/a",)), OperatorPosition("board-b", scope=("e/x",))),
    )
    compiled = Engine(site, "test").compiled
    owners = {id_: int(compiled.positions[d]) for id_, d in compiled.index.items()}
    assert owners[f"{PATHS[A]}.H"] == 1
    assert owners[f"{PATHS[A]}.HH"] == 0
    assert owners[f"{PATHS[C]}.H"] == -1


def test_days_old_floods_are_not_live_ones() -> None:
    run = Run(*[definition(A, "H", limit=float(at), name=f"n{at}") for at in range(1, 31)])
    events = [event for at in range(1, 31) for event in run.sample(at, float(at), received=2 * 600 + 31)]
    assert {event.type for event in events} == {"alarm.transition"}
    assert MINUTE == 60 * S
