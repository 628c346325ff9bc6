import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sitsinfer.attention import FULL, NODATA, cloud_scores, resampled, step, to_steps


@pytest.mark.parametrize(("dates", "full"), [(3, 1), (16, 1), (24, 2 / 3), (64, 0.25)])
def test_full_scale_is_sixteen_times_an_equal_share_and_at_most_1(dates: int, full: float) -> None:
    assert step(dates) * FULL == pytest.approx(full)


def test_attention_is_stored_in_steps_and_cut_at_full_scale() -> None:
    attention = np.zeros((32, 2, 1, 3), np.float32)
    attention[0, 0] = [[0.25, 0.5, 0.75]]
    observed = np.ones((32, 1, 3), bool)
    observed[1, 0, 2] = False
    steps = to_steps(attention, observed)
    assert steps[0, 0].tolist() == [[125, 250, 250]]
    assert (steps[1, :, 0, 2] == NODATA).all()
    assert (steps == NODATA).sum() == 2


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


def plain_scores(steps: np.ndarray) -> np.ndarray:
    """The formula, pixel by pixel and date by date."""
    dates, _, height, width = steps.shape
    found = np.full((dates, height, width), np.nan)
    for row, col in np.ndindex(height, width):
        seen = [date for date in range(dates) if steps[date, 0, row, col] != NODATA]
        for at, date in enumerate(seen):
            near = [*seen[max(0, at - 2) : at], *seen[at + 1 : at + 3]]
            if near:
                a = steps[date, :, row, col].astype(float)
                n = steps[near, :, row, col].mean(axis=0)
                found[date, row, col] = ((n + 0.5) / (a + n + 1)).mean()
    return found


def test_scores_compare_with_the_nearest_observed_dates() -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(0, FULL + 1, (9, 3, 4, 5)).astype(np.uint8)
    seen = rng.random((9, 4, 5)) < 0.6
    seen[:, 0, 0] = False
    seen[:, 0, 1] = np.arange(9) == 4  # one date alone
    np.copyto(steps, NODATA, where=~seen[:, None])
    scores = cloud_scores(steps)
    np.testing.assert_allclose(scores, plain_scores(steps), rtol=1e-5)
    assert np.isnan(scores[:, 0, :2]).all()
    np.testing.assert_array_equal(np.isnan(scores[:, 1:]), ~seen[:, 1:])


def test_a_date_that_is_ignored_stands_out() -> None:
    steps = np.full((5, 2, 1, 1), 40, np.uint8)
    steps[2] = 0
    found = cloud_scores(steps)[:, 0, 0]
    assert found[2] > 0.98
    assert (found[[0, 1, 3, 4]] < 0.5).all()


def test_where_nothing_is_looked_at_scores_say_nothing() -> None:
    assert (cloud_scores(np.zeros((3, 2, 4, 5), np.uint8)) == 0.5).all()


def test_scores_of_a_pixel_do_not_depend_on_the_window() -> None:
    steps = np.random.default_rng(1).integers(0, FULL, (7, 16, 3, 11)).astype(np.uint8)
    whole = cloud_scores(steps)
    for row, col in np.ndindex(3, 11):
        np.testing.assert_array_equal(
            cloud_scores(steps[:, :, row : row + 1, col : col + 1])[:, 0, 0], whole[:, row, col]
        )
