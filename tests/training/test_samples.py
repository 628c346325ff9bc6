import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sitsinfer.errors import SeriesError, TrainingError
from sitsinfer.series.labels import UNLABELLED
from sitsinfer.training.samples import draw, fingerprint, load_scene, load_scenes, statistics, turn, validation_samples
from sitsinfer.training.segment import Options, _prepare

Write = Callable[..., tuple[Path, Path]]


def test_training_and_validation_lie_apart(scene: Write) -> None:
    found = load_scene(*scene(), None, 0.25)
    assert found.validation.height == 24
    assert found.validation.stop_row == 96
    assert found.training.stop_row == found.validation.row - 32


def test_the_first_series_decides_which_bands_all_have(scene: Write) -> None:
    pairs = [scene("first"), scene("second")]
    for path in pairs[0][0].iterdir():
        with rasterio.open(path, "r+") as image:
            image.descriptions = ("B08", "B04", "B12")
    loaded = load_scenes(pairs, None, 0.25)
    assert next(loaded).series.bands == ("B04", "B08", "B12")
    with pytest.raises(SeriesError, match="'B12' is missing"):
        next(loaded)


def test_a_scene_too_small_to_divide_is_refused(scene: Write) -> None:
    with pytest.raises(TrainingError, match="has 40 rows, too few"):
        load_scene(*scene(shape=(40, 50)), None, 0.25)


def test_statistics_are_those_of_what_was_observed(scene: Write) -> None:
    found = load_scene(*scene(), ("B08", "B04"), 0.25)
    mean, std = statistics([found], step=1)
    values = found.stack.values[:, :, :40].astype(float)
    for band in range(2):
        seen = values[:, band][values[:, band] > 0] * 1e-4
        np.testing.assert_allclose(mean[band], seen.mean(), rtol=1e-6)
        np.testing.assert_allclose(std[band], seen.std(), rtol=1e-5)


def test_the_fingerprint_of_scenes_tells_of_any_change_of_their_data(scene: Write) -> None:
    found = load_scene(*scene(), None, 0.25)
    values, labels, parcels = found.stack.values.copy(), found.labels.copy(), found.parcels.copy()
    values[2, 1, 7, 9] += 1
    labels[95, 49] = 2 if labels[95, 49] == 7 else 7
    parcels[3, 4] = 5
    later = (*found.stack.dates[:-1], found.stack.dates[-1] + datetime.timedelta(1))
    changed = [
        replace(found, stack=replace(found.stack, values=values)),
        replace(found, stack=replace(found.stack, dates=later)),
        replace(found, stack=replace(found.stack, valid=~found.stack.valid)),
        replace(found, labels=labels),
        replace(found, parcels=parcels),
    ]
    assert len({fingerprint([each]) for each in [found, *changed]}) == 6
    assert fingerprint([found]) == fingerprint([load_scene(*scene("again"), None, 0.25)])
    assert fingerprint([found, changed[0]]) != fingerprint([changed[0], found])


def test_a_constant_band_is_refused(scene: Write) -> None:
    found = load_scene(*scene(constant_band=True), None, 0.25)
    with pytest.raises(TrainingError, match="same value everywhere"):
        statistics([found])


def test_crops_have_their_dates_and_labels_of_the_data_alone(scene: Write) -> None:
    (found,), card = _prepare([scene()], Options(validation=0.25))
    rng = np.random.default_rng(0)
    chosen = set()
    beyond = 0
    for _ in range(30):
        sample = draw([found], card, rng, 24, 4)
        assert sample.patch.values.shape == (4, 3, 24, 24)
        days = sample.patch.positions.tolist()
        assert days == sorted(set(days))
        assert set(days) <= {4, 32, 41, 78, 91, 122}
        chosen.add(tuple(days))
        assert set(np.unique(sample.labels)) <= {2, 7, UNLABELLED}
        beyond += bool((sample.labels[:2] == UNLABELLED).all() or (sample.labels[-2:] == UNLABELLED).all())
    assert len(chosen) > 5
    assert beyond


def test_labels_lie_on_their_pixels(scene: Write) -> None:
    (found,), card = _prepare([scene()], Options(validation=0.25))
    sample = draw([found], card, np.random.default_rng(0), 16, 6)
    second = sample.patch.values[1, 1].astype(float)  # of the dates on which classes differ
    maize, meadow = second[(sample.labels == 7) & (second > 0)], second[(sample.labels == 2) & (second > 0)]
    assert len(maize) > 0
    assert len(meadow) > 0
    assert maize.min() > 2500
    assert meadow.max() < 3000


def test_too_many_dates_are_refused(scene: Write) -> None:
    (found,), card = _prepare([scene()], Options(validation=0.25))
    with pytest.raises(TrainingError, match="7 dates was found"):
        draw([found], card, np.random.default_rng(0), 24, 7)


def test_validation_patches_have_all_dates_and_cover_each_pixel_once(scene: Write) -> None:
    (found,), card = _prepare([scene()], Options(validation=0.25))
    samples = list(validation_samples([found], replace(card, patch=16, margin=0, blend=0)))
    assert all(len(sample.patch.positions) == 6 for sample in samples)
    assert len(samples) == 2 * 4
    kept = found.labels[found.validation.row :]
    assert sum((sample.labels == 7).sum() for sample in samples) == (kept == 7).sum()


def test_whatever_lies_on_a_pixel_turns_with_it(scene: Write) -> None:
    (found,), card = _prepare([scene()], Options(validation=0.25))
    drawn = draw([found], card, np.random.default_rng(0), 16, 4)
    values = np.arange(4 * 3 * 16 * 16, dtype=np.uint16).reshape(4, 3, 16, 16)
    here = values[0, 0] % 200
    sample = replace(
        drawn,
        patch=replace(drawn.patch, values=values),
        labels=here.astype(np.uint8),
        parcels=here.astype(np.uint32),
    )
    seen = set()
    for turns in range(4):
        for flip in (False, True):
            turned = turn(sample, turns, flip)
            assert np.array_equal(turned.patch.values[0, 0] % 200, turned.labels)
            assert np.array_equal(turned.labels, turned.parcels)
            seen.add(turned.patch.values.tobytes())
    assert len(seen) == 8
