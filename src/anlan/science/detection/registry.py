"""The kinds of detector there are: Anlan's own, and those that installed packages add.

A package adds a detector with an entry point in the group ``anlan.detectors``: its name is the detector's ``kind``, its
object a class that keeps the protocol ``Detector``.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from anlan.core.errors import InvalidInputError
from anlan.science.detection.protocol import Detector

ENTRY_POINTS = "anlan.detectors"

_HERE = "anlan.science.detection"
BUILT_IN = {
    "lagged_t2": f"{_HERE}.linear:LaggedT2",
    "smoothed_t2": f"{_HERE}.linear:SmoothedT2",
    "pca": f"{_HERE}.linear:Pca",
    "forecast": f"{_HERE}.forecast:ForecastResidual",
    "residual_chart": f"{_HERE}.forecast:ResidualChart",
    "variance": f"{_HERE}.forecast:VarianceRatio",
    "cva": f"{_HERE}.forecast:CvaResidual",
    "isolation_forest": f"{_HERE}.trees:IsolationForest",
    "half_space_trees": f"{_HERE}.trees:HalfSpaceTrees",
    "matrix_profile": f"{_HERE}.matrix_profile:MatrixProfile",
    "regime": f"{_HERE}.regimes:RegimeWatch",
}
"""Class of each built-in kind, as ``module:name``; imported only when asked for."""

_METHODS = ("fit", "start", "update", "save", "load")


def members() -> dict[str, type[Detector]]:
    """Return every kind of detector by its name: built-in ones first, then those of other packages.

    Raises:
        InvalidInputError: an installed package's detector cannot be loaded, does not keep to the protocol, or takes
            the name of another; names the package.
    """
    found: dict[str, type[Detector]] = {}
    for kind, target in BUILT_IN.items():
        module, _, name = target.partition(":")
        found[kind] = getattr(importlib.import_module(module), name)
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        package = point.dist.name if point.dist is not None else point.value
        where = f"detector {point.name} of the package {package}"
        if point.name in found:
            raise InvalidInputError("its name is taken", where=where, fix="give the detector another name")
        try:
            detector = point.load()
        except Exception as error:
            raise InvalidInputError(
                f"it cannot be loaded: {type(error).__name__}: {error}", where=where, fix="update or remove the package"
            ) from error
        lacking = [name for name in _METHODS if not callable(getattr(detector, name, None))]
        if lacking or getattr(detector, "kind", None) != point.name:
            wrong = f"it lacks {', '.join(lacking)}" if lacking else f"its kind is not {point.name}"
            raise InvalidInputError(wrong, where=where, fix="keep to anlan.science.detection.protocol.Detector")
        found[point.name] = detector
    return found
