import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely

from sitsinfer import weights
from sitsinfer.errors import SeriesError, TrainingError
from sitsinfer.training.classify import Options, _Course, _legend, _prepare, train_classify

Write = Callable[..., tuple[Path, Path]]

TINY = Options(
    hyperparameters={
        "mlp1": [0, 8, 8],
        "pooling": "mean_std",
        "mlp2": [20, 16],
        "with_extra": True,
        "extra_size": 4,
        "n_head": 2,
        "d_k": 4,
        "d_model": 16,
        "mlp3": [16, 16],
        "mlp4": [16, 8, 0],
        "dropout": 0.0,
    },
    days=5,
    pixels=12,
    block=16,
    validation=0.25,
    batch_size=32,
    steps=60,
    rate=0.01,
    validate_every=20,
    device="cpu",
)


@pytest.fixture
def labelled(scene: Write) -> Callable[..., tuple[Path, Path]]:
    """A scene whose squares of 8 x 8 pixels are parcels, of the class that shows in the series; some have none."""

    def write(name: str = "scene", column: str = "class_code", values: Callable[[int], Any] = int) -> tuple[Path, Path]:
        ts, labels = scene(name)
        with rasterio.open(labels) as raster:
            codes, at = raster.read(1), raster.transform
        corners = [(row, col) for row in range(0, 96, 8) for col in range(0, 48, 8)]
        shapes = [
            shapely.box(at.c + 10 * col + 3, at.f - 10 * row - 77, at.c + 10 * col + 77, at.f - 10 * row - 3)
            for row, col in corners
        ]
        found = [values(codes[row, col]) for row, col in corners]
        path = ts.with_name(f"{name}.gpkg")
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(np.array(shapes)),
            field_data=[np.array(found)],
            fields=[column],
            geometry_type="Polygon",
            crs="EPSG:32631",
        )
        return ts, path

    return write


def test_what_can_be_learned_is_learned(labelled: Write, tmp_path: Path) -> None:
    losses: list[float] = []
    pair = labelled(column="crop")
    options = replace(TINY, label_column="crop", legend=tmp_path / "scene.tif")
    card = train_classify([pair], tmp_path / "model", options, progress=lambda step, loss: losses.append(loss))
    loaded, folder = weights.load_parcel_card(str(tmp_path / "model"))
    assert loaded == card
    assert len(weights.load_modules(card, folder)) == 1
    assert [(entry.code, entry.name, entry.color) for entry in card.classes] == [
        (2, "Meadow", (10, 200, 30)),
        (7, "Maize", (250, 200, 0)),
    ]
    assert card.reference_date == datetime.date(2022, 1, 4)
    assert card.days == (0, 30, 59, 88, 118)
    assert card.hyperparameters["positions"] == [0, 30, 59, 88, 118]
    assert (card.task, card.bands, card.pixels) == ("classify", ("B04", "B08", "B11"), 12)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    assert float(card.description.split()[-1].rstrip(".")) > 0.85
    assert "pixels each. One block of 16 x 16 pixels in 4 was kept for validation" in card.description


def test_members_learn_and_go_on_after_a_stop(labelled: Write, tmp_path: Path) -> None:
    options = replace(TINY, members=2, steps=6, validate_every=2)
    pair = labelled()
    card = train_classify([pair], tmp_path / "whole", options)
    assert card.prefixes == ("member-1.", "member-2.")

    def stop(step: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classify([pair], tmp_path / "stopped", options, progress=stop)
    train_classify([pair], tmp_path / "stopped", options)
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_classes_are_codes_or_names(labelled: Write) -> None:
    _, card = _prepare([labelled("codes")], TINY)
    assert [(entry.code, entry.name) for entry in card.classes] == [(2, "Class 2"), (7, "Class 7")]
    pair = labelled("names", values=lambda code: {2: "Prairie", 7: "Maize"}[int(code)])
    _, card = _prepare([pair], TINY)
    assert [(entry.code, entry.name) for entry in card.classes] == [(0, "Maize"), (1, "Prairie")]
    _, card = _prepare([pair], replace(TINY, legend=pair[0].with_name("names.tif")))
    assert [(entry.code, entry.name) for entry in card.classes] == [(7, "Maize"), (0, "Prairie")]
    with pytest.raises(TrainingError, match="codes of classes and others names"):
        _prepare([labelled("more"), pair], TINY)


def test_classes_are_looked_for_where_they_usually_are(labelled: Write) -> None:
    def name(code: int) -> str:
        return {2: "Prairie", 7: "Maize"}[int(code)]

    _, card = _prepare([labelled("names", "class_name", values=name)], TINY)
    assert [entry.name for entry in card.classes] == ["Maize", "Prairie"]
    with pytest.raises(TrainingError, match="no column class_code or class_name, but crop, fid. Set label_column"):
        _prepare([labelled("crops", "crop")], TINY)


def test_names_have_codes_as_long_as_there_are_any(scene: Write) -> None:
    names = {f"name {number:03}" for number in range(256)}
    with pytest.raises(TrainingError, match=r"256 names of classes, such as name 000, .+ codes suffice for 255\. Set "):
        _legend(names, TINY)
    assert [entry.code for entry in _legend(names - {"name 000"}, TINY)] == list(range(255))
    legend = replace(TINY, legend=scene()[1])
    with pytest.raises(TrainingError, match=r"255 names of classes, .+ codes suffice for 253\."):
        _legend(names - {"name 000"}, legend)
    known = {"Maize", *sorted(names)[:253]}
    assert len({entry.code for entry in _legend(known, legend)}) == 254


def test_parcels_have_their_pixels_features_and_place(labelled: Write) -> None:
    (found,), card = _prepare([labelled()], TINY)
    course = _Course([found], card, TINY)
    assert len(found.labels) == 72
    corner = found.sets.parcels == 0  # of which 25 of 64 pixels were never seen
    assert found.sets.counts[corner] < 12
    assert (found.sets.counts[~corner] == 12).all()
    assert (found.features[:, 1] == 64).all()
    assert np.array_equal(np.unique(found.rows // 8), np.arange(12))
    assert np.array_equal(np.unique(found.cols // 8), np.arange(6))
    normalised = course.values.reshape(-1, 3)
    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(normalised.std(axis=0), 1, atol=1e-3)


def test_half_of_the_pixels_are_shown_each_once_with_little_noise(labelled: Write) -> None:
    (found,), card = _prepare([labelled()], TINY)
    course = _Course([found], card, TINY)
    course.counts[0] = 4
    pixels, mask = course._draw_pixels(np.array([0, 5]), np.random.default_rng(0))
    assert tuple(pixels.shape) == (2, 5, 3, 6)
    assert mask[:, 0].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    for parcel, shown in ((0, 4), (5, 6)):
        start, count = course.starts[parcel], course.counts[parcel]
        stored = course.values[start : start + count]
        drawn = pixels[0 if parcel == 0 else 1].permute(2, 0, 1).numpy()[:shown]
        distances = np.abs(drawn[:, None] - stored[None]).max(axis=(2, 3))
        assert len(set(distances.argmin(axis=1).tolist())) == shown
        assert 0 < distances.min(axis=1).max() <= 0.0501
    assert np.allclose(pixels[0, :, :, 4], pixels[0, :, :, 0], atol=0.11)


def test_series_of_other_years_are_read_on_the_same_days(labelled: Write) -> None:
    first, second = labelled("first"), labelled("second")
    for path in sorted(second[0].iterdir()):
        path.rename(path.with_name(path.name.replace("2022", "2020")))
    scenes, card = _prepare([first, second], TINY)
    assert card.reference_date == datetime.date(2022, 1, 4)
    same = scenes[1].sets.values[:, 0], scenes[0].sets.values[:, 0]
    np.testing.assert_allclose(*same, rtol=1e-6)


def test_parcels_without_a_label_teach_nothing(labelled: Write) -> None:
    def some(code: int) -> float:
        return np.nan if code == 2 else float(code)

    with pytest.raises(TrainingError, match="parcels have 1 class"):
        _prepare([labelled("one", values=some)], TINY)
    with pytest.raises(TrainingError, match="parcels have 1 class"):
        _prepare([labelled("two")], replace(TINY, ignore_label=2))


@pytest.mark.parametrize("architecture", ["pse_tae", "pse_gru", "pse_tempcnn"])
def test_other_encoders_are_sized_to_days_and_classes(labelled: Write, architecture: str) -> None:
    options = replace(TINY, architecture=architecture, hyperparameters={"mlp1": [0, 8], "mlp2": [20, 16]})
    own: dict[str, Any] = {
        "pse_tae": {"n_head": 2, "d_k": 4, "mlp3": [32, 16], "mlp4": [16, 0]},
        "pse_gru": {"hidden_dim": 8, "mlp4": [8, 0]},
        "pse_tempcnn": {"nker": [8], "mlp3": [8], "mlp4": [8, 0]},
    }
    options = replace(options, hyperparameters={**options.hyperparameters, **own[architecture]})
    scenes, card = _prepare([labelled()], options)
    course = _Course(scenes, card, options)
    assert course.loss(np.random.default_rng(0), 0).requires_grad
    assert 0 <= course.validate() <= 1


def test_what_cannot_be_trained_is_refused(labelled: Write, tmp_path: Path) -> None:
    pair = labelled()

    def refused(words: str, **options: object) -> None:
        with pytest.raises(TrainingError, match=words):
            train_classify([pair], tmp_path / "model", replace(TINY, **options))

    refused("too few for 200", days=200)
    refused("network is of 'pixel_ltae'. Expected 'pse_ltae'", architecture="pixel_ltae")
    refused("Of 72 labelled samples 0 would be learned from and 72 kept", block=500, members=2)
    with pytest.raises(SeriesError, match=r"has no column 'crop'\. Choose one of its columns: class_code, fid\.$"):
        train_classify([pair], tmp_path / "model", replace(TINY, label_column="crop"))
    wrong = labelled("wrong", values=lambda code: float(code) + 0.5)
    with pytest.raises(TrainingError, match="Column 'class_code' of .* holds .*5. Expected class codes"):
        train_classify([wrong], tmp_path / "model", TINY)
