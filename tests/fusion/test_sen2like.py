import dataclasses

import numpy as np
import pytest

from sitsinfer.fusion.gapfill import Gapfill
from sitsinfer.fusion.psf import Optics, Psf
from sitsinfer.fusion.resample import bilinear, nearest
from sitsinfer.fusion.sen2like import Sen2Like, coarse_picture, detail
from sitsinfer.fusion.types import MISSING
from tests.fusion.ground import (
    BANDS,
    HR_DAYS,
    LR_DAYS,
    Ground,
    assert_equal,
    collect,
    peak_bytes,
    predict,
    predict_in_tiles,
    replaced,
)

GROUND = Ground.random()
SEN2LIKE = Sen2Like.of(BANDS)
PREPARED = SEN2LIKE.prepared(GROUND)
QUERIES = {"hr": (31, 44, 60, 81, 150, 290, 400)}
HR, LR = (0, 1, 2, 7, 8, 9), (1, 2, 3, 4, 5, 6)
CLEAR = Ground.clear_sky()


def detail_at(ground, day, usable=None):
    fine = dataclasses.replace(ground.hr, values=ground.hr.values[:, HR])
    return detail(fine, np.ones(len(HR_DAYS), np.bool_) if usable is None else usable, day, 0.4)


def test_detail_of_a_line_through_the_last_two_dates_is_added_to_the_coarse_picture():
    older, newer = CLEAR.hr.values[HR_DAYS.index(81), HR], CLEAR.hr.values[HR_DAYS.index(140), HR]
    line = older + (newer - older) * np.float32((150 - 81) / (140 - 81))
    sharp = Psf((Optics(1, 0.4),) * 6, 1).high_pass(line)
    expected = bilinear(CLEAR.lr.values[LR_DAYS.index(150), LR], 3) + sharp
    plane = predict(SEN2LIKE.prepared(CLEAR), CLEAR, {"hr": (150,)})["hr", 150]
    np.testing.assert_allclose(plane, expected, atol=2e-6)


def test_an_observation_of_the_day_itself_counts():
    line = detail_at(CLEAR, 140)
    values = CLEAR.hr.values[HR_DAYS.index(140), HR]
    np.testing.assert_allclose(line, Psf((Optics(1, 0.4),) * 6, 1).high_pass(values), atol=1e-6)


def test_dates_that_are_masked_too_much_are_passed_over():
    clear = np.ones_like(GROUND.hr.clear)
    clear[HR_DAYS.index(140), :19] = False  # 19 of 36 rows
    clear[HR_DAYS.index(81), :18] = False  # just half
    ground = replaced(CLEAR, "hr", clear=clear)
    prepared = SEN2LIKE.prepared(ground)
    assert prepared.masked_rates[140] == pytest.approx(19 / 36)
    plane = predict(prepared, ground, {"hr": (150,)})["hr", 150]
    usable = np.array([day != 140 for day in HR_DAYS])
    coarse = dataclasses.replace(ground.lr, values=ground.lr.values[:, LR])
    np.testing.assert_array_equal(plane, coarse_picture(Gapfill.of(coarse), 150) + detail_at(ground, 150, usable))
    assert np.isnan(plane[:, :18]).all()
    assert np.isfinite(plane[:, 18:]).all()


def test_the_rate_is_that_of_the_whole_image_however_it_is_read():
    ground = Ground.random((246, 300))  # more than is counted at once
    rates = SEN2LIKE.prepared(ground).masked_rates
    expected = 1 - ground.hr.clear.mean(axis=(1, 2))
    np.testing.assert_allclose([rates[day] for day in HR_DAYS], expected)


def test_masks_of_all_observations_are_kept():
    ground = replaced(replaced(CLEAR, "hr", clear=GROUND.hr.clear), "lr", clear=GROUND.lr.clear)
    plane, rates = predict(PREPARED, ground, {"hr": (150,)})["hr", 150], PREPARED.masked_rates
    latest = [day for day in HR_DAYS if day <= 150 and rates[day] <= 0.5][-2:]
    both = GROUND.hr.clear[[HR_DAYS.index(day) for day in latest]].all(axis=0)
    usable = both & nearest(GROUND.lr.clear[LR_DAYS.index(150)], 3)
    np.testing.assert_array_equal(np.isfinite(plane), np.broadcast_to(usable, plane.shape))


def test_fewer_than_two_usable_dates_say_nothing():
    assert predict(PREPARED, GROUND, {"hr": (3, 8)}) == {}
    assert detail_at(GROUND, 8) is None


def test_a_day_without_coarse_observation_is_filled_in_time():
    lr = GROUND.lr
    filled = coarse_picture(Gapfill.of(lr), 100)
    np.testing.assert_array_equal(filled, bilinear(Gapfill.of(lr).on(100), 3))
    assert np.isnan(filled[:, 19, 31]).all()


def test_missing_values_are_never_interpolated():
    values = CLEAR.hr.values.copy()
    values[HR_DAYS.index(140), :, 5, 6] = MISSING
    ground = replaced(CLEAR, "hr", values=values)
    sharp = detail_at(ground, 150)
    assert np.argwhere(np.isnan(sharp[0])).tolist() == [[row, col] for row in (4, 5, 6) for col in (5, 6, 7)]
    coarse = CLEAR.lr.values.copy()
    coarse[LR_DAYS.index(150), :, 4, 6] = MISSING
    picture = coarse_picture(Gapfill.of(replaced(CLEAR, "lr", values=coarse).lr), 150)
    assert np.isnan(picture[:, 12:15, 18:21]).all()
    assert np.nanmin(picture) >= 0


@pytest.mark.parametrize("day", [100, 150])
def test_a_band_is_looked_at_only_where_it_was_observed(day):
    values = CLEAR.lr.values.copy()
    values[:, 4, 4:7, 6:9] = MISSING
    values[LR_DAYS.index(150), 4] = MISSING
    holed, full = (
        coarse_picture(Gapfill.of(ground.lr), day) for ground in (replaced(CLEAR, "lr", values=values), CLEAR)
    )
    np.testing.assert_array_equal(np.delete(holed, 4, axis=0), np.delete(full, 4, axis=0))
    assert np.isnan(holed[4, 12:21, 18:27]).all()
    assert np.isnan(holed[4]).all() == (day == 150)
    assert np.nanmin(holed[:4]) >= 0


@pytest.mark.parametrize("side", [3, 15, 33])
def test_tiling_leaves_no_trace(side):
    assert_equal(predict_in_tiles(PREPARED, GROUND, QUERIES, side), predict(PREPARED, GROUND, QUERIES))


def test_the_border_of_the_image_is_mirrored():
    coarse = dataclasses.replace(GROUND.lr, values=GROUND.lr.values[:, LR])
    usable = np.array([PREPARED.masked_rates[day] <= 0.5 for day in HR_DAYS])
    expected = coarse_picture(Gapfill.of(coarse), 290) + detail_at(GROUND, 290, usable)
    np.testing.assert_array_equal(predict(PREPARED, GROUND, {"hr": (290,)})["hr", 290], expected)


def test_the_order_of_days_changes_nothing():
    assert_equal(predict(PREPARED, GROUND, {"hr": QUERIES["hr"][::-1]}), predict(PREPARED, GROUND, QUERIES))


def test_without_one_of_the_sensors_nothing_is_said():
    inputs = GROUND.inputs(PREPARED, GROUND.whole)
    for sensor in ("hr", "lr"):
        assert not collect(PREPARED, {sensor: inputs[sensor]}, QUERIES, GROUND.whole)
    lr = GROUND.lr
    undated = replaced(GROUND, "lr", values=lr.values[:0], clear=lr.clear[:0], days=lr.days[:0])
    assert not predict(PREPARED, undated, QUERIES)


def test_what_is_counted_is_no_part_of_the_fingerprint():
    assert PREPARED.fingerprint() == SEN2LIKE.fingerprint()
    assert PREPARED.fingerprint() != dataclasses.replace(PREPARED, mtf=0.3).fingerprint()


def test_memory_stays_within_what_it_says():
    ground = Ground.random((90, 90))
    algorithm = SEN2LIKE.prepared(ground)
    assert peak_bytes(algorithm, ground, QUERIES) <= algorithm.working_bytes(90, {"lr": len(LR_DAYS)}, 7)
