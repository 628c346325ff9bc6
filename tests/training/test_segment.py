from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from sitsinfer import weights
from sitsinfer.errors import TrainingError
from sitsinfer.training.segment import _LOSSES, Options, train_segment

Write = Callable[..., tuple[Path, Path]]

TINY = Options(
    hyperparameters={
        "encoder_widths": [8, 8],
        "decoder_widths": [8, 8],
        "out_conv": [8, 0],
        "n_head": 4,
        "d_model": 16,
        "d_k": 4,
    },
    patch=32,
    margin=4,
    blend=4,
    crop=16,
    dates=(3, 5),
    steps=60,
    rate=0.01,
    validate_every=20,
    validation=0.25,
    device="cpu",
)


def test_what_can_be_learned_is_learned(scene: Write, tmp_path: Path) -> None:
    losses: list[float] = []
    card = train_segment([scene()], tmp_path / "model", TINY, progress=lambda step, loss: losses.append(loss))
    loaded, folder = weights.load_card(str(tmp_path / "model"))
    assert loaded == card
    assert len(weights.load_modules(card, folder)) == 1
    assert [(entry.code, entry.name, entry.color) for entry in card.classes] == [
        (2, "Meadow", (10, 200, 30)),
        (7, "Maize", (250, 200, 0)),
    ]
    assert card.bands == ("B04", "B08", "B11")
    assert card.sensor == "sentinel-2"
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert float(card.description.split()[-1].rstrip(".")) > 0.8
    assert not (tmp_path / "model.partial").exists()


class KilledError(Exception):
    pass


def test_a_run_that_was_killed_ends_as_if_it_was_not(scene: Write, tmp_path: Path) -> None:
    options = replace(TINY, steps=12, validate_every=4)
    pair = scene()
    train_segment([pair], tmp_path / "whole", options)

    def kill(step: int, loss: float) -> None:
        if step == 7:
            raise KilledError

    with pytest.raises(KilledError):
        train_segment([pair], tmp_path / "killed", options, progress=kill)
    assert not (tmp_path / "killed").exists()
    seen: list[int] = []
    train_segment([pair], tmp_path / "killed", options, progress=lambda step, loss: seen.append(step))
    assert seen[0] == 5
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_ignored_label_is_no_class(scene: Write, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="labels have 1 class"):
        train_segment([scene()], tmp_path / "model", replace(TINY, ignore_label=7))


def test_what_cannot_be_validated_or_computed_is_refused_before_the_first_step(scene: Write, tmp_path: Path) -> None:
    steps: list[int] = []

    def refused(words: str, **options: int) -> None:
        with pytest.raises(TrainingError, match=words):
            train_segment(
                [pair], tmp_path / "model", replace(TINY, **options), progress=lambda step, loss: steps.append(step)
            )

    pair = scene()
    refused("Patches of 31 pixels and 3 dates do not suit the network. .* multiples of 2", patch=31)
    refused("Crops of 15 pixels", crop=15)
    with rasterio.open(pair[1], "r+") as raster:
        codes = raster.read(1)
        codes[72:] = 255
        raster.write(codes, 1)
    refused("Nothing to validate on: there is no label")
    assert steps == []


def test_a_network_that_cannot_be_trained_is_refused() -> None:
    with pytest.raises(TrainingError, match="network is of 'paps'. Expected 'utae'"):
        replace(TINY, architecture="paps")


def test_focal_loss_looks_away_from_what_is_certain() -> None:
    scores = torch.tensor([[4.0, 0.0], [0.0, 0.5], [9.0, 9.0]]).T[None, :, :, None]  # (1, 2, 3, 1)
    labels = torch.tensor([0, 0, 255])[None, :, None]
    plain, focal = _LOSSES["cross-entropy"](scores, labels), _LOSSES["focal"](scores, labels)
    p = torch.softmax(scores[0, :, :2, 0], dim=0)[0]
    torch.testing.assert_close(plain, -torch.log(p).mean())
    torch.testing.assert_close(focal, ((1 - p) ** 2 * -torch.log(p)).mean())
