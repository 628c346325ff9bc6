import csv
import datetime
import io
from dataclasses import replace

import numpy as np
import pytest

from sitsinfer.metrics.fusion.report import summarise, to_csv, to_table
from sitsinfer.metrics.fusion.scores import Context, DateScores, Sums


def scores(sensor, day, bands, rmse, closest=0, joint=0, angle=0.5):
    pixels = np.full(len(bands), 4)
    squared = np.array(rmse, float) ** 2 * pixels
    sums = Sums(squared, np.full(len(bands), 16.0), pixels, angle * 4, 4, -3.0 * pixels, pixels, 4, 10)
    return DateScores(f"{sensor} {day}", sensor, day, bands, sums, 30, Context(closest, joint))


@pytest.fixture
def rows():
    one, other, third = (datetime.date(2022, month, 15) for month in (1, 2, 3))
    cloudy = replace(scores("hr", third, ("B02", "B11"), (9, 9), 28), sums=Sums.none(2, 10))
    return [
        scores("hr", one, ("B02", "B11"), (0.01, 0.02), 10, 5),
        scores("hr", other, ("B02", "B11"), (0.03, 0.04), 20, 5, angle=0.1),
        cloudy,
        scores("lr", one, ("B02", "LST"), (0.05, 2.5)),
        scores("lr", other, ("B02", "LST"), (0.07, 1.5), None, 31),
    ]


def test_csv_has_a_row_a_date_and_sensor(rows):
    table = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert [(row["sensor"], row["date"], row["doy"]) for row in table] == [
        ("hr", "2022-01-15", "15"),
        ("hr", "2022-02-15", "46"),
        ("hr", "2022-03-15", "74"),
        ("lr", "2022-01-15", "15"),
        ("lr", "2022-02-15", "46"),
    ]
    first, cloudy, last = table[0], table[2], table[4]
    assert float(first["rmse_B11"]) == pytest.approx(0.02)
    assert float(first["nrmse_B02"]) == pytest.approx(0.005)
    assert (first["frr_B02"], first["sam"], first["clear_pixel_rate"]) == ("-3", "0.5", "0.4")
    assert {row["margin"] for row in table} == {"30"}
    assert (first["clear_doy"], first["closest_doy"], first["closest_joint_doy"]) == ("False", "10", "5")
    assert float(first["local_density"]) == pytest.approx(np.exp(-1), rel=1e-5)
    assert (first["rmse_LST"], cloudy["rmse_LST"]) == ("", ""), "no band of that sensor"
    assert (cloudy["rmse_B02"], cloudy["clear_pixel_rate"]) == ("nan", "0"), "not a clear pixel"
    assert (last["closest_doy"], last["local_density"], last["rmse_B11"]) == ("", "0", "")


def test_csv_leaves_empty_what_is_not_known(rows):
    bare = replace(rows[0], sensor=None, date=None, context=None)
    (row,) = csv.DictReader(io.StringIO(to_csv([bare])))
    unknown = ("sensor", "date", "doy", "clear_doy", "closest_doy", "local_density")
    assert [row[name] for name in unknown] == [""] * 6
    assert row["rmse_B02"] == "0.01"


def test_means_are_taken_over_masked_and_clear_dates_apart(rows):
    found = {(means.sensor, means.kind): means for means in summarise(to_csv(rows))}
    assert list(found) == [("hr", "masked"), ("lr", "masked"), ("lr", "clear")]
    masked = found["hr", "masked"]
    assert masked.dates == 3
    np.testing.assert_allclose(masked.rmse, [0.02, 0.03])
    assert masked.sam == pytest.approx(0.3), "a date without a clear pixel has no say"
    np.testing.assert_allclose(found["lr", "clear"].rmse, [0.05, 2.5])


def test_table_names_units_and_dates(rows):
    text = to_table(to_csv(rows))
    assert "hr, 3 masked dates: spectral angle 0.3000 rad" in text
    assert "lr, 1 clear date: spectral angle 0.5000 rad" in text
    assert "LST       2.50 K    1.2500     -3.00" in text
    assert "B02       0.0500    0.0250     -3.00" in text


def test_table_of_a_date_without_context(rows):
    assert to_table(to_csv([replace(rows[0], context=None)])).startswith("hr, 1 date: ")
    assert to_table(to_csv([replace(rows[0], sensor=None, context=None)])).startswith("1 date: ")
