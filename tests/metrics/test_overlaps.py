from functools import partial

import numpy as np
import pytest

from sitsinfer.errors import MetricError
from sitsinfer.metrics.overlaps import Overlaps, totals
from tests.metrics.maps import blobs

SHAPE = (61, 47)
TRUE = blobs(1, SHAPE, 40, [0, 2, 3, 255])
PREDICTED = blobs(2, SHAPE, 50, [2, 3, 9])


def window(rows, cols):
    return Overlaps.of(*(values[rows, cols] for values in (*TRUE, *PREDICTED)))


def rows(overlaps):
    parts = (
        overlaps.true_instances,
        overlaps.true_classes,
        overlaps.pred_instances,
        overlaps.pred_classes,
        overlaps.pixels,
    )
    return list(zip(*(part.tolist() for part in parts), strict=True))


def test_pixels_are_counted_by_segments_of_both_maps():
    counts = {}
    for pixel in zip(*(values.ravel().tolist() for values in (*TRUE, *PREDICTED)), strict=True):
        counts[pixel] = counts.get(pixel, 0) + 1
    assert rows(window(slice(None), slice(None))) == [(*pixel, n) for pixel, n in sorted(counts.items())]


@pytest.mark.parametrize("step", [7, 20, 64])
def test_windows_add_up_to_the_whole(step):
    corners = [(row, col) for row in range(0, SHAPE[0], step) for col in range(0, SHAPE[1], step)]
    np.random.default_rng(step).shuffle(corners)
    parts = (window(slice(row, row + step), slice(col, col + step)) for row, col in corners)
    assert rows(Overlaps.merge(parts)) == rows(window(slice(None), slice(None)))


def test_the_largest_ids_are_kept_apart():
    ids = np.array([[2**32 - 1, 2**32 - 2, 2**31]], np.uint32)
    codes = np.array([[255, 0, 255]], np.uint8)
    assert rows(Overlaps.of(ids, codes, ids[:, ::-1], codes)) == [
        (2**31, 255, 2**32 - 1, 255, 1),
        (2**32 - 2, 0, 2**32 - 2, 0, 1),
        (2**32 - 1, 255, 2**31, 255, 1),
    ]


def test_no_pixels_are_no_overlaps():
    empty = np.zeros((0, 5), np.uint8)
    assert len(Overlaps.of(empty, empty, empty, empty)) == 0
    assert len(Overlaps.merge([])) == 0


def test_totals_are_given_to_each_row():
    keys = np.array([9, 4, 9, 0, 4, 9], np.uint64)
    assert totals(keys, np.array([1, 2, 3, 4, 5, 6])).tolist() == [10, 7, 10, 4, 7, 10]


def test_what_does_not_fit_is_refused():
    ids = np.ones((2, 3), np.int32)
    count = partial(Overlaps.of, ids, ids, ids)
    with pytest.raises(MetricError, match=r"\(2, 3\).*\(3, 2\).*Compare equal windows"):
        count(ids.T)
    with pytest.raises(MetricError, match="Prediction holds classes 1 to 256, expected 0 to 255"):
        count(np.array([[1, 2, 256], [1, 1, 1]]))
    with pytest.raises(MetricError, match="Truth holds ids -1 to -1, expected 0 to 4294967295"):
        Overlaps.of(-ids, ids, ids, ids)
