"""The on-disk buffer: order, lanes, bound, torn tails."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.perceive.buffer import Buffer, Lane, Record, pack, unpack


def record(number: int, size: int = 10) -> Record:
    return Record(f"m{number}", number, bytes([number % 256]) * size)


def drain(buffer: Buffer) -> list[str]:
    found = []
    while (path := buffer.oldest()) is not None:
        found += [entry.id for entry in buffer.read(path)]
        buffer.remove(path)
    return found


def test_alarmed_points_are_drained_first_and_each_lane_in_order(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path)
    for number in range(6):
        buffer.append([(Lane.PRIORITY if number % 2 else Lane.NORMAL, record(number))])
    assert drain(buffer) == ["m1", "m3", "m5", "m0", "m2", "m4"]
    assert buffer.size == 0


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    Buffer(tmp_path).append([(Lane.NORMAL, record(number)) for number in range(5)])
    again = Buffer(tmp_path)
    again.append([(Lane.NORMAL, record(9))])
    assert drain(again) == ["m0", "m1", "m2", "m3", "m4", "m9"]


def test_beyond_the_bound_the_oldest_of_the_normal_lane_goes_first(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path, limit=40_000, segment=10_000)
    given_up = []
    given_up += buffer.append([(Lane.PRIORITY, record(1, 5_000)), (Lane.NORMAL, record(2, 5_000))])
    for number in range(3, 40):
        given_up += buffer.append([(Lane.NORMAL, record(number, 5_000))])
    left = drain(buffer)
    assert buffer.dropped == sum(entry.samples for entry in given_up)
    assert left[0] == "m1"
    assert [entry.id for entry in given_up] + left[1:] == [f"m{number}" for number in range(2, 40)]


def test_a_torn_tail_costs_only_the_torn_record(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path)
    buffer.append([(Lane.NORMAL, record(number, 100)) for number in range(4)])
    path = buffer.oldest()
    assert path is not None
    path.write_bytes(path.read_bytes()[:-7])
    assert [entry.id for entry in buffer.read(path)] == ["m0", "m1", "m2"]
    assert buffer.damaged == 1


@given(st.lists(st.binary(max_size=60), max_size=6), st.data())
@settings(max_examples=200, deadline=None)
def test_any_damage_leaves_whole_records_only(messages: list[bytes], data: st.DataObject) -> None:
    records = [Record(f"m{number}", number, message) for number, message in enumerate(messages)]
    raw = bytearray(b"".join(pack(entry) for entry in records))
    if raw:
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= data.draw(st.integers(1, 255))
    found = [entry for entry in unpack(bytes(raw)) if entry is not None]
    whole = [(entry.id, entry.message) for entry in records]
    assert [(entry.id, entry.message) for entry in found] == whole[: len(found)]
