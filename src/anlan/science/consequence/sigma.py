"""Dispersion coefficients σy and σz by scheme, from ``sigma.yaml``: sets of published fits with their source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import OutOfRangeError, Stability, Terrain

Floats = NDArray[np.float64]

CLASSES = tuple(Stability)
SHORTEST_AVERAGING = 20.0
AVERAGING_POWER = 0.2


@dataclass(frozen=True, slots=True)
class Scheme:
    """One set of coefficients: its name, source, averaging time of its σy (s) and range of its data (m)."""

    name: str
    kind: str
    source: str
    averaging: float
    low: float
    high: float
    rough: bool
    shortest: tuple[float, ...]
    _tables: dict[str, Any]

    def sigma_y(self, stability: Stability, x: Floats, averaging: float | None = None) -> Floats:
        """Return σy, m, at downwind distances ``x``, m, for means over ``averaging`` seconds (None: the scheme's own).

        σy grows with the averaging time to the power 0.2, from 20 s (or the set's own shortest) on.
        """
        return self._evaluate("sigma_y", stability, x) * self.averaging_factor(stability, averaging)

    def sigma_x(self, stability: Stability, x: Floats) -> Floats:
        """Return σx of a puff, m: the scheme's own, otherwise its σy."""
        return self._evaluate("sigma_x" if "sigma_x" in self._tables else "sigma_y", stability, x)

    def sigma_z(self, stability: Stability, x: Floats, roughness: float = 0.1) -> Floats:
        """Return σz, m, at ``x``, m; ``roughness``, m, counts where the set knows it (the Yellow Book)."""
        sigma = self._evaluate("sigma_z", stability, x)
        if self.rough and roughness != 0.1:
            distance = np.maximum(np.asarray(x, dtype=np.float64), self.low)
            sigma = sigma * (10.0 * roughness) ** (0.53 * distance**-0.22)
        return sigma

    def averaging_factor(self, stability: Stability, averaging: float | None) -> float:
        """Return what σy is multiplied by for another averaging time (s)."""
        if averaging is None or self.kind == "puff":
            return 1.0
        shortest = self.shortest[CLASSES.index(stability)] if self.shortest else SHORTEST_AVERAGING
        return float((max(averaging, shortest) / self.averaging) ** AVERAGING_POWER)

    def _evaluate(self, quantity: str, stability: Stability, x: Floats) -> Floats:
        table = self._tables[quantity]
        distance = np.asarray(x, dtype=np.float64)
        if np.any(~(distance >= 0.0)):
            raise OutOfRangeError("a distance is negative or no number", where="x", fix="0 or more, m downwind")
        row = table["rows"][CLASSES.index(stability)]
        scale = 1e-3 if table.get("unit") == "km" else 1.0
        return _FORMS[table["form"]](row, distance * scale)


def _root(row: list[float], x: Floats) -> Floats:
    a, b, p = row
    return a * x * (1.0 + b * x) ** p


def _power(row: list[float], x: Floats) -> Floats:
    return row[0] * x ** row[1]


def _log2(row: list[float], x: Floats) -> Floats:
    """Continue the fit below its lowest useful distance along the tangent: it turns up again near the source."""
    a, b, c = row
    start = 10.0 if c <= 0.0 else max(10.0, float(np.exp((1.0 - b) / (2.0 * c))) if b < 0 else 10.0)
    log = np.log(np.maximum(x, start))
    sigma = a * np.exp(b * log + c * log * log)
    slope = b + 2.0 * c * np.log(start)
    return np.where(x < start, sigma * (np.maximum(x, 0.0) / start) ** slope, sigma)


def _angle(row: list[float], x: Floats) -> Floats:
    c, d = row
    km = np.maximum(x * 1e-3, 1e-12)
    # The opening angle grows without bound towards the source: held below 1 m.
    theta = 0.017453293 * (c - d * np.log(np.maximum(km, 1e-3)))
    return np.where(x > 0.0, 465.11628 * km * np.tan(theta), 0.0)


def _pieces(row: dict[str, Any], x: Floats) -> Floats:
    segments = np.array(row["segments"], dtype=np.float64)
    at = np.minimum(np.searchsorted(segments[:, 0], x, side="left"), len(segments) - 1)
    return np.asarray(np.minimum(segments[at, 1] * x ** segments[at, 2], float(row.get("cap", np.inf))))


def _martin(row: list[list[float]], x: Floats) -> Floats:
    """Go on linearly to zero below 0.1 km, where the fit's constant would leave a width at the source."""
    segments = np.array(row, dtype=np.float64)
    km = np.maximum(x * 1e-3, 0.1)
    at = np.minimum(np.searchsorted(segments[:, 0], km, side="left"), len(segments) - 1)
    sigma = segments[at, 1] * km ** segments[at, 2] + segments[at, 3]
    return np.asarray(sigma * np.minimum(x / 100.0, 1.0))


def _turner(row: dict[str, list[float]], x: Floats) -> Floats:
    until, a, b = row["near"]
    p, q, r = row["beyond"]
    log = np.log10(np.maximum(x, 1e-12))
    return np.where(x <= until, a * x**b, 10.0 ** (p + q * log + r * log * log))


_FORMS: dict[str, Callable[[Any, Floats], Floats]] = {
    "root": _root,
    "power": _power,
    "log2": _log2,
    "angle": _angle,
    "pieces": _pieces,
    "martin": _martin,
    "turner": _turner,
}


@cache
def schemes() -> dict[str, Scheme]:
    """Return all schemes by name, in the order of the file."""
    import yaml

    text = files("anlan.science.consequence").joinpath("sigma.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return {name: _scheme(name, row) for name, row in found.items()}


def _scheme(name: str, row: dict[str, Any]) -> Scheme:
    tables: dict[str, Any] = {key: row[key] for key in ("sigma_x", "sigma_y", "sigma_z") if key in row}
    return Scheme(
        name=name,
        kind=row["kind"],
        source=row["source"],
        averaging=float(row["averaging"]),
        low=float(row["range"][0]),
        high=float(row["range"][1]),
        rough=bool(row.get("rough", False)),
        shortest=tuple(float(value) for value in row.get("shortest", ())),
        _tables=tables,
    )


def scheme(name: str) -> Scheme:
    """Return one scheme.

    Raises:
        OutOfRangeError: there is none of this name.
    """
    found = schemes().get(name)
    if found is None:
        raise OutOfRangeError(
            f"no scheme {name!r} of dispersion coefficients", where="scheme", fix=", ".join(schemes())
        )
    return found


def usual_scheme(terrain: Terrain) -> Scheme:
    """Return the plume scheme taken where none is named: Briggs of the terrain."""
    return scheme(f"briggs-{terrain.value}")
