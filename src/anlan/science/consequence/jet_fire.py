"""Jet fires: flame length and lift by Chamberlain, the flame's way by its momentum, radiation of weighted points.

Chamberlain 1987 (Chem. Eng. Res. Des. 65:299; CPR 14E 6.5.3) gives the length, lift-off and size of the flame and the
fraction of heat radiated. Its tilt formula is for flares; a flame that a low-momentum horizontal jet makes rises by its
own buoyancy. So the axis here follows the momentum of jet, buoyancy and wind, and radiation comes from points along it,
weighted as Hankinson & Lowesmith (2012) found. Hydrogen: length by Delichatsios 1993, radiant fraction by Panda &
Hecht 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import GAS_CONSTANT, GRAVITY, Remarks, Weather
from anlan.science.consequence.jets import ExpandedJet
from anlan.science.consequence.radiation import distance_to, transmissivity, water_vapour_pressure
from anlan.science.consequence.substances import Substance, substance

Floats = NDArray[np.float64]

_POINTS = 40
_HOT_TO_AIR = 0.2
_ENTRAINMENT = 0.16
_LONGEST = 0.75


@dataclass(frozen=True, slots=True)
class JetSource:
    """The gas or mist at ambient pressure that burns: rate kg/s, velocity m/s, density kg/m³, molar mass kg/mol."""

    substance: Substance
    rate: float
    velocity: float
    density: float


@dataclass(frozen=True, slots=True)
class JetFire:
    """A jet flame.

    Attributes:
        length: from the opening to the tip along the axis, m; lift: of the base from the opening, m.
        base, tip: widths of the flame there, m.
        radiated: W; fraction: of the heat of combustion.
        emissive_power: W/m² of the flame's surface.
        points: places along the axis relative to the point on the ground under the opening, m, shape (3, n): x east,
            y north, z up; weights: share of the radiation of each, sum 1.
        water_pressure: of the air, Pa.
    """

    substance: Substance
    rate: float
    length: float
    lift: float
    base: float
    tip: float
    radiated: float
    fraction: float
    emissive_power: float
    points: Floats
    weights: Floats
    water_pressure: float

    def flux(self, targets: Floats, normal: Floats | None = None) -> Floats:
        """Return the radiation on surfaces, W/m².

        Args:
            targets: places, m, shape (3,) or (3, m): x, y, z.
            normal: where the surfaces look, of length 1, shape (3,); None turns each as is worst.
        """
        at = np.asarray(targets, dtype=np.float64).reshape(3, -1)
        way = at[:, None, :] - self.points[:, :, None]
        distance = np.maximum(np.sqrt(np.sum(way**2, axis=0)), 0.3)
        share = self.weights[:, None] * self.radiated / (4.0 * math.pi * distance**2)
        share = share * transmissivity(self.water_pressure, np.maximum(distance - self.tip / 2.0, 0.1))
        if normal is None:
            total = np.sqrt(np.sum((share * way / distance).sum(axis=1) ** 2, axis=0))
        else:
            cosine = -np.tensordot(np.asarray(normal, dtype=np.float64), way / distance, axes=1)
            total = np.sum(share * np.maximum(cosine, 0.0), axis=0)
        result: Floats = np.minimum(total, self.emissive_power)
        return result

    def distance_to(self, threshold: float, bearing: float = 0.0, height: float = 0.0) -> float:
        """Return the ground distance from the opening where the flux falls to ``threshold`` (W/m²), m.

        Args:
            threshold: W/m².
            bearing: direction in which to look, radians from east, counter-clockwise.
            height: of the receiver, m.
        """
        cosine, sine = math.cos(bearing), math.sin(bearing)
        return distance_to(lambda x: float(self.flux(np.array([x * cosine, x * sine, height]))[0]), threshold, 0.5)


def source_of(jet: ExpandedJet) -> JetSource:
    """Return the burning source of an expanded jet; what rains out burns as a pool, not here."""
    return JetSource(jet.substance, jet.rate, jet.velocity, jet.density)


def gas_source(
    name: str | Substance, rate: float, pressure: float, temperature: float, ambient: float = 101_325.0
) -> JetSource:
    """Return the source of a gas from a vessel at ``pressure`` Pa and ``temperature`` K (Chamberlain's Mj, Tj, uj).

    The gas expands isentropically from the throat to ambient pressure (CPR 14E 6.5.3.1).
    """
    chosen = substance(name)
    gamma = chosen.gamma(temperature)
    ratio = pressure / ambient
    critical = ((gamma + 1.0) / 2.0) ** (gamma / (gamma - 1.0))
    if ratio > critical:
        throat = ratio * (2.0 / (gamma + 1.0)) ** (gamma / (gamma - 1.0))
        mach = math.sqrt(((gamma + 1.0) * throat ** ((gamma - 1.0) / gamma) - 2.0) / (gamma - 1.0))
    else:
        mach = math.sqrt(2.0 / (gamma - 1.0) * (max(ratio, 1.0) ** ((gamma - 1.0) / gamma) - 1.0))
    cold = 2.0 * temperature / (2.0 + (gamma - 1.0) * mach**2)
    velocity = max(mach * math.sqrt(gamma * GAS_CONSTANT * cold / chosen.molar_mass), 0.1)
    return JetSource(chosen, rate, velocity, ambient * chosen.molar_mass / (GAS_CONSTANT * cold))


def source_diameter(source: JetSource, air_density: float) -> float:
    """Return Ds = √(4ṁ/(π ρa uj)): throat of an imagined nozzle of air density, m."""
    return math.sqrt(4.0 * source.rate / (math.pi * air_density * source.velocity))


def still_length(source: JetSource, air_density: float) -> float:
    """Return L0, flame length in still air, m: Chamberlain's Y(Ds, uj, W) times Ds."""
    diameter = source_diameter(source, air_density)
    mass = source.substance.molar_mass
    fuel = mass / (15.816 * mass + 0.0395)
    a = 0.024 * (GRAVITY * diameter / source.velocity**2) ** (1.0 / 3.0)
    c = (2.85 / fuel) ** (2.0 / 3.0)
    low, high = 0.0, 1e7
    for _ in range(200):
        middle = 0.5 * (low + high)
        if a * middle ** (5.0 / 3.0) + 0.2 * middle ** (2.0 / 3.0) > c:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high) * diameter


def flame_length(source: JetSource, air_density: float, wind: float, angle: float) -> float:
    """Return L in wind, m: L0 (0.51 e^(−0.4u) + 0.49)(1 − 0.00607 (Θ − 90)).

    Args:
        source: what burns; air_density: kg/m³; wind: m/s.
        angle: Θ between the jet and the wind's direction, degrees (90 vertical, 0 along the wind, 180 against it).
    """
    still = still_length(source, air_density)
    return still * (0.51 * math.exp(-0.4 * wind) + 0.49) * (1.0 - 0.00607 * (angle - 90.0))


def hydrogen_length(source: JetSource, air_density: float, flame_temperature: float = 2390.0) -> float:
    """Return the visible length of a hydrogen jet flame, m (Delichatsios 1993; constants as Schefer et al. 2006)."""
    mass_fraction = 0.02852
    diameter = math.sqrt(4.0 * source.rate / (math.pi * source.density * source.velocity))
    ratio = source.density / air_density
    rise = (flame_temperature - 293.0) / 293.0
    froude = source.velocity * mass_fraction**1.5 / (ratio**0.25 * math.sqrt(rise * GRAVITY * diameter))
    group = 13.5 * froude**0.4 / (1.0 + 0.07 * froude**2) ** 0.2 if froude < 5.0 else 23.0
    return group * diameter * math.sqrt(ratio) / mass_fraction


def radiant_fraction(source: JetSource, length: float, ambient: float = 101_325.0) -> float:
    """Return the share of the heat of combustion that is radiated.

    Hydrogen: Panda & Hecht 2017, 9.45e-9 (τ a T⁴)^0.47 by the flame's residence time in ms. Others: Chamberlain
    0.21 e^(−0.00323 uj) + 0.11, for 21 < M < 60 g/mol times √(M/21), 1.69 beyond.
    """
    if source.substance.id == "hydrogen":
        hot = ambient * 0.0245 / (GAS_CONSTANT * 2390.0)
        residence = hot * (0.17 * length) ** 2 * length * 0.02852 / (3.0 * source.rate / (math.pi / 4.0))
        arrived = residence * 1000.0 * 0.23 * 2390.0**4
        return min(9.45e-9 * math.pow(arrived, 0.47), 0.3)
    share = 0.21 * math.exp(-0.00323 * source.velocity) + 0.11
    grams = source.substance.molar_mass * 1000.0
    return share * (1.0 if grams < 21.0 else math.sqrt(min(grams, 60.0) / 21.0))


def widths(source: JetSource, length: float, wind: float, air_density: float) -> tuple[float, float]:
    """Return the widths of the flame's base and tip, m (Chamberlain's frustum)."""
    ratio = wind / source.velocity
    diameter = source_diameter(source, air_density)
    richardson = (GRAVITY / (diameter**2 * source.velocity**2)) ** (1.0 / 3.0) * diameter
    c = 1000.0 * math.exp(-100.0 * ratio) + 0.8
    thin = 1.0 - math.sqrt(air_density / source.density) / 15.0
    base = diameter * (13.5 * math.exp(-6.0 * ratio) + 1.5)
    base *= 1.0 - thin * math.exp(-70.0 * richardson * c * ratio)
    tip = length * (0.18 * math.exp(-1.5 * ratio) + 0.31) * (1.0 - 0.47 * math.exp(-25.0 * ratio))
    return max(base, 0.0), tip


def surface(base: float, tip: float, height: float) -> float:
    """Return the surface of the frustum, m²."""
    slant = math.sqrt(height**2 + (tip - base) ** 2 / 4.0)
    return math.pi / 4.0 * (base**2 + tip**2) + math.pi / 2.0 * (base + tip) * slant


def lift_off(length: float, wind: float, velocity: float, tilt: float) -> float:
    """Return b, m from the opening to the flame's base: L sin(Kα)/sin α, K = 0.185 e^(−20R) + 0.015 (α in degrees)."""
    k = 0.185 * math.exp(-20.0 * wind / velocity) + 0.015
    alpha = math.radians(tilt)
    return k * length if abs(alpha) < 1e-3 else length * math.sin(k * alpha) / math.sin(alpha)


def tilt_angle(source: JetSource, length: float, wind: float, angle: float, air_density: float) -> float:
    """Return α between the jet and the flame, degrees (Chamberlain; continuous at R = 0.05)."""
    ratio = wind / source.velocity
    diameter = source_diameter(source, air_density)
    richardson = math.cbrt(GRAVITY / (diameter**2 * source.velocity**2)) * length
    bend = (angle - 90.0) * (1.0 - math.exp(-25.6 * ratio))
    if ratio <= 0.05:
        return bend + 8000.0 * ratio / richardson
    return bend + (134.0 + 1726.0 * math.sqrt(ratio - 0.026)) / richardson


def _axis(source: JetSource, length: float, lift: float, jet: Floats, wind: Floats, tip: float, air: float) -> Floats:
    """Places along the flame: the direction is that of the momentum of jet, buoyancy of the hot gas, and wind.

    Buoyancy of a cone of hot gas adds g Δρ A per metre; air taken in (Becker & Yamazaki 1978) brings the wind's.
    """
    steps = 200
    step = length / steps
    momentum = source.rate * source.velocity * jet
    strength = float(np.linalg.norm(momentum))
    place = np.zeros(3)
    way = [place.copy()]
    for k in range(steps):
        along = (k + 0.5) * step
        inside = max(along - lift, 0.0) / max(length - lift, 1e-9)
        width = tip * inside
        lifted = GRAVITY * air * (1.0 - _HOT_TO_AIR) * math.pi / 4.0 * width**2 * step
        taken = _ENTRAINMENT * math.sqrt(air * strength) * step
        momentum = momentum + np.array([0.0, 0.0, lifted]) + taken * wind
        place = place + step * momentum / np.linalg.norm(momentum)
        way.append(place.copy())
    path = np.array(way)
    wanted = lift + (length - lift) * (np.arange(_POINTS) + 0.5) / _POINTS
    along_path = np.linspace(0.0, length, steps + 1)
    return np.array([np.interp(wanted, along_path, path[:, i]) for i in range(3)])


def _weights() -> Floats:
    """Hankinson & Lowesmith 2012: rising linearly to three quarters of the length, falling beyond, total 1."""
    share = (np.arange(_POINTS) + 0.5) / _POINTS
    raw = np.where(share <= _LONGEST, share, (1.0 - share) * _LONGEST / (1.0 - _LONGEST))
    result: Floats = raw / raw.sum()
    return result


def jet_fire(
    source: JetSource,
    weather: Weather,
    elevation: float = 0.0,
    azimuth: float | None = None,
    height: float = 1.0,
    radiant: float | None = None,
    remarks: Remarks | None = None,
) -> JetFire:
    """Return the flame of a jet.

    Args:
        source: what burns, at ambient pressure (``gas_source``, ``source_of``).
        weather: wind, temperature, humidity.
        elevation: of the jet above the horizon, radians; π/2 is vertical.
        azimuth: compass direction the jet points to, degrees; None is downwind.
        height: of the opening, m.
        radiant: fraction of heat radiated; None takes that of the model.
        remarks: takes what is said about the result.

    Raises:
        MissingDataError: it has no heat of combustion.
        OutOfRangeError: rate or velocity not above 0, or huge.
    """
    remarks = remarks if remarks is not None else Remarks()
    remarks.require("rate", source.rate, 1e-6, 1e4, "kg/s", "the jet fire")
    remarks.require("velocity", source.velocity, 0.1, 5000.0, "m/s", "the jet fire")
    remarks.require("elevation", elevation, -math.pi / 2, math.pi / 2, "rad", "the jet fire")
    remarks.require("wind", weather.wind, 0.0, 60.0, "m/s", "the jet fire")
    remarks.require("height", height, 0.0, 500.0, "m", "the jet fire")
    chosen = source.substance
    heat = chosen.figure("heat_of_combustion")
    air = weather.density
    towards = math.radians(270.0 - weather.direction)
    pointing = towards if azimuth is None else math.radians(90.0 - azimuth)
    wind = weather.wind * np.array([math.cos(towards), math.sin(towards), 0.0])
    jet = np.array(
        [math.cos(elevation) * math.cos(pointing), math.cos(elevation) * math.sin(pointing), math.sin(elevation)]
    )
    cosine = float(np.clip(jet @ wind / weather.wind, -1.0, 1.0)) if weather.wind > 0.0 else 0.0
    angle = math.degrees(math.acos(cosine)) if weather.wind > 0.0 else 90.0
    if chosen.id == "hydrogen":
        length, lift = hydrogen_length(source, air), 0.0
    else:
        length = flame_length(source, air, weather.wind, angle)
        tilt = tilt_angle(source, length, weather.wind, angle, air)
        lift = lift_off(length, weather.wind, source.velocity, min(max(tilt, 0.0), 170.0))
    if source.velocity < 30.0:
        remarks.add(
            "low-momentum-jet",
            "a jet slower than 30 m/s burns like a pool or flare in the wind; length and way are rough",
            "射流速度低于30 m/s，火焰受风和浮力控制，长度与轨迹仅供参考",
        )
    base, tip = widths(source, length, weather.wind, air)
    if chosen.id == "hydrogen":
        base, tip = 0.0, 0.17 * length
    points = _axis(source, length, lift, jet, wind, tip, air)
    points[2] = np.maximum(points[2] + height, 0.1)
    share = radiant if radiant is not None else radiant_fraction(source, length, weather.pressure)
    radiated = share * source.rate * heat
    power = radiated / surface(base, tip, max(length - lift, 0.1))
    return JetFire(
        chosen,
        source.rate,
        length,
        lift,
        base,
        tip,
        radiated,
        share,
        power,
        points,
        _weights(),
        water_vapour_pressure(weather.temperature, weather.humidity),
    )
