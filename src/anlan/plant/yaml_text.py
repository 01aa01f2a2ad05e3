"""The text of one site file under edit: points are changed where they stand, everything else stays to the letter.

``ItemText`` round-trips only the lines of the points concerned, which is quick on big files and leaves mixed layouts
alone. ``WholeText`` round-trips the file; it serves where points do not have lines of their own (flow style, aliases).
"""

from __future__ import annotations

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from anlan.plant.site_file import Loc, PlacedPoint, PlacedUnit, SiteDocument

Indentation = tuple[int, int, int]
_ANCHOR = re.compile(r"(?:^|[\s\[{,:-])[&*]\w")


class NoLinesOfItsOwnError(Exception):
    """A point cannot be cut out of its file."""


def indentation(text: str, default: Indentation = (2, 2, 0)) -> Indentation:
    """Return how a text is indented: mappings, items of sequences, and the dash within these."""
    mapping, sequence = 0, (0, 0)
    column, opens = 0, False
    for line in text.splitlines():
        content = line.lstrip(" -")
        if not content or content.startswith("#"):
            continue
        dash = re.match(r"( *)(- +)", line)
        start = len(line) - len(line.lstrip(" "))
        if opens and dash is not None and start >= column and not sequence[0]:
            sequence = (start - column + len(dash[2]), start - column)
        elif opens and dash is None and start > column and not mapping:
            mapping = start - column
        if mapping and sequence[0]:
            break
        column = len(line) - len(content)
        opens = content.split(" #")[0].rstrip().endswith(":")
    return mapping or default[0], sequence[0] or default[1], sequence[1] if sequence[0] else default[2]


def _yaml(indent: Indentation) -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100_000
    yaml.allow_unicode = True
    yaml.indent(mapping=indent[0], sequence=indent[1], offset=indent[2])
    return yaml


def _dump(yaml: YAML, data: Any) -> str:
    sink = io.StringIO()
    yaml.dump(data, sink)
    return sink.getvalue()


def flow(value: Any) -> Any:
    """Return plain data as the round trip's, written on one line."""
    if isinstance(value, dict):
        mapping = CommentedMap((key, flow(item)) for key, item in value.items())
        mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list | tuple):
        sequence = CommentedSeq(flow(item) for item in value)
        sequence.fa.set_flow_style()
        return sequence
    return value


class WholeText:
    """A file that is read and written as a whole."""

    def __init__(self, text: str) -> None:
        self._yaml = _yaml(indentation(text))
        self._root = self._yaml.load(text)

    def node(self, placed: PlacedPoint) -> Any:
        """Return the point's mapping, to be changed in place."""
        points = _descend(self._root, placed.unit_path)["points"]
        return next(item for item in points if str(item.get("id")) == placed.part.id)

    def add(self, unit: PlacedUnit, value: dict[str, Any]) -> None:
        """Add a point after the unit's others."""
        node = _descend(self._root, unit.path)
        if node.get("points") is None:
            node["points"] = CommentedSeq()
        node["points"].append(flow(value))

    def remove(self, placed: PlacedPoint) -> None:
        """Take a point away."""
        points = _descend(self._root, placed.unit_path)["points"]
        index = next(number for number, item in enumerate(points) if str(item.get("id")) == placed.part.id)
        del points[index]

    def text(self) -> str:
        """Return the text as it is now."""
        return _dump(self._yaml, self._root)


def _descend(root: Any, unit_path: str) -> Any:
    node = root
    for branch, identity in zip(("enterprises", "areas", "units"), unit_path.split("/"), strict=True):
        node = next(item for item in node[branch] if str(item.get("id")) == identity)
    return node


class _Item:
    """The lines of one point, cut out and wrapped as the value of a key."""

    def __init__(self, lines: list[str], first: int, default: Indentation) -> None:
        head = re.match(r"( *)- +(?=\S)", lines[first])
        if head is None:
            raise NoLinesOfItsOwnError
        self.first, self.dash, self.column = first, len(head[1]), head.end()
        self.last = _last_line(lines, first, self.dash)
        body = [lines[first][self.column :]]
        for line in lines[first + 1 : self.last + 1]:
            if line.strip() and len(line) - len(line.lstrip(" ")) < self.column:
                raise NoLinesOfItsOwnError
            body.append(line[self.column :])
        if any(_ANCHOR.search(line) for line in body):
            raise NoLinesOfItsOwnError  # what it means or who else means it stands elsewhere in the file
        self._flow = body[0].startswith("{")
        self._indent = indentation("\n".join(body), default)
        self._margin = 3 if self._flow else self._indent[0]
        shifted = [(" " * self._margin + line) if line.strip() else line for line in body]
        wrapped = ["k: " + body[0], *shifted[1:]] if self._flow else ["k:", *shifted]
        self._yaml = _yaml(self._indent)
        try:
            self._data = self._yaml.load("\n".join(wrapped) + "\n")
        except (YAMLError, ValueError) as error:
            raise NoLinesOfItsOwnError from error
        self.node = self._data["k"]

    def lines(self, head: str) -> list[str]:
        """Return the lines as they are now; ``head`` is what stands before the item on its first line."""
        out = _dump(self._yaml, self._data).rstrip("\n").split("\n")
        body = [line[self._margin :] for line in (out if self._flow else out[1:])]
        return [head + body[0], *((" " * self.column + line) if line.strip() else "" for line in body[1:])]


def _last_line(lines: list[str], first: int, dash: int) -> int:
    """Return the last line that belongs to the item which begins at ``first``."""
    last = first
    for number in range(first + 1, len(lines)):
        line = lines[number]
        content = line.strip()
        if content and not content.startswith("#"):
            if len(line) - len(line.lstrip(" ")) <= dash:
                break
            last = number
    return last


class ItemText:
    """A file of which only the points concerned are read and written."""

    def __init__(self, text: str, document: SiteDocument) -> None:
        self._lines = text.split("\n")
        self._document = document
        self._indent = indentation(text)
        self._items: dict[int, _Item] = {}
        self._removed: set[int] = set()
        self._added: dict[int, list[str]] = {}

    def _item(self, placed: PlacedPoint) -> _Item:
        first = self._document.where(placed.loc)[1] - 1
        if first not in self._items:
            item = _Item(self._lines, first, self._indent)
            raw = _at(self._document, placed.loc)
            node = item.node
            if not isinstance(node, dict) or {str(key) for key in node} != set(raw.lines):
                raise NoLinesOfItsOwnError
            self._items[first] = item
        return self._items[first]

    def node(self, placed: PlacedPoint) -> Any:
        """Return the point's mapping, to be changed in place.

        Raises:
            NoLinesOfItsOwnError: it cannot be cut out.
        """
        return self._item(placed).node

    def add(self, unit: PlacedUnit, value: dict[str, Any]) -> None:
        """Add a point after the unit's others.

        Raises:
            NoLinesOfItsOwnError: the unit has no points with lines of their own in this file.
        """
        if not unit.part.points:
            raise NoLinesOfItsOwnError
        loc = (*unit.loc, "points", len(unit.part.points) - 1)
        last = PlacedPoint(f"{unit.path}/{unit.part.points[-1].id}", unit.path, loc, unit.part.points[-1])
        if self._document.where(loc)[0] != self._document.where(unit.loc)[0]:
            raise NoLinesOfItsOwnError
        item = self._item(last)
        text = _dump(_yaml(self._indent), flow(value)).rstrip("\n")
        self._added.setdefault(item.first, []).append(" " * item.dash + "- " + text)

    def remove(self, placed: PlacedPoint) -> None:
        """Take a point away with its lines.

        Raises:
            NoLinesOfItsOwnError: it cannot be cut out.
        """
        self._removed.add(self._item(placed).first)

    def text(self) -> str:
        """Return the text as it is now."""
        out: list[str] = []
        number = 0
        while number < len(self._lines):
            item = self._items.get(number)
            if item is None:
                out.append(self._lines[number])
                number += 1
                continue
            if number not in self._removed:
                out += item.lines(self._lines[number][: item.column])
            out += self._added.get(number, [])
            number = item.last + 1
        return "\n".join(out)


def _at(document: SiteDocument, loc: Loc) -> Any:
    node: Any = document.raw
    for step in loc:
        node = node[step]
    return node
