"""YAML text to plain data that remembers the line of every key and item, without ever recursing into hostile input.

YAML 1.2 core schema: ``true``/``false``, decimal numbers, everything else is text (``on``, ``2026-01-01``, ``1_000``).
Built from libyaml's events: 10 000 points take about a second where a round-trip load takes seven.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 48
MAX_VALUES = 4_000_000

# Keys whose value is text even when it looks like a number: ids such as 401, the unit "1", tags with leading zeros.
_TEXT_KEYS = frozenset(
    {"id", "kind", "name", "name_en", "unit", "tag", "substance", "cas", "un", "certificate", "equipment", "part_of"}
    | {"cause", "action", "text", "group", "timezone", "zone", "retention", "path", "point", "other", "priority"}
    | {"operator_position", "enable", "expression", "expires"}
)
_CONNECTOR_TEXT_KEYS = frozenset({"id", "kind", "name"})

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}\Z|0x[0-9a-fA-F]{1,200}\Z|0o[0-7]{1,200}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SPECIAL: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"),
}  # fmt: skip
_NUMBER_START = frozenset("0123456789+-.")


class Mapping(dict[str, Any]):
    """A mapping of a file; ``lines`` holds the line of each key, ``file`` the file it begins in."""

    __slots__ = ("file", "files", "line", "lines")

    def __init__(self, file: str, line: int) -> None:
        super().__init__()
        self.file = file
        self.line = line
        self.lines: dict[str, int] = {}
        self.files: dict[str, str] = {}

    def where(self, key: str) -> tuple[str, int]:
        """Return file and line of a key (of the mapping itself when the key is not there)."""
        return self.files.get(key, self.file), self.lines.get(key, self.line)


class Sequence(list[Any]):
    """A list of a file; ``marks`` holds file and line of each item."""

    __slots__ = ("file", "line", "marks")

    def __init__(self, file: str, line: int) -> None:
        super().__init__()
        self.file = file
        self.line = line
        self.marks: list[tuple[str, int]] = []


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """Something wrong with the text itself: ``code`` is a message of ``plant.findings``."""

    code: str
    file: str
    line: int
    at: str = ""
    params: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Frame:
    container: Mapping | Sequence
    text_keys: frozenset[str]
    all_text: bool = False
    key: str | None = None
    key_line: int = 0
    merge: bool = False
    anchor: str | None = None
    size: int = 1
    depth: int = 1


def scalar(text: str) -> Any:
    """Return what a plain (unquoted) scalar means in the YAML 1.2 core schema."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INTEGER.match(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if _FLOAT.match(text):
        return float(text)
    return text


class _Builder:
    """Builds data from events with a stack of its own; collects problems instead of raising them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[SourceProblem] = []
        self.root: Any = None
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int, int]] = {}
        self.documents = 0

    def problem(self, code: str, line: int, **params: str) -> None:
        self.problems.append(SourceProblem(code, self.file, line, self._field(), params))

    def _field(self) -> str:
        return ".".join(frame.key for frame in self.stack if frame.key)

    def run(self, text: str) -> None:
        loader = yaml.CSafeLoader(text)
        try:
            while loader.check_event():
                event = loader.get_event()
                if not self._take(event):
                    return
        finally:
            loader.dispose()

    def _take(self, event: Any) -> bool:
        """Take one event; False ends the reading."""
        kind = type(event)
        line = event.start_mark.line + 1
        if kind is yaml.ScalarEvent:
            return self._scalar(event, line)
        if kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            return self._open(event, line, kind is yaml.MappingStartEvent)
        if kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            frame = self.stack.pop()
            if frame.anchor:
                self.anchors[frame.anchor] = (frame.container, frame.size, frame.depth)
            self._put(frame.container, frame.container.line, frame.size, frame.depth)
        elif kind is yaml.AliasEvent:
            return self._alias(event.anchor, line)
        elif kind is yaml.DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                self.problem("several-documents", line)
                return False
        return True

    def _scalar(self, event: Any, line: int) -> bool:
        frame = self.stack[-1] if self.stack else None
        text = event.value
        if frame is not None and frame.key is None and isinstance(frame.container, Mapping):
            self._key(frame, text, line, plain=event.implicit[0])
            return True
        as_text = frame is not None and (frame.all_text or frame.key in frame.text_keys)
        value = scalar(text) if event.implicit[0] else text
        if as_text and value is not None:
            value = text
        if event.anchor:
            self.anchors[event.anchor] = (value, 1, 0)
        self._put(value, line, 1, 0)
        return self._within_size(line)

    def _key(self, frame: _Frame, text: str, line: int, *, plain: bool) -> None:
        container = frame.container
        assert isinstance(container, Mapping)
        frame.key, frame.key_line = text, line
        frame.merge = plain and text == "<<"
        if text in container.lines and not frame.merge:
            self.problem("duplicate-key", line, key=text, first=str(container.lines[text]))
        if not frame.merge:
            container.lines[text] = line

    def _open(self, event: Any, line: int, mapping: bool) -> bool:
        parent = self.stack[-1] if self.stack else None
        if parent is not None and parent.key is None and isinstance(parent.container, Mapping):
            self.problem("key-not-text", line)
            return False
        if len(self.stack) >= MAX_DEPTH:
            self.problem("too-deep", line, depth=str(MAX_DEPTH))
            return False
        container: Mapping | Sequence = Mapping(self.file, line) if mapping else Sequence(self.file, line)
        frame = _Frame(container, self._text_keys(parent), all_text=self._is_map(parent), anchor=event.anchor)
        if event.anchor:
            self.anchors.pop(event.anchor, None)
        self.stack.append(frame)
        return True

    def _text_keys(self, parent: _Frame | None) -> frozenset[str]:
        if parent is None:
            return _TEXT_KEYS
        if len(self.stack) == 1 and parent.key == "connectors":
            return _CONNECTOR_TEXT_KEYS
        if self.stack[0].key == "connectors":
            return _CONNECTOR_TEXT_KEYS if len(self.stack) == 2 else frozenset()
        return _TEXT_KEYS

    def _is_map(self, parent: _Frame | None) -> bool:
        return len(self.stack) == 3 and self.stack[0].key == "connectors" and parent is not None and parent.key == "map"

    def _alias(self, name: str, line: int) -> bool:
        frame = self.stack[-1] if self.stack else None
        if any(open_.anchor == name for open_ in self.stack):
            self.problem("cyclic-alias", line, name=name)
            return False
        if name not in self.anchors:
            self.problem("unknown-alias", line, name=name)
            return False
        value, size, depth = self.anchors[name]
        if len(self.stack) + depth > MAX_DEPTH:
            self.problem("too-deep", line, depth=str(MAX_DEPTH))
            return False
        if frame is not None and frame.key is None and isinstance(frame.container, Mapping):
            self._key(frame, str(value), line, plain=False)
            return True
        self._put(value, line, size, depth)
        return self._within_size(line)

    def _put(self, value: Any, line: int, size: int, depth: int) -> None:
        if not self.stack:
            self.root = value
            return
        frame = self.stack[-1]
        frame.size += size
        frame.depth = max(frame.depth, depth + 1)
        container = frame.container
        if isinstance(container, Sequence):
            container.append(value)
            container.marks.append((self.file, line))
            return
        key, frame.key = frame.key, None
        assert key is not None
        if frame.merge:
            self._merge(container, value, line)
        elif value is not None:
            container[key] = value

    def _merge(self, container: Mapping, value: Any, line: int) -> None:
        for source in value if isinstance(value, Sequence) else [value]:
            if not isinstance(source, Mapping):
                self.problem("merge-not-mapping", line)
                return
            for key, item in source.items():
                if key not in container.lines:
                    container[key] = item
                    container.lines[key] = source.lines.get(key, line)

    def _within_size(self, line: int) -> bool:
        if max((frame.size for frame in self.stack), default=0) <= MAX_VALUES:
            return True
        self.problem("too-large", line, limit=str(MAX_VALUES))
        return False


def _untabbed(text: str) -> tuple[str, list[int]]:
    """Return the text with tabs in indentation made spaces, and the lines that had them."""
    lines = text.split("\n")
    tabbed = []
    for number, line in enumerate(lines):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent and line.strip():
            tabbed.append(number + 1)
            lines[number] = indent.replace("\t", "  ") + line[len(indent) :]
    return "\n".join(lines), tabbed


def parse(text: str, file: str) -> tuple[Any, list[SourceProblem]]:
    """Return the data of a YAML text and everything wrong with the text.

    Args:
        text: the file's text.
        file: its name, for the problems.

    Returns:
        Data of ``Mapping``, ``Sequence`` and scalars (None when unreadable), and problems in the order found.
    """
    builder = _Builder(file)
    try:
        builder.run(text)
    except (yaml.YAMLError, ValueError) as error:
        repaired, tabbed = _untabbed(text)
        if tabbed:
            data, problems = parse(repaired, file)
            return data, [SourceProblem("tab", file, line) for line in tabbed] + problems
        return None, [*builder.problems, _syntax(error, file)]
    fatal = {"several-documents", "key-not-text", "too-deep", "cyclic-alias", "unknown-alias", "too-large"}
    if any(problem.code in fatal for problem in builder.problems):
        return None, builder.problems
    return builder.root, builder.problems


def _syntax(error: Exception, file: str) -> SourceProblem:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else 1
    reason = " ".join(str(part) for part in (getattr(error, "context", ""), getattr(error, "problem", "")) if part)
    return SourceProblem("syntax", file, line, params={"reason": reason or str(error).split("\n")[0]})
