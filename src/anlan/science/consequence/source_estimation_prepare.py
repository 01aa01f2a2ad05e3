"""Readings and wind brought to stretches of time, in each of which a detector has a value, less than one, or more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.conventions import Remarks, Stability, Weather
from anlan.science.consequence.meteorology import CALM, transport_wind
from anlan.science.consequence.sigma import scheme
from anlan.science.consequence.source_estimation_model import Detector, Floats, Reading, Settings, WindReading

SHORTEST = 60.0
MISSING, BELOW, MEASURED, ABOVE = -1, 0, 1, 2
LOW_LOG, STEPS = 0.0, 128
_PER_LOG = (STEPS - 1) / (math.log(5e4) - LOW_LOG)
_ALIKE, _SWING = 0.3, 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the likelihood is computed from.

    Attributes:
        places: (detectors, 3) m. state: (detectors, stretches) MISSING, BELOW, MEASURED or ABOVE.
        value: (detectors, stretches) ln kg/m³ of the mean, or of the limit. limit: (detectors,) kg/m³.
        begin, end: (stretches,) s. wind: (stretches, 3) m/s and the unit vector of travel.
        weight: (stretches,) what each counts for: stretches of like wind repeat the same error of the model.
        smelled: detectors with a value anywhere. first: s, of the first value.
        used, left_out: readings.
    """

    places: Floats
    state: NDArray[np.int64]
    value: Floats
    limit: Floats
    begin: Floats
    end: Floats
    wind: Floats
    weight: Floats
    smelled: int
    first: float
    used: int
    left_out: int


def prepare(
    detectors: Sequence[Detector], readings: Sequence[Reading], wind: Sequence[WindReading], settings: Settings,
    remarks: Remarks,
) -> Evidence:  # fmt: skip
    """Return the evidence.

    Raises:
        InvalidInputError: a detector or wind that cannot be, a reading of a detector that is not there, no readings.
    """
    index = _checked(detectors, wind)
    rows = []
    for number, reading in enumerate(readings):
        if reading.detector not in index:
            raise InvalidInputError(f"no detector {reading.detector!r}", where=f"reading {number + 1}",
                                    fix="the id of a detector")  # fmt: skip
        good = reading.good and math.isfinite(reading.value) and math.isfinite(reading.time)
        # A zero that drifted below zero is "less"; one far below is a fault.
        good = good and reading.value > -10.0 * detectors[index[reading.detector]].limit
        rows.append((index[reading.detector], reading.time, reading.value, float(good)))
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    good_rows = table[table[:, 3] > 0.0]
    left_out = len(table) - len(good_rows)
    if left_out:
        remarks.add("readings-left-out", f"{left_out} of {len(table)} readings are of bad quality and were left out.",
                    f"{len(table)} 个读数中有 {left_out} 个质量不良，未采用。")  # fmt: skip
    if not len(good_rows):
        raise InvalidInputError("no good reading", where="readings", fix="readings of good quality, kg/m³")
    return _stretches(detectors, good_rows, wind, settings, left_out, remarks)


def _checked(detectors: Sequence[Detector], wind: Sequence[WindReading]) -> dict[str, int]:
    if not detectors:
        raise InvalidInputError("no detectors", where="detectors", fix="one or more")
    index: dict[str, int] = {}
    for number, one in enumerate(detectors):
        if not (0.0 < one.limit < one.saturation) or not all(map(math.isfinite, (one.x, one.y, one.height, one.limit))):
            raise InvalidInputError(f"limit {one.limit:g}, saturation {one.saturation:g} at ({one.x:g}, {one.y:g})",
                                    where=f"detector {one.id}", fix="finite place, 0 < limit < saturation")  # fmt: skip
        if one.id in index:
            raise InvalidInputError("two detectors have one id", where=f"detector {one.id}", fix="ids differ")
        index[one.id] = number
    if not any(math.isfinite(one.speed) and math.isfinite(one.direction) and one.speed >= 0.0 for one in wind):
        raise InvalidInputError("no wind", where="wind", fix="speed (m/s) and direction (degrees) at one time or more")
    return index


def _stretches(
    detectors: Sequence[Detector], rows: Floats, wind: Sequence[WindReading], settings: Settings, left_out: int,
    remarks: Remarks,
) -> Evidence:  # fmt: skip
    start, stop = float(rows[:, 1].min()), float(rows[:, 1].max())
    length = max(SHORTEST, (stop - start) / settings.stretches * (1.0 + 1e-9))
    count = int((stop - start) / length) + 1
    begin = start + length * np.arange(count, dtype=np.float64)
    state = np.full((len(detectors), count), MISSING, dtype=np.int64)
    value = np.zeros((len(detectors), count))
    stretch = ((rows[:, 1] - start) / length).astype(np.int64)
    for d, one in enumerate(detectors):
        for b in range(count):
            seen = rows[(rows[:, 0] == d) & (stretch == b), 2]
            if seen.size:
                state[d, b], value[d, b] = _reduced(seen, one)
    smelled = np.any(state >= MEASURED, axis=1)
    above = [one for one in rows if one[2] >= detectors[int(one[0])].limit]
    full = int(np.any(state == ABOVE, axis=1).sum())
    if full:
        remarks.add("saturated", f"{full} detectors were saturated: they say only that there was more.",
                    f"{full} 个探测器饱和，仅表示浓度更高。")  # fmt: skip
    vectors = _winds(wind, begin, begin + length, remarks)
    return Evidence(
        places=np.array([(one.x, one.y, one.height) for one in detectors]), state=state, value=value,
        limit=np.array([one.limit for one in detectors]), begin=begin, end=begin + length, wind=vectors,
        weight=_weights(vectors), smelled=int(smelled.sum()),
        first=min((float(one[1]) for one in above), default=stop), used=len(rows), left_out=left_out,
    )  # fmt: skip


def _reduced(seen: Floats, detector: Detector) -> tuple[int, float]:
    """Return state and ln kg/m³ of readings in a stretch; one below the limit counts as half the limit."""
    mean = float(np.mean(np.where(seen < detector.limit, 0.5 * detector.limit, np.minimum(seen, detector.saturation))))
    full = float(np.mean(seen >= detector.saturation))
    if full > 0.0:
        # A clipped mean taken as a value would make the source too small; the median stands while most are not clipped.
        mean = float(np.median(np.clip(seen, 0.5 * detector.limit, detector.saturation)))
    if full >= 0.5:
        return ABOVE, math.log(mean)
    return (MEASURED, math.log(mean)) if mean >= detector.limit else (BELOW, math.log(detector.limit))


def _winds(wind: Sequence[WindReading], begin: Floats, end: Floats, remarks: Remarks) -> Floats:
    """Return mean speed, m/s, and the vector mean's unit vector of travel by stretch; the nearest where it has none."""
    kept = [one for one in wind if math.isfinite(one.speed) and math.isfinite(one.direction) and one.speed >= 0.0]
    time = np.array([one.time for one in kept])
    angle = np.radians(np.array([270.0 - one.direction for one in kept]))
    speed = np.array([one.speed for one in kept])
    out = np.empty((len(begin), 3))
    for b, (low, high) in enumerate(zip(begin, end, strict=True)):
        inside = (time >= low) & (time < high)
        if not inside.any():
            inside = np.arange(time.size) == np.argmin(np.abs(time - 0.5 * (low + high)))
        east, north = np.mean(speed[inside] * np.cos(angle[inside])), np.mean(speed[inside] * np.sin(angle[inside]))
        size = math.hypot(east, north)
        if size < 1e-6:
            east, north, size = math.cos(angle[inside][0]), math.sin(angle[inside][0]), 1.0
        out[b] = max(float(np.mean(speed[inside])), CALM), east / size, north / size
    if float(np.min(out[:, 0])) < 2.0 * CALM:
        remarks.add("calm", "The wind was nearly calm: its direction says little.", "风速接近静风，风向参考意义有限。")
    return out


def _weights(vectors: Floats) -> Floats:
    """Return 1/(1 + Σ correlation with the other stretches): errors of the model stay while the wind stays."""
    angle = np.degrees(np.arctan2(vectors[:, 2], vectors[:, 1]))
    apart = (angle[:, None] - angle[None, :] + 180.0) % 360.0 - 180.0
    alike = _ALIKE * np.exp(-0.5 * (apart / _SWING) ** 2)
    np.fill_diagonal(alike, 0.0)
    return np.asarray(1.0 / (1.0 + alike.sum(axis=1)))


def tables(settings: Settings) -> tuple[Floats, Floats, Floats]:
    """Return ln σy and ln σz by class (6, STEPS) over ln x from ``LOW_LOG``, and ln of transport over measured wind."""
    x = np.exp(LOW_LOG + np.arange(STEPS) / _PER_LOG)
    chosen = scheme(f"briggs-{settings.terrain.value}")
    sigma_y = np.log(np.array([chosen.sigma_y(one, x) for one in Stability]))
    sigma_z = np.log(np.array([chosen.sigma_z(one, x) for one in Stability]))
    airs = [Weather(wind=4.0, stability=one, wind_height=settings.wind_height, roughness=settings.roughness)
            for one in Stability]  # fmt: skip
    ratio = np.array([transport_wind(air, settings.height) / 4.0 for air in airs])
    return sigma_y, sigma_z, np.log(ratio)
