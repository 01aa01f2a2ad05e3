"""The surface layer: wind profile, Obukhov length and stability class, turbulence, from what a weather says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import KARMAN, OutOfRangeError, Remarks, Stability, Terrain, Weather

Floats = NDArray[np.float64]

CALM = 0.5
LOWEST_TRANSPORT_HEIGHT = 1.0
_SMALLEST_OBUKHOV = 1.0
# TNO (Yellow Book, CPR 14E 1997, section 4.4): 1/L = log10(z0/b)/a by class; D is neutral.
_OBUKHOV = {
    Stability.A: (33.162, 1117.0),
    Stability.B: (32.258, 11.46),
    Stability.C: (51.787, 1.324),
    Stability.E: (-48.33, 1.262),
    Stability.F: (-31.325, 19.36),
}
_POWERS = {
    Terrain.RURAL: (0.07, 0.07, 0.10, 0.15, 0.35, 0.55),
    Terrain.URBAN: (0.15, 0.15, 0.20, 0.25, 0.30, 0.30),
}
_WIND_STEPS = (2.0, 3.0, 5.0, 6.0)
_BY_SUN = {925.0: "AABCD", 675.0: "ABBCD", 175.0: "BCCDD", 0.0: "DDDDD"}
_BY_NIGHT = {False: "FFEDD", True: "FEDDD"}


def obukhov_length(stability: Stability, roughness: float) -> float:
    """Return the usual Obukhov length, m, of a class over ground of ``roughness`` z0 (m; counted to 0.5 m).

    Infinite for D. Source: TNO Yellow Book (CPR 14E 1997) section 4.4, after Golder 1972.
    """
    if stability is Stability.D:
        return float("inf")
    a, b = _OBUKHOV[stability]
    return float(a / np.log10(min(max(roughness, 1e-5), 0.5) / b))


def stability_of_obukhov(length: float, roughness: float) -> Stability:
    """Return the class whose usual Obukhov length (in 1/L) is nearest to ``length``, m (inf is neutral)."""
    inverse = 0.0 if not np.isfinite(length) else 1.0 / length
    return min(Stability, key=lambda one: abs(1.0 / obukhov_length(one, roughness) - inverse))


def stability_of(wind: float, solar: float = 0.0, cloud: float = 0.5) -> Stability:
    """Return the Pasquill class from wind at 10 m (m/s), solar radiation (W/m²; 0 is night) and cloud cover 0…1.

    Source: Pasquill 1961 with the insolation steps of EPA-454/R-99-005 table 6-7 (solar radiation/ΔT method).
    """
    column = int(np.searchsorted(_WIND_STEPS, wind, side="right"))
    if solar > 0.0:
        row = next(classes for least, classes in _BY_SUN.items() if solar >= least)
    else:
        row = _BY_NIGHT[cloud >= 0.5]
    return Stability(row[column])


def wind_exponent(stability: Stability, terrain: Terrain) -> float:
    """Return the power of the wind profile, EPA ISC3 User's Guide vol. II (EPA-454/B-95-003b) section 1.1.3."""
    return _POWERS[terrain][list(Stability).index(stability)]


def psi(zeta: Floats) -> Floats:
    """Return the stability correction of the wind profile at ζ = z/L.

    Source: Paulson 1970 and Dyer 1974 (γ 16, β 5); log-linear past ζ = 1 after Webb 1970, which keeps it monotone.
    """
    value = np.asarray(zeta, dtype=np.float64)
    a = (1.0 - 16.0 * np.minimum(value, 0.0)) ** 0.25
    unstable = 2.0 * np.log((1.0 + a) / 2.0) + np.log((1.0 + a * a) / 2.0) - 2.0 * np.arctan(a) + np.pi / 2.0
    stable = -5.0 * np.where(value > 1.0, 1.0 + np.log(np.maximum(value, 1.0)), value)
    return np.where(value < 0.0, unstable, stable)


def phi_heat(zeta: Floats) -> Floats:
    """Return the dimensionless gradient of a scalar at ζ = z/L (Dyer 1974; 6 past ζ = 1 after Webb 1970)."""
    value = np.asarray(zeta, dtype=np.float64)
    return np.where(value < 0.0, (1.0 - 16.0 * np.minimum(value, 0.0)) ** -0.5, 1.0 + 5.0 * np.clip(value, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class SurfaceLayer:
    """The profile of the wind.

    Attributes:
        friction_velocity: u*, m/s.
        inverse_obukhov: 1/L, 1/m.
        roughness: z0, m.
        mixing_height: lid, m; inf without one.
    """

    friction_velocity: float
    inverse_obukhov: float
    roughness: float
    mixing_height: float

    def wind(self, z: Floats | float) -> Floats:
        """Return the wind, m/s, at heights ``z``, m; below 1.5 z0 it is that of 1.5 z0."""
        height = np.maximum(np.asarray(z, dtype=np.float64), 1.5 * self.roughness)
        inverse = self.inverse_obukhov
        profile = np.log(height / self.roughness) - psi(height * inverse) + psi(np.array(self.roughness * inverse))
        return self.friction_velocity / KARMAN * profile

    def diffusivity(self, z: Floats) -> Floats:
        """Return the vertical eddy diffusivity of a gas, m²/s: k u* z / φh (similarity of heat and matter)."""
        height = np.asarray(z, dtype=np.float64)
        return KARMAN * self.friction_velocity * height / phi_heat(height * self.inverse_obukhov)

    @property
    def lateral_turbulence(self) -> float:
        """σv, m/s: Panofsky et al. 1977 where the ground heats the air, 1.9 u* otherwise (Panofsky & Dutton 1984)."""
        if self.inverse_obukhov >= 0.0:
            return 1.9 * self.friction_velocity
        depth = self.mixing_height if np.isfinite(self.mixing_height) else 1000.0
        cube: float = max(12.0 - 0.5 * depth * self.inverse_obukhov, 1.9**3)
        return float(self.friction_velocity * float(cube) ** (1.0 / 3.0))


def checked_wind(weather: Weather, remarks: Remarks) -> float:
    """Return the wind to compute with, m/s: at least ``CALM``, with a remark where it was less.

    Raises:
        OutOfRangeError: wind, roughness or heights that no weather has.
    """
    remarks.require("wind", weather.wind, 0.0, 60.0, "m/s", "dispersion")
    remarks.require("wind_height", weather.wind_height, 0.1, 500.0, "m", "dispersion")
    remarks.require("roughness", weather.roughness, 1e-6, 3.0, "m", "dispersion")
    remarks.require("temperature", weather.temperature, 200.0, 340.0, "K", "dispersion")
    remarks.require("pressure", weather.pressure, 3e4, 1.2e5, "Pa", "dispersion")
    remarks.require("humidity", weather.humidity, 0.0, 1.0, "", "dispersion")
    remarks.require("mixing_height", weather.mixing_height, 0.0, 2e4, "m", "dispersion")
    if weather.obukhov is not None and (np.isnan(weather.obukhov) or weather.obukhov == 0.0):
        raise OutOfRangeError("an Obukhov length of 0 or NaN", where="obukhov", fix="any other length, m, or inf")
    if weather.wind_height <= 2.0 * weather.roughness:
        raise OutOfRangeError(
            f"the wind is measured at {weather.wind_height:g} m, inside roughness of {weather.roughness:g} m",
            where="wind_height",
            fix="a height well above the roughness",
        )
    if weather.wind < CALM:
        remarks.add(
            "calm",
            f"Wind of {weather.wind:g} m/s is calm: computed with {CALM:g} m/s; the gas may go any way.",
            f"风速 {weather.wind:g} m/s 属静风：按 {CALM:g} m/s 计算，气体可能向任何方向扩散。",
        )
    return max(weather.wind, CALM)


def surface_layer(weather: Weather, remarks: Remarks | None = None) -> SurfaceLayer:
    """Return the surface layer of a weather: u* from the wind at its height, L given or of the class.

    Raises:
        OutOfRangeError: see ``checked_wind``.
    """
    wind = checked_wind(weather, remarks if remarks is not None else Remarks())
    length = weather.obukhov if weather.obukhov is not None else obukhov_length(weather.stability, weather.roughness)
    inverse = 0.0 if not np.isfinite(length) else 1.0 / (np.sign(length) * max(abs(length), _SMALLEST_OBUKHOV))
    lid = weather.mixing_height if weather.mixing_height > 0.0 else float("inf")
    unit = SurfaceLayer(1.0, float(inverse), weather.roughness, lid)
    friction = wind / float(unit.wind(weather.wind_height))
    return SurfaceLayer(friction, float(inverse), weather.roughness, lid)


def transport_wind(weather: Weather, height: float, remarks: Remarks | None = None) -> float:
    """Return the wind, m/s, that carries a plume at ``height``, m: never below 1 m height nor below calm."""
    layer = surface_layer(weather, remarks)
    return max(float(layer.wind(max(height, LOWEST_TRANSPORT_HEIGHT))), CALM / 2)
