"""Made-up machines that wear exponentially, as in C-MAPSS, small enough for tests."""

from __future__ import annotations

import numpy as np

from anlan.science.prognosis.runs import Runs, make_runs

REGIMES = np.array([[0, 0, 100], [10, 0.25, 100], [20, 0.7, 100], [25, 0.62, 60], [35, 0.84, 100], [42, 0.84, 100]])


def worn(
    units: int = 24, regimes: int = 1, seed: int = 0, cut: bool = False, sensors: int = 5
) -> tuple[Runs, np.ndarray]:
    """Return runs of machines and the true life left after each unit's last row.

    Each machine wears as exp(rate t) until 1; sensors read it with their own gain and noise, offset and scaled by the
    regime of the cycle; one sensor is constant, one is noise.
    """
    generator = np.random.default_rng(seed)
    gain = np.random.default_rng(99).uniform(0.5, 2, sensors) * np.where(np.arange(sensors) % 2, -1, 1)
    offset, scale = (
        np.random.default_rng(98).normal(0, 40, (6, sensors)),
        np.random.default_rng(97).uniform(1, 9, (6, sensors)),
    )
    columns: dict[str, list[float]] = {}
    unit, cycle, left = [], [], []
    for number in range(units):
        life = int(generator.uniform(90, 180))
        kept = life - int(generator.uniform(5, 70)) if cut else life
        wear = np.exp((np.arange(1, life + 1) - life) / generator.uniform(20, 35))[:kept]
        regime = generator.integers(0, regimes, kept)
        seen = (
            gain * wear[:, None] * 4
            + 0.3 * generator.normal(size=sensors)
            + 0.4 * generator.normal(size=(kept, sensors))
        )
        seen = offset[regime] + scale[regime] * seen
        settings = REGIMES[regime] + generator.normal(0, 0.001, (kept, 3)) * [1, 0.1, 0]
        for name, values in (
            *((f"setting_{j + 1}", settings[:, j]) for j in range(3)),
            *((f"s_{j + 1}", seen[:, j]) for j in range(sensors)),
            ("flat", np.full(kept, 7.0)), ("noise", generator.normal(size=kept)),
        ):  # fmt: skip
            columns.setdefault(name, []).extend(values)
        unit += [str(number + 1)] * kept
        cycle += list(range(1, kept + 1))
        left.append(life - kept)
    arrays = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    settings = {name: values for name, values in arrays.items() if name.startswith("setting")}
    others = {name: values for name, values in arrays.items() if not name.startswith("setting")}
    runs, _ = make_runs(np.array(unit), np.array(cycle, dtype=np.float64), settings, others)
    return runs, np.array(left, dtype=np.float64)
