"""Detectors of trees: the isolation forest, trained by scikit-learn and scored here, and streaming half-space trees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Floats, Notes, Scores, State
from anlan.science.model_file import Arrays

_LEAST_ROWS = 60
_EULER = 0.5772156649015329
_NODE_ARRAYS = ("feature", "threshold", "left", "right", "expected", "roots")


def _complete(train: Floats, notes: Notes, what: str) -> Floats:
    """Return the rows without a gap.

    Raises:
        InvalidInputError: they are too few.
    """
    rows = train[np.isfinite(train).all(axis=1)]
    if len(rows) < _LEAST_ROWS:
        raise InvalidInputError(
            f"{len(rows)} complete training rows are too few for {what}", fix=f"give at least {_LEAST_ROWS}"
        )
    gaps = int(np.isfinite(train).any(axis=1).sum()) - len(rows)  # a row of nothing only parts two runs
    if gaps:
        notes.add(f"{what}: {gaps} training rows with gaps were left out")
    return np.ascontiguousarray(rows)


def _shared(score: Floats, weight: Floats) -> Floats:
    """Return each row's score shared out by the positive part of ``weight``; evenly where nothing is positive."""
    positive = np.maximum(weight, 0.0)
    total = positive.sum(axis=1, keepdims=True)
    even = np.full_like(positive, 1.0 / max(positive.shape[1], 1))
    return np.asarray(score[:, None] * np.divide(positive, total, out=even, where=total > 0), dtype=np.float64)


def _taken(arrays: Arrays, names: tuple[str, ...], what: str) -> list[NDArray[Any]]:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DecodeError(f"{what} lacks {', '.join(missing)}", fix="use the original model file")
    return [arrays[name] for name in names]


def average_path_length(count: Floats) -> Floats:
    """Return the mean path length of an unsuccessful search in a binary search tree of ``count`` points.

    Liu, Ting and Zhou, Isolation Forest, ICDM 2008, eq. 1: c(n) = 2 H(n - 1) - 2 (n - 1) / n, H(i) = ln(i) + 0.5772…
    """
    count = np.asarray(count, dtype=np.float64)
    large = np.maximum(count, 3.0)
    length = 2.0 * (np.log(large - 1.0) + _EULER) - 2.0 * (large - 1.0) / large
    return np.where(count <= 1, 0.0, np.where(count == 2, 1.0, length))


@dataclass(frozen=True, slots=True)
class IsolationForest:
    """Isolation forest (Liu, Ting and Zhou, ICDM 2008): what few random cuts separate from the rest is unusual.

    The score is 2^(-h / c), h the mean path length, c that of a training sample: 0 to 1, about 0.5 for the usual; it is
    scikit-learn's ``-score_samples``. A cut that takes a node of n rows to a child of m saves c(n) - 1 - c(m) of the
    path expected; the savings along a path sum exactly to c - h. The score is shared out by each variable's positive
    saving. A missing value goes where most training rows went.

    Attributes:
        trees: number of trees.
        sample: training rows a tree sees.
        seed: of the random cuts.
        nodes: the trees as arrays, one node an entry, children by number; a leaf has feature -1.
    """

    kind: ClassVar[str] = "isolation_forest"

    trees: int = 100
    sample: int = 256
    seed: int = 0
    nodes: Arrays = field(default_factory=dict)

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return the forest grown on normal rows, shape (rows, variables); rows with a gap are left out.

        Raises:
            InvalidInputError: fewer than 60 complete rows.
        """
        from sklearn.ensemble import IsolationForest as Grower

        rows = _complete(train, notes, "the isolation forest")
        grown = Grower(n_estimators=self.trees, max_samples=min(self.sample, len(rows)), random_state=self.seed)
        grown.fit(rows)
        return type(self)(self.trees, self.sample, self.seed, _export(grown, rows.shape[1]))

    def start(self) -> State:
        """Return the state before the first row: a forest remembers nothing."""
        return {}

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the state and the scores of the next rows; NaN where a row has no value at all."""
        if not self.nodes:
            raise InvalidInputError("the forest is not fitted yet", fix="call fit first")
        variables = int(self.nodes["shape"][0])
        if values.shape[1] != variables:
            raise InvalidInputError(f"{values.shape[1]} variables instead of {variables}", fix="the trained variables")
        nodes = [self.nodes[name] for name in _NODE_ARRAYS]
        # The cuts were made between numbers of single precision; scoring must round the same way.
        depth, saving = _walk(np.ascontiguousarray(values, dtype=np.float32), *nodes)
        whole = self.nodes["expected"][self.nodes["roots"][0]]
        score = np.exp2(-depth / whole)
        score[~np.isfinite(values).any(axis=1)] = np.nan
        return state, Scores(score, _shared(score, saving))

    def save(self) -> Arrays:
        """Return the trees and settings as plain arrays."""
        return {"settings": np.array([self.trees, self.sample, self.seed], np.int64)} | self.nodes

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return the forest that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or the nodes do not fit together.
        """
        settings, shape, *nodes = _taken(arrays, ("settings", "shape", *_NODE_ARRAYS), "the isolation forest")
        feature, _, left, right, _, roots = nodes
        count = len(feature)
        inner = feature >= 0
        children = np.concatenate((left[inner], right[inner], roots))
        fits = all(len(array) == count for array in nodes[:-1]) and settings.shape == (3,) and shape.shape == (1,)
        # A child stands after its parent: a walk over an altered file must end.
        order = np.flatnonzero(inner)
        if not fits or not len(roots) or (children < 0).any() or (children >= count).any():
            raise DecodeError(
                "the nodes of the isolation forest do not fit together", fix="use the original model file"
            )
        if (left[inner] <= order).any() or (right[inner] <= order).any() or (feature >= shape[0]).any():
            raise DecodeError(
                "the nodes of the isolation forest do not fit together", fix="use the original model file"
            )
        trees, sample, seed = (int(number) for number in settings)
        kept = dict(zip(_NODE_ARRAYS, nodes, strict=True)) | {"shape": shape}
        return cls(trees, sample, seed, kept)


def _export(grown: Any, variables: int) -> Arrays:
    """Return scikit-learn's trees as one table of nodes."""
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _NODE_ARRAYS}
    base = 0
    for tree, features in zip(grown.estimators_, grown.estimators_features_, strict=True):
        inside = tree.tree_
        leaf = inside.feature < 0
        parts["feature"].append(np.where(leaf, -1, features[np.maximum(inside.feature, 0)]).astype(np.int32))
        parts["threshold"].append(np.where(leaf, 0.0, inside.threshold))
        parts["left"].append(np.where(leaf, -1, inside.children_left + base).astype(np.int32))
        parts["right"].append(np.where(leaf, -1, inside.children_right + base).astype(np.int32))
        parts["expected"].append(average_path_length(inside.n_node_samples))
        parts["roots"].append(np.array([base], np.int32))
        base += inside.node_count
    arrays: Arrays = {name: np.concatenate(part) for name, part in parts.items()}
    return arrays | {"shape": np.array([variables], np.int64)}


@numba.njit(cache=True)
def _walk(values, feature, threshold, left, right, expected, roots):  # type: ignore[no-untyped-def]  # compiled kernel
    rows, variables = values.shape
    depth = np.zeros(rows)
    saving = np.zeros((rows, variables))
    for i in range(rows):
        for root in roots:
            node = root
            while feature[node] >= 0:
                value = values[i, feature[node]]
                if np.isfinite(value):
                    child = left[node] if value <= threshold[node] else right[node]
                else:
                    child = left[node] if expected[left[node]] >= expected[right[node]] else right[node]
                saving[i, feature[node]] += expected[node] - 1.0 - expected[child]
                depth[i] += 1.0
                node = child
            depth[i] += expected[node]
        depth[i] /= len(roots)
        for j in range(variables):
            saving[i, j] /= len(roots)
    return depth, saving


@dataclass(frozen=True, slots=True)
class HalfSpaceTrees:
    """Half-space trees (Tan, Ting and Liu, Fast Anomaly Detection for Streaming Data, IJCAI 2011), learning on.

    Random trees halve the space again and again; a row in a node of little mass is unusual. With m the mass of the node
    where a walk ends at depth k, in a window of w rows, the paper's score is the mean of m 2^k over the trees; the
    score here is 1 / (1 + that / w), so that larger is more unusual and 1 is where nothing was ever seen. Each window
    of ordinary rows moves the reference mass by ``forget`` (1 is the paper's rule); rows more unusual than 99 % of the
    training rows are not learnt, so that a lasting fault does not become normal. The score is shared out by how much
    each cut thins the mass against an even half (the logarithms of a path sum to that of its density).

    Attributes:
        trees, depth: number and depth of the trees.
        window: ordinary rows after which the reference moves.
        forget: share of the reference that a window replaces.
        seed: of the random cuts.
        arrays: cuts and training masses.
    """

    kind: ClassVar[str] = "half_space_trees"

    trees: int = 25
    depth: int = 8
    window: int = 250
    forget: float = 0.1
    seed: int = 0
    arrays: Arrays = field(default_factory=dict)

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return the trees with the mass of normal rows, shape (rows, variables); rows with a gap are left out.

        Raises:
            InvalidInputError: fewer than 60 complete rows, or a setting out of range.
        """
        if not (1 <= self.depth <= 12 and self.trees >= 1 and self.window >= 1 and 0 <= self.forget <= 1):
            raise InvalidInputError(
                f"{self.trees} trees of depth {self.depth} are not possible", fix="depth 1 to 12, forget 0 to 1"
            )
        rows = _complete(train, notes, "the half-space trees")
        feature, threshold = self._cuts(rows)
        mass = np.zeros((self.trees, 2 ** (self.depth + 1) - 1))
        _count(rows, feature, threshold, mass)
        mass *= self.window / len(rows)
        arrays: Arrays = {"feature": feature, "threshold": threshold, "mass": mass.astype(np.float32)}
        arrays |= {"shape": np.array([rows.shape[1]], np.int64), "limit": np.array([np.inf])}
        frozen = type(self)(self.trees, self.depth, self.window, 0.0, self.seed, arrays)
        limit = np.quantile(frozen.update(frozen.start(), rows)[1].score, 0.99)
        return type(self)(
            self.trees, self.depth, self.window, self.forget, self.seed, arrays | {"limit": np.array([limit])}
        )

    def _cuts(self, rows: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Return feature and threshold of each inner node: a random variable, halved, in a random work range."""
        generator = np.random.default_rng(self.seed)
        low, high = rows.min(axis=0), rows.max(axis=0)
        span = np.where(high > low, high - low, 1.0)
        inner = 2**self.depth - 1
        feature = generator.integers(rows.shape[1], size=(self.trees, inner)).astype(np.int32)
        threshold = np.empty((self.trees, inner))
        for tree in range(self.trees):
            middle = generator.uniform(size=rows.shape[1])
            half = 2 * np.maximum(middle, 1 - middle)
            ranges = {0: (middle - half, middle + half)}
            for node in range(inner):
                least, most = ranges.pop(node)
                cut = feature[tree, node]
                at = (least[cut] + most[cut]) / 2
                threshold[tree, node] = low[cut] + at * span[cut]
                below, above = most.copy(), least.copy()
                below[cut] = above[cut] = at
                ranges[2 * node + 1], ranges[2 * node + 2] = (least, below), (above, most)
        return feature, threshold

    def start(self) -> State:
        """Return the state before the first row: the training mass as reference."""
        if not self.arrays:
            raise InvalidInputError("the trees are not fitted yet", fix="call fit first")
        mass = self.arrays["mass"]
        return {"mass": mass.copy(), "latest": np.zeros(mass.shape, np.int32), "count": np.zeros(1, np.int64)}

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the state and the scores of the next rows; NaN where a row has no value at all."""
        variables = int(self.arrays["shape"][0])
        if values.shape[1] != variables:
            raise InvalidInputError(f"{values.shape[1]} variables instead of {variables}", fix="the trained variables")
        state = {name: array.copy() for name, array in state.items()}
        score = np.full(len(values), np.nan)
        thinning = np.zeros(values.shape)
        _stream(
            np.ascontiguousarray(values, dtype=np.float64), self.arrays["feature"], self.arrays["threshold"],
            self.depth, self.window, self.forget, float(self.arrays["limit"][0]),
            state["mass"], state["latest"], state["count"], score, thinning,
        )  # fmt: skip
        return state, Scores(score, _shared(score, thinning))

    def save(self) -> Arrays:
        """Return the trees and settings as plain arrays."""
        settings = np.array([self.trees, self.depth, self.window, self.forget, self.seed], np.float64)
        return {"settings": settings} | self.arrays

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return the trees that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or of the wrong shape.
        """
        names = ("feature", "threshold", "mass", "shape", "limit")
        settings, *kept = _taken(arrays, ("settings", *names), "the half-space trees")
        if settings.shape != (5,) or not 1 <= settings[1] <= 12 or settings[0] < 1 or settings[2] < 1:
            raise DecodeError(
                "the settings of the half-space trees are not possible", fix="use the original model file"
            )
        trees, depth, window, seed = (int(settings[at]) for at in (0, 1, 2, 4))
        feature, threshold, mass, shape, limit = kept
        inner = (trees, 2**depth - 1)
        fits = feature.shape == inner and threshold.shape == inner and mass.shape == (trees, 2 ** (depth + 1) - 1)
        if not fits or shape.shape != (1,) or limit.shape != (1,) or (feature < 0).any() or (feature >= shape[0]).any():
            raise DecodeError("the half-space trees do not fit together", fix="use the original model file")
        return cls(trees, depth, window, float(settings[3]), seed, dict(zip(names, kept, strict=True)))


@numba.njit(cache=True)
def _count(rows, feature, threshold, mass):  # type: ignore[no-untyped-def]  # compiled kernel
    for i in range(rows.shape[0]):
        for tree in range(feature.shape[0]):
            node = 0
            mass[tree, 0] += 1
            while node < feature.shape[1]:
                node = 2 * node + (1 if rows[i, feature[tree, node]] <= threshold[tree, node] else 2)
                mass[tree, node] += 1


@numba.njit(cache=True)
def _step(row, node, cuts, at, mass):  # type: ignore[no-untyped-def]  # compiled kernel
    value = row[cuts[node]]
    if np.isfinite(value):
        return 2 * node + (1 if value <= at[node] else 2)
    return 2 * node + (1 if mass[2 * node + 1] >= mass[2 * node + 2] else 2)


@numba.njit(cache=True)
def _stream(  # type: ignore[no-untyped-def]  # compiled kernel
    values, feature, threshold, depth, window, forget, limit, mass, latest, count, score, thinning
):
    trees, inner = feature.shape
    # Below a tenth of the window a node's mass is no estimate any more: the paper's size limit ends the walk there.
    least = 0.1 * window
    for i in range(values.shape[0]):
        row = values[i]
        if not np.isfinite(row).any():
            continue
        total = 0.0
        for tree in range(trees):
            node, level = 0, 0
            while node < inner and mass[tree, node] > least:
                child = _step(row, node, feature[tree], threshold[tree], mass[tree])
                ratio = 2.0 * (mass[tree, child] + 0.5) / (mass[tree, node] + 1.0)
                thinning[i, feature[tree, node]] -= np.log(ratio)
                node = child
                level += 1
            total += mass[tree, node] * 2.0**level
        score[i] = 1.0 / (1.0 + total / trees / window)
        if forget == 0.0 or score[i] > limit:
            continue
        for tree in range(trees):
            node = 0
            latest[tree, 0] += 1
            while node < inner:
                node = _step(row, node, feature[tree], threshold[tree], mass[tree])
                latest[tree, node] += 1
        count[0] += 1
        if count[0] == window:
            for tree in range(trees):
                for node in range(mass.shape[1]):
                    mass[tree, node] += forget * (latest[tree, node] - mass[tree, node])
                    latest[tree, node] = 0
            count[0] = 0
