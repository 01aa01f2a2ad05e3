"""Holds the calibration of time to limit and of the Wiener process within ``limits.yaml`` and prints the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from anlan.science.prognosis import time_to_limit as ttl
from anlan.science.prognosis.degradation import fit_wiener
from tests.science.prognosis.test_degradation import path
from tests.science.prognosis.test_time_to_limit import ask, feed, simulate

LIMITS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "limits.yaml").read_text())


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("slope", [0.003, 0.02])
def test_time_to_limit_is_calibrated(correlation: float, slope: float) -> None:
    limits = LIMITS["time_to_limit"]["coverage"]
    time, values = simulate(500, slope, 1.0, correlation, seed=11, points=500)
    now = int(time[-1])
    true = 30 / slope
    said = ask(feed(time, values), 100 + slope * now / 1e6 + 30, now)
    towards = said.outlook == ttl.Outlook.TOWARDS
    held = ((said.low <= true) & (true <= said.high))[towards].mean()
    print(f"time to limit, slope {slope}, correlation {correlation}: {towards.mean():.1%} seen, {held:.1%} within")
    assert limits["lowest"] <= held <= limits["highest"]


def test_false_trends_of_noise_are_rare() -> None:
    looks = []
    for correlation in (0.0, 0.5):
        time, values = simulate(900, 0.0, 1.0, correlation, seed=12)
        state = ttl.start(values.shape[1])
        for first in range(0, 900, 30):
            state = feed(time[first : first + 30], values[first : first + 30], state)
            looks.append(ask(state, 105.0, int(time[first + 29])).trending.mean())
    rate = float(np.mean(looks))
    print(f"false trends of stationary noise: {rate:.4%} of looks")
    assert rate <= LIMITS["time_to_limit"]["false_trends"]["highest"]


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_wiener_process_is_calibrated(noise: float) -> None:
    held = []
    for seed in range(150):
        time, seen = path(80, 0.5, 0.4, noise, seed)
        now = path(80, 0.5, 0.4, 0.0, seed)[1][-1]
        passage = fit_wiener(time, seen).until(now + 20)
        steps = np.random.default_rng(1000 + seed).normal(0.05, 0.4 * np.sqrt(0.1), 3000)
        true = 0.1 * (1 + int(np.argmax(np.cumsum(steps) >= 20)))
        held.append(passage.quantile(0.05) <= true <= passage.quantile(0.95))
    share = float(np.mean(held))
    print(f"Wiener first passage, noise {noise}: {share:.1%} within the 90 % band")
    assert LIMITS["wiener"]["coverage"]["lowest"] <= share <= LIMITS["wiener"]["coverage"]["highest"]
