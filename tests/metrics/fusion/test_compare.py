import datetime
from fractions import Fraction

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.errors import MetricError
from sitsinfer.fusion.psf import Psf
from sitsinfer.grid import Window
from sitsinfer.metrics.fusion.compare import Comparison, compare, margin_of, placement
from tests.metrics.fusion.arrays import ArrayPixels

HR, LR = ("B04", "B08", "B11"), ("B04", "B05", "LST")
SHAPE = (57, 48)
LEFT, TOP = 500_000, 5_000_000


def grid_of(shape, pixel=10, row=0, col=0, crs="EPSG:32631"):
    """A grid that begins so many fine pixels from the corner."""
    return GeoBox(shape, Affine(pixel, 0, LEFT + 10 * col, 0, -pixel, TOP - 10 * row), crs)


def pixels(values, bands, clear=None, **place):
    clear = np.ones(values.shape[1:], bool) if clear is None else clear
    return ArrayPixels(values.astype(np.float32), clear, bands, grid_of(values.shape[1:], **place))


def noise(seed, bands, shape):
    return np.random.default_rng(seed).uniform(0.05, 0.6, (len(bands), *shape)).astype(np.float32)


def score(prediction, observation, sensor=None, margin=0, patch=990, truth=False, **options):
    comparison = Comparison("image", sensor, None, prediction, observation, **options)
    (scores,) = compare([comparison], margin, patch, truth=truth)
    return scores


def assert_equal_but_frr(one, other):
    np.testing.assert_allclose(one.rmse, other.rmse, rtol=1e-9)
    np.testing.assert_allclose(one.nrmse, other.nrmse, rtol=1e-9)
    assert one.sam == pytest.approx(other.sam, rel=1e-9)
    assert one.clear_pixel_rate == other.clear_pixel_rate


@pytest.fixture
def sentinel():
    """A prediction and a cloudy observation, NaN in one corner of the prediction."""
    predicted, observed = noise(1, HR, SHAPE), noise(2, HR, SHAPE)
    predicted[1, :9, :4] = np.nan
    return pixels(predicted, HR), pixels(observed, HR, np.random.default_rng(3).random(SHAPE) > 0.3)


@pytest.fixture
def landsat():
    """A prediction at 10 m and an observation at 30 m."""
    predicted, observed = noise(4, LR, SHAPE), noise(5, LR, (19, 16))
    predicted[2] *= 600
    observed[2] *= 600
    return pixels(predicted, LR), pixels(observed, LR, np.random.default_rng(6).random((19, 16)) > 0.3, pixel=30)


def test_images_are_compared_as_they_are_where_no_sensor_is_known():
    observed = np.full((1, 3, 5), 0.2)
    predicted = observed + np.array([[[0.1] * 5, [-0.1] * 5, [0.1] * 5]])
    scores = score(pixels(predicted, ("x",)), pixels(observed, ("x",)))
    np.testing.assert_allclose([*scores.rmse, *scores.nrmse], [0.1, 0.5], rtol=1e-5)
    assert np.isnan(scores.sam), "one band has no spectrum"


def test_bands_of_20_m_are_blurred_before_they_are_compared(sentinel):
    predicted, observed = sentinel
    seen = Psf.of("hr", HR).blur(predicted.values)
    np.testing.assert_array_equal(seen[0], predicted.values[0])
    scores = score(predicted, observed, "hr")
    for band in range(3):
        valid = observed.clear & np.isfinite(seen[band])
        expected = np.sqrt(np.mean((seen[band] - observed.values[band])[valid].astype(float) ** 2))
        assert scores.rmse[band] == pytest.approx(expected)


def test_truth_agrees_with_itself(sentinel):
    _, image = sentinel
    assert score(image, image, "hr").rmse[2] > 0.05, "the band of 20 m is blurred"
    scores = score(image, image, "hr", truth=True)
    assert scores.rmse.tolist() == [0, 0, 0]
    assert scores.sensor == "hr"


def test_what_lies_on_coarse_pixels_is_no_truth(landsat):
    with pytest.raises(MetricError, match="lies on pixels of 30, and is no truth on pixels of 10. Leave out truth"):
        score(*landsat, "lr", truth=True)


def test_angles_of_sentinel_2_are_those_to_a_blurred_observation(sentinel):
    _, observed = sentinel
    scores = score(pixels(observed.values, HR), observed, "hr")
    assert scores.sam == pytest.approx(0, abs=1e-3)
    assert scores.rmse[2] > 0.05, "the band of 20 m is blurred once more than the observation"


def test_landsat_is_compared_at_30_m(landsat):
    predicted, observed = landsat
    seen = Psf.of("lr", LR).downsample(predicted.values, Fraction(1, 3))
    scores = score(predicted, observed, "lr")
    difference = (seen - observed.values)[:, observed.clear].astype(float)
    np.testing.assert_allclose(scores.rmse, np.sqrt((difference**2).mean(axis=1)))
    assert score(predicted, pixels(seen, LR, pixel=30), "lr").rmse.max() == 0
    assert score(predicted, pixels(seen, LR, pixel=30), "lr").sam < 1e-3


def test_temperature_is_no_part_of_the_spectrum(landsat):
    predicted, observed = landsat
    warmer = ArrayPixels(observed.values.copy(), observed.clear, LR, observed.grid)
    warmer.values[2] += 20
    one, other = (score(predicted, image, "lr") for image in (observed, warmer))
    assert one.sam == other.sam
    assert one.rmse[2] != other.rmse[2]


def test_landsat_on_fine_pixels_is_compared_as_it_is():
    values = noise(7, LR, SHAPE)
    scores = score(pixels(values, LR), pixels(values, LR), "lr")
    assert scores.rmse.tolist() == [0, 0, 0]
    assert scores.frr.tolist() == [0, 0, 0]


@pytest.mark.parametrize("patch", [12, 21, 30])
@pytest.mark.parametrize("margin", [0, 5])
def test_windows_leave_no_trace_sentinel_2(sentinel, patch, margin):
    assert_equal_but_frr(*(score(*sentinel, "hr", margin, size) for size in (patch, 990)))


@pytest.mark.parametrize("patch", [9, 21, 30])
@pytest.mark.parametrize("margin", [0, 5])
def test_windows_leave_no_trace_landsat(landsat, patch, margin):
    assert_equal_but_frr(*(score(*landsat, "lr", margin, size) for size in (patch, 990)))


def test_no_window_is_larger_than_a_patch_and_what_lies_around_it(landsat):
    predicted, observed = landsat
    read = []

    class Watched(ArrayPixels):
        def read(self, window: Window):
            read.append(window.shape)
            return super().read(window)

    watched = Watched(predicted.values, predicted.clear, LR, predicted.grid)
    score(watched, observed, "lr", patch=12)
    assert len(read) > 10
    assert max(max(shape) for shape in read) <= 12 + 2 * (9 + 2 * 3)


def test_frequency_restoration_is_the_mean_over_patches():
    predicted, observed = noise(8, HR, (20, 40)), noise(9, HR, (20, 40))
    whole = score(pixels(predicted, HR), pixels(observed, HR), patch=20)
    halves = [
        score(pixels(predicted[..., cols], HR), pixels(observed[..., cols], HR)).frr
        for cols in (slice(0, 20), slice(20, 40))
    ]
    np.testing.assert_allclose(whole.frr, np.mean(halves, axis=0))


def test_patches_that_are_cloudy_all_over_or_not_all_predicted_have_no_spectrum():
    predicted, observed, clear = noise(8, HR, (20, 60)), noise(9, HR, (20, 60)), np.ones((20, 60), bool)
    clear[:, 20:40] = False
    predicted[1, 3, 44] = np.nan
    scores = score(pixels(predicted, HR), pixels(observed, HR, clear), patch=20)
    assert scores.sums.patches.tolist() == [2, 1, 2]
    first = score(pixels(predicted[..., :20], HR), pixels(observed[..., :20], HR))
    assert scores.frr[1] == pytest.approx(first.frr[1])


def test_a_margin_is_left_out():
    observed = np.zeros((1, 9, 12))
    predicted = observed.copy()
    predicted[:, 2:-2, 2:-2] = 1
    predicted[:, 3:-3, 3:-3] = 2
    image = pixels(observed, ("x",))
    assert score(pixels(predicted, ("x",)), image, margin=3).rmse == 2
    assert score(pixels(predicted, ("x",)), image, margin=2).rmse < 2
    with pytest.raises(MetricError, match="A margin of 5 pixels leaves nothing of 9 x 12. Choose 4 or less"):
        score(pixels(predicted, ("x",)), image, margin=5)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((400, 300), 30), ((120, 300), 30), ((119, 300), 27), ((300, 57), 12), ((12, 300), 3), ((11, 9), 0)],
)
def test_as_published_the_border_does_not_count_as_far_as_it_leaves_something(shape, expected):
    image = pixels(np.zeros((1, *shape)), ("x",))
    scores = score(image, image, margin=None)
    assert scores.margin == expected
    assert scores.sums.pixels == (shape[0] - 2 * expected) * (shape[1] - 2 * expected)
    assert margin_of(Comparison("image", None, None, image, image)) == expected


def test_as_published_the_border_is_as_wide_for_landsat():
    fine, coarse = np.zeros((1, 300, 57)), np.zeros((1, 100, 19))
    scores = score(pixels(fine, ("B04",)), pixels(coarse, ("B04",), pixel=30), "lr", margin=None)
    assert scores.margin == 12
    assert scores.sums.pixels == 92 * 11


def test_a_margin_is_made_whole_coarse_pixels(landsat):
    four, six, seven = (score(*landsat, "lr", margin) for margin in (4, 6, 7))
    assert_equal_but_frr(four, six)
    assert seven.sums.pixels < six.sums.pixels
    assert (six.margin, seven.margin) == (6, 9)
    with pytest.raises(MetricError, match="A margin of 22 pixels leaves nothing of 57 x 48. Choose 21 or less"):
        score(*landsat, "lr", 22)


def test_a_cloudy_date_has_no_scores(landsat):
    predicted, observed = landsat
    cloudy = ArrayPixels(observed.values, np.zeros_like(observed.clear), LR, observed.grid)
    scores = score(predicted, cloudy, "lr")
    assert np.isnan([*scores.rmse, *scores.nrmse, *scores.frr, scores.sam]).all()
    assert scores.clear_pixel_rate == 0


def test_bands_are_found_by_name():
    predicted = pixels(np.stack([np.full((3, 5), 1), np.full((3, 5), 2), np.full((3, 5), 3)]), ("a", "b", "c"))
    observed = pixels(np.stack([np.full((3, 5), 7), np.full((3, 5), 3), np.full((3, 5), 1)]), ("d", "c", "a"))
    scores = score(predicted, observed)
    assert scores.bands == ("a", "c")
    assert scores.rmse.tolist() == [0, 0]
    assert score(predicted, observed, only=("c", "b")).bands == ("c",)
    with pytest.raises(MetricError, match="image has bands a, b, c and its reference d, c, a, of which b are asked"):
        score(predicted, observed, only=("b",))


def test_images_are_compared_where_both_lie():
    values = noise(10, HR, (20, 30))
    predicted = pixels(values[:, 4:, :25], HR, row=4)
    observed = pixels(values[:, :15, 6:], HR, col=6)
    scores = score(predicted, observed)
    assert scores.rmse.tolist() == [0, 0, 0]
    assert scores.sums.pixels == 11 * 19


def test_coarse_pixels_count_that_are_predicted_from_edge_to_edge():
    coarse = noise(11, LR, (7, 9))
    fine = np.repeat(np.repeat(coarse, 3, axis=1), 3, axis=2)
    predicted = pixels(fine[:, 4:20, 1:], LR, row=4, col=1)
    scores = score(predicted, pixels(coarse, LR, pixel=30))
    assert scores.sums.pixels == 4 * 8
    assert scores.rmse.max() == 0


def test_images_apart_are_refused():
    image = pixels(noise(12, HR, (6, 7)), HR)
    with pytest.raises(MetricError, match="image and its reference share no pixel"):
        score(image, pixels(noise(12, HR, (6, 7)), HR, row=6))


@pytest.mark.parametrize("place", [{"pixel": 20}, {"row": 0.5}, {"crs": "EPSG:32632"}])
def test_pixels_that_do_not_fit_are_refused(place):
    image, other = pixels(noise(12, HR, (6, 7)), HR), pixels(noise(12, HR, (6, 7)), HR, **place)
    assert placement(image.grid, other.grid) is None
    with pytest.raises(MetricError, match="Expected the same pixels, or whole blocks of 3 x 3"):
        score(image, other)


def test_context_comes_with_the_dates_that_went_in(landsat):
    day = datetime.date(2022, 4, 11)
    (scores,) = compare([Comparison("image", "lr", day, *landsat, {"lr": [datetime.date(2022, 4, 1)], "hr": [day]})])
    assert scores.context is not None
    assert (scores.context.closest, scores.context.closest_joint) == (10, 0)
    (unknown,) = compare([Comparison("image", "lr", day, *landsat)])
    assert unknown.context is None
