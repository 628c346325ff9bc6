from dataclasses import replace

import numpy as np
import pytest

from sitsinfer.fusion.resample import bicubic
from sitsinfer.fusion.stair import Stair
from sitsinfer.fusion.types import MISSING
from tests.fusion.ground import (
    BANDS,
    HR_DAYS,
    LR_DAYS,
    Ground,
    assert_equal,
    collect,
    gaps_hidden,
    peak_bytes,
    predict,
    predict_in_tiles,
    replaced,
    smooth,
)

GROUND = Ground.random()
GAPPY = Ground.gappy()
STAIR = replace(Stair.of(BANDS), as_published=True)
COMMON = (9, 44, 81, 201)
QUERIES = {"hr": (0, 44, 60, 81, 100, 201, 400)}
FINE = GROUND.shape
HR, LR = (0, 1, 2, 7, 8, 9), (1, 2, 3, 4, 5, 6)


def agreeable() -> Ground:
    """Sensors that differ by what changes linearly in time."""
    ground, rng = Ground.clear_sky(), np.random.default_rng(4)
    hr, lr = smooth(HR_DAYS, *rng.random((2, 10, *FINE), np.float32)), ground.lr.values
    for day in COMMON:
        for ours, theirs in zip(HR, LR, strict=True):
            hr[HR_DAYS.index(day), ours] += bicubic(lr[LR_DAYS.index(day), theirs], 3)
    return replaced(ground, "hr", values=hr)


def test_a_difference_that_changes_linearly_is_foreseen():
    ground = agreeable()
    planes = predict(STAIR, ground, {"hr": COMMON})
    for day in (44, 81):  # between other common days
        np.testing.assert_allclose(planes["hr", day], ground.hr.values[HR_DAYS.index(day), HR], atol=2e-6)


def test_masks_of_the_coarse_sensor_are_not_looked_at_where_it_observed():
    ground = agreeable()
    cloudy = replaced(ground, "lr", clear=np.zeros_like(ground.lr.clear))
    assert_equal(predict(STAIR, cloudy, {"hr": COMMON}), predict(STAIR, ground, {"hr": COMMON}))


@pytest.mark.parametrize("day", [44, 80])
def test_a_day_is_never_predicted_from_its_own_observation(day):
    values, clear = GROUND.hr.values.copy(), GROUND.hr.clear.copy()
    values[HR_DAYS.index(day)] = 99
    clear[HR_DAYS.index(day)] = True
    changed = replaced(GROUND, "hr", values=values, clear=clear)
    assert_equal(predict(STAIR, changed, {"hr": (day,)}), predict(STAIR, GROUND, {"hr": (day,)}))
    other = {"hr": (81,)}
    assert not np.array_equal(predict(STAIR, changed, other)["hr", 81], predict(STAIR, GROUND, other)["hr", 81])


def test_a_day_without_coarse_observation_lies_between_those_around_it():
    ground = agreeable()
    lr = ground.lr
    kept = [LR_DAYS.index(day) for day in COMMON]
    steady = smooth(COMMON, lr.values[0], lr.values[1])
    ground = replaced(ground, "lr", values=steady, clear=lr.clear[kept], days=lr.days[kept])
    (early, between, late) = (predict(STAIR, ground, {"hr": (day,)})["hr", day] for day in (82, 140, 198))
    hr_at = {day: ground.hr.values[HR_DAYS.index(day), HR] for day in (81, 201)}
    for day, plane in ((82, early), (198, late)):
        expected = hr_at[81] + np.float32((day - 81) / 120) * (hr_at[201] - hr_at[81])
        np.testing.assert_allclose(plane, expected, atol=2e-6)
    np.testing.assert_allclose(between, (early + late) / 2, atol=2e-6)


def test_pixels_that_the_coarse_sensor_missed_on_one_day_are_taken_from_others():
    full = agreeable()
    values, clear = full.lr.values.copy(), full.lr.clear.copy()
    values[LR_DAYS.index(81), :, :, 9:] = MISSING
    clear[LR_DAYS.index(81), :, 9:] = False
    holed = replaced(full, "lr", values=values, clear=clear)
    days = {"hr": (44, 81, 201)}
    ours, theirs = predict(STAIR, holed, days), predict(STAIR, full, days)
    for key, plane in ours.items():
        np.testing.assert_array_equal(plane[..., :21], theirs[key][..., :21])  # as far as bicubic reaches
        assert np.isfinite(plane).all()
    np.testing.assert_allclose(ours["hr", 44], theirs["hr", 44], atol=2e-6)  # 9 and 201 serve as well as 9 and 81
    then = [LR_DAYS.index(day) for day in (60, 150)]
    between = values[then[0]] + np.float32((81 - 60) / (150 - 60)) * (values[then[1]] - values[then[0]])
    lacking = bicubic(between[LR, :, :] - full.lr.values[LR_DAYS.index(81)][LR, :, :], 3)
    np.testing.assert_allclose((ours["hr", 81] - theirs["hr", 81])[..., 33:], lacking[..., 33:], atol=2e-6)


def test_what_clouds_hide_from_the_coarse_sensor_does_not_count():
    full = agreeable()
    values, clear = full.lr.values.copy(), full.lr.clear.copy()
    values[LR_DAYS.index(81), :, :, 9:] = 5
    clear[LR_DAYS.index(81), :, 9:] = False
    cloudy = replaced(full, "lr", values=values, clear=clear)
    ours, theirs = (predict(Stair.of(BANDS), ground, {"hr": (44,)})["hr", 44] for ground in (cloudy, full))
    np.testing.assert_allclose(ours, theirs, atol=2e-6)  # 9 and 201 serve as well as 9 and 81
    assert np.abs(predict(STAIR, cloudy, {"hr": (44,)})["hr", 44] - theirs).max() > 1


def test_without_common_days_the_fine_sensor_changes_as_the_coarse_one_did():
    full = agreeable()
    kept = [index for index, day in enumerate(full.lr.days) if day not in COMMON]
    apart = replaced(full, "lr", values=full.lr.values[kept], clear=full.lr.clear[kept], days=full.lr.days[kept])
    queries = {"hr": (100,)}
    assert not predict(STAIR, apart, queries)
    plane = predict(Stair.of(BANDS), apart, queries)["hr", 100]
    seen = [apart.lr.values[list(apart.lr.days).index(day)][LR, :, :] for day in (60, 150)]
    coarse = {day: seen[0] + np.float32((day - 60) / 90) * (seen[1] - seen[0]) for day in (81, 100, 140)}
    fine = {day: full.hr.values[HR_DAYS.index(day)][HR, :, :] for day in (81, 140)}
    share = np.float32((100 - 81) / (140 - 81))
    change = coarse[100] - (1 - share) * coarse[81] - share * coarse[140]
    expected = (1 - share) * fine[81] + share * fine[140] + bicubic(change, 3)
    np.testing.assert_allclose(plane[:, 6:-6, 6:-6], expected[:, 6:-6, 6:-6], atol=2e-6)


@pytest.mark.parametrize("stair", [STAIR, Stair.of(BANDS)])
@pytest.mark.parametrize("side", [3, 15, 33])
@pytest.mark.parametrize("ground", [GROUND, GAPPY])
def test_tiling_leaves_no_trace(side, stair, ground):
    assert_equal(predict_in_tiles(stair, ground, QUERIES, side), predict(stair, ground, QUERIES))


@pytest.mark.parametrize("stair", [STAIR, Stair.of(BANDS)])
def test_each_pair_of_bands_is_predicted_by_itself(stair):
    whole = predict(stair, GAPPY, QUERIES)
    for index, (fine, coarse) in enumerate(zip(stair.hr, stair.lr, strict=True)):
        hidden = gaps_hidden(gaps_hidden(GAPPY, "hr", (fine,)), "lr", (coarse,))
        alone = predict(replace(stair, hr=(fine,), lr=(coarse,)), hidden, QUERIES)
        assert_equal({key: plane[index : index + 1] for key, plane in whole.items()}, alone)


@pytest.mark.parametrize("stair", [STAIR, Stair.of(BANDS)])
@pytest.mark.parametrize(("sensor", "missing"), [("hr", np.s_[6:12, 9:18]), ("lr", np.s_[2:6, 3:9])])
def test_a_band_that_a_sensor_never_observed_has_no_value(stair, sensor, missing):
    clear_sky = Ground.clear_sky()
    series = getattr(clear_sky, sensor)
    values = series.values.copy()
    band = getattr(stair, sensor)[stair.hr.index("B11")]
    values[:, series.bands.index(band), *missing] = MISSING
    ours, theirs = (predict(stair, g, QUERIES) for g in (replaced(clear_sky, sensor, values=values), clear_sky))
    for key, plane in ours.items():
        assert np.isnan(plane[4, 6:12, 9:18]).all()
        np.testing.assert_array_equal(np.delete(plane, 4, axis=0), np.delete(theirs[key], 4, axis=0))
        np.testing.assert_array_equal(plane[4, 24:], theirs[key][4, 24:])


def test_the_order_of_days_changes_nothing():
    assert_equal(predict(STAIR, GROUND, {"hr": QUERIES["hr"][::-1]}), predict(STAIR, GROUND, QUERIES))


def test_a_pixel_that_is_never_clear_is_nan():
    plane = predict(STAIR, GROUND, {"hr": (100,)})["hr", 100]
    assert np.isnan(plane[:, 20, 11]).all()
    assert np.isfinite(plane[:, 21, 11]).all()


def test_without_another_common_day_nothing_is_said():
    only = [LR_DAYS.index(44)]
    ground = replaced(GROUND, "lr", values=GROUND.lr.values[only], clear=GROUND.lr.clear[only], days=np.array([44]))
    assert predict(STAIR, ground, {"hr": (44, 60)}).keys() == {("hr", 60)}


def test_without_one_of_the_sensors_nothing_is_said():
    inputs = GROUND.inputs(STAIR, GROUND.whole)
    for sensor in ("hr", "lr"):
        assert not collect(STAIR, {sensor: inputs[sensor]}, QUERIES, GROUND.whole)


def test_without_a_date_of_one_of_the_sensors_nothing_can_be_said():
    stair = Stair.of(BANDS)
    for sensor in ("hr", "lr"):
        series = getattr(GROUND, sensor)
        ground = replaced(GROUND, sensor, values=series.values[:0], clear=series.clear[:0], days=series.days[:0])
        planes = predict(stair, ground, {"hr": (44, 60)})
        assert all(np.isnan(plane).all() for plane in planes.values())


@pytest.mark.parametrize("made", [Ground.random, Ground.gappy])
def test_memory_stays_within_what_it_says(made):
    ground = made((90, 90))
    assert peak_bytes(STAIR, ground, QUERIES) <= STAIR.working_bytes(90, {"lr": len(LR_DAYS)}, 7)
