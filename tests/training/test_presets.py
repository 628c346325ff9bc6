import json
from pathlib import Path
from typing import Any

import pytest

from sitsinfer import models
from sitsinfer.errors import TrainingError
from sitsinfer.training.presets import ARCHITECTURES, PRESETS, choose_preset, with_classes


def test_networks_come_from_presets_and_files(tmp_path: Path) -> None:
    assert choose_preset("segment", "utae-small") == PRESETS["segment"]["utae-small"]
    with pytest.raises(TrainingError, match="no preset 'unet'. Choose utae, utae-small"):
        choose_preset("segment", "unet")
    with pytest.raises(TrainingError, match="no preset 'utae'. Choose paps, paps-small"):
        choose_preset("panoptic", "utae")
    with pytest.raises(TrainingError, match="no preset 'utae'. Choose pixel-ltae, pixel-ltae-small"):
        choose_preset("pixels", "utae")
    path = tmp_path / "model.json"
    path.write_text('{"architecture": "fpn", "hyperparameters": {"hidden_size": 8}, "name": "x"}')
    assert choose_preset("segment", "utae", path) == ("fpn", {"hidden_size": 8})
    for content in ("{}", "[]", "no JSON", '{"architecture": "fpn", "hyperparameters": [1]}'):
        path.write_text(content)
        with pytest.raises(TrainingError, match="Expected JSON with architecture and hyperparameters"):
            choose_preset("segment", "utae", path)


@pytest.mark.parametrize(
    ("task", "architecture", "words"),
    [
        ("segment", "paps", "is of 'paps'. Expected 'utae', 'recunet', .* for segment"),
        ("segment", "dsen2", "is of 'dsen2'"),
        ("panoptic", "utae", "is of 'utae'. Expected 'paps' for panoptic"),
        ("panoptic", ["paps"], "is of .* Expected 'paps'"),
    ],
)
def test_a_network_for_another_task_is_refused(tmp_path: Path, task: Any, architecture: object, words: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"architecture": architecture, "hyperparameters": {}}))
    with pytest.raises(TrainingError, match=f"{path} {words}"):
        choose_preset(task, "", path)


def test_what_is_trained_can_be_built() -> None:
    for task, names in ARCHITECTURES.items():
        assert set(names) <= set(models.ARCHITECTURES)
        assert {architecture for architecture, _ in PRESETS[task].values()} <= set(names)


def test_the_last_channels_are_those_of_classes() -> None:
    given = {"out_conv": [16, 8, 0], "n_head": 4}
    assert with_classes(given, 5) == {"out_conv": [16, 8, 5], "n_head": 4}
    assert given["out_conv"] == [16, 8, 0]
    assert with_classes({"hidden_dim": 3}, 5) == {"hidden_dim": 3}
    assert with_classes({"mlp4": (16, 0)}, 5, "mlp4") == {"mlp4": [16, 5]}
    for wrong in (5, None, [], "16"):
        with pytest.raises(TrainingError, match="^out_conv is .*. Expected a list of channels"):
            with_classes({"out_conv": wrong}, 5)
