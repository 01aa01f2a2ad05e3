"""Where a gas comes from and how much, from detectors and wind: a tempered sequential Monte Carlo.

The model is a steady Gaussian plume from an unknown start on. Unknown beside place and rate are a lasting error of
the wind's direction and speed, the stability, the plume's width, and the size of the model's error itself: the
credible region is as wide as these leave it. Sources: Del Moral, Doucet & Jasra 2006 (J. R. Stat. Soc. B 68:411) for
the sampler, ter Braak 2006 (Stat. Comput. 16:239) for its moves, Keats, Yee & Lien 2007 (Atmos. Environ. 41:465) for
adjoint fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from anlan.core.errors import InvalidInputError
from anlan.science.consequence import source_estimation_kernels as kernels
from anlan.science.consequence.conventions import Remarks, Stability
from anlan.science.consequence.source_estimation_kernels import (
    CLASS,
    EAST,
    ERROR,
    EXCESS,
    NORTH,
    PARAMETERS,
    SPEED,
    START,
    TURN,
    WIDTH,
)
from anlan.science.consequence.source_estimation_model import Detector, Estimate, Floats, Reading, Settings, WindReading
from anlan.science.consequence.source_estimation_prepare import ABOVE, MEASURED, Evidence, prepare, tables
from anlan.science.consequence.source_estimation_report import report

_GRID = 64
_REPLICAS = 4
_EXCESS, _EXCESS_SATURATED = 0.8, 2.5
_RATE_ALONE = 0.3
_WIDTH_ERROR = 0.25
_ERROR_SPREAD = 0.35
_LONGEST_BEFORE = 900.0
_ENOUGH = 0.6
_MOVES, _LAST_MOVES = 3, 12


def estimate_source(
    detectors: Sequence[Detector], readings: Sequence[Reading], wind: Sequence[WindReading],
    settings: Settings | None = None, origin: tuple[float, float] | None = None,
) -> Estimate:  # fmt: skip
    """Return where the source is and how much it releases, with its credible region; or that nobody smelled anything.

    Args:
        detectors: with their limits. readings: over time, any order.
        wind: over time.
        settings: how far the inputs are trusted.
        origin: longitude and latitude of (0, 0) for the GeoJSON; None leaves metres.

    Raises:
        InvalidInputError: input that cannot be; names detector, reading or setting.
    """
    chosen, remarks = settings or Settings(), Remarks()
    evidence = prepare(detectors, readings, wind, chosen, remarks)
    if evidence.smelled == 0:
        remarks.add("nothing-smelled", "No detector read above its limit: there is no source to place.",
                    "没有探测器读数超过检出限，无法给出泄漏源位置。")  # fmt: skip
        return Estimate(False, 0, evidence.used, evidence.left_out, tuple(remarks.items))
    box = chosen.area or _around(evidence)
    if not (box[0] < box[2] and box[1] < box[3]):
        raise InvalidInputError(f"an area of {box}", where="area", fix="west < east, south < north, m")
    target = _Target(evidence, chosen, box)
    particles, rates = _sample(target, chosen, np.random.default_rng(chosen.seed))
    posterior = particles.copy()
    posterior[:, EXCESS] = rates
    return report(posterior, evidence, chosen, box, origin, remarks)


def _around(evidence: Evidence) -> tuple[float, float, float, float]:
    low, high = evidence.places[:, :2].min(axis=0), evidence.places[:, :2].max(axis=0)
    margin = 100.0 + 0.3 * float(np.max(high - low))
    return float(low[0] - margin), float(low[1] - margin), float(high[0] + margin), float(high[1] + margin)


@dataclass(slots=True, eq=False)
class _Values:
    """Of each particle: ln prior of all but the rate, ln likelihood with the rate's prior, ln rate."""

    prior: Floats
    likelihood: Floats
    rate: Floats
    spread: float

    def path(self, particles: Floats, beta: float) -> Floats:
        """Return ln of the density on the way from the first draw (β 0) to the posterior (β 1)."""
        draw = -0.5 * (particles[:, EXCESS] / self.spread) ** 2
        return self.prior + (1.0 - beta) * draw + beta * self.likelihood

    def take(self, index: Floats) -> _Values:
        """Return those of ``index``."""
        return _Values(self.prior[index], self.likelihood[index], self.rate[index], self.spread)


class _Target:
    """Prior and likelihood."""

    def __init__(self, evidence: Evidence, settings: Settings, box: tuple[float, float, float, float]) -> None:
        self.box, self._evidence, self._settings = box, evidence, settings
        self._tables = tables(settings)
        calm = max(1.0, 2.0 / float(np.mean(evidence.wind[:, 0])))
        self.turn = math.radians(settings.direction_error) * calm
        self.start = (float(evidence.begin[0]) - _LONGEST_BEFORE, evidence.first)
        # What saturated readings ask for is only a bound of the rate: the more of them, the wider is it drawn.
        full, any_ = np.sum(evidence.state == ABOVE), np.sum(evidence.state >= MEASURED)
        self.spread = _EXCESS + (_EXCESS_SATURATED - _EXCESS) * float(full / any_)
        self.classes = list(Stability).index(settings.stability) if settings.stability else None

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Return particles of the prior: every cell of a grid over the area as often, the excess of the rate normal."""
        cell = np.arange(count) % (_GRID * _GRID)
        out = np.empty((count, PARAMETERS))
        west, south, east, north = self.box
        out[:, EAST] = west + (east - west) * (cell % _GRID + rng.random(count)) / _GRID
        out[:, NORTH] = south + (north - south) * (cell // _GRID + rng.random(count)) / _GRID
        out[:, EXCESS] = rng.normal(0.0, self.spread, count)
        out[:, TURN] = rng.normal(0.0, self.turn, count)
        out[:, SPEED] = rng.normal(0.0, self._settings.speed_error, count)
        kinds = rng.uniform(0.0, 5.0, count)
        if self.classes is not None:
            near = self.classes + self._settings.stability_error * rng.normal(size=count)
            kinds = np.where(
                (near >= 0.0) & (near <= 5.0), near, np.clip(self.classes + rng.uniform(-1, 1, count), 0, 5)
            )
        out[:, CLASS] = kinds
        out[:, WIDTH] = rng.normal(0.0, _WIDTH_ERROR, count)
        out[:, START] = rng.uniform(*self.start, count)
        out[:, ERROR] = rng.normal(math.log(self._settings.model_error), _ERROR_SPREAD, count)
        return out

    def values(self, particles: Floats) -> _Values:
        """Return prior and likelihood of particles; −inf outside the prior."""
        evidence, settings = self._evidence, self._settings
        likelihood, best = np.empty(len(particles)), np.empty(len(particles))
        kernels.likelihoods(
            particles, evidence.places, evidence.state, evidence.value, evidence.limit, evidence.begin, evidence.end,
            evidence.wind, evidence.weight, settings.height, *self._tables, math.radians(settings.swing_error),
            likelihood, best,
        )  # fmt: skip
        rate = best + particles[:, EXCESS]
        low, high = (math.log(one) for one in settings.rates)
        likelihood[(rate < low) | (rate > high)] = -np.inf
        return _Values(self._prior(particles), likelihood, rate, self.spread)

    def _prior(self, p: Floats) -> Floats:
        west, south, east, north = self.box
        inside = (p[:, EAST] >= west) & (p[:, EAST] <= east) & (p[:, NORTH] >= south) & (p[:, NORTH] <= north)
        inside &= (p[:, CLASS] >= 0.0) & (p[:, CLASS] <= 5.0)
        inside &= (p[:, START] >= self.start[0]) & (p[:, START] <= self.start[1])
        value = (p[:, TURN] / self.turn) ** 2 + (p[:, SPEED] / self._settings.speed_error) ** 2
        value += (p[:, WIDTH] / _WIDTH_ERROR) ** 2
        value += ((p[:, ERROR] - math.log(self._settings.model_error)) / _ERROR_SPREAD) ** 2
        if self.classes is not None:
            value += ((p[:, CLASS] - self.classes) / self._settings.stability_error) ** 2
        return np.where(inside, -0.5 * value, -np.inf)


def _sample(target: _Target, settings: Settings, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return particles of the posterior and their ln rates."""
    particles = target.draw(_REPLICAS * _GRID * _GRID, rng)
    values = target.values(particles)
    beta, count = 0.0, settings.particles
    while beta < 1.0:
        gain = values.likelihood + 0.5 * (particles[:, EXCESS] / values.spread) ** 2
        enough = _ENOUGH * count if len(particles) > count else _ENOUGH * len(particles)
        step = _step(gain, 1.0 - beta, enough)
        beta = min(beta + step, 1.0)
        chosen = _resampled(gain * step, count, rng)
        particles, values = particles[chosen], values.take(chosen)
        for _ in range(_MOVES if beta < 1.0 else _LAST_MOVES):
            particles, values = _moved(particles, values, beta, target.values, rng)
    return particles, values.rate


def _step(gain: Floats, most: float, enough: float) -> float:
    """Return how far β may go while the effective number of particles stays ``enough`` (bisection)."""

    def effective(step: float) -> float:
        weight = np.exp(step * (gain - gain.max()))
        return float(weight.sum() ** 2 / (weight**2).sum())

    if effective(most) >= enough:
        return most
    low, high = 0.0, most
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(middle) >= enough else (low, middle)
    return max(low, 1e-4)


def _resampled(logs: Floats, count: int, rng: np.random.Generator) -> Floats:
    weight = np.exp(logs - logs.max())
    edges = np.cumsum(weight) / weight.sum()
    places = (rng.random() + np.arange(count)) / count
    return np.minimum(np.searchsorted(edges, places), len(logs) - 1)


def _moved(
    particles: Floats, values: _Values, beta: float, evaluate: Callable[[Floats], _Values], rng: np.random.Generator
) -> tuple[Floats, _Values]:
    """Return particles after one Metropolis step along differences of others (differential evolution)."""
    count, size = particles.shape
    first, second = rng.integers(0, count, count), rng.integers(0, count, count)
    scale = 2.38 / math.sqrt(2.0 * size) * rng.choice((1.0, 0.5, 0.2), count)
    jitter = 0.02 * particles.std(axis=0) * rng.normal(size=particles.shape)
    proposed = particles + scale[:, None] * (particles[first] - particles[second]) + jitter
    # Along the rate alone steps of all sizes: nothing may bound it from above but the prior.
    alone = rng.uniform(size=count) < _RATE_ALONE
    proposed[alone] = particles[alone]
    proposed[alone, EXCESS] += (rng.choice((0.2, 0.7, 2.0), count) * rng.normal(size=count))[alone]
    new = evaluate(proposed)
    gain = new.path(proposed, beta) - values.path(particles, beta)
    taken = np.log(rng.random(count)) < gain
    result = np.where(taken[:, None], proposed, particles)
    return result, _Values(
        np.where(taken, new.prior, values.prior),
        np.where(taken, new.likelihood, values.likelihood),
        np.where(taken, new.rate, values.rate),
        values.spread,
    )
