"""The risk of a whole park: 5 000 scenarios, 12 weathers, 36 directions, 10⁶ cells, F-N; beside a plain NumPy form.

Footprints: chlorine clouds (gridded, a Gaussian plume and the probit of AQ/T 3046), flash fires and fires (ellipses,
circles). ``python -m benchmarks.park_risk`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from anlan.science.consequence.conventions import Stability
from anlan.science.consequence.risk import ParkRisk
from anlan.science.consequence.risk_model import (
    Area,
    Ellipse,
    Gridded,
    Outcome,
    Population,
    Protection,
    Rose,
    Scenario,
    Zones,
)
from anlan.science.consequence.sigma import scheme

WEATHERS = (*((stability, wind) for stability in "BCDEF" for wind in (1.5, 5.0)), ("D", 9.0), ("A", 2.0))
TOXIC = Protection(1.0, 1.0, 0.1)
FIRE = Protection(1.0, 0.14, 0.14)
ROWS, COLUMNS = 48, 20


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenarios", type=int, default=5000)
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--cells", type=int, default=1000)
    options = parser.parse_args()
    print(json.dumps(run(options.scenarios, options.places, options.cells), indent=1))


def run(scenarios: int = 5000, places: int = 200, cells: int = 1000, seed: int = 4) -> dict[str, Any]:
    """Return seconds of the whole park, of one edit and of the plain form (one of its scenarios, times all)."""
    rng = np.random.default_rng(seed)
    area = Area(-2500.0, -2500.0, 5000.0 / cells, cells, cells)
    rose, population = make_rose(rng), make_population(rng, area)
    started = time.perf_counter()
    park = make_park(scenarios, places, rng)
    footprints = time.perf_counter() - started
    ParkRisk(park[:2], rose, Area(-100.0, -100.0, 50.0, 10, 10), population).why(0.0, 0.0)
    started = time.perf_counter()
    risk = ParkRisk(park, rose, area, population)
    result = risk.result()
    whole = time.perf_counter() - started
    edited = replace(park[7], frequency=3.0 * park[7].frequency, outcomes=park[8].outcomes)
    started = time.perf_counter()
    after = risk.edit(edited)
    edit = time.perf_counter() - started
    anew = ParkRisk([edited if one.id == edited.id else one for one in park], rose, area, population).result()
    started = time.perf_counter()
    risk.why(300.0, 200.0)
    why = time.perf_counter() - started
    plain_seconds, error = beside_plain(park[0], rose, area)
    assert result.societal is not None
    assert after.societal is not None
    assert anew.societal is not None
    return {
        "scenarios": scenarios, "places": places, "weathers": len(WEATHERS), "directions": rose.directions,
        "cells": cells * cells, "footprints": sum(len(one.outcomes) for one in park) * len(WEATHERS),
        "make footprints s": round(footprints, 2), "whole park s": round(whole, 2), "one edit s": round(edit, 3),
        "edit equals anew": bool(np.array_equal(after.individual, anew.individual)
                                 and np.array_equal(after.societal.frequency, anew.societal.frequency)),
        "why at a point s": round(why, 3),
        "plain NumPy, one scenario s": round(plain_seconds, 2),
        "plain NumPy, whole park, extrapolated s": round(plain_seconds * scenarios),
        "one scenario against plain, relative to its greatest": error,
        "greatest individual risk 1/a": float(result.individual.max()),
        "loss of life 1/a": result.societal.loss, "steps of the F-N curve": int(result.societal.deaths.size),
    }  # fmt: skip


def make_rose(rng: np.random.Generator) -> Rose:
    """Return a rose of day and night with a prevailing wind."""
    swell = 1.0 + 0.8 * np.cos(2.0 * np.pi * (np.arange(36) - rng.uniform(0, 36)) / 36)
    share = rng.dirichlet(np.ones(2 * len(WEATHERS))).reshape(2, -1)
    probability = share[:, :, None] * (swell / swell.sum())
    return Rose(probability / probability.sum(), tuple(f"{s}{u:g}" for s, u in WEATHERS), ("day", "night"))


def make_population(rng: np.random.Generator, area: Area) -> Population:
    """Return people in every fifth cell, denser away from the works."""
    east, north = np.meshgrid(area.east, area.north)
    chosen = rng.random(east.shape) < 0.2
    people = rng.gamma(1.0, 0.1, chosen.sum()) * np.where(np.hypot(east, north)[chosen] < 1000.0, 0.2, 1.0)
    return Population.present(east[chosen], north[chosen], people, (0.7, 1.0), (0.93, 0.99))


def make_park(count: int, places: int, rng: np.random.Generator) -> list[Scenario]:
    """Return scenarios with footprints: six in ten toxic, the others fire and flash fire."""
    spots = np.column_stack([rng.uniform(-1000, 1000, places), rng.uniform(-1000, 1000, places)])
    found = []
    for number in range(count):
        x, y = spots[number % places]
        if number % 5 < 3:
            outcomes: tuple[Outcome, ...] = (Outcome("toxic", toxic(10.0 ** rng.uniform(-0.5, 1.0))),)
        else:
            size = rng.uniform(20.0, 150.0)
            outcomes = (Outcome("fire", ((Ellipse(along=size, across=size, protection=FIRE),),), 0.2),
                        Outcome("flash-fire", flash(size), 0.3))  # fmt: skip
        found.append(Scenario(f"s{number:05d}", x, y, 10.0 ** rng.uniform(-6.5, -4.5), outcomes))
    return found


def flash(size: float) -> tuple[Zones, ...]:
    """Return ellipses that a wind stretches."""
    return tuple((Ellipse(along=size * (1 + 3 / u), across=size / (1 + u / 4), centre=size * (1 + 3 / u)),)
                 for _, u in WEATHERS)  # fmt: skip


def toxic(rate: float) -> tuple[Zones, ...]:
    """Return probabilities of death by chlorine of ``rate``, kg/s, over 30 minutes on a grid of 48 by 20 nodes."""
    briggs = scheme("briggs-rural")
    zones: list[Zones] = []
    for stability, wind in WEATHERS:
        axis = np.logspace(1, 4, 60)
        one = Stability(stability)
        peak = _death(rate / wind / (math.pi * briggs.sigma_y(one, axis) * briggs.sigma_z(one, axis)))
        reach = min(max(float(axis[np.flatnonzero(peak > 0.01)[-1]]) if np.any(peak > 0.01) else 50.0, 50.0), 2500.0)
        x = np.linspace(0.0, reach, ROWS)
        sigma_y = briggs.sigma_y(one, np.maximum(x, 5.0))
        y = np.linspace(0.0, 3.0 * float(sigma_y[-1]), COLUMNS)
        centre = rate / wind / (math.pi * sigma_y * briggs.sigma_z(one, np.maximum(x, 5.0)))
        death = _death(centre[:, None] * np.exp(-0.5 * (y[None, :] / sigma_y[:, None]) ** 2))
        death[0], death[:, -1] = death[0] * (y == 0.0), 0.0
        zones.append((Gridded(death=death.astype(np.float32), step_along=x[1], step_across=y[1], protection=TOXIC),))
    return tuple(zones)


def _death(concentration: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of death by 30 minutes of chlorine (kg/m³): Pr = −6.35 + 0.5 ln(C^2.75 t)."""
    milligrams = np.maximum(concentration * 1e6, 1e-9)
    probability = ndtr(-6.35 + 0.5 * (2.75 * np.log(milligrams) + math.log(30.0)) - 5.0)
    return np.where(probability < 1e-3, 0.0, probability)


def beside_plain(scenario: Scenario, rose: Rose, area: Area) -> tuple[float, float]:
    """Return seconds of a plain NumPy sum for one scenario, and how far apart the two forms are."""
    started = time.perf_counter()
    plain = plain_risk(scenario, rose, area)
    seconds = time.perf_counter() - started
    ours = ParkRisk([scenario], rose, area).result().individual
    return seconds, float(np.abs(ours - plain).max() / plain.max())


def plain_risk(scenario: Scenario, rose: Rose, area: Area) -> NDArray[np.float64]:
    """Return the individual risk of a scenario cell by cell: every footprint turned into every direction."""
    east, north = np.meshgrid(area.east - scenario.x, area.north - scenario.y)
    total, whole = np.zeros_like(east), rose.towards().sum(axis=0)
    for d in range(rose.directions):
        angle = 2.0 * np.pi * d / rose.directions
        x, y = east * np.cos(angle) + north * np.sin(angle), north * np.cos(angle) - east * np.sin(angle)
        for outcome in scenario.outcomes:
            for w in range(len(rose.weathers)):
                zones = outcome.footprints[w if len(outcome.footprints) > 1 else 0]
                share = scenario.frequency * float(outcome.probability) * whole[w, d]
                total += share * plain_death(zones, x, y)
    return total


def plain_death(zones: Zones, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the individual probability of death of a footprint at (x, y) downwind."""
    death, left = np.zeros_like(x), np.ones_like(x)
    for zone in zones:
        if isinstance(zone, Ellipse):
            cover = ((x - zone.centre) / zone.along) ** 2 + (y / zone.across) ** 2 <= 1.0
            value = zone.death * cover
        else:
            value = _bilinear(zone, x, y)
            cover = value > 0.0
        death += left * value * zone.protection.individual
        left *= ~cover
    return death


def _bilinear(zone: Gridded, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = zone.death.shape
    u = (x - zone.first_along) / zone.step_along
    v = np.abs(y) / zone.step_across if zone.first_across is None else (y - zone.first_across) / zone.step_across
    inside = (u >= 0) & (v >= 0) & (u <= rows - 1) & (v <= columns - 1)
    i, j = np.clip(u.astype(np.int64), 0, rows - 2), np.clip(v.astype(np.int64), 0, columns - 2)
    fu, fv, grid = u - i, v - j, zone.death.astype(np.float64)
    low = grid[i, j] * (1 - fv) + grid[i, j + 1] * fv
    high = grid[i + 1, j] * (1 - fv) + grid[i + 1, j + 1] * fv
    return np.where(inside, low * (1 - fu) + high * fu, 0.0)


if __name__ == "__main__":
    main()
