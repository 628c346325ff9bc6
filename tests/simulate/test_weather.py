"""Dates, clouds, swaths."""

import numpy as np
import pytest

from sitsinfer.simulate import Scene
from sitsinfer.simulate.weather import cloud_opacity, observed, passes


@pytest.mark.parametrize("dates", [1, 23, 140])
@pytest.mark.parametrize("seed", range(5))
def test_dates_are_distinct_ascending_and_of_the_year(dates, seed):
    days = [p.date for p in passes(Scene(dates=dates, seed=seed, year=2019), "sentinel2")]
    assert len(set(days)) == dates
    assert days == sorted(days)
    assert {day.year for day in days} == {2019}


def test_dates_are_uneven():
    days = np.array([p.day for p in passes(Scene(dates=40), "sentinel2")])
    assert len(set(np.diff(days))) > 3


@pytest.mark.parametrize("mean", [0.1, 0.3, 0.6])
def test_cloud_cover_averages_to_what_was_asked(mean):
    covers = [p.cloud_cover for s in range(20) for p in passes(Scene(dates=100, seed=s, cloud_cover=mean), "sentinel2")]
    assert np.mean(covers) == pytest.approx(mean, abs=0.02)
    assert max(covers) > 0.95


def test_no_cloud_and_all_cloud():
    axis = np.arange(0.0, 20_000, 100)
    for mean, low, high in ((0.0, 0.0, 0.0), (1.0, 0.9, 1.0)):
        scene = Scene(dates=1, cloud_cover=mean)
        opacity = cloud_opacity(scene, "sentinel2", passes(scene, "sentinel2")[0], axis, axis)
        assert low <= opacity.mean() <= high


def test_shadows_fall_to_the_north():
    # On the northern half of the globe, in the morning: x grows eastward, y southward.
    for p in passes(Scene(dates=30), "sentinel2"):
        east, south = p.shadow_m
        assert south < 0
        assert east < 0


def test_a_swath_leaves_most_of_the_scene():
    x = y = np.arange(5.0, 10_240, 10)
    scenes = [Scene(dates=40, seed=s) for s in range(4)]
    swaths = [p.swath for scene in scenes for p in passes(scene, "sentinel2")]
    cut = [observed(swath, x, y).mean() for swath in swaths if swath is not None]
    assert 0.02 < len(cut) / len(swaths) < 0.25
    assert all(0.5 < share < 1 for share in cut)


@pytest.mark.parametrize("seed", range(5))
def test_landsat_passes_every_eight_days_or_less_often(seed):
    days = np.array([p.day for p in passes(Scene(landsat=20, seed=seed), "landsat")])
    assert len(days) == 20
    assert (np.diff(days) > 0).all()
    assert (np.diff(days) % 8 == 0).all()
    assert len(set(np.diff(days))) > 1
    assert len(passes(Scene(landsat=45, seed=seed), "landsat")) == 45


@pytest.mark.parametrize(("dates", "landsat"), [(12, 8), (40, 6), (9, 45), (140, 20)])
def test_some_landsat_dates_are_those_of_sentinel2_and_some_are_not(dates, landsat):
    for seed in range(8):
        scene = Scene(dates=dates, landsat=landsat, seed=seed)
        one, two = ({p.date for p in passes(scene, sensor)} for sensor in ("sentinel2", "landsat"))
        assert 2 <= len(one & two) < len(two)


def test_sentinel2_passes_whether_or_not_landsat_does():
    assert passes(Scene(dates=30), "sentinel2") == passes(Scene(dates=30, landsat=12), "sentinel2")


def test_sensors_have_weather_of_their_own():
    scene = Scene(dates=140, landsat=45, seed=2)
    one, two = ({p.date: p.cloud_cover for p in passes(scene, sensor)} for sensor in ("sentinel2", "landsat"))
    assert all(one[date] != two[date] for date in one.keys() & two.keys())
