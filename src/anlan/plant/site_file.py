"""Site files: one YAML file or a folder of them, read, checked and kept with the line of everything.

``load`` gives a document or raises with *all* findings; ``check`` gives whatever there is, for ``anlan check``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from anlan.plant import yaml_source
from anlan.plant.findings import Finding, SiteFileError, finding, guess
from anlan.plant.schema import PointPart, SiteFile, UnitPart
from anlan.plant.yaml_source import Mapping, Sequence

MAX_FILE_MB = 64
SUFFIXES = (".yaml", ".yml")
Loc = tuple[str | int, ...]
TextByFile = dict[Path, str]

# Lists that several files of a folder may add to; the first three are joined by id down the hierarchy.
_BRANCHES = ("enterprises", "areas", "units")
_JOINED = (
    *_BRANCHES,
    "points",
    "equipment",
    "stock",
    "alarms",
    "zones",
    "connectors",
    "positions",
    "installations",
    "barriers",
    "features",
    "channels",
    "chains",
    "substances",
    "use",
)


@dataclass(frozen=True, slots=True)
class PlacedPoint:
    """A point with its full path, the path of its unit and its place in the document."""

    path: str
    unit_path: str
    loc: Loc
    part: PointPart


@dataclass(frozen=True, slots=True)
class PlacedUnit:
    """A unit with its full path and its place in the document."""

    path: str
    loc: Loc
    part: UnitPart


@dataclass(frozen=True)
class SiteDocument:
    """A site as its files say it.

    Attributes:
        path: the file or folder it was read from.
        site: the validated content.
        raw: the same as plain data with lines, for messages.
        files: everything that was read, GeoJSON too; a change of any of them is a change of the site.
        warnings: findings that do not refuse the site.
        geometries: what the GeoJSON files said, by the zone's place in the document: (properties, geometry) each.
    """

    path: Path
    site: SiteFile
    raw: Mapping
    files: tuple[Path, ...] = ()
    warnings: tuple[Finding, ...] = ()
    geometries: dict[int, list[tuple[dict[str, Any], dict[str, Any]]]] = field(default_factory=dict)

    def units(self) -> Iterator[PlacedUnit]:
        """Yield every unit in file order."""
        for e, enterprise in enumerate(self.site.enterprises):
            for a, area in enumerate(enterprise.areas):
                for u, unit in enumerate(area.units):
                    loc = ("enterprises", e, "areas", a, "units", u)
                    yield PlacedUnit(f"{enterprise.id}/{area.id}/{unit.id}", loc, unit)

    def points(self) -> Iterator[PlacedPoint]:
        """Yield every point in file order."""
        for unit in self.units():
            for p, point in enumerate(unit.part.points):
                yield PlacedPoint(f"{unit.path}/{point.id}", unit.path, (*unit.loc, "points", p), point)

    def where(self, loc: Loc) -> tuple[str, int, str]:
        """Return file, line and field name of a place in the document."""
        return locate(self.raw, loc)


def locate(root: Mapping, loc: Loc) -> tuple[str, int, str]:
    """Return file, line and field of ``loc``, as near as the data go; list items are named by their id."""
    node: Any = root
    file, line = root.file, root.line
    names: list[str] = []
    for step in loc:
        if isinstance(step, int) and isinstance(node, list) and names:
            item = node[step] if step < len(node) else None
            names[-1] += f"[{item['id']}]" if isinstance(item, dict) and "id" in item else f"[{step}]"
        elif step != "[key]":
            names.append(str(step))
        if isinstance(node, Mapping) and isinstance(step, str):
            file, line = node.where(step)
            node = node.get(step)
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node):
            file, line = node.marks[step]
            node = node[step]
        else:
            node = None
    return file, line, ".".join(names)


def check(
    path: Path, *, now_us: int | None = None, overlay: TextByFile | None = None
) -> tuple[SiteDocument | None, tuple[Finding, ...]]:
    """Read and check a site.

    Args:
        path: a site file, or a folder whose ``*.yaml`` and ``*.yml`` files are read together.
        now_us: the moment expiry dates are judged at (µs UTC); default now.
        overlay: texts that stand in for files, to check a change before it is written.

    Returns:
        The document (None if anything is an error) and all findings, in file order.
    """
    from anlan.plant.checks import check_document

    moment = time.time_ns() // 1_000 if now_us is None else now_us
    raw, files, findings = _read(Path(path), overlay or {})
    if raw is None:
        return None, _sorted(findings)
    site, more = _validate(raw)
    findings += more
    if site is None:
        return None, _sorted(findings)
    document = SiteDocument(Path(path), site, raw, tuple(files))
    geometries, extra_files, more = check_document(document, moment)
    findings = list(_sorted(findings + more))
    if any(item.severity == "error" for item in findings):
        return None, tuple(findings)
    document = SiteDocument(Path(path), site, raw, (*files, *extra_files), tuple(findings), geometries)
    return document, tuple(findings)


def load(path: Path | str, *, now_us: int | None = None) -> SiteDocument:
    """Return the checked document of a site file or folder; its ``warnings`` hold what is doubtful.

    Raises:
        SiteFileError: with every finding.
    """
    document, findings = check(Path(path), now_us=now_us)
    if document is None:
        raise SiteFileError(findings)
    return document


def site_files(path: Path) -> list[Path]:
    """Return the YAML files of a site in the order they are read."""
    if not path.is_dir():
        return [path]
    return sorted(
        item
        for item in path.rglob("*")
        if item.suffix in SUFFIXES
        and item.is_file()
        and not any(part.startswith(".") for part in item.relative_to(path).parts)
    )


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda item: (item.file, item.line)))


def _read(path: Path, overlay: TextByFile) -> tuple[Mapping | None, list[Path], list[Finding]]:
    findings: list[Finding] = []
    files = site_files(path)
    if not files:
        return None, [], [finding("no-files", str(path), 0)]
    roots: list[Mapping] = []
    for file in files:
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        root, more = parse_text(overlay[file], name) if file in overlay else _read_file(file, name)
        findings += more
        if root is not None:
            roots.append(root)
    unreadable = any(item.severity == "error" for item in findings) and len(roots) < len(files)
    if unreadable or not roots:
        # Half a site would only add findings about what stands in the other half.
        for root in roots:
            findings += [item for item in _validate(root)[1] if item.code != "missing-key"]
        return None, files, findings
    merged = roots[0]
    for root in roots[1:]:
        _join(merged, root, findings)
    return merged, files, findings


def _read_file(file: Path, name: str) -> tuple[Mapping | None, list[Finding]]:
    try:
        content = file.read_bytes()
    except OSError as error:
        return None, [finding("unreadable", name, 0, reason=error.strerror or str(error))]
    if len(content) > MAX_FILE_MB << 20:
        return None, [finding("file-too-large", name, 0, limit=MAX_FILE_MB)]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return None, [finding("encoding", name, content[: error.start].count(b"\n") + 1)]
    return parse_text(text, name)


def parse_text(text: str, name: str) -> tuple[Mapping | None, list[Finding]]:
    """Return the root mapping of a YAML text (None when unusable) and what is wrong with the text."""
    data, problems = yaml_source.parse(text, name)
    findings = [finding(item.code, item.file, item.line, item.at, **item.params) for item in problems]
    if data is None and not problems:
        return None, [finding("empty", name, 1)]
    if data is not None and not isinstance(data, Mapping):
        findings.append(_wrong_type(name, 1, "", data, "mapping"))
        return None, findings
    return data, findings


def _join(target: Mapping, source: Mapping, findings: list[Finding]) -> None:
    for key, value in source.items():
        file, line = source.where(key)
        mine = target.get(key)
        if mine is None:
            target[key] = value
            target.files[key], target.lines[key] = file, line
        elif key in _BRANCHES and isinstance(mine, Sequence) and isinstance(value, Sequence):
            _join_branch(mine, value, findings)
        elif key in _JOINED and isinstance(mine, Sequence) and isinstance(value, Sequence):
            mine.extend(value)
            mine.marks.extend(value.marks)
        elif mine != value:
            first = ":".join(str(part) for part in target.where(key))
            findings.append(finding("conflicting-key", file, line, key, key=key, first=first))


def _join_branch(mine: Sequence, other: Sequence, findings: list[Finding]) -> None:
    known = {item["id"]: item for item in mine if isinstance(item, Mapping) and isinstance(item.get("id"), str)}
    for item, mark in zip(other, other.marks, strict=True):
        identity = item.get("id") if isinstance(item, Mapping) else None
        same = known.get(identity) if isinstance(identity, str) else None
        if same is not None and same.file != mark[0]:
            _join(same, item, findings)
        else:
            mine.append(item)
            mine.marks.append(mark)


def _validate(raw: Mapping) -> tuple[SiteFile | None, list[Finding]]:
    try:
        return SiteFile.model_validate(raw), []
    except ValidationError as error:
        return None, [_finding_of(raw, dict(item)) for item in error.errors(include_url=False)]


EXPECTED = {
    "string_type": ("text", "文本"),
    "float_type": ("a number", "数字"),
    "float_parsing": ("a number", "数字"),
    "int_type": ("a whole number", "整数"),
    "int_parsing": ("a whole number", "整数"),
    "int_from_float": ("a whole number", "整数"),
    "bool_type": ("true or false", " true 或 false"),
    "bool_parsing": ("true or false", " true 或 false"),
    "list_type": ("a list", "列表"),
    "tuple_type": ("a list of two numbers", "两个数字的列表"),
    "too_short": ("a list of two numbers", "两个数字的列表"),
    "too_long": ("a list of two numbers", "两个数字的列表"),
    "dict_type": ("a mapping", "映射"),
    "model_type": ("a mapping", "映射"),
    "model_attributes_type": ("a mapping", "映射"),
    "state": ("a state's number or name", "状态的编号或名称"),
    "mapping": ("a mapping", "映射"),
}


def _wrong_type(file: str, line: int, name: str, value: object, kind: str) -> Finding:
    expected, expected_zh = EXPECTED[kind]
    return finding("wrong-type", file, line, name, value=shown(value), expected=expected, expected_zh=expected_zh)


def shown(value: object) -> str:
    """Return a value of a file as a message shows it."""
    if isinstance(value, dict):
        return "{…}" if value else "{}"
    if isinstance(value, list):
        return "[…]" if len(value) > 3 or any(isinstance(item, dict | list) for item in value) else str(list(value))
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else str(value)


def _finding_of(raw: Mapping, error: dict[str, Any]) -> Finding:
    """Translate one pydantic error."""
    kind, loc, value, context = error["type"], error["loc"], error.get("input"), error.get("ctx", {})
    file, line, name = locate(raw, loc)
    if kind == "missing" and isinstance(loc[-1], int):
        return _wrong_type(*locate(raw, loc[:-1]), value, "tuple_type")
    if kind == "missing":
        return finding("missing-key", *locate(raw, loc[:-1])[:2], name, key=loc[-1])
    if kind == "extra_forbidden":
        return finding("unknown-key", file, line, name, key=loc[-1], **guess(str(loc[-1]), _keys_at(loc[:-1])))
    if kind in ("literal_error", "enum"):
        choices = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        code = "unknown-key" if loc[-1] == "[key]" else "bad-choice"
        hints = {"hint": f"one of {choices}", "hint_zh": f"可用:{choices}"}
        return finding(code, file, line, name, value=shown(value), key=value, choices=choices, **hints)
    if kind in EXPECTED:
        return _wrong_type(file, line, name, value, kind)
    bound = context.get("ge", context.get("max_length", ""))
    code = {
        "string_pattern_mismatch": "bad-id",
        "finite_number": "not-finite",
        "greater_than_equal": "too-small",
        "string_too_long": "too-long",
        "duration": "duration",
        "moment": "moment",
        "priority": "priority",
    }.get(kind, "invalid")
    return finding(code, file, line, name, value=shown(value), bound=bound, reason=error.get("msg", ""))


def _keys_at(loc: Loc) -> list[str]:
    """Return the keys that the model at ``loc`` has."""
    model: type[BaseModel] = SiteFile
    for step in loc:
        if isinstance(step, str) and step in model.model_fields:
            inner = _model_in(model.model_fields[step].annotation)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found is not None:
            return found
    return None
