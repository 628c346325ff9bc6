from itertools import permutations

import numpy as np
import pytest

from sitsinfer.grid import Window
from sitsinfer.parcels.register import Register
from tests.parcels.scenes import rectangle

PATCH = (0, 0, 32, 32)


def add(register, box, **what):
    """A label that covers a box."""
    label = register.add(rectangle(box, PATCH, **what))
    register.cover(label, Window(*box), np.ones(box[2:], bool))
    return label


def test_a_label_covers_the_pixels_and_the_area_of_its_rows():
    register = Register(np.array([100.0, 100.5, 101.0, 250.0]))
    label = register.add(rectangle((0, 10, 4, 6), PATCH, code=9, confidence=0.75))
    where = np.zeros((3, 6), bool)
    where[1, 2] = where[2, 4] = where[2, 5] = True
    register.cover(label, Window(0, 10, 3, 6), where)
    parcels = register.parcels()
    assert (parcels.rows[0], parcels.cols[0], parcels.codes[0], parcels.confidences[0]) == (2, 13, 9, 0.75)
    assert parcels.pixels.tolist() == [3]
    assert parcels.square_metres.tolist() == [100.5 + 2 * 101]
    assert parcels.boxes.tolist() == [[1, 12, 2, 4]]


def test_boxes_grow_with_what_is_covered_also_beyond_the_first_box():
    register = Register(np.ones(30))
    label = add(register, (10, 10, 3, 3))
    register.cover(label, Window(5, 12, 2, 9), np.ones((2, 9), bool))
    assert register.parcels().boxes.tolist() == [[5, 10, 8, 11]]
    register.cover(label, Window(12, 2, 4, 2), np.ones((4, 2), bool))
    assert register.parcels().boxes.tolist() == [[5, 2, 11, 19]]


@pytest.mark.parametrize("pairs", list(permutations([(1, 2), (2, 4), (4, 5)])))
def test_united_labels_are_one_parcel_in_whatever_order(pairs):
    register = Register(np.ones(30))
    for col, confidence in ((20, 0.2), (0, 0.5), (9, 0.4), (5, 0.9), (25, 0.1)):
        add(register, (3, col, 2, 3), confidence=confidence)
    for pair in pairs:
        register.unite(pair)
    parcels = register.parcels()
    assert parcels.ids.tolist() == [0, 1, 1, 2, 1, 1]
    assert parcels.cols.tolist() == [6, 10]
    assert parcels.confidences.tolist() == [np.float32(0.9), np.float32(0.4)]
    assert parcels.pixels.tolist() == [24, 6]
    assert parcels.square_metres.tolist() == [24, 6]
    assert parcels.boxes.tolist() == [[3, 0, 2, 28], [3, 9, 2, 3]]


def test_uniting_tells_the_most_confident_of_the_labels_given_ties_by_centre():
    register = Register(np.ones(30))
    for row, confidence in ((9, 0.5), (3, 0.5), (20, 0.9)):
        add(register, (row, 4, 2, 2), confidence=confidence)
    assert register.unite([1, 3]) == 3
    assert register.unite([1, 2]) == 2
    assert register.unite([1]) == 1
    assert register.parcels().rows.tolist() == [21]


def test_parcels_are_ordered_by_centre():
    register = Register(np.ones(30))
    for row, col in ((9, 1), (3, 8), (3, 2)):
        add(register, (row, col, 2, 2))
    parcels = register.parcels()
    assert parcels.rows.tolist() == [4, 4, 10]
    assert parcels.cols.tolist() == [3, 9, 2]
    assert parcels.ids.tolist() == [0, 3, 2, 1]


def test_no_label_is_no_parcel():
    parcels = Register(np.ones(5)).parcels()
    assert len(parcels) == 0
    assert parcels.ids.tolist() == [0]
    assert parcels.boxes.shape == (0, 4)
