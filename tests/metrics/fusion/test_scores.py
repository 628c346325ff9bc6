import datetime

import numpy as np
import pytest

from sitsinfer.metrics.fusion.scores import Context, DateScores, Sums, spectral_angles, squared_errors

CLEAR = np.array([[True, True, False], [True, False, True]])


def sums_of(predicted, observed, clear):
    angles = spectral_angles(predicted, observed, clear)
    none = np.zeros(len(predicted))
    return Sums(
        *squared_errors(predicted, observed, clear), float(angles.sum()), angles.size, none, none.astype(int),
        int(clear.sum()), clear.size,
    )  # fmt: skip


def scores_of(sums):
    return DateScores("date", "hr", None, ("B02", "B03"), sums)


@pytest.fixture
def images():
    observed = np.array([[[3, 3, 9], [4, 9, 0]], [[0, 4, 9], [0, 9, 5]]], np.float32)
    predicted = observed + np.array([[[1, 1, 7], [-1, 7, 1]], [[2, 0, 7], [0, 7, 0]]], np.float32)
    return predicted, observed


def test_errors_count_clear_pixels_alone(images):
    scores = scores_of(sums_of(*images, CLEAR))
    np.testing.assert_allclose(scores.rmse, [1, 1])
    np.testing.assert_allclose(scores.nrmse, [np.sqrt(4 / 34), np.sqrt(4 / 41)])
    assert scores.clear_pixel_rate == pytest.approx(4 / 6)


def test_a_band_without_a_prediction_there_does_not_count_there(images):
    predicted, observed = images
    predicted[1, 0, 0] = np.nan
    error, value, pixels = squared_errors(predicted, observed, CLEAR)
    assert error.tolist() == [4, 0]
    assert value.tolist() == [34, 41]
    assert pixels.tolist() == [4, 3]


def test_spectral_angles_are_those_between_the_vectors_of_bands():
    predicted = np.array([[[2, 0, 1, 1]], [[0, 3, 1, 0]]], np.float32)
    observed = np.array([[[1, 1, 5, 1]], [[0, 0, 5, 1]]], np.float32)
    angles = spectral_angles(predicted, observed, np.ones((1, 4), bool))
    np.testing.assert_allclose(angles, [0, np.pi / 2, 0, np.pi / 4], atol=1e-7)


def test_spectra_of_zeros_or_with_holes_have_no_angle():
    predicted = np.array([[[0, np.nan, 1]], [[0, 1, 1]]], np.float32)
    assert spectral_angles(predicted, np.ones((2, 1, 3), np.float32), np.ones((1, 3), bool)).size == 1


def test_sums_of_windows_add_up(images):
    predicted, observed = images
    whole = sums_of(predicted, observed, CLEAR)
    parts = [sums_of(predicted[:, rows], observed[:, rows], CLEAR[rows]) for rows in (slice(0, 1), slice(1, 2))]
    added = scores_of(Sums.none(2) + parts[0] + parts[1])
    np.testing.assert_allclose(added.rmse, scores_of(whole).rmse)
    assert added.sam == pytest.approx(scores_of(whole).sam)
    assert added.clear_pixel_rate == scores_of(whole).clear_pixel_rate


def test_without_a_clear_pixel_every_score_is_undefined_but_the_rate():
    scores = scores_of(Sums.none(2, pixels=6))
    assert np.isnan([*scores.rmse, *scores.nrmse, *scores.frr, scores.sam]).all()
    assert scores.clear_pixel_rate == 0


def test_context_tells_how_far_inputs_are():
    day = datetime.date(2022, 3, 11)
    inputs = {"hr": [datetime.date(2022, 3, 1), datetime.date(2022, 3, 31)], "lr": [datetime.date(2022, 3, 11)]}
    context = Context.of(day, "hr", inputs)
    assert (context.closest, context.closest_joint, context.clear) == (10, 0, False)
    assert context.density == pytest.approx(np.exp(-1))
    assert context.joint_density == 1
    assert Context.of(day, "lr", inputs).clear


def test_without_inputs_no_date_is_close():
    context = Context.of(datetime.date(2022, 3, 11), "lr", {"hr": [datetime.date(2022, 3, 1)], "lr": []})
    assert (context.closest, context.closest_joint, context.density) == (None, 10, 0)
