import dataclasses

import numpy as np
import pytest

from sitsinfer.metrics.objects import Means, object_scores
from sitsinfer.metrics.overlaps import Overlaps
from tests.metrics.maps import blobs, lines, overlaps

TRUE = lines(
    "1111.22",
    "1111.22",
    "3333.44",
)
PREDICTED = lines(
    "5556.77",
    "5556777",
    ".......",
)
CODES = dict.fromkeys(range(1, 10), 1)


def test_scores_are_those_counted_by_hand():
    scores = object_scores(overlaps(TRUE, CODES, PREDICTED, CODES))
    assert (scores.parcels, scores.touched, scores.found) == (4, 2, 2)
    assert dataclasses.astuple(scores.oversegmentation) == pytest.approx((1 / 8, 2 / 12))
    assert dataclasses.astuple(scores.undersegmentation) == pytest.approx((1 / 10, 4 / 5 / 12))


def test_one_prediction_over_two_parcels_is_under_segmentation():
    scores = object_scores(overlaps(TRUE, CODES, np.where(PREDICTED > 0, 9, 0), CODES))
    assert (scores.touched, scores.found) == (2, 1), "8 of 13 pixels"
    assert scores.oversegmentation == Means(0, 0)
    assert dataclasses.astuple(scores.undersegmentation) == pytest.approx((1 - 6 / 13, 1 - (8 * 8 + 4 * 4) / 12 / 13))


def test_half_a_parcel_does_not_find_it():
    scores = object_scores(overlaps(lines("1111"), CODES, lines("22.."), CODES))
    assert (scores.touched, scores.found) == (1, 0)


def test_of_equal_overlaps_the_smaller_prediction_counts():
    true = lines("1111..")
    for predicted in (lines("223333"), lines("332222")):
        scores = object_scores(overlaps(true, CODES, predicted, CODES))
        assert (scores.oversegmentation.by_parcel, scores.undersegmentation.by_parcel) == (0.5, 0)


def test_classes_do_not_matter():
    instances, classes = blobs(6, (40, 33), 25, [1, 2, 3])
    found, found_classes = blobs(7, (40, 33), 25, [1, 2, 3])
    mixed = np.random.default_rng(0).integers(1, 4, instances.shape)
    scores = object_scores(Overlaps.of(instances, classes, found, found_classes))
    assert object_scores(Overlaps.of(instances, mixed, found, 4 - mixed)) == scores


def test_parcels_and_pixels_of_void_do_not_count():
    true, predicted = lines("1111222", "1111222"), lines(".444444", ".444444")
    scores = object_scores(overlaps(true, {1: 7, 2: 1}, predicted, {4: 1}), [7])
    assert (scores.parcels, scores.found) == (1, 1)
    assert scores.undersegmentation == Means(0, 0)


def test_without_parcels_means_are_undefined():
    scores = object_scores(overlaps(TRUE, CODES, np.zeros_like(TRUE), {}))
    assert (scores.parcels, scores.touched, scores.found) == (4, 0, 0)
    assert np.isnan(
        [*dataclasses.astuple(scores.oversegmentation), *dataclasses.astuple(scores.undersegmentation)]
    ).all()
