"""Terms of a risk index as people read them: what stands, what it adds, since when, from which events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anlan.core.events import MAX_CAUSES
from anlan.core.units import kinds
from anlan.warn.model import RiskTerm
from anlan.warn.risk.bind import BoundTerm
from anlan.warn.risk.model import Step, TermKind

_NAMED = 3


@dataclass(slots=True)
class Hit:
    """One state that a term counts."""

    adds: float
    label: str
    label_en: str
    since: int
    event: str = ""
    value: float | None = None


def level(levels: Sequence[Step], value: float, *, below: bool) -> float:
    """Return what the worst threshold that ``value`` has reached adds; 0 when it has reached none."""
    reached = [step.adds for step in levels if (value <= step.at if below else value >= step.at)]
    return max(reached, default=0.0)


def make_term(bound: BoundTerm, states: list[Hit]) -> RiskTerm:
    """Return what a term adds: its worst state whole, a share of each further one, up to its cap."""
    term = bound.term
    states = sorted(states, key=lambda hit: (-hit.adds, hit.since))
    worst = states[0]
    if worst.value is not None:
        adds = worst.adds
        unit = (
            "1" if term.kind is TermKind.LACKING else "人" if term.kind is TermKind.EXPOSURE else _unit(term.quantity)
        )
        text = f"{worst.label} {'项' if unit == '1' else unit}" if term.kind is not TermKind.LACKING else worst.label
        text_en = (
            worst.label_en
            if term.kind is TermKind.LACKING
            else f"{worst.label_en} {unit if unit != '人' else 'persons'}"
        )
    else:
        adds = worst.adds + term.further * sum(hit.adds for hit in states[1:])
        unit = ""
        more, more_en = ("等", " …") if len(states) > _NAMED else ("", "")
        text = "、".join(hit.label for hit in states[:_NAMED]) + more
        text_en = ", ".join(hit.label_en for hit in states[:_NAMED]) + more_en
    return RiskTerm(
        term.id,
        term.kind,
        f"{term.zh}({text.strip()})",
        f"{term.en} ({text_en.strip()})",
        min(term.cap, round(adds, 6)),
        bound.source,
        value=worst.value if worst.value is not None else float(len(states)),
        unit=unit,
        since=min((hit.since for hit in states if hit.since), default=0),
        causes=tuple(dict.fromkeys(hit.event for hit in states if hit.event))[:MAX_CAUSES],
    )


def _unit(quantity: str) -> str:
    found = kinds().get(quantity)
    return found.unit if found else ""
