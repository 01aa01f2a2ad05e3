"""What travels through the gateway: portions of samples from connectors, and the groups they are appended in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anlan.core.batch import Run, SampleBatch
from anlan.perceive.engine import COUNTS

NEVER_OFFSET = -(1 << 62)


@dataclass(slots=True)
class Tally:
    """Counters of one connector, by ``engine.COUNTS``, and what else is told of it."""

    connector: str
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(COUNTS), np.int64))
    messages: int = 0
    unmapped: int = 0
    dead: int = 0
    last_seen: int = 0
    newest_offset: int = NEVER_OFFSET
    unmapped_tags: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Portion:
    """Raw samples of one connector on their way into a group.

    Attributes:
        size: bytes it holds of the budget.
        packs: how many device messages it stands for.
        bufferable: may rest on disk while the log is away; its device is not waiting for an acknowledgement.
        done: called with None after the log has it, or with what became of it instead.
    """

    tally: Tally
    batch: SampleBatch
    received: int
    size: int
    done: Callable[[Exception | None], None]
    packs: int = 1
    bufferable: bool = True


class Feeder(Protocol):
    """A source that is asked for what it has at the moment a group forms, so that it decodes many packs at once."""

    def take(self, packs: int, bufferable_only: bool) -> list[Portion]:
        """Return portions standing for at most about ``packs`` packs; none when there is nothing to take."""
        ...


@dataclass(slots=True)
class Group:
    """One log message under way, with the portions it came from."""

    id: str
    message: bytes
    samples: int
    portions: list[Portion]
    acked: bool = False
    unlogged: bool = False
    copied: bool = False


def owned(batch: SampleBatch) -> SampleBatch:
    """Return the batch with columns the kernel may write into: it is compiled for writable, contiguous ones."""
    return SampleBatch(
        np.require(batch.point, requirements=("C", "W")),
        np.require(batch.time, requirements=("C", "W")),
        np.require(batch.value, requirements=("C", "W")),
        np.require(batch.quality, requirements=("C", "W")),
    )


def runs_of(portions: list[Portion], lengths: NDArray[np.int64]) -> tuple[Run, ...]:
    """Return the runs of a group whose portions have ``lengths`` rows left; neighbours of one connector are one run."""
    runs: list[Run] = []
    for portion, rows in zip(portions, lengths.tolist(), strict=True):
        if not rows:
            continue
        if runs and runs[-1].connector == portion.tally.connector:
            runs[-1] = Run(portion.tally.connector, runs[-1].rows + rows)
        else:
            runs.append(Run(portion.tally.connector, rows))
    return tuple(runs)


def completion(future: asyncio.Future[None], parts: int) -> Callable[[Exception | None], None]:
    """Return what to call for each of ``parts`` parts so that ``future`` is done after the last."""

    def finish(problem: Exception | None) -> None:
        if future.done():
            return
        if problem is None:
            future.set_result(None)
        else:
            future.set_exception(problem)
            future.exception()  # a source that does not wait must not be told of it on stderr

    return countdown(finish, parts)


def countdown(finish: Callable[[Exception | None], None], parts: int) -> Callable[[Exception | None], None]:
    """Return what to call for each of ``parts`` parts so that ``finish`` is called once, with the first problem."""
    if parts == 1:
        return finish
    left = parts
    first: list[Exception] = []

    def done(problem: Exception | None) -> None:
        nonlocal left
        left -= 1
        if problem is not None:
            first.append(problem)
        if left == 0:
            finish(first[0] if first else None)

    return done
