import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sitsinfer.attention import LEAST, NODATA, STEP, cloud_scores, resampled, to_steps


def test_attention_is_stored_in_steps_of_a_250th_and_never_cut() -> None:
    attention = np.zeros((64, 2, 1, 3), np.float32)
    attention[0, 0] = [[0.25, 0.9981, 1]]
    observed = np.ones((64, 1, 3), bool)
    observed[1, 0, 2] = False
    steps = to_steps(attention, observed)
    assert steps[0, 0].tolist() == [[62, 250, 250]]
    assert (steps[1, :, 0, 2] == NODATA).all()
    assert (steps == NODATA).sum() == 2


def test_what_is_stored_is_attention_to_half_a_step_however_peaked() -> None:
    attention = np.random.default_rng(2).dirichlet([0.02] * 91, (3, 4, 5)).transpose(3, 0, 1, 2).astype(np.float32)
    assert attention.max() > 0.9
    steps = to_steps(attention, np.ones((91, 4, 5), bool))
    np.testing.assert_allclose(steps * STEP, attention, atol=STEP / 2 + 1e-6)


def test_maps_are_resampled_as_networks_do() -> None:
    maps = np.random.default_rng(0).random((3, 2, 4, 4), np.float32)
    expected = F.interpolate(torch.from_numpy(maps), 32, mode="bilinear", align_corners=False).numpy()
    whole = resampled(maps, 32, slice(None), slice(None))
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    part = resampled(maps, 32, slice(5, 31), slice(0, 3))
    np.testing.assert_array_equal(part, whole[..., 5:31, 0:3])


def test_maps_of_full_resolution_stay_as_they_are() -> None:
    maps = np.random.default_rng(0).random((2, 9, 9), np.float32)
    np.testing.assert_array_equal(resampled(maps, 9, slice(2, 5), slice(0, 7)), maps[:, 2:5, :7])


def plain_scores(attention: np.ndarray, observed: np.ndarray, least: float) -> np.ndarray:
    """The formula, pixel by pixel and date by date."""
    dates, _, height, width = attention.shape
    found = np.full((dates, height, width), np.nan)
    for row, col in np.ndindex(height, width):
        seen = [date for date in range(dates) if observed[date, row, col]]
        for at, date in enumerate(seen):
            near = [*seen[max(0, at - 2) : at], *seen[at + 1 : at + 3]]
            if near:
                a = attention[date, :, row, col].astype(float)
                n = attention[near, :, row, col].mean(axis=0)
                found[date, row, col] = ((n + least) / (a + n + 2 * least)).mean()
    return found


@pytest.fixture
def attention() -> np.ndarray:
    """Attention of 3 heads on 9 dates, peaked as that of trained heads is."""
    return np.random.default_rng(0).dirichlet([0.2] * 9, (3, 4, 5)).transpose(3, 0, 1, 2).astype(np.float32)


@pytest.fixture
def seen() -> np.ndarray:
    """Where something was observed: one pixel never, another on one date alone."""
    seen = np.random.default_rng(1).random((9, 4, 5)) < 0.6
    seen[:, 0, 0] = False
    seen[:, 0, 1] = np.arange(9) == 4
    return seen


def test_scores_compare_with_the_nearest_observed_dates(attention: np.ndarray, seen: np.ndarray) -> None:
    scores = cloud_scores(attention, seen, LEAST)
    np.testing.assert_allclose(scores, plain_scores(attention, seen, LEAST), rtol=1e-5)
    assert np.isnan(scores[:, 0, :2]).all()
    np.testing.assert_array_equal(np.isnan(scores[:, 1:]), ~seen[:, 1:])


def test_scores_of_steps_are_those_of_what_they_stand_for(attention: np.ndarray, seen: np.ndarray) -> None:
    steps = to_steps(attention, seen)
    expected = plain_scores(steps * STEP, seen, STEP / 2)
    np.testing.assert_allclose(cloud_scores(steps, seen, 0.5), expected, rtol=1e-5)


def test_a_date_that_is_ignored_stands_out() -> None:
    attention = np.full((5, 2, 1, 1), 0.25, np.float32)
    attention[2] = 0
    found = cloud_scores(attention, np.ones((5, 1, 1), bool), LEAST)[:, 0, 0]
    assert found[2] > 0.999
    assert (found[[0, 1, 3, 4]] < 0.5).all()


def test_where_nothing_is_looked_at_scores_say_nothing() -> None:
    attention = np.zeros((3, 2, 4, 5), np.float32)
    attention[1, :, 2] = 1e-9  # next to nothing
    np.testing.assert_allclose(cloud_scores(attention, np.ones((3, 4, 5), bool), LEAST), 0.5, atol=1e-4)


def test_scores_of_a_pixel_do_not_depend_on_the_window() -> None:
    attention = np.random.default_rng(1).random((7, 16, 3, 11), np.float32)
    observed = np.random.default_rng(2).random((7, 3, 11)) < 0.8
    whole = cloud_scores(attention, observed, LEAST)
    for row, col in np.ndindex(3, 11):
        part = np.s_[..., row : row + 1, col : col + 1]
        np.testing.assert_array_equal(cloud_scores(attention[part], observed[part], LEAST), whole[part])
