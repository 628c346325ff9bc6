import datetime
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sitsinfer import weights
from sitsinfer.errors import TrainingError
from sitsinfer.series.labels import UNLABELLED
from sitsinfer.training.pixels import Options, _Course, _prepare, load_pixels, train_pixels

Write = Callable[..., tuple[Path, Path]]

TINY = Options(
    hyperparameters={"n_head": 2, "d_k": 4, "d_model": 16, "mlp3": [16, 16], "mlp4": [16, 8], "dropout": 0.0},
    block=8,
    gap=1,
    validation=0.25,
    dates=(3, 6),
    batch_size=64,
    steps=60,
    rate=0.02,
    validate_every=20,
    device="cpu",
)


def cover(ts: Path, numbers: Iterable[int], top: int = 48) -> None:
    """Put clouds over the rows from ``top`` on of some dates, and masks beside the series that tell of them."""
    folder = ts.with_name(f"{ts.name}_mask")
    folder.mkdir()
    for n, path in enumerate(sorted(ts.iterdir())):
        with rasterio.open(path, "r+") as image:
            values, profile = image.read(), image.profile
            clouds = np.zeros(values.shape[1:], np.uint8)
            clouds[top:] = n in numbers
            values[:, clouds > 0] = 9000
            image.write(values)
        with rasterio.open(
            folder / f"{path.stem}_mask.tif", "w", **{**profile, "count": 1, "dtype": "uint8", "nodata": None}
        ) as mask:
            mask.write(clouds, 1)


def test_what_can_be_learned_is_learned_and_maps(scene: Write, tmp_path: Path) -> None:
    losses: list[float] = []
    ts, labels = scene()
    card = train_pixels([(ts, labels)], tmp_path / "model", TINY, progress=lambda step, loss: losses.append(loss))
    loaded, folder = weights.load_card(str(tmp_path / "model"))
    assert loaded == card
    assert len(weights.load_modules(card, folder)) == 1
    assert [(entry.code, entry.name, entry.color) for entry in card.classes] == [
        (2, "Meadow", (10, 200, 30)),
        (7, "Maize", (250, 200, 0)),
    ]
    assert (card.task, card.margin, card.blend, card.bands) == ("segment", 0, 0, ("B04", "B08", "B11"))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    assert float(card.description.split()[-1].rstrip(".")) > 0.85
    assert "dates. One block of 8 x 8 pixels in 4 was kept for validation, with a gap of 1 pixel" in card.description


def test_members_learn_and_go_on_after_a_stop(scene: Write, tmp_path: Path) -> None:
    options = replace(TINY, members=2, steps=6, validate_every=2)
    pair = scene()
    card = train_pixels([pair], tmp_path / "whole", options)
    assert card.prefixes == ("member-1.", "member-2.")

    def stop(step: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_pixels([pair], tmp_path / "stopped", options, progress=stop)
    train_pixels([pair], tmp_path / "stopped", options)
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_pixels_are_those_of_their_place(scene: Write) -> None:
    ts, labels = scene(shape=(140, 50))  # more than one strip
    found = load_pixels(ts, labels, replace(TINY, pixels=300), None)
    with rasterio.open(labels) as raster:
        codes = raster.read(1)
    assert np.bincount(found.labels, minlength=8)[[2, 7]].tolist() == [300, 300]
    assert np.array_equal(found.labels, codes[found.rows, found.cols])
    for n, path in enumerate(sorted(ts.iterdir())):
        with rasterio.open(path) as image:
            expected = image.read()[:, found.rows, found.cols].T * 1e-4
        np.testing.assert_allclose(found.reflectance[:, n], expected, rtol=1e-5)
    assert found.observed.all()
    assert (np.diff(found.rows * 50 + found.cols) > 0).all()
    everything = load_pixels(ts, labels, replace(TINY, pixels=5000), ("B11",))
    assert len(everything.labels) == (codes != UNLABELLED).sum() - 25, "those in a corner were never observed"
    assert everything.reflectance.shape[2] == 1


def test_pixels_are_drawn_of_those_that_were_ever_clear(scene: Write) -> None:
    ts, labels = scene(shape=(140, 50))
    cover(ts, range(6), top=100)
    found = load_pixels(ts, labels, replace(TINY, pixels=900, cloudy=1.0), None)
    assert np.bincount(found.labels, minlength=8)[[2, 7]].tolist() == [900, 900], "as many as without clouds"
    assert found.rows.max() == 99
    assert found.clear.any(axis=1).all()
    assert np.abs(np.bincount(found.rows // 20) - 360).max() < 90, "strips and rows are drawn from alike"


def test_classes_that_were_never_clear_are_not_learned(scene: Write, tmp_path: Path) -> None:
    field = np.zeros((96, 50), np.int64)
    field[60:] = 1
    ts, labels = scene(field=field)
    cover(ts, range(6), top=60)
    assert [entry.code for entry in load_pixels(ts, labels, TINY, None).classes] == [2]
    other = scene("other")
    cover(other[0], range(6), top=0)
    with pytest.raises(TrainingError, match=r"No labelled pixel of \S+other was ever clear\."):
        load_pixels(*other, TINY, None)


def test_the_smallest_batch_of_single_dates_is_learned_from(scene: Write, tmp_path: Path) -> None:
    ts, labels = scene()
    cover(ts, (1, 2, 3, 4, 5), top=10)
    options = replace(TINY, batch_size=2, dates=(1, 1), cloudy=0.5, steps=4, validate_every=4)
    train_pixels([(ts, labels)], tmp_path / "model", options)


def test_statistics_are_those_of_what_is_clear(scene: Write) -> None:
    ts, labels = scene()
    cover(ts, (1, 2))
    scenes, card = _prepare([(ts, labels)], TINY)
    assert not scenes[0].clear[scenes[0].rows >= 48][:, 1:3].any()
    assert scenes[0].observed[scenes[0].rows >= 48][:, 1:3].all()
    clear = scenes[0].reflectance[scenes[0].clear]
    np.testing.assert_allclose(card.members[0].mean, clear.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(card.members[0].std, clear.std(axis=0), rtol=1e-4)
    assert max(card.members[0].mean) < 0.4


def test_dates_are_each_pixels_own_and_clear_unless_clouds_are_to_be_learned(scene: Write) -> None:
    ts, labels = scene()
    cover(ts, (1, 2))
    scenes, card = _prepare([(ts, labels)], TINY)
    course = _Course(scenes, card, TINY)
    low = np.flatnonzero(scenes[0].rows >= 48)[:200]
    rng = np.random.default_rng(0)
    at, shown = course._draw_dates(low, rng)
    assert (np.diff(at, axis=1) > 0).all()
    assert np.array_equal(shown, course.clear[low[:, None], at])
    assert (shown.sum(axis=1) == min(4, at.shape[1])).all()  # of six dates four are clear
    assert len(np.unique(at, axis=0)) > 1 or at.shape[1] == 6
    cloudy = _Course(scenes, card, replace(TINY, cloudy=0.5, dates=(6, 6)))
    _, shown = cloudy._draw_dates(low, rng)
    assert set(shown.sum(axis=1).tolist()) == {4, 6}


def test_series_of_other_dates_are_learned_from_together(scene: Write) -> None:
    first, second = scene("first"), scene("second")
    for path in sorted(second[0].iterdir())[:2]:
        path.unlink()
    scenes, card = _prepare([first, second], replace(TINY, positions="days", reference_date=datetime.date(2022, 1, 1)))
    course = _Course(scenes, card, TINY)
    half = len(scenes[0].labels)
    assert course.values.shape == (2 * half, 6, 3)
    assert course.positions[0].tolist() == [3, 31, 40, 77, 90, 121]
    assert course.positions[half, :4].tolist() == [40, 77, 90, 121]
    assert not course.clear[half:, 4:].any()


def test_members_learn_from_what_others_are_validated_on(scene: Write) -> None:
    options = replace(TINY, members=3)
    course = _Course(*_prepare([scene()], options), options)
    assert not np.intersect1d(course.kept[0], course.kept[1]).size
    assert np.isin(course.kept[0], course.learned[1]).any()
    for learned, kept in zip(course.learned, course.kept, strict=True):
        assert not np.intersect1d(learned, kept).size
        assert len(learned) + len(kept) < len(course.channels), "a gap is left out"


def test_nothing_is_learned_from_near_what_validates(scene: Write) -> None:
    options = replace(TINY, gap=3)
    scenes, card = _prepare([scene("first"), scene("second")], options)
    course = _Course(scenes, card, options)
    half = len(scenes[0].labels)
    rows, cols = (np.concatenate([getattr(each, name) for each in scenes]) for name in ("rows", "cols"))
    for scene_learned, scene_kept in (
        (course.learned[0][course.learned[0] < half], course.kept[0][course.kept[0] < half]),
        (course.learned[0][course.learned[0] >= half], course.kept[0][course.kept[0] >= half]),
    ):
        down, across = (np.abs(at[scene_learned, None] - at[scene_kept]) for at in (rows, cols))
        assert np.maximum(down, across).min() == 4


def test_what_cannot_be_trained_is_refused(scene: Write, tmp_path: Path) -> None:
    pair = scene()

    def refused(words: str, **options: object) -> None:
        with pytest.raises(TrainingError, match=words):
            train_pixels([pair], tmp_path / "model", replace(TINY, **options))

    refused("labels have 1 class", ignore_label=7)
    refused("Of .* labelled samples 0 would be learned from and .* kept for validation", block=500, members=2)
    refused("network is of 'utae'. Expected 'pixel_ltae'", architecture="utae")
    refused("cannot have 5 to 3 dates", dates=(5, 3))
    constant = scene("constant", constant_band=True)
    with pytest.raises(TrainingError, match="same value everywhere"):
        train_pixels([constant], tmp_path / "model", TINY)
