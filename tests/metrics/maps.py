"""Maps of parcels for tests of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.metrics.overlaps import Overlaps


def blobs(seed: int, shape: tuple[int, int], parcels: int, codes: list[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw instances and classes: rectangles, later ones over earlier ones, and background of class 0 between."""
    rng = np.random.default_rng(seed)
    instances, classes = np.zeros(shape, np.uint32), np.zeros(shape, np.uint8)
    for number in range(1, parcels + 1):
        row, col = rng.integers(0, shape)
        height, width = rng.integers(3, 14, 2)
        box = slice(row, row + height), slice(col, col + width)
        instances[box], classes[box] = number, rng.choice(codes)
    return instances, classes


def lines(*rows: str) -> NDArray[np.uint8]:
    """Pixels as digits, a text a row; a dot is 0."""
    return np.array([[int(digit) for digit in row.replace(".", "0")] for row in rows], np.uint8)


def overlaps(true: NDArray[Any], codes: dict[int, int], predicted: NDArray[Any], found: dict[int, int]) -> Overlaps:
    """Count maps of instances whose classes are looked up; what has none is 0."""
    classes = (np.array([table.get(number, 0) for number in range(10)]) for table in (codes, found))
    true_classes, pred_classes = classes
    return Overlaps.of(true, true_classes[true], predicted, pred_classes[predicted])
