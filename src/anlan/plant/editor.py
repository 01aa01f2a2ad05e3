"""Changes to site files in place: only what is meant changes, comments and layout stay, the result is checked first."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedSeq

from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError
from anlan.plant.findings import SiteFileError
from anlan.plant.registers.model import Edit
from anlan.plant.site_file import Loc, PlacedPoint, SiteDocument, TextByFile, check, load
from anlan.plant.yaml_text import ItemText, NoLinesOfItsOwnError, WholeText, flow

POINT_FIELDS = frozenset(
    {"name", "name_en", "kind", "unit", "tag", "equipment", "safety", "states", "range", "position", "calibration"}
    | {"stale", "retention", "limits", "on_delay", "off_delay", "deadband"}
)


class SiteEditor:
    """Edits of one site, gathered in memory until ``write``."""

    def __init__(self, document: SiteDocument) -> None:
        self.document = document
        self._points = {placed.path: placed for placed in document.points()}
        self._units = {placed.path: placed for placed in document.units()}
        self._open: dict[Path, ItemText | WholeText] = {}
        self._whole = False
        self._done: tuple[Edit, ...] = ()
        self._old: TextByFile = {}
        self._texts: TextByFile | None = None
        self.touched: set[str] = set()
        self.safety = False

    # --- edits ------------------------------------------------------------------------------------------------------

    def apply(self, edits: Iterable[Edit], *, reviewed: bool = False) -> tuple[Edit, ...]:
        """Apply edits in memory and return them with ``before`` as it was found.

        Args:
            edits: what to change.
            reviewed: somebody approved them as they stand, so that ``before`` must hold even where it says nothing.

        Raises:
            NotFoundError: there is no such point, unit or alarm.
            InvalidInputError: an edit that makes no sense.
            ConflictError: ``before`` is given and is no longer what stands in the file.
        """
        wanted = tuple(edits)
        touched, safety = set(self.touched), self.safety
        try:
            return tuple(self._apply(edit, reviewed) for edit in wanted)
        except NoLinesOfItsOwnError:
            # Begin again, round-tripping whole files.
            self._whole, self._open, self._texts = True, {}, None
            self.touched, self.safety = touched, safety
            return tuple(self._apply(edit, reviewed) for edit in (*self._done, *wanted))[len(self._done) :]
        finally:
            self._done += wanted

    def _apply(self, edit: Edit, reviewed: bool) -> Edit:
        if edit.op == "set":
            return self._set(edit, reviewed)
        if edit.op == "add":
            return self._add(edit)
        if edit.op == "remove":
            return self._remove(edit)
        raise InvalidInputError(f"no edit {edit.op!r}", where=edit.path, fix="set, add or remove")

    def stands(self, edit: Edit) -> bool:
        """Return whether the files already say what an edit wants."""
        if edit.op == "remove":
            return edit.path not in self._points
        if edit.op == "add":
            return isinstance(edit.value, dict) and f"{edit.path}/{edit.value.get('id')}" in self._points
        return bool(self._current(edit) == edit.value)

    def _current(self, edit: Edit) -> Any:
        try:
            node = self._node(self._point(edit.path))
            if edit.alarm:
                node = _alarm_node(node, edit.alarm, create=False)
        except NotFoundError:
            return None
        return _read(node, edit.field.split("."))

    def _set(self, edit: Edit, reviewed: bool) -> Edit:
        placed = self._point(edit.path)
        node = self._node(placed)
        keys = edit.field.split(".") if edit.field else []
        if not keys or (not edit.alarm and keys[0] not in POINT_FIELDS):
            raise InvalidInputError(
                f"{edit.field!r} cannot be changed", where=edit.path, fix=", ".join(sorted(POINT_FIELDS))
            )
        if edit.alarm:
            node = _alarm_node(node, edit.alarm, create=edit.value is not None)
        before = _read(node, keys)
        if (reviewed or edit.before is not None) and edit.before != before:
            raise ConflictError(
                f"{edit.field} is {before!r} now, not {edit.before!r}", where=edit.path, fix="propose the change anew"
            )
        _write(node, keys, edit.value)
        self._touch(edit.path, placed.part.safety or keys[0] == "safety")
        return Edit(edit.op, edit.path, edit.field, edit.alarm, edit.value, before)

    def _add(self, edit: Edit) -> Edit:
        unit = self._units.get(edit.path)
        if unit is None:
            raise NotFoundError(f"no unit {edit.path}", where=edit.path)
        if not isinstance(edit.value, dict) or not isinstance(edit.value.get("id"), str):
            raise InvalidInputError("a new point needs an id", where=edit.path, fix="value: {id: …, kind: …}")
        value = dict(edit.value)
        if isinstance(value.get("states"), dict):
            value["states"] = _numbered(value["states"])
        self._text(unit.loc).add(unit, value)
        self._touch(f"{edit.path}/{edit.value['id']}", bool(edit.value.get("safety")))
        return edit

    def _remove(self, edit: Edit) -> Edit:
        placed = self._point(edit.path)
        text = self._text(placed.loc)
        before = _plain(text.node(placed))
        text.remove(placed)
        self._touch(edit.path, placed.part.safety)
        return Edit(edit.op, edit.path, before=before)

    def _touch(self, path: str, safety: bool) -> None:
        self.touched.add(path)
        self.safety = self.safety or safety

    def _point(self, path: str) -> PlacedPoint:
        placed = self._points.get(path)
        if placed is None:
            raise NotFoundError(f"no point {path}", where=path)
        return placed

    # --- files ------------------------------------------------------------------------------------------------------

    def _file(self, name: str) -> Path:
        path = self.document.path
        return path / name if path.is_dir() else path

    def _text(self, loc: Loc) -> ItemText | WholeText:
        """Return the file that holds ``loc``, opened for edits."""
        file = self._file(self.document.where(loc)[0])
        self._texts = None
        if file not in self._open:
            text = _read_text(file)
            self._old[file] = text
            plain = text.replace("\r\n", "\n")
            self._open[file] = WholeText(plain) if self._whole else ItemText(plain, self.document)
        return self._open[file]

    def _node(self, placed: PlacedPoint) -> Any:
        return self._text(placed.loc).node(placed)

    def texts(self) -> TextByFile:
        """Return the new text of every file that changes."""
        if self._texts is not None:
            return self._texts
        changed: TextByFile = {}
        for file, opened in self._open.items():
            text = opened.text()
            if "\r\n" in self._old[file]:
                text = text.replace("\n", "\r\n")
            if text != self._old[file]:
                changed[file] = text
        self._texts = changed
        return changed

    def diff(self) -> str:
        """Return the change as a unified diff."""
        base = self.document.path if self.document.path.is_dir() else self.document.path.parent
        parts: list[str] = []
        for file, text in self.texts().items():
            name = str(file.relative_to(base))
            old = self._old[file].splitlines(keepends=True)
            parts += difflib.unified_diff(old, text.splitlines(keepends=True), f"a/{name}", f"b/{name}", n=1)
        return "".join(parts)

    def verify(self) -> SiteDocument:
        """Check the site as it would be, and that nothing changes but what was meant.

        Raises:
            SiteFileError: the changed site would not pass; names everything wrong.
            ConflictError: an anchor shares what is changed with other points.
        """
        document, findings = check(self.document.path, overlay=self.texts())
        if document is None:
            raise SiteFileError(findings)
        after = {placed.path: placed.part for placed in document.points()}
        before = {path: placed.part for path, placed in self._points.items()}
        others = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} - self.touched
        if others:
            raise ConflictError(
                f"this would also change {', '.join(sorted(others)[:5])}",
                fix="they share a YAML anchor: write the values out in the file",
            )
        was = {placed.path for placed in self._points.values() if placed.part.safety}
        is_ = {path for path, part in after.items() if part.safety}
        self.safety = self.safety or bool((was | is_) & self.touched)
        return document

    def write(self) -> list[Path]:
        """Write the changed files, each whole or not at all, and return them."""
        written = []
        for file, text in self.texts().items():
            if _read_text(file) != self._old[file]:
                raise ConflictError(f"{file.name} has changed meanwhile", where=str(file), fix="try again")
            replace_text(file, text)
            written.append(file)
        return written


def _read_text(file: Path) -> str:
    with file.open(encoding="utf-8-sig", newline="") as source:
        return source.read()


def replace_text(file: Path, text: str) -> None:
    """Replace a file's text durably: a crash leaves the old or the new one, with the old one's permissions."""
    temporary = file.with_name(f".{file.name}.new")
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
    with temporary.open("w", encoding="utf-8", newline="") as sink:
        sink.write(text)
        sink.flush()
        os.fsync(sink.fileno())
    temporary.chmod(mode)
    temporary.replace(file)


def edit_files(path: Path, edits: Iterable[Edit]) -> tuple[str, list[Path]]:
    """Edit a site's files at once, for the command line; return the diff and the files written.

    Raises:
        AnlanError: the site or the edits are wrong; nothing is written then.
    """
    editor = SiteEditor(load(path))
    editor.apply(edits)
    editor.verify()
    return editor.diff(), editor.write()


def _alarm_node(point: Any, alarm: str, *, create: bool) -> Any:
    kind, _, name = alarm.partition(".")
    for item in point.get("alarms") or ():
        if str(item.get("kind")) == kind and str(item.get("name") or "") == name:
            return item
    if not create:
        raise NotFoundError(f"no alarm {alarm} in the long form", where=str(point.get("id")))
    node = flow({"kind": kind, "name": name} if name else {"kind": kind})
    if not point.get("alarms"):
        point["alarms"] = CommentedSeq()
    point["alarms"].append(node)
    return node


def _read(node: Any, keys: list[str]) -> Any:
    for key in keys:
        if not isinstance(node, dict) or _key(node, key) not in node:
            return None
        node = node[_key(node, key)]
    return _plain(node)


def _write(node: Any, keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        if not isinstance(node.get(key), dict):
            if value is None:
                return
            node[key] = flow({})
        node = node[key]
    last = _key(node, keys[-1])
    if value is None:
        node.pop(last, None)
    else:
        if last == "states" and isinstance(value, dict):
            value = _numbered(value)
        node[last] = flow(value)


def _numbered(states: dict[str, Any]) -> dict[Any, Any]:
    """Return states with numbers for keys, which JSON and Excel made texts."""
    return {int(key) if str(key).lstrip("-").isdigit() else key: name for key, name in states.items()}


def _key(node: Any, key: str) -> Any:
    """Return the key as the file has it: the states of a point are numbered."""
    return int(key) if key.isdigit() and key not in node else key


def _plain(value: Any) -> Any:
    """Return what the round trip holds as plain data."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)
