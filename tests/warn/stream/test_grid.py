"""The grid: which sample counts in which step, whatever order it comes in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.batch import SampleBatch
from anlan.core.quality import Quality
from anlan.warn.step import Step
from anlan.warn.stream.grid import LATENESS, Grid
from tests.warn.stream.plants import START, A, B, C, S, batch, header, limit, plant, transition

LATE = LATENESS // S


def begin(grid: Grid) -> None:
    assert grid.tick(START + LATENESS) == []


def close(grid: Grid, second: float) -> list[Step]:
    """Tick so that the step that ends ``second`` after START is closed."""
    return grid.tick(START + round(second * S) + LATENESS)


def numbers(step: Step) -> dict[str, Any]:
    fields = ("last", "mean", "low", "high", "count", "bad", "changed", "raised", "active")
    return {"time": step.time} | {name: getattr(step, name).tolist() for name in fields}


def test_step_holds_what_its_samples_say() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((A, 0.2, 4.0), (A, 0.9, 2.0), (A, 1.0, 3.0), (B, 1.1, 9.0)), header(), 5)
    (first,) = close(grid, 1)
    assert first.time == START + S
    assert (first.last[0], first.mean[0], first.low[0], first.high[0], first.count[0]) == (3.0, 3.0, 2.0, 4.0, 3)
    assert first.changed.tolist() == [START + S, 0, 0]
    assert np.isnan(first.last[1])
    (second,) = close(grid, 2)
    assert (second.last[0], second.mean[0], second.count[0]) == (3.0, 3.0, 0)
    assert second.last[1] == 9.0


def test_step_waits_for_the_tick_past_its_lateness() -> None:
    grid = Grid(plant())
    begin(grid)
    assert grid.tick(START + S + LATENESS - 1) == []
    assert [step.time for step in grid.tick(START + S + LATENESS)] == [START + S]


def test_bad_samples_hide_the_value_until_a_good_one() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((A, 0.5, 1.0), (A, 1.5, 2.0, Quality.BAD_SENSOR), (B, 0.5, np.nan), (A, 2.5, 3.0)), header(), 1)
    first, second, third = close(grid, 3)
    assert (first.last[0], first.bad.tolist()) == (1.0, [False, True, False])
    assert np.isnan(second.last[0])
    assert second.bad[0]
    assert second.changed[0] == first.changed[0]
    assert (third.last[0], third.bad[0]) == (3.0, False)


def test_point_without_samples_for_long_is_stale() -> None:
    grid = Grid(plant(stale_after=3 * S))
    begin(grid)
    grid.take(batch((A, 1.0, 1.0)), header(), 1)
    stale = [bool(step.bad[0]) for step in close(grid, 6)]
    assert stale == [False, False, False, False, True, True]


def test_late_sample_is_counted_and_changes_no_closed_step() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((A, 0.5, 1.0)), header(), 1)
    close(grid, 3)
    grid.take(batch((A, 2.5, 7.0), (A, 0.4, 9.0)), header(), 2)
    (step,) = close(grid, 4)
    assert grid.counters["late"] == 2
    assert (step.count[0], step.last[0], step.changed[0]) == (0, 7.0, START + round(2.5 * S))


def test_repeat_counts_once_and_the_later_in_the_log_wins() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((A, 0.2, 1.0), (A, 0.4, 2.0)), header(), 1)
    grid.take(batch((A, 0.2, 1.0), (A, 0.4, 4.0)), header(), 2)
    (step,) = close(grid, 1)
    assert (step.count[0], step.mean[0], step.last[0]) == (2, 2.5, 4.0)
    assert grid.counters["repeated"] == 2


def test_sample_far_ahead_of_its_receipt_is_bad_at_its_receipt() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((A, 0.2, 1.0), (A, 3_600.0, 5.0)), header(0.8), 1)
    (step,) = close(grid, 1)
    assert step.bad[0]
    assert grid.counters["ahead"] == 1
    assert close(grid, 3_601) == []


def test_unknown_point_is_counted_only() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((99, 0.5, 1.0), (5, 0.5, 1.0), (-1, 0.5, 1.0)), header(), 1)
    (step,) = close(grid, 1)
    assert not step.count.any()
    assert grid.counters["unmapped"] == 3


def test_node_that_was_off_invents_no_steps() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((A, 0.5, 1.0)), header(), 1)
    before = grid.tick(START + 4 * S)
    grid.take(batch((A, 600.5, 2.0)), header(), 2)
    after = grid.tick(START + 604 * S)
    assert [(step.time - START) // S for step in before] == [1, 2]
    assert [(step.time - START) // S for step in after] == [601, 602]
    assert grid.counters["jumped"] == 1


def test_missing_ticks_leave_out_no_step_that_has_samples() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch(*((A, second + 0.5, 1.0) for second in range(60))), header(), 1)
    assert [(step.time - START) // S for step in close(grid, 60)] == list(range(1, 61))


def test_clock_set_back_starts_again_there() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((A, 99.5, 1.0)), header(), 1)
    close(grid, 100)
    assert close(grid, 20) == []
    grid.take(batch((A, 20.5, 2.0)), header(), 2)
    (step,) = close(grid, 21)
    assert (step.time, step.last[0]) == (START + 21 * S, 2.0)


def test_alarms_count_in_the_step_of_their_time() -> None:
    high, highest = limit(A, "H", 5.0, 3), limit(A, "HH", 9.0, 1)
    grid = Grid(plant(high, highest))
    begin(grid)
    for event in (
        transition(high, 0.5, "raise", "unacknowledged"),
        transition(highest, 1.5, "raise", "unacknowledged"),
        transition(high, 1.6, "acknowledge", "acknowledged"),
        transition(highest, 2.5, "clear", "returned-unacknowledged"),
        transition(high, 3.5, "suppress", "acknowledged", suppressed=True),
    ):
        grid.alarm(event)
    steps = close(grid, 4)
    assert [int(step.raised[0]) for step in steps] == [1, 1, 0, 0]
    assert [int(step.active[0]) for step in steps] == [3, 1, 3, 0]


def test_alarm_that_did_not_ring_is_active_and_not_counted() -> None:
    high = limit(A, "H", 5.0, 2)
    grid = Grid(plant(high))
    begin(grid)
    grid.alarm(transition(high, 0.5, "raise", "unacknowledged", rung=False))
    (step,) = close(grid, 1)
    assert (int(step.raised[0]), int(step.active[0])) == (0, 2)


def test_points_keep_their_state_by_number_under_a_new_plant() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((A, 0.5, 1.0), (C, 0.5, 5.0), (B, 1.5, 2.0), (C, 1.5, 6.0)), header(), 1)
    close(grid, 1)
    origin = grid.configure(plant(numbers=(C, A)))
    assert origin.tolist() == [2, 0]
    (step,) = close(grid, 2)
    assert step.last.tolist() == [6.0, 1.0]


def test_sequences_of_the_samples_of_a_time_are_known() -> None:
    grid = Grid(plant())
    begin(grid)
    grid.take(batch((A, 1.0, 1.0)), header(), 10)
    grid.take(batch((A, 35.0, 1.0)), header(), 20)
    assert grid.marks.between(START, START + 40 * S) == (10, 20)
    assert grid.marks.between(START + 31 * S, START + 39 * S) == (20, 20)
    assert grid.marks.between(START + 90 * S, START + 99 * S) is None


SAMPLES = st.lists(
    st.tuples(
        st.sampled_from((A, B, C)),
        st.integers(1, 60).map(lambda tenth: tenth / 10),
        st.integers(-5, 5).map(float),
        st.sampled_from((Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN, Quality.BAD)),
    ),
    max_size=60,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=60)
@given(SAMPLES, st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_batches_of_samples_in_time_do_not_matter(rows: list[Any], random: Any, pieces: int) -> None:
    first, second = Grid(plant(stale_after=2 * S)), Grid(plant(stale_after=2 * S))
    begin(first)
    begin(second)
    if rows:
        first.take(batch(*rows), header(), 1)
    mixed = list(rows)
    random.shuffle(mixed)
    for piece in range(pieces):
        if mixed[piece::pieces]:
            second.take(batch(*mixed[piece::pieces]), header(), 1)
    np.testing.assert_equal(
        [numbers(step) for step in close(first, 6)],
        [numbers(step) for second_ in range(1, 7) for step in close(second, second_)],
    )


@settings(max_examples=40)
@given(SAMPLES, st.integers(0, 6))
def test_restored_grid_goes_on_as_if_nothing_had_been(rows: list[Any], cut: int) -> None:
    whole, piece = Grid(plant(stale_after=2 * S)), Grid(plant(stale_after=2 * S))
    begin(whole)
    begin(piece)
    for grid in (whole, piece):
        grid.take(batch(*rows) if rows else SampleBatch.empty(), header(), 1)
        grid.alarm(transition(limit(A, "H", 1.0), 2.5, "raise", "unacknowledged"))
    expected = [numbers(step) for second in range(1, 8) for step in close(whole, second)]
    found = [numbers(step) for second in range(1, cut + 1) for step in close(piece, second)]
    arrays, words = piece.save()
    again = Grid(plant(stale_after=2 * S))
    again.load(arrays, words)
    found += [numbers(step) for second in range(cut + 1, 8) for step in close(again, second)]
    np.testing.assert_equal(found, expected)


def test_long_shuffled_second_of_one_point_is_sorted() -> None:
    grid = Grid(plant())
    begin(grid)
    order = np.random.default_rng(1).permutation(500)
    rows = SampleBatch(
        np.full(500, A, np.int32), START + 1 + order.astype(np.int64), order.astype(float), np.zeros(500, np.uint8)
    )
    grid.take(rows, header(), 1)
    (step,) = close(grid, 1)
    assert (step.last[0], step.count[0]) == (499.0, 500)


@pytest.mark.parametrize("name", ["held", "clock", "waiting.row"])
def test_state_without_an_array_is_refused(name: str) -> None:
    from anlan.core.errors import DecodeError

    arrays, words = Grid(plant()).save()
    del arrays[name]
    with pytest.raises(DecodeError):
        Grid(plant()).load(arrays, words)
