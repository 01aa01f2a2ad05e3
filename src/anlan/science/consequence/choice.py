"""Which dispersion model a release needs, with the reason: passive or dense by Richardson number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from anlan.science.consequence.conventions import GRAVITY, Release, Terrain, Weather
from anlan.science.consequence.gas import Gas
from anlan.science.consequence.meteorology import CALM, surface_layer

# Britter & McQuaid 1988: below these the cloud's weight does not change its spread.
DENSE_PLUME = 0.15
DENSE_PUFF = 0.20
_LOWEST_SURFACE_SOURCE = 10.0
MODELS = ("auto", "gaussian", "surface-layer", "slab", "britter-mcquaid")


@dataclass(frozen=True, slots=True)
class Choice:
    """A model with the reason, in both languages, and the number that decided."""

    model: str
    en: str
    zh: str
    number: float


def source_density(release: Release, gas: Gas, weather: Weather) -> float:
    """Return the density of what is released, droplets included, kg/m³."""
    return gas.density(release.temperature, release.vapour, weather.pressure)


def density_number(release: Release, gas: Gas, weather: Weather) -> float:
    """Return (g'q/u³D)^⅓ of a continuous or (g'V^⅓)^½/u of an instantaneous release; 0 if it is not denser than air.

    Source: Britter & McQuaid 1988 (HSE CRR 17/1988), as CCPS 1999 gives it; u at 10 m.
    """
    density = source_density(release, gas, weather)
    heavier = GRAVITY * (density - weather.density) / weather.density
    if heavier <= 0.0:
        return 0.0
    wind = max(float(surface_layer(weather).wind(10.0)), CALM)
    if release.rate > 0.0:
        flow = release.rate / density
        diameter = math.sqrt(flow / wind)
        if release.pool and release.area > 0.0:
            diameter = max(diameter, math.sqrt(release.area))
        return float((heavier * flow / (wind**3 * diameter)) ** (1 / 3))
    return math.sqrt(heavier * (release.mass / density) ** (1 / 3)) / wind


def choose(release: Release, gas: Gas, weather: Weather) -> Choice:
    """Return the model for a release, with its reason."""
    number = density_number(release, gas, weather)
    limit = DENSE_PLUME if release.rate > 0.0 else DENSE_PUFF
    if number >= limit:
        return Choice(
            "slab",
            f"Denser than air: density number {number:.2f} is at or above {limit:g}, the cloud's weight spreads it.",
            f"重气：密度数 {number:.2f} 不小于 {limit:g}，云团因自重而扩展，采用板块模型。",
            number,
        )
    surface = (
        weather.obukhov is not None
        and weather.terrain is Terrain.RURAL
        and release.height <= _LOWEST_SURFACE_SOURCE
        and release.elevation < 0.5
    )
    if surface:
        return Choice(
            "surface-layer",
            f"Passive (density number {number:.2f} below {limit:g}), near the ground, with a measured Obukhov length: "
            "the surface layer's own profile.",
            f"非重气（密度数 {number:.2f} 小于 {limit:g}），近地面且有实测奥布霍夫长度：采用近地层模型。",
            number,
        )
    return Choice(
        "gaussian",
        f"Passive: density number {number:.2f} is below {limit:g}.",
        f"非重气：密度数 {number:.2f} 小于 {limit:g}，采用高斯模型。",
        number,
    )
