"""The detectors an ensemble can have, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from anlan.core.errors import InvalidInputError
from anlan.science.detection import registry
from anlan.science.detection.forecast import CvaResidual, ForecastResidual, ResidualChart, ResidualCusum, VarianceRatio
from anlan.science.detection.linear import LaggedT2, Pca, SmoothedT2
from anlan.science.detection.protocol import Detector

DEFAULT_MEMBERS = ("lagged_t2", "smoothed_t2", "residual_chart", "variance")

NEED_STEADY_LEVELS = ("residual_chart",)
"""Members that chart a lasting shift of one variable: where levels wander by themselves they tell nothing."""

_LINEAR: dict[str, Callable[[], Detector]] = {
    "t2": lambda: LaggedT2((0,)),
    "lagged_t2": LaggedT2,
    "smoothed_t2": SmoothedT2,
    "pca": Pca,
    "forecast": ForecastResidual,
    "residual_chart": ResidualChart,
    "variance": VarianceRatio,
    "cusum": ResidualCusum,
    "cva": CvaResidual,
}
_ELSEWHERE = {
    "isolation_forest": ("anlan.science.detection.trees", "IsolationForest"),
    "half_space_trees": ("anlan.science.detection.trees", "HalfSpaceTrees"),
    "matrix_profile": ("anlan.science.detection.matrix_profile", "MatrixProfile"),
}
"""Members with heavy imports, loaded when asked for."""

MEMBERS = (*_LINEAR, *_ELSEWHERE)


def make_member(name: str) -> Detector:
    """Return the unfitted detector ``name``.

    Raises:
        InvalidInputError: there is none of that name.
    """
    if name in _LINEAR:
        return _LINEAR[name]()
    detector: Detector = _class_elsewhere(name)()
    return detector


def load_member(name: str, arrays: dict[str, Any]) -> Detector:
    """Return the detector ``name`` from the arrays it saved.

    Raises:
        InvalidInputError: there is none of that name.
        DecodeError: the arrays are not its own.
    """
    kind = type(_LINEAR[name]()) if name in _LINEAR else _class_elsewhere(name)
    detector: Detector = kind.load(arrays)
    return detector


def _class_elsewhere(name: str) -> Any:
    if name not in _ELSEWHERE:
        added = registry.members()
        if name in added:
            return added[name]
        known = sorted({*MEMBERS, *added})
        raise InvalidInputError(f"there is no detector {name}", where="members", fix=f"one of {', '.join(known)}")
    module, kind = _ELSEWHERE[name]
    return getattr(importlib.import_module(module), kind)
