"""Conditions over points in site files: which points they read, and their text with full paths."""

from __future__ import annotations

import re
from collections.abc import Mapping


def point_names(text: str | None) -> tuple[str, ...]:
    """Return the points an expression reads, as it writes them.

    Raises:
        InvalidInputError: it does not parse; the message names the column.
    """
    if not text:
        return ()
    from anlan.core.expression import parse

    return tuple(parse(text).names)


def with_full_paths(text: str, unit_path: str, points: Mapping[str, object]) -> str:
    """Return an expression with the quoted short names of the unit's own points made full paths."""

    def full(match: re.Match[str]) -> str:
        name = match[0][1:-1].strip()
        return f"'{f'{unit_path}/{name}' if name not in points and f'{unit_path}/{name}' in points else name}'"

    return re.sub(r"'[^']*'|\"[^\"]*\"", full, text)
