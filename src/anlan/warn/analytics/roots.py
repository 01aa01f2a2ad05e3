"""Which alarm began it: a Hawkes process over alarms, each ringing either by itself or set off by an earlier one.

λ_j(t) = μ_j + Σ_{t_i < t} α_{k_i j} β exp(−β (t − t_i)); μ and α by expectation-maximisation (Veen and Schoenberg,
J. Am. Stat. Assoc. 103 (2008) 614). The chance that a ringing was its own cause ranks it as the root. α is sparse:
only pairs that the plant's hierarchy allows and that were seen in this order are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.time import SECOND

DECAY_S = 120.0
"""1/β: how long an alarm goes on setting others off, s."""

WINDOW_DECAYS = 5
PRIOR_PARENTS = 2.0
ITERATIONS = 60
LEAST_ALPHA = 1e-3


@dataclass(frozen=True, slots=True)
class Roots:
    """A fitted process.

    Attributes:
        own: chance that each ringing was its own cause, float64, shape (events,).
        parent: most likely earlier event of each, -1 where it was its own cause, int64, shape (events,).
        alpha: (from kind, to kind) → mean number of alarms of the second kind one of the first sets off.
        background: μ by kind, per second.
    """

    own: NDArray[np.float64]
    parent: NDArray[np.int64]
    alpha: dict[tuple[int, int], float]
    background: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs (earlier, later) of events close enough, in order of the later one; ``kind`` numbers the pair of kinds."""

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]
    kernel: NDArray[np.float64]
    kind: NDArray[np.int64]
    kinds: NDArray[np.int64]


def fit_roots(
    kinds: NDArray[np.int32],
    times: NDArray[np.int64],
    count: int,
    allowed: Callable[[int, int], bool] | None = None,
    decay_s: float = DECAY_S,
) -> Roots:
    """Return the process that makes the ringings likeliest.

    Args:
        kinds: alarm of each ringing, int32, shape (events,), below ``count``.
        times: µs UTC, ascending, int64.
        count: number of alarms.
        allowed: whether an alarm can set off another one; an alarm never sets off itself.
        decay_s: how long an alarm goes on setting others off, s.
    """
    events = len(kinds)
    span = max((int(times[-1]) - int(times[0])) / SECOND, decay_s) if events else decay_s
    pairs = _pairs(kinds, times, count, allowed, decay_s)
    totals = np.bincount(kinds, minlength=count).astype(np.float64)
    mu = np.maximum(totals, 1e-9) / (2 * span)
    alpha = np.full(len(pairs.kinds), 0.1)
    sources = pairs.kinds // count
    own = np.ones(events)
    shares = np.zeros(len(pairs.earlier))
    for _ in range(ITERATIONS):
        rates = alpha[pairs.kind] * pairs.kernel
        total = mu[kinds] + np.bincount(pairs.later, weights=rates, minlength=events)
        own = mu[kinds] / total
        shares = rates / total[pairs.later]
        mu = np.maximum(np.bincount(kinds, weights=own, minlength=count), 1e-9) / span
        caused = np.bincount(pairs.kind, weights=shares, minlength=len(alpha))
        # The prior's parents that set nothing off keep a single coincidence from looking like a law.
        alpha = caused / (totals[sources] + PRIOR_PARENTS)
    strong = alpha >= LEAST_ALPHA
    law = {
        (int(kind // count), int(kind % count)): float(value)
        for kind, value in zip(pairs.kinds[strong], alpha[strong], strict=True)
    }
    return Roots(own, _parents(events, pairs, shares, own), law, mu)


def _pairs(
    kinds: NDArray[np.int32],
    times: NDArray[np.int64],
    count: int,
    allowed: Callable[[int, int], bool] | None,
    decay_s: float,
) -> _Pairs:
    window = int(WINDOW_DECAYS * decay_s * SECOND)
    begins = np.searchsorted(times, times - window, "left")
    lengths = np.arange(len(times)) - begins
    later = np.repeat(np.arange(len(times), dtype=np.int64), lengths)
    offsets = np.arange(len(later)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    earlier = np.repeat(begins, lengths) + offsets
    pair = kinds[earlier].astype(np.int64) * count + kinds[later]
    fits = (kinds[earlier] != kinds[later]) & (times[earlier] < times[later])
    if allowed is not None:
        seen, place = np.unique(pair, return_inverse=True)
        can = np.array([allowed(int(kind // count), int(kind % count)) for kind in seen], bool)
        fits &= can[place] if len(seen) else fits
    earlier, later, pair = earlier[fits], later[fits], pair[fits]
    distinct, kind = np.unique(pair, return_inverse=True)
    age = (times[later] - times[earlier]) / SECOND
    return _Pairs(earlier, later, np.exp(-age / decay_s) / decay_s, kind.astype(np.int64), distinct)


def _parents(events: int, pairs: _Pairs, shares: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.int64]:
    parent = np.full(events, -1, np.int64)
    best = own.copy()
    for earlier, later, share in zip(pairs.earlier, pairs.later, shares, strict=True):
        if share > best[later]:
            best[later], parent[later] = share, earlier
    return parent


def rank_roots(
    roots: Roots, rows: NDArray[np.int64], kinds: NDArray[np.int32], priority: NDArray[np.int64]
) -> list[tuple[int, float]]:
    """Return (kind, probability) of the root of one flood, likeliest first.

    Each ringing of the flood counts by the chance that it was its own cause and by how much of the flood hangs on it;
    among equals the more urgent comes first.

    Args:
        rows: the flood's events, ascending.
        kinds: alarm of every event.
        priority: priority of every alarm (1 critical … 4 low).
    """
    inside = {int(row) for row in rows}
    weight = dict.fromkeys(inside, 1.0)
    for row in sorted(inside, reverse=True):
        parent = int(roots.parent[row])
        if parent in inside:
            weight[parent] += weight[row]
    votes: dict[int, float] = {}
    for row in sorted(inside):
        kind = int(kinds[row])
        votes[kind] = votes.get(kind, 0.0) + float(roots.own[row]) * weight[row]
    total = sum(votes.values())
    ranked = sorted(votes.items(), key=lambda item: (-item[1], priority[item[0]], item[0]))
    return [(kind, vote / total) for kind, vote in ranked] if total > 0 else []
