"""Definitions tried on history, from files and by the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from anlan.core.batch import SampleBatch
from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY, HOUR, SECOND, to_iso
from anlan.monitor import cli
from anlan.monitor.trial import Trial, points_of
from anlan.monitor.trial_file import read
from tests.monitor.plants import START, A, B, batch, definition, plant

S = SECOND


def wave() -> SampleBatch:
    """One sample a second for an hour; above ten in every second minute."""
    return batch([(A, at * S, 15.0 if (at // 60) % 2 else 5.0, 0) for at in range(3600)])


def test_a_trial_counts_alarms_times_and_seconds_exactly() -> None:
    high = definition(A, "H", limit=10.0, on_delay=10 * S, enabled=False)
    trial = Trial(plant(), (high,), START, START + HOUR)
    trial.feed(wave())
    result = trial.result()
    assert result.raised == {high.id: 30}
    assert result.times[high.id][:2] == (START + 70 * S, START + 190 * S)
    assert result.in_alarm_s == {high.id: 30 * 50.0}
    assert result.samples == 3600


def test_feeding_in_pieces_gives_the_same() -> None:
    definitions = (definition(A, "H", limit=10.0, on_delay=10 * S), definition(A, "stale"))
    whole, pieces = (Trial(plant(), definitions, START, START + DAY) for _ in range(2))
    samples = wave()
    whole.feed(samples)
    for first in range(0, 3600, 700):
        pieces.feed(samples.take(np.arange(first, min(first + 700, 3600))))
    assert whole.result() == pieces.result()


def test_a_gap_goes_stale_once_and_lasts_to_the_next_sample() -> None:
    stale = definition(A, "stale", limit=60.0)
    trial = Trial(plant(), (stale,), START, START + 10 * DAY)
    trial.feed(batch([(A, S, 1.0, 0), (A, 5 * HOUR, 1.0, 0), (A, 5 * HOUR + 30 * S, 1.0, 0)]))
    result = trial.result()
    assert result.raised == {stale.id: 2}
    assert result.in_alarm_s[stale.id] == pytest.approx((10 * DAY - 120 * S) / S, abs=40)


def test_an_unknown_point_is_named() -> None:
    with pytest.raises(InvalidInputError, match="no point a/b/c/d"):
        points_of(plant(), (definition(A, "H", limit=1.0, enable="'a/b/c/d' > 1"),))
    with pytest.raises(InvalidInputError, match="no point number 99"):
        points_of(plant(), (definition(A, "deviation", other=99, limit=1.0),))


def test_files_are_read_in_long_and_wide_form(tmp_path: Path) -> None:
    long = tmp_path / "long.csv"
    lines = [
        f"{to_iso(START + S)},e/a/u/a,1.5",
        f"{to_iso(START)},{B},2.5",
        f"{to_iso(START)},nobody,1",
        f"{to_iso(START + 2 * S)},e/a/u/a,",
    ]
    long.write_text("time,point,value\n" + "\n".join(lines))
    found = read(long, plant())
    assert found.point.tolist() == [B, A, A]
    assert found.time.tolist() == [START, START + S, START + 2 * S]
    assert found.quality.tolist() == [0, 0, 0x85]

    wide = tmp_path / "wide.csv"
    wide.write_text("datetime;e/a/u/a;b;other\n1764000000;1;2;x\n1764000001;3;;x\n")
    found = read(wide, plant())
    assert sorted(zip(found.point.tolist(), found.value.tolist(), strict=True)) == [(A, 1.0), (A, 3.0), (B, 2.0)]

    parquet = tmp_path / "wide.parquet"
    times = pa.array([START, START + S], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"Timestamp": times, "a": [1, 2]}), parquet)
    assert read(parquet, plant()).time.tolist() == [START, START + S]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column of times"),
        ("time,zzz\n1,2\n", "named like a point"),
        ("time,point,value\n1,zzz,2\n", "none of the site's points"),
        ("time,e/a/u/a\nyesterday,2\n", "not a date and time"),
        ("time,e/a/u/a\n1,x\n", "not all are numbers"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read(path, plant())


SITE = """
site: {id: s, name: 站}
enterprises:
  - id: e
    name: 企业
    areas:
      - id: a
        name: 区
        units:
          - id: u
            name: 单元
            points:
              - {id: level, kind: level, unit: m, limits: {HH: 20, H: 10}}
"""


def test_the_command_tries_a_site_on_a_file(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE)
    record = tmp_path / "record.csv"
    record.write_text("time,e/a/u/level\n" + "\n".join(f"{1764000000 + at},{at % 30}" for at in range(300)))
    app = typer.Typer()
    cli.register(app)
    app.callback()(lambda: None)
    command = ["alarms", "try", str(site), "--file", str(record), "--alarm", "e/a/u/level.H", "--json"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout)
    assert result["samples"] == 300
    assert result["raised"]["e/a/u/level.H"] == 10
    assert result["raised"]["e/a/u/level.HH"] == 10
    missing = CliRunner().invoke(app, [*command[:-2], "nothing", "--json"])
    assert missing.exit_code == 1
    assert "no such alarm" in missing.stdout


def test_a_command_without_a_node_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    cli.register(app)
    app.callback()(lambda: None)
    answer = CliRunner().invoke(app, ["alarms", "list", "--data", str(tmp_path / "nowhere"), "--json"])
    assert answer.exit_code == 1
    assert "no node keeps its data here" in json.loads(answer.stdout)["error"]["title"]
    assert not (tmp_path / "nowhere").exists()
