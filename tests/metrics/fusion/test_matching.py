import dataclasses

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.errors import MetricError, SeriesError
from sitsinfer.layers import Layer
from sitsinfer.metrics.fusion import compare
from sitsinfer.metrics.fusion.matching import match
from sitsinfer.products.cube import write_cube
from tests.conftest import CORNER, write_raster
from tests.metrics.fusion.files import (
    FEBRUARY,
    HR,
    JANUARY,
    LR,
    MARCH,
    SHAPE,
    stored,
    write_date,
    write_fused,
    write_series,
)


@pytest.fixture
def fused(tmp_path):
    """Two dates of both sensors: reflectance 0.3, 300 K."""
    return write_fused(tmp_path / "fused", [JANUARY, FEBRUARY])


def scores_of(*arguments, **options):
    matched = match(*arguments, **options)
    return list(compare(matched.comparisons(), margin=0)), matched


def test_dates_of_a_folder_are_compared_with_those_of_a_series(fused, tmp_path):
    scores, matched = scores_of(fused, write_series(tmp_path / "s2", [FEBRUARY, MARCH]))
    assert [(one.name, one.date, one.sensor) for one in scores] == [("L3A_20220215_sentinel2.tif", FEBRUARY, "hr")]
    np.testing.assert_allclose(scores[0].rmse, 0.1, rtol=1e-5)
    assert scores[0].bands == HR
    assert scores[0].clear_pixel_rate == 0.5
    assert matched.notes == (
        f"1 of 2 dates of {fused} are not in {tmp_path / 's2'}: 2022-01-15.",
        f"1 of 2 dates of {tmp_path / 's2'} are not in {fused}: 2022-03-15.",
    )


def test_a_series_of_30_m_is_compared_with_landsat_predictions(fused, tmp_path):
    series = write_series(tmp_path / "any", [JANUARY], LR, shape=(8, 10), pixel=30)
    (scores,), matched = scores_of(fused, series)
    assert matched.sensor == "lr"
    assert scores.sums.pixels == 80
    np.testing.assert_allclose(scores.rmse, [0.1, 2], rtol=1e-4)


def test_temperature_is_compared_whatever_landsat_calls_it(fused, tmp_path):
    values = stored(LR, (8, 10), 0.2, 298)
    place = Affine(30, 0, CORNER[0], 0, -30, CORNER[1])
    write_raster(tmp_path / "l8" / "LC08_20220115.tif", values, ("B04", "B10"), transform=place, nodata=-10000)
    (scores,), _ = scores_of(fused, tmp_path / "l8")
    assert scores.bands == LR
    np.testing.assert_allclose(scores.rmse, [0.1, 2], rtol=1e-4)


def test_pixel_size_tells_the_sensor_where_no_name_does(tmp_path):
    prediction = write_date(tmp_path / "prediction.tif", ("B04", "B05"), 0.3)
    reference = write_date(tmp_path / "reference.tif", ("B04", "B05"), 0.3, shape=(8, 10), pixel=30)
    assert match(prediction, reference).sensor == "lr"


def test_the_sensor_asked_for_is_compared(fused, tmp_path):
    """Truth at 10 m of both sensors."""
    truth = write_fused(tmp_path / "truth", [JANUARY, FEBRUARY], 0.35, 301)
    with pytest.raises(MetricError, match="truth holds images of both sensors. Choose one: set sensor to hr or lr"):
        match(fused, truth)
    scores, matched = scores_of(fused, truth, sensor="lr")
    assert [one.bands for one in scores] == [LR, LR]
    np.testing.assert_allclose(scores[1].rmse, [0.05, 1], rtol=1e-4)
    assert matched.notes == ()


def test_a_sensor_that_is_not_there_is_an_error(tmp_path):
    prediction = write_date(tmp_path / "L3A_20220115_sentinel2.tif", HR, 0.3)
    reference = write_date(tmp_path / "S2_20220115.tif", HR, 0.3)
    with pytest.raises(MetricError, match="sentinel2.tif holds no image of sensor lr, but of hr"):
        match(prediction, reference, sensor="lr")


def test_two_plain_rasters_need_no_dates(tmp_path):
    prediction = write_date(tmp_path / "prediction.tif", ("x", "y"), 0.3)
    reference = write_date(tmp_path / "reference.tif", ("y", "x"), 0.25)
    (scores,), matched = scores_of(prediction, reference)
    assert (matched.sensor, scores.date, scores.name) == (None, None, "prediction.tif")
    np.testing.assert_allclose(scores.rmse, 0.05, rtol=1e-4)


def test_rasters_of_different_days_are_no_match(tmp_path):
    one = write_date(tmp_path / "L3A_20220115_sentinel2.tif", HR, 0.3)
    with pytest.raises(MetricError, match="S2_20220215.tif share no date: the one has 2022-01-15, the other 2022-02"):
        match(one, write_date(tmp_path / "S2_20220215.tif", HR, 0.3))


@pytest.mark.parametrize("side", ["fused", "truth"])
def test_two_runs_in_one_folder_are_not_mixed(tmp_path, side):
    folders = [write_fused(tmp_path / name, [JANUARY, FEBRUARY]) for name in ("fused", "truth")]
    write_date(tmp_path / side / "L3A_10D_20220215_sentinel2.tif", HR, 0.1)
    names = "L3A_10D_20220215_sentinel2.tif and L3A_20220215_sentinel2.tif"
    told = f"{side} holds two images of one sensor on 2022-02-15, {names}. Give each run a folder of its own"
    with pytest.raises(MetricError, match=told) as raised:
        match(*folders, sensor="hr")
    assert "\n" not in str(raised.value)
    assert len(match(*folders, sensor="lr").pairs) == 2, "one run predicts Landsat"


def test_no_common_date_is_an_error_that_tells_both(fused, tmp_path):
    series = write_series(tmp_path / "s2", [MARCH])
    with pytest.raises(MetricError, match="the one has 2 from 2022-01-15 to 2022-02-15, the other 2022-03-15. Compare"):
        match(fused, series)


def test_bands_without_a_counterpart_are_told(fused, tmp_path):
    series = write_series(tmp_path / "s2", [JANUARY], ("B04", "B11", "B12"))
    (scores,), matched = scores_of(fused, series)
    assert scores.bands == ("B04", "B11")
    assert "Not compared, for want of a counterpart: B08." in matched.notes
    (scores,), matched = scores_of(fused, series, bands=["B11", "B99"])
    assert scores.bands == ("B11",)
    assert "Not compared, for want of a counterpart: B99." in matched.notes


def test_a_reference_on_other_pixels_is_read_on_those_of_the_prediction(fused, tmp_path):
    at = CORNER[0] + 4, CORNER[1] - 4
    (scores,), matched = scores_of(fused, write_series(tmp_path / "s2", [JANUARY], at=at))
    np.testing.assert_allclose(scores.rmse, 0.1, rtol=1e-5)
    assert "S2_20220115.tif lies on other pixels than L3A_20220115_sentinel2.tif, and is resampled." in matched.notes
    coarse = write_series(tmp_path / "l8", [JANUARY], LR, shape=(9, 9), pixel=30, at=at)
    (scores,), matched = scores_of(fused, coarse)
    np.testing.assert_allclose(scores.rmse, [0.1, 2], rtol=1e-4)
    assert scores.sums.pixels == 8 * 10, "pixels of 30 m, on blocks of the prediction's"


def test_a_raster_on_other_pixels_is_warped(tmp_path):
    prediction = write_date(tmp_path / "a.tif", HR, 0.3)
    reference = write_date(tmp_path / "b.tif", HR, 0.2, at=(CORNER[0] + 104, CORNER[1]))
    (scores,), matched = scores_of(prediction, reference)
    np.testing.assert_allclose(scores.rmse, 0.1, rtol=1e-5)
    assert scores.sums.clear == 24 * 20, "beyond the reference nothing is clear"
    assert len(matched.notes) == 1


def test_digital_numbers_are_not_compared_with_reflectance(tmp_path):
    prediction = write_date(tmp_path / "a.tif", HR, 0.3)
    bare = write_raster(tmp_path / "b.tif", stored(HR, SHAPE, 0.3), HR, nodata=-10000)
    with pytest.raises(MetricError, match="b.tif holds integers without a scale, a.tif reflectance. Set the scale"):
        match(prediction, bare)


@dataclasses.dataclass(frozen=True)
class Dated:
    """A layer of several dates, the same all over."""

    layer: Layer
    grid: GeoBox

    def on(self, date):
        return Dated(self.layer.on(date), self.grid)

    def read(self, window):
        return stored(self.layer.bands, window.shape, 0.3)


@pytest.mark.parametrize("name", ["l3a.nc", "l3a.zarr"])
def test_a_cube_is_compared_like_a_folder(tmp_path, name):
    grid = GeoBox(SHAPE, Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), "EPSG:32631")
    dates = (JANUARY, FEBRUARY)
    hr = Layer("sentinel2", "int16", -10000, HR, (1e-4,) * 3, (), dates)
    lr = Layer("landsat", "int16", -10000, LR, (1e-4, 0.1), ("", "K"), dates)
    write_cube([Dated(hr, grid), Dated(lr, grid)], tmp_path / name, {})
    series = write_series(tmp_path / "l8", dates, LR, shape=(8, 10), pixel=30)
    scores, matched = scores_of(tmp_path / name, series)
    assert [one.name for one in scores] == [f"{name} at 2022-01-15 (landsat)", f"{name} at 2022-02-15 (landsat)"]
    np.testing.assert_allclose(scores[1].rmse, [0.1, 2], rtol=1e-4)
    assert matched.notes == ()


def test_a_place_that_is_not_there_is_an_error(fused, tmp_path):
    with pytest.raises(SeriesError, match="nowhere does not exist"):
        match(fused, tmp_path / "nowhere")
