"""Reads published measurements where they lie, in the shared data folder; nothing of it is kept here."""

from __future__ import annotations

import ast
import csv
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.gas import Gas

HYDROGEN = Path("consequence") / "hydrogen"
SLAB = Path("dispersion") / "slab_reference"
LNG, AMMONIA, LNG_AT_ONCE = "INPR1_Burro8_pool", "INPR2_DesertTortoise4_jet", "INPR3_LNG_instantaneous"


def rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of a table by its header; lines of remark (#) are passed over."""
    text = (gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()).decode("utf-8-sig")
    return list(csv.DictReader(line for line in text.splitlines() if not line.lstrip('"').startswith("#")))


def curve(file: Path, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return x and y of one curve of a digitised figure, whose columns are x1, y1, x2, y2 …"""
    chosen = [(row[f"x{number}"], row[f"y{number}"]) for row in rows(file) if row[f"x{number}"]]
    x, y = np.array(chosen, dtype=float).T
    return x, y


def deck(folder: Path, case: str) -> dict[str, float]:
    """Return what a case of the SLAB manual gives to its model, by the manual's own names; SI."""
    (found,) = [row for row in rows(folder / SLAB / "slab_manual_decks.csv") if row["id"] == case]
    return {name: float(text) for name, text in found.items() if name not in {"id", "zp", "note"}}


def gas(folder: Path, case: str) -> Gas:
    """Return the substance of a case of the SLAB manual."""
    given = deck(folder, case)
    return Gas(*(given[name] for name in ("wms", "cps", "tbp", "dhe", "cpsl", "rhosl", "spb", "spc")))


def conditions(folder: Path, test: str) -> dict[str, Any]:
    """Return the conditions of a hydrogen test: a number, list or mapping where the text holds one, else the text."""
    known = json.loads((folder / HYDROGEN / "conditions.json").read_text(encoding="utf-8"))
    return {name: _value(text) for name, text in known[test]["parameters"].items()}


def _value(text: str) -> Any:
    """Return the literal of an expression such as ``np.array([59.8, 62.1]) * bar``, in the unit that it names."""
    literal = r"(\[[\d.,\s-]+\]|\{[\d.,:\s-]+\}|[\d.]+(?:e-?\d+)?)"
    found = re.fullmatch(rf"(?:np\.array\()?{literal}\)?(?: \* (?:milli|kilo|bar)\b.*)?", text)
    return ast.literal_eval(found.group(1)) if found else text
