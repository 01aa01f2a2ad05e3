"""Trials: history gives the findings that the live log gave."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.core.batch import SampleBatch
from anlan.core.errors import InvalidInputError
from anlan.core.severity import WarningGrade
from anlan.core.time import DAY
from anlan.warn.model import Finding, WarningModel
from anlan.warn.stream.trial import Trial, run
from tests.warn.stream.models import MODELS, PLANT, detector_file, engine, library, log, play
from tests.warn.stream.plants import START, S

SECONDS = 700


def history() -> SampleBatch:
    """Return the samples of the log as the historian gives them: in order of time."""
    whole = SampleBatch.concatenate([record.batch for record in log(SECONDS) if record.batch is not None])
    return whole.take(np.argsort(whole.time, kind="stable"))


def trial(start: int, end: int, models: tuple[WarningModel, ...] = MODELS, warm_up: int = 0) -> Trial:
    return Trial(PLANT, models, library(), {("normal", 1): detector_file()}, start, end, warm_up=warm_up)


def told(findings: list[Finding]) -> list[tuple[str, int, WarningGrade | None]]:
    return [(finding.model, finding.time, finding.grade) for finding in findings]


@pytest.fixture(scope="module")
def live() -> list[Finding]:
    # Late samples are left out live and are in the history: this log has them only where they change nothing.
    return list(play(log(SECONDS), engine()))


@pytest.mark.parametrize("pieces", [1, 3, 50])
def test_history_gives_the_findings_of_the_live_log(live: list[Finding], pieces: int) -> None:
    samples = history()
    cuts = np.array_split(np.arange(len(samples)), pieces)
    one = trial(START - 3 * S, START + SECONDS * S)
    found = list(run(one, [samples.take(cut) for cut in cuts]))
    assert told(found)[: len(live)] == told(live)
    assert any("gaps" in note for note in one.notes)
    assert one.steps > SECONDS - 40
    assert one.blind >= 3


def test_period_begins_with_what_stands_there(live: list[Finding]) -> None:
    start = START + 400 * S
    one = trial(start, START + 500 * S, warm_up=403 * S)
    found = list(run(one, [history()]))
    standing = {f.model: f for f in live if f.time <= start}
    first = [f for f in found if f.time == start]
    assert {f.model: f.grade for f in first} == {model: f.grade for model, f in standing.items()}
    later = [entry for entry in told(live) if start < entry[1] <= START + 500 * S]
    assert told(found[len(first) :]) == later
    assert one.steps == 100


def test_silence_to_the_end_of_the_period_makes_no_steps_up() -> None:
    one = trial(START, START + DAY)
    list(run(one, [history()]))
    assert one.steps < SECONDS + 30


def test_model_that_cannot_run_is_noted() -> None:
    one = trial(START, START + 10 * S, (WarningModel("gap", MODELS[0].kind, features=("no.such",)),))
    assert "no.such" in one.notes[0]


def test_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        trial(START, START)
