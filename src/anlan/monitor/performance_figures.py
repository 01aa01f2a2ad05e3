"""The figures of alarm performance that the page shows, read from the answer of ``svc.monitor.performance``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figures:
    """Alarm performance of one period.

    Attributes:
        rate: (begin of ten minutes in µs UTC, alarms raised).
        floods: (begin, end or 0 while it goes on, alarms, most in ten minutes).
        top: alarms by count; ``top_share`` of all that are of these ten.
        chattering: (alarm, repeats); stale: (alarm, seconds standing).
        split: alarms by priority 1…4.
        ack_median, ack_p90: seconds.
    """

    total: int
    rate: tuple[tuple[int, int], ...]
    average: float
    peak: int
    floods: tuple[tuple[int, int, int, int], ...]
    flood_share: float
    top: tuple[tuple[str, int], ...]
    top_share: float
    chattering: tuple[tuple[str, float], ...]
    stale: tuple[tuple[str, float], ...]
    split: tuple[int, int, int, int]
    ack_median: float | None
    ack_p90: float | None


def figures_of(answer: Mapping[str, Any]) -> Figures:
    """Return the figures of an answer."""
    rate = tuple((int(time), int(count)) for time, count in answer.get("rate", ()))
    counts = [count for _, count in rate]
    total = int(answer.get("total", sum(counts)))
    top = tuple((str(alarm), int(count)) for alarm, count in answer.get("top", ()))
    split = [int(count) for count in answer.get("split", ())]
    first, second, third, fourth, *_ = [*split, 0, 0, 0, 0]
    return Figures(
        total=total,
        rate=rate,
        average=sum(counts) / len(counts) if counts else 0.0,
        peak=max(counts, default=0),
        floods=tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in answer.get("floods", ())),
        flood_share=float(answer.get("flood_share", 0.0)),
        top=top[:10],
        top_share=sum(count for _, count in top[:10]) / total if total else 0.0,
        chattering=tuple((str(alarm), float(count)) for alarm, count in answer.get("chattering", ())),
        stale=tuple((str(alarm), float(seconds)) for alarm, seconds in answer.get("stale", ())),
        split=(first, second, third, fourth),
        ack_median=answer.get("ack_median"),
        ack_p90=answer.get("ack_p90"),
    )
