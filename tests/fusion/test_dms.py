import pickle
import tracemalloc
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from sitsinfer.errors import SeriesError
from sitsinfer.fusion import dms
from sitsinfer.fusion.dms import CELL, DMS, MARGIN, SHORTWAVE, THERMAL, Cells, nearest_clear
from sitsinfer.fusion.resample import bicubic
from sitsinfer.fusion.types import MISSING, RATIO, Observations
from sitsinfer.grid import Tiles, Window

SHAPE = (189, 249)  # 21 cells down; 27 and two thirds across
WHOLE = Window(0, 0, *SHAPE)


@dataclass(frozen=True)
class FakeImage:
    """Arrays, read in windows; unseen beyond."""

    hr: Observations
    lr: Observations

    @property
    def shape(self):
        return self.hr.values.shape[2:]

    def read(self, sensor, bands, core, margin=0):
        observed, scale = getattr(self, sensor), RATIO if sensor == "lr" else 1
        assert bands == observed.bands
        rows = np.arange(core.row // scale - margin, core.stop_row // scale + margin)
        cols = np.arange(core.col // scale - margin, core.stop_col // scale + margin)
        height, width = observed.values.shape[2:]
        inside = ((rows >= 0) & (rows < height))[:, None] & (cols >= 0) & (cols < width)
        where = np.ix_(rows.clip(0, height - 1), cols.clip(0, width - 1))
        values = np.where(inside, observed.values[:, :, *where], 0)
        return Observations(values, observed.clear[:, *where] & inside, observed.days, bands)


def observations(values, days, bands, clear=None):
    values = np.asarray(values, np.float32)
    clear = np.ones((len(values), *values.shape[2:]), np.bool_) if clear is None else clear
    return Observations(values, clear, np.array(days), bands)


def fields(seed=1):
    """Fields of soil and of crops: reflectance at 10 m, temperature at 10 m, and as seen through 90 m at 30 m."""
    rs = np.random.RandomState(seed)
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    centres = rs.uniform(size=(80, 2)) * SHAPE
    of_field = cKDTree(centres).query(np.stack((rows.ravel(), cols.ravel()), axis=1))[1].reshape(SHAPE)
    cover = np.clip(rs.uniform(size=80)[of_field] + 0.2 * ndimage.gaussian_filter(rs.normal(size=SHAPE), 2), 0, 1)
    soil, crop = np.array([0.09, 0.12, 0.17, 0.25]), np.array([0.03, 0.06, 0.03, 0.45])
    reflectance = soil[:, None, None] * (1 - cover) + crop[:, None, None] * cover
    reflectance *= 1 + 0.02 * rs.normal(size=reflectance.shape)
    steep, gentle = np.minimum(cover, 0.5), np.maximum(cover - 0.5, 0)
    temperature = 0.31 - 0.024 * steep - 0.008 * gentle + 0.002 * np.sin(3 * rows / SHAPE[0])
    seen = ndimage.uniform_filter(temperature, CELL, mode="nearest")[1::RATIO, 1::RATIO]
    seen = seen + 0.0002 * rs.normal(size=seen.shape)
    return reflectance.astype(np.float32), temperature.astype(np.float32), seen.astype(np.float32)


def clouds(dates, shape, seed):
    noise = np.random.RandomState(seed).normal(size=(dates, *shape))
    spread = shape[1] / 12
    return ndimage.gaussian_filter(noise, (0, spread, spread)) * spread > -0.2


def cloudy_image():
    reflectance, _, seen = fields()
    fine = np.stack([reflectance, 1.02 * reflectance, 0.97 * reflectance])
    coarse = np.stack([seen, seen + 0.001])[:, None]
    return FakeImage(
        observations(fine, [3, 11, 40], SHORTWAVE, clouds(3, SHAPE, 4)),
        observations(coarse, [12, 30], THERMAL, clouds(2, seen.shape, 5)),
    )


def predict(algorithm, image, core=WHOLE, days=(12,)):
    inputs = {sensor: image.read(sensor, reads.bands, core, reads.margin) for sensor, reads in algorithm.reads.items()}
    planes = algorithm.predict(inputs, {"lr": np.array(days)}, core, 1)
    return {(plane.sensor, days[plane.index]): plane.values for plane in planes}


def clear_image(seed=1):
    reflectance, temperature, seen = fields(seed)
    image = FakeImage(observations(reflectance[None], [10], SHORTWAVE), observations(seen[None, None], [12], THERMAL))
    return image, temperature, seen


def rmse(predicted, truth):
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


@pytest.mark.parametrize("corrected", [True, False])
def test_it_halves_the_error_of_bicubic_upsampling(corrected):
    image, truth, seen = clear_image()
    algorithm = DMS(corrected).prepared(image)
    assert rmse(predict(algorithm, image)["lr", 12][0], truth) < rmse(bicubic(seen, RATIO), truth) / 2


def test_moving_windows_see_what_the_whole_image_does_not():
    """The same reflectance is warmer in the east: windows follow, one tree for all cannot."""
    image, truth, seen = clear_image()
    east = np.linspace(0, 0.02, SHAPE[1], dtype=np.float32)
    image = replace(image, lr=observations((seen + east[1::RATIO])[None, None], [12], THERMAL))
    algorithm = DMS(residual_correction=False).prepared(image)
    alone = algorithm.models[12].tree.predict(image.hr.values[0])
    assert rmse(predict(algorithm, image)["lr", 12][0], truth + east) < rmse(alone, truth + east) / 2


def test_correction_keeps_the_energy_of_cells():
    image, _, seen = clear_image()
    observed = seen[1::3, 1::3]

    def lacking(corrected):
        predicted = predict(DMS(corrected).prepared(image), image)["lr", 12][0, :, : SHAPE[1] // CELL * CELL]
        of_cells = (predicted.reshape(21, 9, 27, 9).astype(np.float64) ** 4).mean(axis=(1, 3)) ** 0.25
        return np.abs(observed[:, :27] - of_cells).mean()

    assert lacking(True) < 0.7 * lacking(False)


@pytest.mark.parametrize("size", [24, 63, 120])
def test_cores_leave_no_trace(size):
    image = cloudy_image()
    algorithm = DMS().prepared(image)
    days = (12, 30)
    whole = predict(algorithm, image, days=days)
    tiled = {key: np.full_like(values, np.nan) for key, values in whole.items()}
    for tile in Tiles(SHAPE, size, shift=(9, 15)):
        rows, cols = tile.core.slices_in(WHOLE)
        for key, values in predict(algorithm, image, tile.core, days).items():
            tiled[key][:, rows, cols] = values
    for key in whole:
        np.testing.assert_array_equal(tiled[key], whole[key])


def test_a_margin_reaches_every_window_that_has_a_say():
    (image, _, _), core = clear_image(), Window(129, 129, 12, 12)  # needs the most on each side
    algorithm = DMS().prepared(image)
    rows, cols = core.slices_in(WHOLE)
    whole = predict(algorithm, image)["lr", 12]
    np.testing.assert_array_equal(predict(algorithm, image, core)["lr", 12], whole[:, rows, cols])


def test_cells_shine_as_their_pixels_together():
    pixels = np.full((CELL, CELL), 0.28, np.float32)
    pixels[:3] = 0.34
    together = (0.34**4 / 3 + 0.28**4 * 2 / 3) ** 0.25
    lacking = dms._lacking(pixels, np.array([[0.3]], np.float32))
    assert lacking == pytest.approx(0.3 - together, abs=1e-7)
    assert together - pixels.mean() > 1e-3


def test_what_lies_beyond_the_margin_has_no_say():
    image = cloudy_image()
    algorithm, core = DMS().prepared(image), Window(6, 3, 12, 9)
    before = predict(algorithm, image, core)["lr", 12]
    beyond = core.stop_row + MARGIN
    image.hr.values[:, :, beyond:], image.lr.values[:, :, beyond // RATIO :] = 0.2, 0.29
    np.testing.assert_array_equal(predict(algorithm, image, core)["lr", 12], before)


def test_a_pixel_that_is_never_clear_is_nan():
    image, _, _ = clear_image()
    image.hr.clear[:, 40:44, 70:77] = False
    missing = np.isnan(predict(DMS().prepared(image), image)["lr", 12][0])
    assert missing[40:44, 70:77].all()
    assert missing.sum() == 4 * 7


def test_temperature_is_predicted_under_its_clouds():
    image, truth, seen = clear_image()
    clear = image.lr.clear.copy()
    clear[:, 20:40, 20:60] = False
    image = replace(image, lr=observations(np.where(clear, seen, -1)[:, None], [12], THERMAL, clear))
    predicted = predict(DMS().prepared(image), image)["lr", 12][0]
    assert rmse(predicted[60:120, 60:180], truth[60:120, 60:180]) < 0.0015


@pytest.mark.parametrize("cells", [0, 1, 15, 40])
def test_few_clear_cells_are_not_an_error(cells):
    image, _, _ = clear_image()
    image.lr.clear[:] = False
    image.lr.clear[:, 3:6, 3 : 3 + 3 * min(cells, 20)] = True
    image.lr.clear[:, 9:12, 3 : 3 + 3 * max(0, cells - 20)] = True
    planes = predict(DMS().prepared(image), image)
    assert (("lr", 12) in planes) == (cells == 40)
    assert all(np.isfinite(values).all() for values in planes.values())


def test_days_that_were_not_observed_are_left_out():
    image, _, _ = clear_image()
    assert set(predict(DMS().prepared(image), image, days=(7, 12, 10))) == {("lr", 12)}


def test_without_a_date_of_one_sensor_nothing_is_said():
    image, _, _ = clear_image()
    for sensor in ("hr", "lr"):
        observed = getattr(image, sensor)
        empty = Observations(observed.values[:0], observed.clear[:0], observed.days[:0], observed.bands)
        without = replace(image, **{sensor: empty})
        assert predict(DMS().prepared(without), without) == {}


def test_a_large_image_is_read_in_part(monkeypatch):
    image, truth, _ = clear_image()
    monkeypatch.setattr(dms, "_PIECE", 6 * CELL)
    monkeypatch.setattr(dms, "_MOST_PIECES", 7)
    monkeypatch.setattr(dms, "_MOST_SAMPLES", 150)
    algorithm = DMS().prepared(image)
    assert algorithm.models[12].tree.tree.tree_.n_node_samples[0] == 150 * dms.HOMOGENEOUS
    assert rmse(predict(algorithm, image)["lr", 12][0], truth) < 0.0015
    assert len(list(dms._pieces((9999, 8001)))) == 7


def test_the_closest_clear_day_stands_in():
    values = np.array([1, 2, 3], np.float32)[:, None, None, None] * np.ones((3, 2, 1, 4), np.float32)
    clear = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]], np.bool_)[:, None]
    found = nearest_clear(observations(values, [0, 10, 20], ("B02", "B03"), clear), 14)
    np.testing.assert_array_equal(found[:, 0], [[2, 1, 2, np.nan]] * 2)


def test_a_date_that_lacks_a_band_stands_in_for_none():
    values = np.arange(1, 4, dtype=np.float32)[:, None, None, None] * np.ones((2, 1, 3), np.float32)
    values[1, 0, 0, 1:] = MISSING
    values[[0, 2], 1, 0, 2] = MISSING
    found = nearest_clear(observations(values, [0, 10, 20], ("B02", "B03")), 11)
    np.testing.assert_array_equal(found[:, 0], [[2, 3, np.nan]] * 2)


def test_cells_know_mean_and_variation():
    rs = np.random.RandomState(3)
    fine = rs.uniform(0.1, 0.4, size=(4, 2 * CELL, 3 * CELL)).astype(np.float32)
    temperature = rs.uniform(0.28, 0.31, size=(6, 9)).astype(np.float32)
    clear = np.ones((6, 9), np.bool_)
    clear[5, 0] = False
    cells = Cells.of(fine, temperature, clear)
    squares = fine.reshape(4, 2, CELL, 3, CELL)
    np.testing.assert_allclose(cells.reflectance, squares.mean(axis=(2, 4)), rtol=1e-5)
    variation = squares.std(axis=(2, 4)) / squares.mean(axis=(2, 4))
    np.testing.assert_allclose(cells.variation, variation.mean(axis=0), rtol=1e-4)
    expected = bicubic(temperature, Fraction(1, 3))
    expected[1, 0] = np.nan
    np.testing.assert_array_equal(cells.temperature, expected)


def test_memory_is_as_announced():
    image, _, _ = clear_image()
    algorithm, core = DMS().prepared(image), Window(0, 0, 90, 90)
    inputs = {sensor: image.read(sensor, reads.bands, core, reads.margin) for sensor, reads in algorithm.reads.items()}
    tracemalloc.start()
    list(algorithm.predict(inputs, {"lr": np.array([12])}, core, 1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < algorithm.working_bytes(90, {"hr": 1, "lr": 1}, 1)


def test_it_travels_to_workers_with_what_it_knows():
    image, _, _ = clear_image()
    algorithm = DMS().prepared(image)
    there = pickle.loads(pickle.dumps(algorithm))
    np.testing.assert_array_equal(predict(there, image)["lr", 12], predict(algorithm, image)["lr", 12])
    assert algorithm.fingerprint() == DMS().fingerprint() != DMS(residual_correction=False).fingerprint()


def test_bands_that_are_missing_are_named():
    with pytest.raises(SeriesError, match=r"needs Landsat's LST, and LST is missing"):
        DMS.of({"hr": SHORTWAVE, "lr": ("B02",)})
    with pytest.raises(SeriesError, match=r"needs Sentinel-2's B02, B03, B04, B08, and B03, B08 is missing"):
        DMS.of({"hr": ("B02", "B04"), "lr": THERMAL})
    assert DMS.of({"hr": (*SHORTWAVE, "B11"), "lr": ("B02", *THERMAL)}) == DMS()
