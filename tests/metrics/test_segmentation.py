import dataclasses

import numpy as np
import pytest

from sitsinfer.errors import MetricError
from sitsinfer.metrics.segmentation import SegmentationScores, confusion_matrix, ignore_class

TRUTH = np.array([[0, 0, 1, 1], [1, 2, 2, 0], [3, 3, 0, 1]], np.uint8)
FOUND = np.array([[0, 1, 1, 1], [0, 2, 1, 0], [2, 3, 3, 1]], np.uint8)


@pytest.fixture
def scores():
    return SegmentationScores(confusion_matrix(TRUTH, FOUND, 5))


def test_rows_are_truth_and_columns_prediction():
    matrix = confusion_matrix(TRUTH, FOUND, 4)
    assert matrix.tolist() == [[2, 1, 0, 1], [1, 3, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]


def test_windows_add_up_to_the_whole():
    parts = [confusion_matrix(TRUTH[rows], FOUND[rows], 4) for rows in (slice(0, 1), slice(1, 3), slice(3, 3))]
    assert (sum(parts) == confusion_matrix(TRUTH, FOUND, 4)).all()


def test_scores_of_a_class(scores):
    np.testing.assert_allclose(scores.iou, [2 / 5, 3 / 6, 1 / 3, 1 / 3, np.nan])
    np.testing.assert_allclose(scores.precision, [2 / 3, 3 / 5, 1 / 2, 1 / 2, np.nan])
    np.testing.assert_allclose(scores.recall, [2 / 4, 3 / 4, 1 / 2, 1 / 2, np.nan])
    np.testing.assert_allclose(scores.f1, [4 / 7, 6 / 9, 2 / 4, 2 / 4, np.nan])


def test_a_class_that_occurs_nowhere_is_left_out_of_the_means(scores):
    assert scores.mean_iou == pytest.approx((2 / 5 + 3 / 6 + 1 / 3 + 1 / 3) / 4)
    assert scores.macro.recall == pytest.approx((2 / 4 + 3 / 4 + 1 / 2 + 1 / 2) / 4)


def test_a_class_that_is_never_right_counts_as_zero():
    scores = SegmentationScores(confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 0]), 4))
    np.testing.assert_allclose(scores.iou, [1 / 3, 0, 0, np.nan])
    assert scores.mean_iou == pytest.approx(1 / 9)


def test_micro_averages_count_all_pixels_together(scores):
    assert scores.overall_accuracy == pytest.approx(7 / 12)
    assert dataclasses.astuple(scores.micro) == pytest.approx((7 / 17, 7 / 12, 7 / 12, 7 / 12))


def test_ignoring_a_class_drops_its_pixels_and_those_predicted_as_it():
    matrix = confusion_matrix(TRUTH, FOUND, 4)
    ignored = ignore_class(matrix, -1)
    assert ignored.tolist() == [[2, 1, 0, 0], [1, 3, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert (ignore_class(matrix, 3) == ignored).all()
    assert SegmentationScores(ignored).overall_accuracy == pytest.approx(6 / 9)
    assert matrix[3, 3] == 1


def test_without_pixels_every_score_is_undefined():
    scores = SegmentationScores(np.zeros((3, 3), np.int64))
    assert np.isnan([scores.mean_iou, scores.overall_accuracy, scores.micro.iou, scores.macro.f1]).all()


def test_classes_out_of_range_are_refused():
    with pytest.raises(MetricError, match=r"Prediction holds classes 0 to 255, expected 0 to 3\. Leave out"):
        confusion_matrix(np.array([0, 1]), np.array([0, 255]), 4)
    with pytest.raises(MetricError, match="Truth holds classes -1 to 1"):
        confusion_matrix(np.array([-1, 1]), np.array([0, 2]), 4)


def test_windows_of_another_shape_are_refused():
    with pytest.raises(MetricError, match=r"Truth has shape \(3, 4\) and prediction \(2, 4\)"):
        confusion_matrix(TRUTH, FOUND[:2], 4)
