from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from sitsinfer.grid import Grid, Window, whole
from sitsinfer.layers import Layer
from sitsinfer.products.labelled import Labelled
from tests.fakes import CLASSES, make_grid

GRID = make_grid(3, 5)
LABELS = np.array([[[0, 1, 1, 0, 0], [2, 2, 1, 0, 3], [0, 0, 0, 3, 3]]], np.uint32)
OBSERVED = np.array([[[1, 1, 0, 0, 1], [1, 0, 1, 1, 1], [0, 1, 1, 1, 0]]], np.uint8)
CODES = Layer("classes", "uint8", 255, ("class",), classes=CLASSES)
NUMBERS = Layer("instances", "uint32", 0, ("parcel",), identifiers=True)


@dataclass(frozen=True)
class Plane:
    """A layer in memory."""

    values: NDArray[np.generic]
    layer: Layer = NUMBERS
    grid: Grid = GRID
    reads: list[Window] = field(default_factory=list)

    def read(self, window: Window) -> NDArray[np.generic]:
        self.reads.append(window)
        assert window == window.intersection(whole(self.grid))
        return self.values[:, *window.slices_in(whole(self.grid))]


def test_every_label_becomes_its_value() -> None:
    values = np.array([0, 70_000, 5, 70_000], np.uint32)
    source = Labelled(NUMBERS, Plane(LABELS), values)
    expected = [[0, 70_000, 70_000, 0, 0], [5, 5, 70_000, 0, 70_000], [0, 0, 0, 70_000, 70_000]]
    found = source.read(whole(GRID))
    np.testing.assert_array_equal(found, [expected])
    assert found.dtype == np.uint32
    assert (source.grid, source.layer) == (GRID, NUMBERS)


def test_nothing_is_known_only_where_nothing_was_observed_and_no_parcel_has_a_label() -> None:
    codes = np.array([0, 1, 0, 9], np.uint8)  # label 2 was left out: its pixels are known all the same
    source = Labelled(CODES, Plane(LABELS), codes, Plane(OBSERVED))
    expected = [[0, 1, 1, 255, 0], [0, 0, 1, 0, 9], [255, 0, 0, 9, 9]]
    found = source.read(whole(GRID))
    np.testing.assert_array_equal(found, [expected])
    assert found.dtype == np.uint8


@pytest.mark.parametrize("window", [Window(0, 0, 1, 1), Window(1, 2, 2, 3), Window(2, 0, 1, 5), Window(0, 3, 3, 2)])
def test_a_window_is_that_part_of_the_whole(window: Window) -> None:
    source = Labelled(CODES, Plane(LABELS), np.array([0, 1, 2, 9], np.uint8), Plane(OBSERVED))
    everything = source.read(whole(GRID))
    np.testing.assert_array_equal(source.read(window), everything[:, *window.slices_in(whole(GRID))])


def test_labels_are_read_once() -> None:
    labels, observed = Plane(LABELS), Plane(OBSERVED)
    Labelled(CODES, labels, np.array([0, 1, 2, 9], np.uint8), observed).read(whole(GRID))
    assert labels.reads == observed.reads == [whole(GRID)]


def test_reading_changes_nothing_of_what_is_read() -> None:
    labels, codes = LABELS.copy(), np.array([0, 1, 2, 9], np.uint8)
    source = Labelled(CODES, Plane(labels), codes, Plane(OBSERVED))
    source.read(whole(GRID))
    np.testing.assert_array_equal(labels, LABELS)
    assert codes.tolist() == [0, 1, 2, 9]
