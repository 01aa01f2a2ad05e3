"""Concentrations of a slab run at any place and time, as Ermak spreads a station's means over crosswind and height.

Half widths are those of the stations, so that every section carries the run's flux (the original's contour factor does
not, once the plume meanders).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from anlan.science.consequence.conventions import GAS_CONSTANT
from anlan.science.consequence.slab import SlabRun
from anlan.science.consequence.slab_plume import FLYING

Floats = NDArray[np.float64]
_ROOT2 = math.sqrt(2.0)
_INSTANT = 10.0


class SlabField:
    """The field of one run: kg/m³ at downwind-aligned places.

    Args:
        run: the run. averaging: s, over which the plume meanders; never longer than the release lasts.
    """

    def __init__(self, run: SlabRun, averaging: float) -> None:
        self.run = run
        release = run.release
        self._cloud = release.kind == "cloud"
        c = {name: run.column(name) for name in ("x", "h", "zc", "bb", "b", "bbx", "bx", "rho", "cm", "u", "time")}
        self._x = np.maximum.accumulate(c["x"])
        keep = np.concatenate([[True], np.diff(self._x) > 0.0])
        self._x = self._x[keep]
        flying = run.column("lofted") == FLYING
        sigma = np.where(flying, c["h"] / math.sqrt(12.0), np.maximum(c["h"] - c["zc"], 1e-9) / math.sqrt(3.0))
        flux = 2.0 * c["bb"] * c["h"] * c["rho"] * c["cm"]
        beta2 = (c["bb"] ** 2 - c["b"] ** 2) / 3.0 + self._meander(run, averaging, c)
        columns = (
            c["bb"],
            c["b"],
            np.sqrt(np.maximum(beta2, 1e-12)),
            c["zc"],
            sigma,
            flux,
            c["bbx"],
            c["bx"],
            c["time"],
        )
        self._table = np.stack(columns)[:, keep]
        self._time, self._by_time = c["time"], np.stack([*columns[:8], c["x"]])
        self._switch = self._x[min(run.plume, len(self._x) - 1)] if run.plume < len(c["x"]) else math.inf
        self._finite = math.isfinite(release.duration) and run.plume < len(c["x"]) and run.plume > 0
        self.largest = float(np.max(c["rho"] * c["cm"]))
        self.reach = float(self._x[-1])
        self.upwind = run.source.start if run.source.pool else (-float(c["bbx"][0]) if not run.plume else 0.0)

    def _meander(self, run: SlabRun, averaging: float, c: dict[str, Floats]) -> Floats:
        """Return what the wind's meander adds to β²: none at 10 s, growing with the averaging time."""
        duration = run.release.duration if not self._cloud else math.inf
        passing = np.where(c["bbx"] > 0.0, 2.0 * c["bbx"] / np.maximum(c["u"], 0.1), 0.0)
        lasting = np.maximum(duration if math.isfinite(duration) else 0.0, passing)
        if not math.isfinite(duration) and not self._cloud:
            lasting = np.full_like(passing, math.inf)
        tau = np.clip(np.minimum(averaging, lasting), _INSTANT, None)
        mu = ((tau + _INSTANT * np.exp(-tau / _INSTANT)) / _INSTANT) ** 0.2
        spread = run.air.spread
        first = run.first if run.source.pool == 0.0 else run.source.start
        sigma0 = spread / 2e-4 * (np.sqrt(1.0 + 4e-4 * np.maximum(c["x"] - first, 0.0)) - 1.0)
        return (mu * mu - 1.0) * (sigma0 * self._still(run, c)) ** 2

    @staticmethod
    def _still(run: SlabRun, c: dict[str, Floats]) -> Floats:
        """Return the share of the meander that a jet of its own momentum follows."""
        release = run.release
        if release.kind != "jet":
            return np.ones_like(c["x"])
        density = run.matter.molar_mass * run.air.pressure / (GAS_CONSTANT * release.temperature)
        speed = release.rate / (max(c["rho"][0], 1e-9) * release.area)
        cube = run.air.density * run.column("uab") * (1.0 - c["cm"]) / (density * speed * np.maximum(c["cm"], 1e-12))
        p = np.cbrt(np.maximum(cube, 1e-12))
        bent = 0.5 * np.log((1.0 - p + p * p) / (1.0 + p) ** 2)
        bent += math.sqrt(3.0) * (np.arctan((2.0 * p - 1.0) / math.sqrt(3.0)) + math.pi / 6.0)
        return np.where(p < 0.1, 0.0, np.clip(1.0 - 2.0 / (3.0 * p**3) * bent, 0.0, 1.0))

    def _stations(self, x: Floats) -> list[Floats]:
        place = np.clip(x, self._x[0], self._x[-1])
        return [np.interp(place, self._x, row) for row in self._table]

    @staticmethod
    def _shape(y: Floats, z: Floats, s: list[Floats]) -> Floats:
        """Return C1·C2·flux: the mass in the section spread over crosswind and height, kg/m³."""
        _, b, beta, centre, sigma, flux, *_ = s
        across = (erf((y + b) / (_ROOT2 * beta)) - erf((y - b) / (_ROOT2 * beta))) / (4.0 * np.maximum(b, 1e-9))
        height = np.exp(-(((z - centre) / sigma) ** 2) / 2.0) + np.exp(-(((z + centre) / sigma) ** 2) / 2.0)
        return np.asarray(flux * across * height / (math.sqrt(2.0 * math.pi) * sigma))

    @staticmethod
    def _along(offset: Floats, long: Floats, core: Floats) -> Floats:
        beta = np.sqrt(np.maximum((long**2 - core**2) / 3.0, 1e-12))
        pair = erf((offset + core) / (_ROOT2 * beta)) - erf((offset - core) / (_ROOT2 * beta))
        return np.asarray(long / (2.0 * np.maximum(core, 1e-9)) * pair)

    def peak(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Return the largest concentration over time, kg/m³."""
        s = self._stations(x)
        value = self._shape(y, z, s)
        puff = x > self._switch if not self._cloud else np.ones(np.shape(x), bool)
        passing = np.where(puff, self._along(np.zeros_like(x), s[6], s[7]), 1.0)
        beyond = (self.reach / np.maximum(x, self.reach)) ** 2
        inside = x > self.upwind if not self._cloud else x >= self.upwind
        if self._cloud:
            return np.maximum(value * passing * beyond * inside, self._at_start(x, y, z))
        return np.minimum(np.where(inside, value * passing * beyond, 0.0), self.largest)

    def _at_start(self, x: Floats, y: Floats, z: Floats) -> Floats:
        return self._moving(x, y, z, 0.0)

    def at(self, x: Floats, y: Floats, z: Floats, time: float) -> Floats:
        """Return the concentration, kg/m³, ``time`` seconds after the start of the release."""
        if time < 0.0:
            return np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(z)))
        if self._cloud or self.run.plume == 0:
            return self._moving(x, y, z, time)
        s = self._stations(x)
        value = np.where(x > self.upwind, self._shape(y, z, s), 0.0)
        beyond = (self.reach / np.maximum(x, self.reach)) ** 2
        return np.minimum(value * beyond * self._passing(x, time), self.largest)

    def _passing(self, x: Floats, time: float) -> Floats:
        """Return Cx of a plume that began or ended: the moving cloud's share at ``x``."""
        release = self.run.release
        plume = self.run.rows[: max(self.run.plume, 2)]
        where, held = plume[:, 0], plume[:, 22]
        if time < release.duration or not math.isfinite(release.duration):
            centre = float(
                np.interp(0.25 * release.rate * time, held, where, right=self._far_centre(time, where, held))
            )
            if not self._finite:
                # Steady: the head of the plume is where twice the time's flux lies upstream of it.
                head = float(np.interp(0.5 * release.rate * time, held, where, right=math.inf))
                blur = np.maximum(0.1 * np.abs(x - where[0]) + 1.0, 1.0)
                return np.asarray(0.5 * (1.0 + erf((head - x) / (_ROOT2 * blur))))
            long = max(centre - float(where[0]), 0.5)
            # Behind the head everything up to the source is full.
            head = centre + long
            blur = np.maximum(0.1 * np.abs(x - where[0]), 0.5)
            return np.asarray(0.5 * (1.0 + erf((head - x) / (_ROOT2 * blur))))
        rows = self.run.rows[self.run.plume :]
        centre, long, core = (float(np.interp(time, rows[:, 21], rows[:, i])) for i in (0, 5, 6))
        spread = np.array(max(core, 1e-6))
        return np.minimum(self._along(x - centre, np.array(max(long, 1e-6)), spread), 1.0)

    @staticmethod
    def _far_centre(time: float, where: Floats, held: Floats) -> float:
        del time, held
        return float(where[-1])

    def _moving(self, x: Floats, y: Floats, z: Floats, time: float) -> Floats:
        """Return the field of a puff in its state at ``time``: its mass is kept exactly."""
        s = [np.float64(np.interp(time, self._time, row)) for row in self._by_time]
        values = [np.asarray(one) for one in s]
        return self._shape(y, z, values) * self._along(x - s[8], values[6], values[7])

    def arrival(self, x: Floats) -> Floats:
        """Return when the cloud's middle (of a puff) or head (of a plume) passes ``x``, s."""
        return np.asarray(np.interp(np.clip(x, self._x[0], self._x[-1]), self._x, self._table[8]))
