"""Regression trees with a linear model in each leaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

EXTRAPOLATION = 0.25
"""How far a leaf may predict beyond what it has seen, as a share of the range of that."""

FEWEST_SAMPLES = 20
"""Samples in a leaf: a few for each coefficient of its linear model."""

_SHRINKAGE = 1e-3
"""Of the coefficients of a leaf whose features hardly vary, as a share of the features' mean variance."""


@dataclass(frozen=True)
class LinearLeaves:
    """A tree that divides samples, and for each part the plane that fits it.

    Attributes:
        tree: What divides them.
        slopes: Of each node, (N, F); inner nodes have none that count.
        intercepts: Likewise, (N,).
        limits: Least and greatest value that a node predicts, (N, 2).
    """

    tree: DecisionTreeRegressor
    slopes: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    limits: NDArray[np.float32]

    @classmethod
    def fit(cls, features: NDArray[np.float32], values: NDArray[np.float32]) -> Self:
        """Fit samples; the same samples in the same order give the same tree.

        Args:
            features: (S, F), with S from :data:`FEWEST_SAMPLES`.
            values: (S,).
        """
        tree = DecisionTreeRegressor(min_samples_leaf=FEWEST_SAMPLES, random_state=0).fit(features, values)
        nodes = tree.tree_.node_count
        slopes, intercepts = np.zeros((nodes, features.shape[1]), np.float32), np.zeros(nodes, np.float32)
        limits = np.zeros((nodes, 2), np.float32)
        leaf_of = tree.apply(features)
        for leaf in np.unique(leaf_of):
            inside = leaf_of == leaf
            slopes[leaf], intercepts[leaf] = _plane(features[inside], values[inside])
            limits[leaf] = _extended_range(values[inside])
        return cls(tree, slopes, intercepts, limits)

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predict.

        Args:
            features: (F, ...), any number of samples, none of them NaN.

        Returns:
            (...): a sample gets the same value to the bit whatever samples are beside it.
        """
        leaf = self.tree.apply(features.reshape(len(features), -1).T).reshape(features.shape[1:])
        predicted: NDArray[np.float32] = self.intercepts[leaf]
        for band, feature in enumerate(features):
            predicted += self.slopes[leaf, band] * feature
        return np.clip(predicted, self.limits[leaf, 0], self.limits[leaf, 1], out=predicted)


def _plane(features: NDArray[np.float32], values: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Slopes (F,) and intercept of the plane through some samples, by least squares."""
    x, y = features.astype(np.float64), values.astype(np.float64)
    centre, mean = x.mean(axis=0), float(y.mean())
    x -= centre
    spread = x.T @ x
    shrinkage = _SHRINKAGE * max(float(np.trace(spread)) / len(spread), np.finfo(np.float64).tiny)
    slopes = np.asarray(np.linalg.solve(spread + shrinkage * np.eye(len(spread)), x.T @ (y - mean)), np.float64)
    return slopes, mean - float(slopes @ centre)


def _extended_range(values: NDArray[np.float32]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    beyond = EXTRAPOLATION * (high - low)
    return low - beyond, high + beyond
