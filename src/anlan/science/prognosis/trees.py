"""Boosted regression trees as plain arrays: trained by LightGBM, predicted by a kernel of our own.

A model file is data: it holds thresholds and leaf values, and nothing in it is executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Floats
from anlan.science.model_file import Arrays

Ints = NDArray[np.int32]

SETTINGS: dict[str, Any] = {
    "objective": "l2",
    "learning_rate": 0.06,
    "num_leaves": 8,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "num_threads": 2,
    "deterministic": True,
    "force_row_wise": True,
    "use_missing": False,
    "verbose": -1,
}
"""Small trees, strong sampling: chosen by cross-validation over units of the C-MAPSS training sets."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Trees in one set of arrays; a child below 0 is the leaf ``~child``.

    Attributes:
        root: first node of each tree, or ``~leaf`` of a tree that is one leaf, shape (trees,).
        feature, threshold, left, right: of each node; a row goes left where its feature is at most the threshold.
        leaf: value of each leaf.
        features: number of features.
    """

    root: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    leaf: Floats
    features: int

    def predict(self, rows: Floats) -> Floats:
        """Return the sum of the trees for each row; rows have no missing values, shape (rows, features).

        Raises:
            InvalidInputError: the number of features is another.
        """
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise InvalidInputError(f"rows of shape {rows.shape} for {self.features} features")
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        return np.asarray(
            _predict(rows, self.root, self.feature, self.threshold, self.left, self.right, self.leaf), np.float64
        )

    def save(self) -> Arrays:
        """Return the trees as plain arrays."""
        return {
            "root": self.root, "feature": self.feature, "threshold": self.threshold, "left": self.left,
            "right": self.right, "leaf": self.leaf, "features": np.array([self.features], np.int64),
        }  # fmt: skip

    @classmethod
    def load(cls, arrays: Arrays) -> Trees:
        """Return the trees that ``save`` wrote.

        Raises:
            DecodeError: an array is missing, or a node points outside or back.
        """
        try:
            trees = cls(
                arrays["root"], arrays["feature"], arrays["threshold"], arrays["left"], arrays["right"],
                arrays["leaf"], int(arrays["features"][0]),
            )  # fmt: skip
        except (KeyError, IndexError) as error:
            raise DecodeError(f"the trees lack {error}", fix="use the original model file") from None
        if not trees._sound():
            raise DecodeError("the trees point outside themselves", fix="use the original model file")
        return trees

    def _sound(self) -> bool:
        nodes, leaves = len(self.feature), len(self.leaf)
        if not len(self.threshold) == len(self.left) == len(self.right) == nodes:
            return False
        here = np.arange(nodes)
        children = ((self.left > here) | (self.left < 0)) & ((self.right > here) | (self.right < 0))
        points = np.concatenate([self.root, self.left, self.right])
        inside = ((points < nodes) & (points >= -leaves)).all()
        return bool(
            children.all() and inside and ((self.feature >= 0) & (self.feature < self.features)).all() and leaves
        )


def train(
    rows: Floats, target: Floats, weight: Floats, rounds: int, seeds: tuple[int, ...], **changes: Any
) -> tuple[Trees, list[Any]]:
    """Return trees fitted by LightGBM (averaged over seeds) and the library's own models, for comparison.

    Args:
        rows: features, shape (rows, features).
        target, weight: shape (rows,).
        rounds: trees a seed.
        seeds: one model each; the mean of their predictions is the result.
        changes: settings other than ``SETTINGS``.
    """
    import lightgbm

    models = []
    for seed in seeds:
        data = lightgbm.Dataset(rows, target, weight=weight, free_raw_data=True)
        models.append(lightgbm.train(SETTINGS | {"seed": seed} | changes, data, rounds))
    return export(models), models


def export(models: list[Any]) -> Trees:
    """Return LightGBM models as one set of trees that predicts their mean.

    Raises:
        InvalidInputError: a tree has a split that is no plain threshold.
    """
    root: list[int] = []
    nodes: list[tuple[int, float, int, int]] = []
    leaves: list[float] = []
    for model in models:
        trees = model.dump_model()["tree_info"]
        root.extend(_flatten(tree["tree_structure"], nodes, leaves, 1.0 / len(models)) for tree in trees)
    feature, threshold, left, right = zip(*nodes, strict=True) if nodes else ((), (), (), ())
    return Trees(
        np.array(root, np.int32),
        np.array(feature, np.int32),
        np.array(threshold, np.float64),
        np.array(left, np.int32),
        np.array(right, np.int32),
        np.array(leaves, np.float64),
        int(models[0].num_feature()),
    )


def _flatten(node: dict[str, Any], nodes: list[tuple[int, float, int, int]], leaves: list[float], share: float) -> int:
    if "split_feature" not in node:
        leaves.append(float(node["leaf_value"]) * share)
        return ~(len(leaves) - 1)
    if node["decision_type"] != "<=":
        raise InvalidInputError(f"a split of kind {node['decision_type']}", fix="train on numbers only")
    here = len(nodes)
    nodes.append((0, 0.0, 0, 0))
    left = _flatten(node["left_child"], nodes, leaves, share)
    right = _flatten(node["right_child"], nodes, leaves, share)
    nodes[here] = (int(node["split_feature"]), float(node["threshold"]), left, right)
    return here


@numba.njit(cache=True)
def _predict(rows, root, feature, threshold, left, right, leaf):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    out = np.zeros(rows.shape[0])
    for i in range(rows.shape[0]):
        total = 0.0
        for t in range(len(root)):
            node = root[t]
            while node >= 0:
                node = left[node] if rows[i, feature[node]] <= threshold[node] else right[node]
            total += leaf[~node]
        out[i] = total
    return out
