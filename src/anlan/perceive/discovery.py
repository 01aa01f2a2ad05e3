"""Discovery: what a device offers, guesses at kind and unit, and a site-file draft of it.

Guesses come from instrument letters, words and engineering units (``guesses.yaml``); each carries a confidence, and the
draft says so beside every point. Discovery only reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from anlan.core.units import kinds, unit_for
from anlan.perceive.connector import DiscoveredTag

_TAG = re.compile(r"(?:^|[^A-Za-z])([A-Z]{2,5})[-_ ]?\d{1,5}[A-Z]?(?![A-Za-z])")
_BOUND = 0.99


@dataclass(frozen=True, slots=True)
class Guess:
    """What a tag probably measures, in which unit; ``confidence`` 0…1."""

    kind: str
    unit: str
    confidence: float


@cache
def _tables() -> dict[str, Any]:
    from ruamel.yaml import YAML

    text = files("anlan.perceive").joinpath("guesses.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = YAML(typ="safe").load(text)
    return {name: table["values"] for name, table in loaded.items()}


@cache
def _aliases() -> dict[str, str]:
    found: dict[str, str] = {}
    for unit, names in _tables()["units"].items():
        for name in (unit, *names):
            found.setdefault(str(name).strip().lower(), unit)
    return found


def unit_of(text: str) -> str:
    """Return the unit a device's spelling means, empty when it is not known."""
    plain = text.strip()
    exact = plain if plain in _tables()["units"] else ""
    return exact or _aliases().get(plain.lower(), "")


def _kind_by_tag(name: str) -> str:
    for letters in _TAG.findall(name):
        for length in (2, 1):
            kind = _tables()["letters"].get(letters[:length])
            rest = letters[length:]
            if kind and rest in _tables()["functions"]:
                return "state" if rest in _tables()["switches"] else str(kind)
            if kind and rest in _tables()["switches"]:
                return "state"
    return ""


def _kind_by_word(text: str) -> str:
    lowered = text.lower()
    for row in _tables()["words"]:
        if any(word in lowered for word in row["words"]):
            return str(row["kind"])
    return ""


def guess(name: str, *, description: str = "", unit: str = "", boolean: bool = False) -> Guess:
    """Return what a tag probably is.

    Args:
        name: the tag's or node's name.
        description: what the device says of it.
        unit: the engineering unit as the device writes it.
        boolean: whether its value is true or false.
    """
    if boolean:
        return Guess("state", "", 0.9)
    known = unit_of(unit)
    by_unit = _tables()["kind_of_unit"].get(known, "")
    by_tag, by_word = _kind_by_tag(name), _kind_by_word(f"{name} {description}")
    votes = {kind: 0.0 for kind in (by_tag, by_word, by_unit) if kind}
    for kind, weight in ((by_tag, 0.6), (by_word, 0.55), (by_unit, 0.5)):
        if kind:
            votes[kind] += weight
    for kind in votes:
        # A unit that the kind may have speaks for it, another one against it.
        if known:
            votes[kind] += 0.3 if kinds()[kind].allows(known) else -0.4
    if not votes or max(votes.values()) <= 0:
        return Guess("other", known or unit.strip(), 0.1)
    kind = max(votes, key=lambda candidate: votes[candidate])
    fits = bool(known) and kinds()[kind].allows(known)
    return Guess(kind, known if fits else unit_for(kind), min(_BOUND, votes[kind] if fits else votes[kind] * 0.8))


def make_tag(
    tag: Any, name: str, *, description: str = "", unit: str = "", value: float | str | bool | None = None
) -> DiscoveredTag:
    """Return a discovered tag with its guess."""
    leaf = name.rpartition("/")[2]
    found = guess(leaf, description=description, unit=unit, boolean=isinstance(value, bool))
    plain = float(value) if isinstance(value, bool) else value
    return DiscoveredTag(tag, name, found.kind, found.unit, plain, description, round(found.confidence, 2))


# --- site-file drafts -------------------------------------------------------------------------------------------------


def slug(text: str, taken: set[str], fallback: str) -> str:
    """Return an id made of ``text`` that is not in ``taken``, and take it."""
    base = re.sub(r"[^\w-]+", "-", text.strip()).strip("-_").lower()[:60] or fallback
    candidate, number = base, 2
    while candidate in taken:
        candidate, number = f"{base}-{number}", number + 1
    taken.add(candidate)
    return candidate


def draft(connector: dict[str, Any], tags: Iterable[DiscoveredTag], *, title: str) -> str:
    """Return a site file (YAML) with the tags as points of one unit a folder, mapped to ``connector``.

    Args:
        connector: id, kind and options, without the map.
        tags: what was found; the part of a name before the last ``/`` becomes its unit.
        title: what was looked at, for the heading.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.compat import StringIO

    units: dict[str, tuple[str, CommentedSeq]] = {}
    unit_ids: set[str] = set()
    point_ids: dict[str, set[str]] = {}
    mapping = CommentedMap()
    for tag in tags:
        folder, _, leaf = tag.name.rpartition("/")
        if folder not in units:
            units[folder] = slug(folder.rpartition("/")[2] or connector["id"], unit_ids, "unit"), CommentedSeq()
        unit_id, points = units[folder]
        point_id = slug(leaf, point_ids.setdefault(unit_id, set()), "point")
        point = CommentedMap(id=point_id, name=tag.description or leaf, kind=tag.kind)
        if tag.unit:
            point["unit"] = tag.unit
        point.fa.set_flow_style()
        points.append(point)
        points.yaml_add_eol_comment(_remark(tag), key=len(points) - 1)
        mapping[f"draft/area/{unit_id}/{point_id}"] = tag.tag
    body = {
        "site": {"id": "draft", "name": "草稿", "name_en": "Draft", "tier": "enterprise"},
        "enterprises": [
            {
                "id": "draft",
                "areas": [{"id": "area", "units": [{"id": id_, "points": rows} for id_, rows in units.values()]}],
            }
        ],
        "connectors": [{**connector, "map": mapping}],
    }
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    yaml.dump(body, out)
    heading = (
        f"# 自动发现草稿: {title}\n"
        "# Draft by discovery. Kinds and units are guesses: check every point, give it limits,\n"
        "# then run 'anlan check' on this file.\n"
    )
    return heading + out.getvalue()


def _remark(tag: DiscoveredTag) -> str:
    seen = "" if tag.value is None else f", {tag.value:.6g}" if isinstance(tag.value, float) else f", {tag.value!s:.30}"
    return f"{tag.confidence:.0%}{seen}".replace("\n", " ")
