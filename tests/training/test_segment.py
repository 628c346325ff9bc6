from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sitsinfer import weights
from sitsinfer.errors import OutputError, TrainingError
from sitsinfer.training.segment import _LOSSES, PRESETS, Options, _schedule, _turn, network, train_segment

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


def test_a_checkpoint_of_other_options_is_refused(scene: Write, tmp_path: Path) -> None:
    pair = scene()

    def kill(step: int, loss: float) -> None:
        if step == 3:
            raise KilledError

    options = replace(TINY, steps=6, validate_every=2)
    with pytest.raises(KilledError):
        train_segment([pair], tmp_path / "model", options, progress=kill)
    with pytest.raises(TrainingError, match="holds a run of other data or options"):
        train_segment([pair], tmp_path / "model", replace(options, rate=0.1))
    train_segment([pair], tmp_path / "model", replace(options, rate=0.1), overwrite=True)
    assert (tmp_path / "model" / "model.json").exists()


def test_a_model_is_not_replaced_unasked(scene: Write, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        train_segment([scene()], tmp_path / "model", TINY)


def test_training_stops_when_nothing_is_learned(scene: Write, tmp_path: Path) -> None:
    seen: list[int] = []
    options = replace(TINY, rate=0.0, steps=100, validate_every=2, patience=2)
    train_segment([scene()], tmp_path / "model", options, progress=lambda step, loss: seen.append(step))
    assert seen[-1] < 20


def test_an_ignored_label_is_no_class(scene: Write, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="labels have 1 class"):
        train_segment([scene()], tmp_path / "model", replace(TINY, ignore_label=7))


def test_a_batch_keeps_labels_on_their_pixels_when_it_turns() -> None:
    x = torch.arange(12).reshape(1, 1, 3, 4)
    seen = {tuple(_turn(x, turns, flip).flatten().tolist()) for turns in range(4) for flip in (False, True)}
    assert len(seen) == 8
    assert torch.equal(_turn(x, 3, True)[0, 0], _turn(x[0, 0], 3, True))


def test_focal_loss_looks_away_from_what_is_certain() -> None:
    scores = torch.tensor([[4.0, 0.0], [0.0, 0.5], [9.0, 9.0]]).T[None, :, :, None]  # (1, 2, 3, 1)
    labels = torch.tensor([0, 0, 255])[None, :, None]
    plain, focal = _LOSSES["cross-entropy"](scores, labels), _LOSSES["focal"](scores, labels)
    p = torch.softmax(scores[0, :, :2, 0], dim=0)[0]
    torch.testing.assert_close(plain, -torch.log(p).mean())
    torch.testing.assert_close(focal, ((1 - p) ** 2 * -torch.log(p)).mean())


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [_schedule(share) for share in np.linspace(0, 1, 101)]
    assert np.argmax(rates) == 5
    assert rates[5] == pytest.approx(1)
    assert 0 < rates[0] < 0.05
    assert rates[-1] == pytest.approx(0)


def test_networks_come_from_presets_and_files(tmp_path: Path) -> None:
    assert network("utae-small") == PRESETS["utae-small"]
    with pytest.raises(TrainingError, match="no preset 'unet'. Choose utae, utae-small"):
        network("unet")
    path = tmp_path / "model.json"
    path.write_text('{"architecture": "fpn", "hyperparameters": {"hidden_size": 8}, "name": "x"}')
    assert network("utae", path) == ("fpn", {"hidden_size": 8})
    path.write_text("{}")
    with pytest.raises(TrainingError, match="Expected JSON with architecture and hyperparameters"):
        network("utae", path)
