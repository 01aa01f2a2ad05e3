"""Source estimation on synthetic twins whose truth the estimator's model does not share.

The truth is a plume with coefficients of the Pasquill-Gifford or the Yellow Book set (the estimator has Briggs), in
another stability class than the one reported, in a wind whose measured direction and speed are wrong all the time;
detectors have a lasting factor of their own, and every reading another. ``python -m benchmarks.source_estimation``
prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anlan.science.consequence.conventions import Stability, Weather
from anlan.science.consequence.gaussian import plume
from anlan.science.consequence.meteorology import transport_wind
from anlan.science.consequence.sigma import scheme
from anlan.science.consequence.source_estimation import estimate_source
from anlan.science.consequence.source_estimation_model import Detector, Reading, Settings, WindReading

SETS = ("yellow-book", "pasquill-gifford")
SIDE = 500.0
LIMIT, SATURATION = 1e-6, 1.5e-4
"""kg/m³: near 0.7 and 100 ppm of hydrogen sulfide."""
MINUTES = 15


@dataclass(frozen=True, slots=True)
class Twin:
    """A made-up release and what was read of it."""

    x: float
    y: float
    rate: float
    detectors: tuple[Detector, ...]
    readings: tuple[Reading, ...]
    wind: tuple[WindReading, ...]
    reported: Stability


def make_twin(rng: np.random.Generator, count: int = 20, side: float = SIDE, swing: float = 12.0) -> Twin:
    """Return a twin: detectors on a jittered grid over ``side`` metres, wind that swings by ``swing`` degrees."""
    columns = math.ceil(math.sqrt(count))
    cells = rng.permutation(columns * math.ceil(count / columns))[:count]
    step = side / columns
    detectors = tuple(
        Detector(f"d{n}", (c % columns + rng.uniform(0.2, 0.8)) * step, (c // columns + rng.uniform(0.2, 0.8)) * step,
                 LIMIT, SATURATION)
        for n, c in enumerate(cells)
    )  # fmt: skip
    truth = list(Stability)[rng.integers(1, 6)]
    index = list(Stability).index(truth)
    near = [list(Stability)[k] for k in range(max(index - 2, 0), min(index + 3, 6)) if k != index]
    reported = near[rng.integers(len(near))]
    rate, height = 10.0 ** rng.uniform(-1.5, 0.5), rng.uniform(0.5, 3.0)
    x, y = rng.uniform(0.1, 0.9, 2) * side
    speed, direction = rng.uniform(1.5, 6.0), rng.uniform(0.0, 360.0)
    chosen = scheme(SETS[rng.integers(len(SETS))])
    own = np.exp(rng.normal(0.0, 0.3, count))
    turn_error, speed_error = rng.normal(0.0, 7.0), math.exp(rng.normal(0.0, 0.15))
    readings, wind, bend = [], [], rng.normal(0.0, swing)
    started = rng.uniform(60.0, 240.0)
    for minute in range(MINUTES):
        bend = 0.7 * bend + math.sqrt(1.0 - 0.49) * rng.normal(0.0, swing)
        now, pace = 60.0 * minute + 30.0, speed * math.exp(rng.normal(0.0, 0.1))
        air = Weather(wind=pace, stability=truth, direction=direction + bend)
        wind.append(WindReading(now, pace * speed_error, direction + bend + turn_error + rng.normal(0.0, 2.0)))
        carried = transport_wind(air, height)
        for n, one in enumerate(detectors):
            towards = math.radians(270.0 - direction - bend)
            along = (one.x - x) * math.cos(towards) + (one.y - y) * math.sin(towards)
            across = (one.y - y) * math.cos(towards) - (one.x - x) * math.sin(towards)
            value = 0.0
            if along > 1.0 and now - started > along / carried:
                away = np.array([along])
                value = float(plume(np.array([across]), np.array([one.height]), rate, carried, height,
                                    chosen.sigma_y(truth, away), chosen.sigma_z(truth, away))[0])  # fmt: skip
            value *= own[n] * math.exp(rng.normal(0.0, 0.5))
            shown = value + 0.3 * LIMIT * rng.normal() if value < one.saturation else one.saturation
            readings.append(Reading(one.id, now, shown, good=bool(rng.random() > 0.01)))
    return Twin(x, y, rate, detectors, tuple(readings), tuple(wind), reported)


def run(count: int = 100, seed: int = 1, detectors: int = 20, side: float = SIDE, **settings: Any) -> dict[str, Any]:
    """Return medians and shares over ``count`` twins in which at least one detector smelled something."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[float, ...]] = []
    silent = 0
    while len(rows) < count:
        twin = make_twin(rng, detectors, side)
        started = time.perf_counter()
        found = estimate_source(twin.detectors, twin.readings, twin.wind, Settings(stability=twin.reported, **settings))
        seconds = time.perf_counter() - started
        if found.x is None or found.y is None or found.region is None or found.rate is None:
            silent += 1
            continue
        density = found.region.density_at(twin.x, twin.y)
        rows.append((math.hypot(found.x - twin.x, found.y - twin.y), abs(math.log(found.rate.median / twin.rate)),
                     float(density >= found.region.level90), float(density >= found.region.level50),
                     float(found.rate.low90 <= twin.rate <= found.rate.high90), found.smelled, seconds))  # fmt: skip
    return {"twins": count, "silent": silent, "detectors": detectors, "side m": side} | _table(rows)


def _table(rows: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    table = np.array(rows)
    many = table[table[:, 5] >= 3]
    return {
        "median error m": round(float(np.median(table[:, 0])), 1),
        "p90 error m": round(float(np.quantile(table[:, 0], 0.9)), 1),
        "median factor of rate": round(math.exp(float(np.median(table[:, 1]))), 2),
        "rate within 2": round(float(np.mean(table[:, 1] <= math.log(2.0))), 3),
        "90 % region holds": round(float(np.mean(table[:, 2])), 3),
        "50 % region holds": round(float(np.mean(table[:, 3])), 3),
        "90 % of rate holds": round(float(np.mean(table[:, 4])), 3),
        "median error m, 3 or more smelled": round(float(np.median(many[:, 0])), 1) if len(many) else None,
        "median factor of rate, 3 or more smelled":
            round(math.exp(float(np.median(many[:, 1]))), 2) if len(many) else None,
        "share with 3 or more": round(len(many) / len(table), 2),
        "median s": round(float(np.median(table[:, 6])), 2), "worst s": round(float(np.max(table[1:, 6])), 2),
    }  # fmt: skip


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--twins", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--detectors", type=int, default=20)
    parser.add_argument("--side", type=float, default=SIDE)
    options = parser.parse_args()
    print(json.dumps(run(options.twins, options.seed, options.detectors, options.side), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
