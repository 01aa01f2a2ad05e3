"""Named grades. "Level" has many senses and opposite directions, so each scale is an enum of its own."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class AlarmPriority(IntEnum):
    """Alarm priority by consequence × time to act (IEC 62682 / ISA-18.2); 1 is the most urgent."""

    CRITICAL = 1
    HIGH = 2
    MEDIUM = 3
    LOW = 4


class Consequence(StrEnum):
    """How bad it gets when nobody acts; with the time to act it gives the priority."""

    MINOR = "minor"
    SERIOUS = "serious"
    MAJOR = "major"
    CATASTROPHIC = "catastrophic"


class WarningGrade(IntEnum):
    """Grade of a warning 预警, by the four colours of 突发事件应对法; 1 (red, I) is the gravest."""

    RED = 1
    ORANGE = 2
    YELLOW = 3
    BLUE = 4


class RiskColour(IntEnum):
    """Standing risk 风险四色 of a place: red 重大, orange 较大, yellow 一般, blue 低; blue is the normal state."""

    RED = 1
    ORANGE = 2
    YELLOW = 3
    BLUE = 4


# Rows: consequence; columns: time to act < 3 min, < 10 min, < 30 min, longer. The usual severity × urgency grid of
# IEC 62682 rationalisation; a site may override the result per alarm.
_GRID = {
    Consequence.CATASTROPHIC: (1, 1, 2, 2),
    Consequence.MAJOR: (1, 2, 2, 3),
    Consequence.SERIOUS: (2, 2, 3, 4),
    Consequence.MINOR: (3, 3, 4, 4),
}


def priority_of(consequence: Consequence, time_to_act_s: float) -> AlarmPriority:
    """Return the alarm priority of a consequence with ``time_to_act_s`` seconds left to act."""
    column = sum(time_to_act_s >= bound for bound in (180, 600, 1800))
    return AlarmPriority(_GRID[consequence][column])
