"""HJ 212 stations: frames against the standard's and public vectors, answers, resending."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from anlan.sim import catalogue, hj212
from anlan.sim.hj212 import crc212, frame, header_of, utc_of
from anlan.sim.journal import read
from anlan.sim.ports import Ports
from anlan.sim.signals import layout
from tests.sim.conftest import running
from tests.sim.peers import Platform, until


def test_crc_is_the_standards(shared_data: Path) -> None:
    segment = "QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&"
    assert frame(segment) == f"##0101{segment}1C80\r\n".encode()
    frames = json.loads((shared_data / "protocols" / "hj212" / "frames.json").read_text())
    whole = [item for item in frames if item["frame"]]
    assert len(whole) >= 10
    for item in whole:
        accepted = bool(header_of(item["frame"].encode()))
        assert accepted == (bool(item["crc_ok"]) and bool(item["length_ok"]))
        assert item["crc_in_frame"] is None or crc212(item["frame"][6:-4].encode()) == item["crc_computed"]


async def test_answered_reports_are_what_the_platform_got(
    journal_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hj212, "ANSWER_TIMEOUT", 0.4)
    _sample_every_second(monkeypatch)
    ports = Ports.free()
    async with (
        Platform(ports.hj212) as platform,
        running(journal_folder, ports=ports, only=frozenset({catalogue.ENVIRONMENT}), drain=5.0) as park,
    ):
        await until(lambda: len(platform.segments) > 3, "reports")
        platform.answering = False
        await until(lambda: len(platform.segments) > len(set(platform.segments)), "a report sent again")
        platform.answering = True
        await asyncio.sleep(1.1)
        totals = await park.finish()
    assert not platform.broken
    assert totals["pending"][catalogue.ENVIRONMENT] == 0
    assert len(platform.segments) > len(set(platform.segments)), "an unanswered report is sent again"
    by_tag = {point.tag: point.index for point in layout().points if point.connector == catalogue.ENVIRONMENT}
    got = {row for segment in platform.segments for row in _rows(segment, by_tag)}
    table = read(journal_folder, catalogue.ENVIRONMENT, "acked")
    acked = list(zip(*(table[name].to_pylist() for name in ("point", "time", "value")), strict=True))
    assert len(acked) == len(set(acked)) > 100
    assert set(acked) == got


def _sample_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    from anlan.sim.schedule import Schedule

    class Quick(Schedule):
        def __init__(self, points, **more):  # type: ignore[no-untyped-def]  # as the original, ten times as fast
            super().__init__(points, **more)
            self._groups = [(1000, 0, rows) for _, _, rows in self._groups]
            self._next = [0] * len(self._groups)

    monkeypatch.setattr(hj212, "Schedule", Quick)


def _rows(segment: str, by_tag: dict[str, int]) -> list[tuple[int, int, float]]:
    header, _, body = segment.partition("CP=&&")
    station = dict(part.partition("=")[::2] for part in header.split(";"))["MN"]
    fields = [item.partition("=")[::2] for part in body.removesuffix("&&").split(";") for item in part.split(",")]
    time = round(utc_of(dict(fields)["DataTime"]).timestamp() * 1e6)
    return [
        (by_tag[f"{station}/{name}"], time, float(value)) for name, value in fields if f"{station}/{name}" in by_tag
    ]


async def test_minute_means_are_the_means_of_the_minute(journal_folder: Path) -> None:
    from anlan.sim.hj212 import Hj212Feed
    from anlan.sim.journal import Journal
    from anlan.sim.park import Park
    from anlan.sim.upsets import Scenario

    park = Park(1, scenario=Scenario.quiet())
    station = next(point.device for point in park.points if point.connector == catalogue.ENVIRONMENT)
    feed = Hj212Feed(park, station, 1, "123456", Journal(journal_folder, park.points), start=0)
    seen = []
    for now in range(0, 70_000, 1000):
        park.advance(1.0)
        if now % 10_000 == 0 and now < 60_000:
            seen.append(park.values[feed.instant[0].index])
        await feed.sample(now)
    minute = [report for report in feed._queue if "CN=2051" in report.segment]
    assert len(minute) == 1
    assert len(seen) == 6
    assert minute[0].time == 0
    first = minute[0].values[0]
    assert first == round(sum(seen) / 6, 4)
    assert max(len(report.segment) for report in feed._queue) <= 1024
