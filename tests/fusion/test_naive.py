import numpy as np
import pytest

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.gapfill import interpolate
from sitsinfer.fusion.naive import Naive
from sitsinfer.fusion.resample import bicubic
from tests.fusion.ground import BANDS, Ground, assert_equal, collect, peak_bytes, predict, predict_in_tiles, replaced

GROUND = Ground.random()
NAIVE = Naive.of(BANDS)
QUERIES = {"hr": (0, 44, 170, 400), "lr": (9, 100)}


def test_each_sensor_is_filled_in_time_and_the_coarse_one_then_in_space():
    planes = predict(NAIVE, GROUND, QUERIES)
    assert len(planes) == 6
    hr, lr = GROUND.hr, GROUND.lr
    np.testing.assert_array_equal(planes["hr", 170], interpolate(hr.values, hr.clear, hr.days, 170))
    np.testing.assert_array_equal(planes["lr", 100], bicubic(interpolate(lr.values, lr.clear, lr.days, 100), 3))


@pytest.mark.parametrize("side", [3, 15, 33])
def test_tiling_leaves_no_trace(side):
    assert_equal(predict_in_tiles(NAIVE, GROUND, QUERIES, side), predict(NAIVE, GROUND, QUERIES))


def test_the_order_of_days_changes_nothing():
    backwards = {sensor: days[::-1] for sensor, days in QUERIES.items()}
    assert_equal(predict(NAIVE, GROUND, backwards), predict(NAIVE, GROUND, QUERIES))


@pytest.mark.parametrize("dates", [0, 1])
def test_a_sensor_with_fewer_than_two_dates_says_nothing(dates):
    lr = GROUND.lr
    poor = replaced(GROUND, "lr", values=lr.values[:dates], clear=lr.clear[:dates], days=lr.days[:dates])
    assert {sensor for sensor, _ in predict(NAIVE, poor, QUERIES)} == {"hr"}


def test_a_sensor_that_the_strategy_leaves_out_says_nothing():
    inputs = {"lr": GROUND.inputs(NAIVE, GROUND.whole)["lr"]}
    assert {sensor for sensor, _ in collect(NAIVE, inputs, QUERIES, GROUND.whole)} == {"lr"}
    assert not collect(NAIVE, inputs, {"hr": (5,)}, GROUND.whole)


def test_it_predicts_the_bands_that_there_are():
    some = Naive.of({"hr": ("B08", "B02"), "lr": ()})
    assert some.writes == {"hr": ("B08", "B02")}
    whole = predict(NAIVE, GROUND, {"hr": (70,)})["hr", 70]
    np.testing.assert_array_equal(predict(some, GROUND, {"hr": (70,)})["hr", 70], whole[[6, 0]])


def test_no_band_is_refused():
    with pytest.raises(SeriesError, match="Neither sensor has a band"):
        Naive.of({"lr": ()})


def test_memory_stays_within_what_it_says():
    ground = Ground.random((90, 90))
    assert peak_bytes(NAIVE, ground, QUERIES) <= NAIVE.working_bytes(90, {}, 6)
