"""Scores of Chang & Hanna 2004 (Meteorol. Atmos. Phys. 87:167) and tables of errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
LIMITS: dict[str, Any] = yaml.safe_load((FOLDER / "dispersion_limits.yaml").read_text())


def scores(observed: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    o, p = np.asarray(observed, float), np.asarray(predicted, float)
    log = np.log(o / p)
    return {
        "n": float(len(o)),
        "fac2": float(np.mean((p / o >= 0.5) & (p / o <= 2.0))),
        "fb": float(2 * (o.mean() - p.mean()) / (o.mean() + p.mean())),
        "nmse": float(np.mean((o - p) ** 2) / (o.mean() * p.mean())),
        "mg": float(np.exp(log.mean())),
        "vg": float(np.exp(np.mean(log**2))),
    }


def within(found: Mapping[str, float], limits: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return what breaks its limit."""
    return [
        f"{name} {found[name]:.3g}"
        for name, limit in limits.items()
        if not limit.get("lowest", -np.inf) <= found[name] <= limit.get("highest", np.inf)
    ]


def line(title: str, found: Mapping[str, float]) -> str:
    return f"{title:44s}" + "".join(f"{name} {value:8.3g}  " for name, value in found.items())
