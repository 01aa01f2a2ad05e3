"""Built-ins of features, compiled: each takes what every binding of it says now and returns their values.

All have one signature: ``x`` and ``y`` are the two formulas (n,), ``p`` parameters (n, P), ``s`` state (n, K), ``ring``
recent values (n, W), ``dt`` s of the cadence; ``value`` (n,) and ``code`` (n,) are filled. A row whose ``code`` is not
``OK`` when it comes has no input now: rings take a hole, everything else waits.
"""

from __future__ import annotations

import math

import numba
import numpy as np

OK, MISSING, IDLE, LEARNING, FILLING, RANGE, QUIET, SETTLING = range(8)
"""Why a feature has no value: an input is missing, it does not apply now, its baseline or window is not full yet, the
result is outside the validity range, the signal is too quiet to judge, the machine has only just started."""

_MAD = 1.2533  # σ of a normal distribution over its mean absolute deviation
LEARNED = 60
"""How many values of the learning period are kept."""

_OFTEN = 20  # changes a signal must show before its rhythm is known

jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@jit
def _middle(values):  # type: ignore[no-untyped-def]  # compiled
    """Return median and median deviation of those values that are numbers."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return math.nan, math.nan
    level = np.median(known)
    return level, np.median(np.abs(known - level))


@jit
def _settle(s, at, ring):  # type: ignore[no-untyped-def]  # compiled
    """Take level and deviation from the learning period, from its later half alone if the earlier was a start-up."""
    half = len(ring) // 2
    before, _ = _middle(ring[:half])
    level, deviation = _middle(ring[half:])
    if not abs(before - level) > 6.0 * deviation:
        level, deviation = _middle(ring)
    s[at], s[at + 1] = level, 1.4826 * deviation / _MAD


@jit
def _baseline(s, at, v, dt, memory, learn, floor, ring):  # type: ignore[no-untyped-def]  # compiled: types follow from arrays
    """Judge ``v`` against its own past in s[at:at+3] (level, mean absolute deviation, s learned); NaN while learning.

    What was seen while learning is sampled into ``ring`` and its median taken. From then on level and deviation are
    running means that forget after ``memory``; what lies far out counts little (Huber, Robust Statistics, 1981): a slow
    fault is not taken for the new normal. A young baseline is held to be uncertain.
    """
    n = s[at + 2] + dt
    s[at + 2] = n
    if n <= learn:
        place = min(int((n - dt) / learn * len(ring)), len(ring) - 1)
        ring[place] = v
        if n + dt > learn:
            _settle(s, at, ring)
        return math.nan
    w = dt / min(n, memory)
    r = v - s[at]
    sigma = max(_MAD * s[at + 1], floor)
    z = r / (sigma * (1.0 + 2.0 * math.sqrt(learn / n)))
    bound = 3.0 * sigma
    if abs(r) > bound:
        w *= 0.1
    s[at] += w * min(max(r, -bound), bound)
    s[at + 1] += w * (min(abs(r), bound) - s[at + 1])
    return z


@jit
def _weight(dt, smooth):  # type: ignore[no-untyped-def]  # compiled
    return 1.0 if smooth <= 0.0 else 1.0 - math.exp(-dt / smooth)


@jit
def _push(s, at, ring, low, width, v):  # type: ignore[no-untyped-def]  # compiled
    """Put ``v`` into ring[low:low+width]; s[at] is the place of the oldest, s[at+1] how many there are."""
    head = int(s[at])
    ring[low + head] = v
    s[at] = (head + 1) % width
    s[at + 1] = min(s[at + 1] + 1.0, float(width))


@jit
def _line(s, at, ring, low, width, first, last):  # type: ignore[no-untyped-def]  # compiled
    """Fit a line to entries ``first``..``last`` (0 oldest): slope a step, its standard error, how many counted."""
    head, fill = int(s[at]), int(s[at + 1])
    start = (head - fill) % width
    n = 0
    mt = mv = 0.0
    for k in range(first, last):
        v = ring[low + (start + k) % width]
        if not math.isnan(v):
            n += 1
            mt += k
            mv += v
    if n < 3:
        return 0.0, math.inf, n
    mt /= n
    mv /= n
    tt = tv = vv = 0.0
    for k in range(first, last):
        v = ring[low + (start + k) % width]
        if not math.isnan(v):
            tt += (k - mt) ** 2
            tv += (k - mt) * (v - mv)
            vv += (v - mv) ** 2
    slope = tv / tt
    rest = max(vv - slope * tv, 0.0)
    return slope, math.sqrt(rest / (n - 2) / tt), n


@jit
def _shrunk(slope, error):  # type: ignore[no-untyped-def]  # compiled
    """Return the end of the 95 % interval that lies nearer to no change."""
    return math.copysign(max(abs(slope) - 2.0 * error, 0.0), slope)


@jit
def value(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Smooth with time constant p0 (s)."""
    for i in range(len(x)):
        if code[i] == OK:
            weight = 1.0 if s[i, 1] == 0.0 else _weight(dt, p[i, 0])
            s[i, 0] += weight * (x[i] - s[i, 0])
            s[i, 1] = 1.0
            value[i] = s[i, 0]


@jit
def drift(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Smooth by p0 and judge against the own past: memory p1, learning p2 (s), least σ p3."""
    for i in range(len(x)):
        if code[i] != OK:
            continue
        weight = 1.0 if s[i, 3] == 0.0 else _weight(dt, p[i, 0])
        s[i, 0] += weight * (x[i] - s[i, 0])
        value[i] = _baseline(s[i], 1, s[i, 0], dt, p[i, 1], p[i, 2], p[i, 3], ring[i])
        if math.isnan(value[i]):
            code[i] = LEARNING


@jit
def slope(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Give the rate over window p0 (s), a p1 seconds; only what exceeds its own uncertainty."""
    for i in range(len(x)):
        width = max(int(p[i, 0] / dt), 4)
        _push(s[i], 0, ring[i], 0, width, x[i] if code[i] == OK else math.nan)
        if code[i] != OK:
            continue
        rate, error, n = _line(s[i], 0, ring[i], 0, width, 0, int(s[i, 1]))
        if 4 * n < 3 * width:
            code[i] = FILLING
        else:
            value[i] = _shrunk(rate, error) / dt * p[i, 1]


@jit
def time_to(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Give the minutes until x reaches y at its rate over window p0 (s); at most p1; p2 +1 upwards, -1 downwards."""
    for i in range(len(x)):
        width = max(int(p[i, 0] / dt), 4)
        _push(s[i], 0, ring[i], 0, width, x[i] if code[i] == OK else math.nan)
        if code[i] != OK:
            continue
        rate, error, n = _line(s[i], 0, ring[i], 0, width, 0, int(s[i, 1]))
        if 2 * n < width:
            code[i] = FILLING
            continue
        left = (y[i] - x[i]) * p[i, 2]
        speed = _shrunk(rate, error) / dt * 60.0 * p[i, 2]
        value[i] = 0.0 if left <= 0.0 else p[i, 1] if speed * p[i, 1] <= left else left / speed


@jit
def _extent(s, at, ring, low, width, last):  # type: ignore[no-untyped-def]  # compiled
    fill = int(s[at + 1])
    start = (int(s[at]) - fill) % width
    least, most = math.inf, -math.inf
    for k in range(min(last, fill)):
        v = ring[low + (start + k) % width]
        if not math.isnan(v):
            least, most = min(least, v), max(most, v)
    return max(most - least, 0.0)


@jit
def follow(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Give the share of the movement of x in window p0 (s) that y did not make; x must have moved by p1."""
    half = ring.shape[1] // 2
    for i in range(len(x)):
        width = max(int(p[i, 0] / dt), 4)
        good = code[i] == OK
        _push(s[i], 0, ring[i], 0, width, x[i] if good else math.nan)
        _push(s[i], 2, ring[i], half, width, y[i] if good else math.nan)
        if not good:
            continue
        fill = int(s[i, 1])
        asked = _extent(s[i], 0, ring[i], 0, width, fill - 1)  # the newest order may still be under way
        made = _extent(s[i], 2, ring[i], half, width, fill)
        if asked < p[i, 1]:
            code[i] = QUIET if 2 * fill >= width else FILLING
        else:
            value[i] = min(max(1.0 - made / asked, 0.0), 1.0)


@jit
def oscillation(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Give the regularity of the last ten crossings of the mean: mean interval over three deviations; size above p1.

    Thornhill, Huang and Zhang, J. Process Control 13 (2003) 91-100: above 1 the period is regular. p0: memory (s).
    State: mean, size, sign, s since the crossing, intervals, s seen.
    """
    for i in range(len(x)):
        if code[i] != OK:
            continue
        if s[i, 5] == 0.0:
            s[i, 0] = x[i]
        s[i, 5] += dt
        w = dt / min(s[i, 5], p[i, 0])
        s[i, 0] += w * (x[i] - s[i, 0])
        r = x[i] - s[i, 0]
        s[i, 1] += w * (abs(r) - s[i, 1])
        s[i, 3] += dt
        sign = 1.0 if r > 0.4 * s[i, 1] else -1.0 if r < -0.4 * s[i, 1] else s[i, 2]
        if sign != s[i, 2]:
            ring[i, int(s[i, 4]) % 10] = s[i, 3]
            s[i, 4] += 1.0
            s[i, 2], s[i, 3] = sign, 0.0
        if s[i, 4] < 11.0:
            code[i] = FILLING
            continue
        mean = ring[i, :10].mean()
        deviation = max(ring[i, :10].std(), 0.05 * mean)
        idle = s[i, 1] < p[i, 1] or s[i, 3] > 3.0 * mean or mean < 3.0 * dt
        value[i] = 0.0 if idle else mean / (3.0 * deviation)


@jit
def noise(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Give log2 of the noise (mean step from sample to sample) of the last p0 samples over its usual one (p1 samples).

    State: last, short, long, samples, share that differ. y: samples in the step; p2: samples to learn.
    """
    for i in range(len(x)):
        if code[i] != OK:
            continue
        if y[i] > 0.0:
            n = s[i, 3]
            d = abs(x[i] - s[i, 0]) if n > 0 else 0.0
            s[i, 0] = x[i]
            s[i, 3] = n + 1.0
            long = 1.0 / min(n + 1.0, p[i, 1])
            s[i, 4] += long * ((d > 0.0) - s[i, 4])
            if n > p[i, 2]:
                d = min(d, 6.0 * s[i, 2])  # one jump is not noise
            s[i, 1] += max(1.0 / p[i, 0], long) * (d - s[i, 1])
            s[i, 2] += long * (d - s[i, 2])
        if s[i, 3] <= p[i, 2]:
            code[i] = LEARNING
        elif s[i, 4] < 0.3 or s[i, 2] <= 0.0:
            code[i] = QUIET
        else:
            value[i] = max(math.log2(max(s[i, 1], 1e-300) / s[i, 2]), -10.0)


@jit
def freeze(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Give how many times longer a value has stood still than it ever does: p0 s of memory, p1 s to learn.

    State: last, steps still, longest, steps, changes.
    """
    for i in range(len(x)):
        if code[i] != OK:
            continue
        if y[i] > 0.0:
            s[i, 3] += 1.0
            s[i, 2] *= 1.0 - dt / p[i, 0]
            if x[i] == s[i, 0]:
                s[i, 1] += 1.0
            else:
                s[i, 2] = max(s[i, 2], s[i, 1])
                s[i, 0], s[i, 1] = x[i], 0.0
                s[i, 4] += 1.0
        if s[i, 3] * dt < p[i, 1]:
            code[i] = LEARNING
        elif s[i, 4] < _OFTEN:
            code[i] = QUIET
        else:
            value[i] = s[i, 1] / max(s[i, 2], 6.0)


@jit
def _total(s, at, ring, width, v):  # type: ignore[no-untyped-def]  # compiled
    head = int(s[at])
    if s[at + 1] >= width:
        s[at + 2] -= ring[head]
    _push(s, at, ring, 0, width, v)
    s[at + 2] += v
    return s[at + 2]


@jit
def count(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Add x up over window p0 (s)."""
    for i in range(len(x)):
        width = max(int(p[i, 0] / dt), 1)
        total = _total(s[i], 0, ring[i], width, x[i] if code[i] == OK else 0.0)
        if code[i] == OK:
            value[i] = total


@jit
def edges(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Count how often x became true in window p0 (s). State: head, fill, sum, before, known."""
    for i in range(len(x)):
        width = max(int(p[i, 0] / dt), 1)
        good = code[i] == OK
        rose = 1.0 if good and s[i, 4] > 0.0 and x[i] > 0.5 and s[i, 3] <= 0.5 else 0.0
        total = _total(s[i], 0, ring[i], width, rose)
        if good:
            s[i, 3], s[i, 4] = x[i], 1.0
            value[i] = total


@jit
def cycles(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Count the full swings of x larger than p1 in window p0 (s). State: head, fill, sum, extreme, direction."""
    for i in range(len(x)):
        width = max(int(p[i, 0] / dt), 1)
        half = 0.0
        if code[i] == OK:
            if s[i, 4] == 0.0:
                s[i, 3], s[i, 4] = x[i], 1.0
            if (x[i] - s[i, 3]) * s[i, 4] >= 0.0:
                s[i, 3] = x[i]
            elif abs(x[i] - s[i, 3]) >= p[i, 1]:
                s[i, 3], s[i, 4] = x[i], -s[i, 4]
                half = 0.5
        total = _total(s[i], 0, ring[i], width, half)
        if code[i] == OK:
            value[i] = total


@jit
def runtime(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Add up the hours in which x was true, on top of p0."""
    for i in range(len(x)):
        if code[i] == OK:
            s[i, 0] += dt / 3600.0 if x[i] > 0.5 else 0.0
            value[i] = p[i, 0] + s[i, 0]


@jit
def held(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Give the hours for which x has been true without a break."""
    for i in range(len(x)):
        if code[i] == OK:
            s[i, 0] = s[i, 0] + dt / 3600.0 if x[i] > 0.5 else 0.0
            value[i] = s[i, 0]


@jit
def runaway(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Give the rate of x (a p1 seconds) over the newer half of window p0 (s) where it is rising faster and faster.

    Hub and Jones, Plant/Operations Progress 5 (1986) 221-224: first and second derivative positive together. y: the
    rise must also widen the difference to the coolant (y, not falling).
    """
    half = ring.shape[1] // 2
    for i in range(len(x)):
        width = max(int(p[i, 0] / dt), 8)
        good = code[i] == OK
        _push(s[i], 0, ring[i], 0, width, x[i] if good else math.nan)
        _push(s[i], 2, ring[i], half, width, y[i] if good else math.nan)
        if not good:
            continue
        fill = int(s[i, 1])
        old, old_error, n = _line(s[i], 0, ring[i], 0, width, 0, fill // 2)
        new, new_error, m = _line(s[i], 0, ring[i], 0, width, fill // 2, fill)
        gap, _, _ = _line(s[i], 2, ring[i], half, width, fill // 2, fill)
        if n < 4 or m < 4 or fill < width:
            code[i] = FILLING
        elif gap > 0.0 and new - old > 2.0 * math.hypot(old_error, new_error):
            value[i] = max(_shrunk(new, new_error), 0.0) / dt * p[i, 1]
        else:
            value[i] = 0.0


@jit
def balance(x, y, p, s, ring, dt, value, code):  # type: ignore[no-untyped-def]  # compiled
    """Judge what stock x gains beyond the net inflow y (per hour) over window p0 (s) against its own past.

    p1 memory, p2 learning (s), p3 least σ (per hour). State: head, fill, total inflow, level, deviation, learned.
    """
    for i in range(len(x)):
        width = max(int(p[i, 0] / dt), 8)
        good = code[i] == OK
        if good:
            s[i, 2] += y[i] * dt / 3600.0
        _push(s[i], 0, ring[i], 0, width, x[i] - s[i, 2] if good else math.nan)
        if not good:
            continue
        rate, _, n = _line(s[i], 0, ring[i], 0, width, 0, int(s[i, 1]))
        if 2 * n < width or s[i, 1] < width:
            code[i] = FILLING
            continue
        past = ring[i, ring.shape[1] - LEARNED :]
        value[i] = _baseline(s[i], 3, rate / dt * 3600.0, dt, p[i, 1], p[i, 2], p[i, 3], past)
        if math.isnan(value[i]):
            code[i] = LEARNING
