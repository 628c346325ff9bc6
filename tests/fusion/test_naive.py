import numpy as np
import pytest

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.gapfill import Gapfill
from sitsinfer.fusion.naive import Naive
from sitsinfer.fusion.resample import bicubic
from sitsinfer.fusion.types import MISSING
from tests.fusion.ground import (
    BANDS,
    Ground,
    assert_equal,
    collect,
    gaps_hidden,
    peak_bytes,
    predict,
    predict_in_tiles,
    replaced,
)

GROUND = Ground.random()
GAPPY = Ground.gappy()
NAIVE = Naive.of(BANDS)
QUERIES = {"hr": (0, 44, 170, 400), "lr": (9, 100)}


def test_each_sensor_is_filled_in_time_and_the_coarse_one_then_in_space():
    planes = predict(NAIVE, GROUND, QUERIES)
    assert len(planes) == 6
    hr, lr = GROUND.hr, GROUND.lr
    np.testing.assert_array_equal(planes["hr", 170], Gapfill.of(hr).on(170))
    np.testing.assert_array_equal(planes["lr", 100], bicubic(Gapfill.of(lr).on(100), 3))


@pytest.mark.parametrize("side", [3, 15, 33])
@pytest.mark.parametrize("ground", [GROUND, GAPPY])
def test_tiling_leaves_no_trace(side, ground):
    assert_equal(predict_in_tiles(NAIVE, ground, QUERIES, side), predict(NAIVE, ground, QUERIES))


@pytest.mark.parametrize(("sensor", "day"), [("hr", 44), ("hr", 170), ("lr", 100)])
def test_each_band_is_predicted_from_where_it_was_observed(sensor, day):
    plane = predict(NAIVE, GAPPY, QUERIES | {sensor: (day,)})[sensor, day]
    for index, band in enumerate(BANDS[sensor]):
        hidden = gaps_hidden(GAPPY, sensor, (band,))
        np.testing.assert_array_equal(plane[index], predict(NAIVE, hidden, {sensor: (day,)})[sensor, day][index])


def test_a_band_that_was_never_observed_has_no_value():
    lr = GROUND.lr
    values, warm = lr.values.copy(), lr.bands.index("LST")
    values[:, warm, 2:6, 3:7] = MISSING
    holed = predict(NAIVE, replaced(GROUND, "lr", values=values), QUERIES)["lr", 100]
    full = predict(NAIVE, GROUND, QUERIES)["lr", 100]
    assert np.isnan(holed[warm, 6:18, 9:21]).all()
    np.testing.assert_array_equal(np.delete(holed, warm, axis=0), np.delete(full, warm, axis=0))
    np.testing.assert_array_equal(holed[warm, :, 27:], full[warm, :, 27:])


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


@pytest.mark.parametrize("made", [Ground.random, Ground.gappy])
def test_memory_stays_within_what_it_says(made):
    ground = made((90, 90))
    assert peak_bytes(NAIVE, ground, QUERIES) <= NAIVE.working_bytes(90, {}, 6)
