import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from sitsinfer import weights
from sitsinfer.errors import TrainingError
from sitsinfer.metrics.overlaps import Overlaps
from sitsinfer.metrics.panoptic import panoptic_scores
from sitsinfer.models.paps import PaPs
from sitsinfer.series.labels import UNLABELLED
from sitsinfer.training import segment
from sitsinfer.training.panoptic import THRESHOLDS, Options, _prepare, _start, train_panoptic
from sitsinfer.training.samples import collate, validation_samples
from tests.training.test_segment import TINY as TINY_SEGMENT

Triple = tuple[Path, Path, Path]

DAY = datetime.date(2022, 1, 1)

TINY = Options(
    hyperparameters={"backbone": "utae", "encoder": TINY_SEGMENT.hyperparameters, "shape_size": 6, "mask_conv": True},
    patch=32,
    margin=4,
    crop=24,
    dates=(3, 5),
    batch_size=2,
    steps=60,
    warm_up=40,
    rate=0.02,
    validate_every=30,
    validation=0.25,
    device="cpu",
)


def rewrite(path: Path, change: Callable[[np.ndarray], None]) -> None:
    with rasterio.open(path, "r+") as raster:
        values = raster.read(1)
        change(values)
        raster.write(values, 1)


def test_what_can_be_learned_is_learned(parcels: Triple, tmp_path: Path) -> None:
    losses: list[float] = []
    card = train_panoptic([parcels], tmp_path / "model", TINY, progress=lambda step, loss: losses.append(loss))
    loaded, folder = weights.load_card(str(tmp_path / "model"), "panoptic")
    assert loaded == card
    (module,) = weights.load_modules(card, folder)
    assert isinstance(module, PaPs)
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:10])
    assert float(card.description.split()[-1].rstrip(".")) > 0.2
    assert [(entry.code, entry.name) for entry in card.classes] == [(0, "Background"), (7, "Maize")]
    assert card.ignore == (0,)
    assert card.bands == ("B04", "B08", "B11")
    assert card.hyperparameters["min_confidence"] in THRESHOLDS
    assert module.min_confidence.item() == pytest.approx(card.hyperparameters["min_confidence"])


class KilledError(Exception):
    pass


def test_a_run_that_was_killed_ends_as_if_it_was_not(parcels: Triple, tmp_path: Path) -> None:
    options = replace(TINY, steps=9, validate_every=3, warm_up=4)
    train_panoptic([parcels], tmp_path / "whole", options)

    def kill(step: int, loss: float) -> None:
        if step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        train_panoptic([parcels], tmp_path / "killed", options, progress=kill)
    train_panoptic([parcels], tmp_path / "killed", options)
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("with_encoder", [False, True])
def test_a_run_does_not_go_on_with_other_parcels(parcels: Triple, tmp_path: Path, with_encoder: bool) -> None:
    options = replace(TINY, steps=3, validate_every=1)
    if with_encoder:  # its statistics go into the card: nothing else tells the data apart
        segment.train_segment([parcels[:2]], tmp_path / "teacher", replace(TINY_SEGMENT, steps=1, validate_every=1))
        options = replace(options, encoder=str(tmp_path / "teacher"))

    def kill(step: int, loss: float) -> None:
        if step == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train_panoptic([parcels], tmp_path / "model", options, progress=kill)
    rewrite(parcels[2], lambda ids: ids.__setitem__((slice(0, 7), slice(0, 6)), 9999))
    with pytest.raises(TrainingError, match="holds a run of other data or options"):
        train_panoptic([parcels], tmp_path / "model", options)


def test_an_encoder_brings_its_weights_and_what_it_feeds_on(parcels: Triple, tmp_path: Path) -> None:
    with rasterio.open(parcels[1]) as raster:
        assert raster.nodata == UNLABELLED
    given = {"bands": ("B08", "B11"), "positions": "days", "reference_date": DAY, "fill": "constant"}
    options = replace(TINY_SEGMENT, steps=2, validate_every=2, seed=8, **given)
    teacher = segment.train_segment([parcels[:2]], tmp_path / "teacher", options)
    (taught,) = weights.load_modules(teacher, tmp_path / "teacher")
    # The teacher's output has two channels and so have the labels with background: all tensors fit.
    course = _start([parcels], replace(TINY, encoder=str(tmp_path / "teacher")))
    assert {name: getattr(course.card, name) for name in given} == given
    assert course.card.members == teacher.members
    assert teacher.digest[:12] in course.card.description
    for key, value in course.module.encoder.state_dict().items():
        assert torch.equal(value, taught.state_dict()[key]), key
    slow = {id(each) for some, share in course.rates() if share < 1 for each in some}
    parts = {name.split(".")[1] for name, each in course.module.named_parameters() if id(each) in slow}
    assert parts == {"in_conv", "down_blocks", "temporal_encoder"}
    assert sum(len(some) for some, _ in course.rates()) == len(list(course.module.parameters()))


def test_an_encoder_of_another_size_is_refused(parcels: Triple, tmp_path: Path) -> None:
    options = replace(TINY_SEGMENT, steps=1, validate_every=1)
    segment.train_segment([parcels[:2]], tmp_path / "teacher", options)
    encoder = {**TINY_SEGMENT.hyperparameters, "encoder_widths": [16, 16], "decoder_widths": [16, 16]}
    wider = replace(
        TINY, encoder=str(tmp_path / "teacher"), hyperparameters={**TINY.hyperparameters, "encoder": encoder}
    )
    with pytest.raises(TrainingError, match="teacher do not fit the encoder"):
        _start([parcels], wider)


def test_what_comes_with_an_encoder_cannot_be_given() -> None:
    for given in ({"bands": ("B04",)}, {"positions": "days"}, {"reference_date": DAY}, {"fill": "constant"}):
        with pytest.raises(TrainingError, match=f"utae-demo feeds on comes with .* Do not give {next(iter(given))}\\."):
            _start([], replace(TINY, encoder="utae-demo", **given))
    with pytest.raises(TrainingError, match=r"Do not give bands and fill\."):
        _start([], replace(TINY, encoder="utae-demo", bands=("B04",), fill="reflect"))


def test_an_encoder_of_another_sensor_is_refused(parcels: Triple, tmp_path: Path) -> None:
    teacher = segment.train_segment([parcels[:2]], tmp_path / "teacher", replace(TINY_SEGMENT, steps=1))
    card = json.loads((tmp_path / "teacher" / "model.json").read_text())
    assert card["sensor"] == teacher.sensor == "sentinel-2"
    (tmp_path / "teacher" / "model.json").write_text(json.dumps({**card, "sensor": "landsat-8"}))
    with pytest.raises(TrainingError, match="series are of sentinel-2 and .* was trained on landsat-8"):
        _start([parcels], replace(TINY, encoder=str(tmp_path / "teacher")))


@pytest.mark.parametrize(
    ("encoder", "words"),
    [([1], r"encoder of the network is \[1\]"), ("x", "encoder of"), ({"out_conv": 5}, "out_conv is 5")],
)
def test_configurations_that_are_none_are_refused(parcels: Triple, encoder: object, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        _prepare([parcels], replace(TINY, hyperparameters={"encoder": encoder}))


def test_a_configuration_without_an_encoder_has_the_published_one(parcels: Triple) -> None:
    for hyperparameters in ({"encoder": None}, {}):
        _, card = _prepare([parcels], replace(TINY, hyperparameters=hyperparameters))
        assert card.hyperparameters == {"encoder": {}, "input_dim": 3, "num_classes": 2}


def test_options_that_cannot_be_are_refused() -> None:
    for spread in (0.001, 0.6, float("nan")):
        with pytest.raises(TrainingError, match="Expected 0.01 to 0.5, such as 0.05"):
            replace(TINY, spread=spread)
    with pytest.raises(TrainingError, match="network is of 'recunet'. Expected 'paps'"):
        replace(TINY, architecture="recunet")


def test_a_parcel_has_the_class_of_most_of_its_pixels(parcels: Triple) -> None:
    with rasterio.open(parcels[2]) as raster:
        ids = raster.read(1)
    first, second = np.unique(ids[ids > 0])[:2]

    def change(codes: np.ndarray) -> None:
        codes[ids == first] = np.where(np.arange((ids == first).sum()) % 3, 4, 7)
        codes[ids == second] = UNLABELLED

    rewrite(parcels[1], change)
    (scene,), card = _prepare([parcels], TINY)
    assert set(scene.labels[ids == first]) == {4}
    assert set(scene.labels[ids == second]) == {UNLABELLED}
    assert [entry.code for entry in card.classes] == [0, 4, 7]
    assert set(scene.labels[(ids == 0) & (np.indices(ids.shape)[1] < 20)]) == {0}
    assert set(scene.labels[(ids == 0) & (np.indices(ids.shape)[1] == 21)]) == {UNLABELLED}


def test_parcels_of_the_ignored_label_are_void(parcels: Triple) -> None:
    with rasterio.open(parcels[2]) as raster:
        ids = raster.read(1)
    first = np.unique(ids[ids > 0])[0]
    rewrite(parcels[1], lambda codes: codes.__setitem__(ids == first, 0))
    with pytest.raises(TrainingError, match=f"Parcel {first} of .* has class 0, which is background"):
        _prepare([parcels], TINY)
    (scene,), card = _prepare([parcels], replace(TINY, ignore_label=0))
    assert (scene.labels[ids == first] == UNLABELLED).all()
    assert [entry.code for entry in card.classes] == [0, 7]
    rewrite(parcels[1], lambda codes: codes.__setitem__(ids > 0, 7))
    with pytest.raises(TrainingError, match="All parcels are void"):
        _prepare([parcels], replace(TINY, ignore_label=7))


def test_crops_without_parcels_are_refused(parcels: Triple) -> None:
    rewrite(parcels[2], lambda ids: ids.__setitem__(slice(0, 90), 0))
    course = _start([parcels], TINY)
    with pytest.raises(TrainingError, match="No 2 crops of 24 pixels with 2 parcels"):
        course.loss(np.random.default_rng(0), 0)


def test_what_cannot_be_validated_or_computed_is_refused_before_the_first_step(parcels: Triple) -> None:
    with pytest.raises(TrainingError, match="Patches of 31 pixels and 3 dates do not suit .* multiples of 2"):
        _start([parcels], replace(TINY, patch=31))
    with pytest.raises(TrainingError, match="Crops of 23 pixels"):
        _start([parcels], replace(TINY, crop=23))
    rewrite(parcels[2], lambda ids: ids.__setitem__(slice(72, 96), 0))
    with pytest.raises(TrainingError, match="Nothing to validate on: there is no parcel"):
        _start([parcels], TINY)


def test_where_nothing_was_observed_there_is_nothing_to_validate_on(parcels: Triple) -> None:
    for path in parcels[0].iterdir():
        with rasterio.open(path, "r+") as image:
            values = image.read()
            values[:, 72:] = image.nodata
            image.write(values)
    with pytest.raises(TrainingError, match="Nothing to validate on"):
        _start([parcels], TINY)


def test_one_detection_gives_the_scores_of_every_threshold(parcels: Triple) -> None:
    course = _start([parcels], TINY)
    for layer, bias in (("heatmap_conv.0.conv.4", 13.0), ("saliency_conv.conv.4", 6.0), ("mask_cnn.5", 2.0)):
        torch.nn.init.constant_(course.module.get_submodule(layer).bias, bias)
    torch.nn.init.constant_(course.module.get_submodule("heatmap_conv.0.conv.4").weight, 150)
    course.module.eval()
    sample = next(iter(validation_samples(course.scenes, course.card)))
    found = course._examine(sample)
    x, positions = collate([sample], course.normalise, course.device)
    predicted = set()
    for threshold, scores in zip(THRESHOLDS, found, strict=True):
        with torch.inference_mode():
            (detections,) = course.module.detect(x, positions, threshold)
            instances, _ = course.module.assemble(detections, (32, 32))
        codes = np.where(instances > 0, 7, 0)
        overlaps = Overlaps.of(sample.parcels, sample.labels, instances.numpy(), codes)
        expected = panoptic_scores(overlaps, [7], {UNLABELLED})
        for name in ("predicted", "true", "iou"):
            assert getattr(scores, name).tolist() == getattr(expected, name).tolist()
        predicted.add(int(scores.predicted[0]))
    assert len(predicted) > 3
