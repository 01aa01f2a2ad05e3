"""Where a released gas goes: one call that chooses the model, says why, and answers with concentrations anywhere."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anlan.science.consequence.britter_mcquaid import DensePlume, DensePuff
from anlan.science.consequence.choice import MODELS, choose, source_density
from anlan.science.consequence.conventions import (
    GAS_CONSTANT,
    OutOfRangeError,
    Release,
    Remarks,
    Weather,
)
from anlan.science.consequence.dense_field import BritterField
from anlan.science.consequence.gas import Gas
from anlan.science.consequence.gaussian import plume_rise
from anlan.science.consequence.meteorology import checked_wind, surface_layer, transport_wind
from anlan.science.consequence.passive_field import Field, PassiveField
from anlan.science.consequence.sigma import Scheme, scheme, usual_scheme
from anlan.science.consequence.slab import SlabRelease, run_slab
from anlan.science.consequence.slab_air import make_air
from anlan.science.consequence.slab_field import SlabField

Floats = NDArray[np.float64]

AVERAGING = 600.0
_REACH = 2e4
_GRID = 160
_STEEP = math.radians(60.0)
_AXIS_HEIGHTS = 12


def travel_direction(weather: Weather) -> float:
    """Return the angle the wind blows towards, radians counterclockwise from east."""
    return math.radians(270.0 - weather.direction)


class Cloud:
    """What a release does to the air around it.

    Attributes:
        model: which model answered. reason: why, in English; reason_zh: in Chinese.
        remarks: what the models have to say. release, weather, gas: as given. averaging: s.
    """

    def __init__(
        self, field: Field, release: Release, weather: Weather, gas: Gas, averaging: float, model: str,
        reason: tuple[str, str], remarks: Remarks,
    ) -> None:  # fmt: skip
        self._field = field
        self.release, self.weather, self.gas, self.averaging = release, weather, gas, averaging
        self.model, self.remarks = model, remarks
        self.reason, self.reason_zh = reason

    @property
    def field(self) -> Field:
        """The field of the model, for fast use at downwind-aligned places."""
        return self._field

    def concentration(
        self, x: ArrayLike, y: ArrayLike = 0.0, z: ArrayLike = 0.0, t: float | None = None, frame: str = "wind"
    ) -> Floats:
        """Return concentrations, kg/m³, at places that broadcast against each other.

        Args:
            x, y, z: m; downwind, to the left of the wind and up, from the source; with ``frame="map"`` x is east and
                y north on the map of the release.
            t: s on the clock of the release's ``start``; None is the largest over time at each place.
            frame: ``wind`` or ``map``.

        Raises:
            OutOfRangeError: a place that is no number, or under the ground.
        """
        places = [np.asarray(one, dtype=np.float64) for one in (x, y, z)]
        if any(not np.all(np.isfinite(one)) for one in places) or np.any(places[2] < 0.0):
            raise OutOfRangeError("a place that is no number, or below the ground", where="z", fix="z of 0 or more, m")
        if frame not in ("wind", "map"):
            raise OutOfRangeError(f"no frame {frame!r}", where="frame", fix="wind or map")
        along, across, up = np.broadcast_arrays(*places)
        if frame == "map":
            along, across = self._to_wind(along, across)
        self._say_where(along, across, up)
        if t is None:
            return np.asarray(self._field.peak(along, across, up))
        return np.asarray(self._field.at(along, across, up, t - self.release.start))

    def fraction(self, x: ArrayLike, y: ArrayLike = 0.0, z: ArrayLike = 0.0, t: float | None = None) -> Floats:
        """Return mole fractions at downwind-aligned places, of gas at the air's temperature."""
        return self.to_fraction(self.concentration(x, y, z, t))

    def to_fraction(self, concentration: ArrayLike) -> Floats:
        """Return kg/m³ as mole fraction at the air's temperature and pressure."""
        moles = np.asarray(concentration, dtype=np.float64) / self.gas.molar_mass
        return np.minimum(moles * GAS_CONSTANT * self.weather.temperature / self.weather.pressure, 1.0)

    def maximum(self, distance: ArrayLike, height: float | None = None) -> Floats:
        """Return the largest concentration over time across the plume ``distance`` m downwind, kg/m³.

        Args:
            height: m; None is the largest at any height.
        """
        x = np.asarray(distance, dtype=np.float64)
        if height is not None:
            return self.concentration(x, 0.0, height)
        top = max(2.0 * self.release.height, 4.0) + self._lift()
        heights = np.linspace(0.0, top, _AXIS_HEIGHTS)
        return np.asarray(np.max(self.concentration(x[..., None], 0.0, heights), axis=-1))

    def distance_to(self, concentration: float, height: float | None = 1.5) -> float:
        """Return the largest distance downwind, m, at which ``concentration``, kg/m³, is reached; 0 if nowhere.

        Args:
            height: m; None is at any height.

        Raises:
            OutOfRangeError: a concentration that is not above 0.
        """
        if not 0.0 < concentration < math.inf:
            raise OutOfRangeError(f"distance to {concentration:g} kg/m³", where="concentration", fix="above 0")
        x = np.geomspace(0.5, self._field.reach, 400)
        over = self.maximum(x, height) >= concentration
        if not over.any():
            return 0.0
        last = int(np.flatnonzero(over)[-1])
        if last == len(x) - 1:
            self.remarks.add(
                "beyond-reach",
                f"The concentration reaches beyond {self._field.reach:g} m, where no model was checked.",
                f"该浓度超出 {self._field.reach:g} m，超出模型验证范围。",
            )
            return float(x[-1])
        low, high = float(x[last]), float(x[last + 1])
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if float(self.maximum(middle, height)) >= concentration else (low, middle)
        return low

    def contour(self, level: float, height: float = 1.5, t: float | None = None, frame: str = "map") -> list[Floats]:
        """Return closed rings, each (n, 2) in m, around where ``level``, kg/m³, is reached at ``height``, m.

        Args:
            t: s; None is the largest over time. frame: ``map`` (east, north) or ``wind``.
        """
        from contourpy import contour_generator

        far = self.distance_to(level, height)
        if far <= 0.0:
            return []
        first = min(self._field.upwind, 0.0)
        start = max(0.02 * far, 0.2)
        stops = np.geomspace(start, start + 1.05 * (far - first) + 1.0, _GRID) - start + first
        x = np.concatenate([[first - 1.0], stops])
        half = self._half_widths(x, level, height, far)
        envelope = 1.3 * np.maximum(half, 0.04 * half.max()) + 1e-3
        s = np.linspace(-1.0, 1.0, _GRID + 1)
        along, across = np.broadcast_to(x[:, None], (len(x), len(s))), envelope[:, None] * s
        values = self._values(along, across, height, t)
        rings = contour_generator(along, across, values).lines(level)
        closed = [np.asarray(ring) for ring in rings if len(ring) > 2]
        return [self._to_map(ring) for ring in closed] if frame == "map" else closed

    def _values(self, x: Floats, y: Floats, height: float, t: float | None) -> Floats:
        z = np.full_like(x, height)
        if t is None:
            return self._field.peak(x, y, z)
        return self._field.at(x, y, z, t - self.release.start)

    def _half_widths(self, x: Floats, level: float, height: float, far: float) -> Floats:
        """Return how far from the axis ``level`` is reached at ``x``; concentrations fall away from the axis."""
        low, high = np.zeros_like(x), np.full_like(x, 2.0 * far + 100.0)
        z = np.full_like(x, height)
        for _ in range(50):
            middle = 0.5 * (low + high)
            over = self._field.peak(x, middle, z) >= level
            low, high = np.where(over, middle, low), np.where(over, high, middle)
        return low

    def _lift(self) -> float:
        return float(getattr(self._field, "_height", self.release.height)) - self.release.height

    def _to_wind(self, east: Floats, north: Floats) -> tuple[Floats, Floats]:
        angle = travel_direction(self.weather)
        dx, dy = east - self.release.x, north - self.release.y
        return dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)

    def _to_map(self, ring: Floats) -> Floats:
        angle = travel_direction(self.weather)
        x, y = ring[:, 0], ring[:, 1]
        east = self.release.x + x * math.cos(angle) - y * math.sin(angle)
        return np.stack([east, self.release.y + x * math.sin(angle) + y * math.cos(angle)], axis=1)

    def _say_where(self, x: Floats, y: Floats, z: Floats) -> None:
        near = (np.abs(x) < 1.0) & (np.abs(y) < 1.0) & (np.abs(z - self.release.height) < 1.0)
        if near.any():
            self.remarks.add(
                "at-source",
                "A place is at the source: its concentration is at most that of the undiluted gas.",
                "有受体位于源处：浓度不超过未稀释气体的浓度。",
            )
        if np.any(x > self._field.reach):
            self.remarks.add(
                "beyond-reach",
                f"A place lies beyond {self._field.reach:g} m: extrapolated.",
                f"有受体超出 {self._field.reach:g} m：为外推值。",
            )


def disperse(
    release: Release, weather: Weather, model: str = "auto", averaging: float = AVERAGING, gas: Gas | None = None
) -> Cloud:
    """Return the cloud of a release.

    Args:
        release: what reaches the air. weather: the air.
        model: ``auto``, ``gaussian`` (or ``gaussian:SCHEME``), ``surface-layer``, ``slab`` or ``britter-mcquaid``.
        averaging: s, over which concentrations are averaged while the plume is there.
        gas: properties; None takes those of ``release.substance``.

    Raises:
        OutOfRangeError: releases, weather or models that have no answer, naming what would be right.
    """
    remarks = Remarks()
    chosen_gas = gas if gas is not None else _gas_of(release.substance)
    _check(release, averaging, remarks)
    wind = checked_wind(weather, remarks)
    weather = replace(weather, wind=wind) if wind != weather.wind else weather
    name, _, detail = model.partition(":")
    if name not in MODELS:
        raise OutOfRangeError(f"no dispersion model {model!r}", where="model", fix=", ".join(MODELS))
    coefficients = scheme(detail) if detail else usual_scheme(weather.terrain)
    if name != "auto":
        field = _build(name, release, weather, chosen_gas, averaging, coefficients, remarks)
        return Cloud(field, release, weather, chosen_gas, averaging, name, ("As asked.", "按指定模型。"), remarks)
    choice = choose(release, chosen_gas, weather)
    name, reason = choice.model, (choice.en, choice.zh)
    try:
        field = _build(name, release, weather, chosen_gas, averaging, coefficients, remarks)
    except OutOfRangeError as error:
        if name != "slab":
            raise
        name = "britter-mcquaid"
        reason = (
            f"{choice.en} The slab model cannot start ({error.message}): Britter-McQuaid instead.",
            f"{choice.zh}板块模型无法启动（{error.message}），改用 Britter-McQuaid 关联式。",
        )
        field = _build(name, release, weather, chosen_gas, averaging, coefficients, remarks)
    remarks.add("model", *reason)
    return Cloud(field, release, weather, chosen_gas, averaging, name, reason, remarks)


def _gas_of(substance: str) -> Gas:
    from anlan.science.consequence.substances import gas_of

    return gas_of(substance)


def _check(release: Release, averaging: float, remarks: Remarks) -> None:
    remarks.require("rate", release.rate, 0.0, 1e6, "kg/s", "dispersion")
    if release.rate > 0.0:
        remarks.require("duration", release.duration, 1e-3, math.inf, "s", "dispersion of a continuous release")
    else:
        remarks.require("mass", release.mass, 1e-12, 1e10, "kg", "dispersion of an instantaneous release")
    remarks.require("temperature", release.temperature, 15.0, 3000.0, "K", "dispersion")
    remarks.require("vapour", release.vapour, 0.0, 1.0, "", "dispersion")
    remarks.require("height", release.height, 0.0, 1000.0, "m", "dispersion")
    remarks.require("area", release.area, 0.0, 1e7, "m²", "dispersion")
    remarks.require("velocity", release.velocity, 0.0, 3000.0, "m/s", "dispersion")
    remarks.require("averaging", averaging, 1.0, 86_400.0, "s", "dispersion")


def _build(
    name: str, release: Release, weather: Weather, gas: Gas, averaging: float, coefficients: Scheme, remarks: Remarks
) -> Field:
    if name == "slab":
        return _slab(release, weather, gas, averaging, remarks)
    if name == "britter-mcquaid":
        return _britter(release, weather, gas, remarks)
    return _passive(name, release, weather, gas, averaging, coefficients, remarks)


def _passive(
    name: str, release: Release, weather: Weather, gas: Gas, averaging: float, coefficients: Scheme, remarks: Remarks
) -> Field:
    density = source_density(release, gas, weather)
    if density < 0.9 * weather.density:
        remarks.add(
            "light-gas",
            "Lighter than air: computed without its rise, on the safe side near the ground.",
            "轻于空气：未计浮升，近地面偏保守。",
        )
    if release.velocity > 0.0:
        remarks.add(
            "jet-momentum",
            "A passive model leaves out how a jet's own momentum dilutes it: too high near the source.",
            "非重气模型未计射流自身动量的稀释：近源处偏高。",
        )
    height = release.height + _rise(release, weather, density, remarks)
    if weather.mixing_height and height > weather.mixing_height:
        remarks.add("above-lid", "The release is above the lid: computed without it.", "释放高于混合层顶：未计顶盖。")
    layer = surface_layer(weather) if name == "surface-layer" else None
    return PassiveField(release, weather, height, averaging, coefficients, density, layer)


def _rise(release: Release, weather: Weather, density: float, remarks: Remarks) -> float:
    """Return the final rise of a steep release that is lighter than the air, m."""
    if release.elevation < _STEEP or release.velocity <= 0.0 or density >= weather.density or release.area <= 0.0:
        return 0.0
    warm = weather.temperature * weather.density / density
    diameter = 2.0 * math.sqrt(release.area / math.pi)
    wind = transport_wind(weather, max(release.height, 2.0))
    rise = plume_rise(np.array(1e5), release.velocity, diameter, warm, weather.temperature, wind, weather.stability)
    remarks.add("plume-rise", f"Rises {float(rise):.1f} m (Briggs).", f"烟羽抬升 {float(rise):.1f} m（Briggs）。")
    return float(rise)


def _slab(release: Release, weather: Weather, gas: Gas, averaging: float, remarks: Remarks) -> Field:
    if weather.wind / max(weather.wind_height, 1.0) ** 0.1 < 1.0:
        remarks.add("low-wind", "Wind below 1 m/s: outside what the slab model was checked for.",
                    "风速低于 1 m/s：超出板块模型验证范围。")  # fmt: skip
    number = 1.0 + list(type(weather.stability)).index(weather.stability)
    inverse = None if weather.obukhov is None else (0.0 if math.isinf(weather.obukhov) else 1.0 / weather.obukhov)
    air = make_air(
        weather.wind, weather.wind_height, weather.roughness, weather.temperature, weather.humidity, number, inverse,
        weather.pressure,
    )  # fmt: skip
    return SlabField(run_slab(slab_release(release, gas, weather), gas, air, _REACH), averaging)


def slab_release(release: Release, gas: Gas, weather: Weather) -> SlabRelease:
    """Return a release as the slab model takes it; where it has no area, that at which it moves with the wind."""
    density = source_density(release, gas, weather)
    liquid = 1.0 - release.vapour
    if release.rate <= 0.0:
        area = release.area or (release.mass / density) ** (2.0 / 3.0)
        return SlabRelease("cloud", area, release.temperature, mass=release.mass, height=release.height, liquid=liquid)
    speed = release.velocity or transport_wind(weather, max(release.height, 2.0))
    area = release.area or release.rate / (density * speed)
    kind = "jet"
    if release.pool:
        kind = "pool"
    elif release.velocity > 0.0:
        area = release.rate / (density * release.velocity)
        kind = "vertical" if release.elevation >= _STEEP else "jet"
    return SlabRelease(
        kind, area, release.temperature, rate=release.rate, duration=release.duration, height=release.height,
        liquid=0.0 if kind == "pool" else liquid,
    )  # fmt: skip


def _britter(release: Release, weather: Weather, gas: Gas, remarks: Remarks) -> Field:
    density = source_density(release, gas, weather)
    wind = float(surface_layer(weather).wind(10.0))
    air, warm = weather.density, weather.temperature
    to_mass = weather.pressure * gas.molar_mass / (GAS_CONSTANT * warm)
    plume = puff = None
    if release.rate > 0.0:
        plume = DensePlume(release.rate / density, density, release.temperature, wind, air, warm)
    mass = release.mass if release.rate <= 0.0 else release.rate * release.duration
    if math.isfinite(mass):
        puff = DensePuff(mass / density, density, release.temperature, wind, air, warm)
    for one in (plume, puff):
        if one is not None and one.alpha > 1.0:
            remarks.add("beyond-curves", "Denser or calmer than the curves' range (α above 1): extrapolated.",
                        "超出曲线范围（α 大于 1）：外推。")  # fmt: skip
    if release.height > 5.0 or release.velocity > 0.0:
        remarks.add("ground-source", "Britter-McQuaid takes a source on the ground without momentum.",
                    "Britter-McQuaid 按地面无动量源计算。")  # fmt: skip
    return BritterField(plume, puff, release.duration, to_mass)
