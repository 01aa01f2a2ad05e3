"""What may be forgotten: pure rules from retention classes and holds to statements for one partition at a time.

A table's own TTL cannot know a hold that is set afterwards, so the historian expires partitions itself: dropped whole
when nothing in them must stay, thinned by class otherwise.
"""

# ruff: noqa: S608  # statements are made of integers and our own names; texts from outside are bound parameters

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import msgspec
import yaml

from anlan.core.time import DAY
from anlan.store.historian import schema


class RetentionClass(msgspec.Struct, frozen=True):
    """Days that samples and minute roll-ups are kept; None is for ever."""

    samples_days: int | None
    minutes_days: int | None
    source: str

    def days(self, table: str) -> int | None:
        """Return the days rows of ``table`` are kept."""
        return self.samples_days if table == schema.SAMPLES else self.minutes_days


class Floor(msgspec.Struct, frozen=True):
    """The fewest days the law allows."""

    value: int
    unit: str
    source: str
    confidence: str


class RetentionRules(msgspec.Struct, frozen=True):
    """The classes by name, and the one of points that name none."""

    floor_days: Floor
    classes: dict[str, RetentionClass]
    default: str

    def expired(self, table: str, end: int, now: int) -> frozenset[str]:
        """Return the classes whose rows of ``table`` before ``end`` (µs UTC) may go at ``now``."""
        return frozenset(
            name
            for name, rule in self.classes.items()
            if (days := rule.days(table)) is not None and end <= now - max(days, self.floor_days.value) * DAY
        )


@cache
def rules() -> RetentionRules:
    """Return the rules of the data file beside this module."""
    text = files(__package__).joinpath("retention.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), RetentionRules)


def class_of(name: str) -> str:
    """Return the class a point names, the default for none, and for an unknown one the class that forgets nothing."""
    known = rules()
    if not name:
        return known.default
    return name if name in known.classes else "keep"


@dataclass(frozen=True, slots=True)
class HeldRange:
    """What a hold keeps: samples of ``points`` (all when empty) with start ≤ time < end (µs UTC)."""

    points: tuple[int, ...]
    start: int
    end: int

    def overlaps(self, start: int, end: int) -> bool:
        """Return whether the hold reaches into [start, end)."""
        return self.start < end and self.end > start

    def condition(self) -> str:
        """Return the SQL condition of the rows that are held."""
        inside = f"time >= {self.start} AND time < {self.end}"
        if not self.points:
            return f"({inside})"
        return f"({inside} AND point IN ({','.join(str(point) for point in self.points)}))"


def points_of(classes: frozenset[str], known: RetentionRules) -> str:
    """Return the SQL condition of points whose class is one of ``classes``; points without a class have the default."""
    names = classes if known.default not in classes else frozenset(known.classes) - classes
    quoted = ",".join(f"'{name}'" for name in sorted(names)) or "''"
    inside = f"(SELECT point FROM {schema.CLASSES} FINAL WHERE class IN ({quoted}))"
    return f"point {'NOT IN' if known.default in classes else 'IN'} {inside}"


def plan(
    table: str, start: int, end: int, now: int, present: frozenset[str], holds: list[HeldRange]
) -> tuple[str, str]:
    """Return what to do with one partition [start, end) of ``table`` at ``now`` (all µs UTC).

    Args:
        present: classes that points have at all (the default is always among them).

    Returns:
        ``("keep", "")``, ``("drop", "")`` or ``("delete", condition)``.
    """
    known = rules()
    expired = known.expired(table, end, now)
    if not expired & present:
        return "keep", ""
    held = [hold for hold in holds if hold.overlaps(start, end)]
    if present <= expired and not held:
        return "drop", ""
    condition = f"time >= {start} AND time < {end} AND {points_of(expired, known)}"
    for hold in held:
        condition += f" AND NOT {hold.condition()}"
    return "delete", condition
