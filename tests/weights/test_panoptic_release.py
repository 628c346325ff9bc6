import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitsinfer import models, weights
from sitsinfer.errors import WeightsError
from sitsinfer.weights.release import BANDS
from tests.fakes import TINY_UTAE
from tests.weights.published import Hostile, write_paps

CHECKPOINT = "Fold_1/model.pth.tar"


def change(release: Path, **options: Any) -> None:
    path = release / "conf.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_paps(tmp_path / "release", {1: 0.3, 2: 0.8})


@pytest.fixture
def norm(tmp_path: Path) -> Path:
    path = tmp_path / "NORM_S2_patch.json"
    path.write_text(
        json.dumps({f"Fold_{k}": {"mean": [1000.0 * k] * 10, "std": [100.0 * k] * 10} for k in range(1, 6)})
    )
    return path


def test_a_fold_becomes_a_model_folder(release: Path, norm: Path, tmp_path: Path) -> None:
    weights.import_paps(release, 2, norm, tmp_path / "out")
    card, folder = weights.load_card(str(tmp_path / "out"), task="panoptic")
    (module,) = weights.load_modules(card, folder)
    published = torch.load(release / "Fold_2" / "model.pth.tar", weights_only=True)["state_dict"]
    assert all(torch.equal(value, published[key]) for key, value in module.state_dict().items())
    assert card.bands == BANDS
    assert card.reference_date.isoformat() == "2018-09-01"
    assert (card.patch, card.margin, card.blend, card.fill) == (128, 16, 0, "reflect")
    assert [entry.code for entry in card.predicted] == list(range(1, 19))


def test_the_least_confidence_is_that_of_the_checkpoint(release: Path, norm: Path, tmp_path: Path) -> None:
    for fold, tuned in ((1, 0.3), (2, 0.8)):
        card = weights.import_paps(release, fold, norm, tmp_path / "out")
        assert card.hyperparameters["min_confidence"] == tuned
        assert models.build("paps", card.hyperparameters).min_confidence.item() == np.float32(tuned)


@pytest.mark.parametrize("value", [float("nan"), -0.1, 7.0])
def test_a_least_confidence_that_cannot_be_is_refused(release: Path, norm: Path, tmp_path: Path, value: float) -> None:
    content = torch.load(release / CHECKPOINT, weights_only=True)
    content["state_dict"]["min_confidence"].fill_(value)
    torch.save(content, release / CHECKPOINT)
    with pytest.raises(WeightsError, match=r"model\.pth\.tar has min_confidence .* Expected 0 to 1"):
        weights.import_paps(release, 1, norm, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_in_bfloat16_is_read(release: Path, norm: Path, tmp_path: Path) -> None:
    content = torch.load(release / CHECKPOINT, weights_only=True)
    state = {
        key: value.bfloat16() if value.is_floating_point() else value for key, value in content["state_dict"].items()
    }
    torch.save({"state_dict": state}, release / CHECKPOINT)
    card = weights.import_paps(release, 1, norm, tmp_path / "out")
    assert card.hyperparameters["min_confidence"] == state["min_confidence"].item()
    assert len(weights.load_modules(card, tmp_path / "out")) == 1


def test_options_of_the_heads_are_those_of_the_release(norm: Path, tmp_path: Path) -> None:
    heads = {"shape_size": 6, "mask_conv": False, "min_remain": 0.7, "mask_threshold": 0.3}
    release = write_paps(tmp_path / "release", {1: 0.2}, void_label=18, **heads)
    card = weights.import_paps(release, 1, norm, tmp_path / "out")
    assert {name: card.hyperparameters[name] for name in heads} == heads
    assert card.ignore == (0, 18)


def test_a_recurrent_backbone_has_its_fixed_hyperparameters(norm: Path, tmp_path: Path) -> None:
    release = write_paps(tmp_path / "release", {1: 0.4}, backbone="uconvlstm")
    card = weights.import_paps(release, 1, norm, tmp_path / "out")
    assert card.hyperparameters["backbone"] == "recunet"
    assert card.hyperparameters["encoder"]["hidden_dim"] == 64
    assert len(weights.load_modules(card, tmp_path / "out")) == 1


@pytest.mark.parametrize(("norm_folds", "mean"), [("train", 0.3), ("test", 0.1)])
def test_statistics_are_those_of_the_folds_asked_for(
    release: Path, norm: Path, tmp_path: Path, norm_folds: Any, mean: float
) -> None:
    card = weights.import_paps(release, 2, norm, tmp_path / "out", norm_folds=norm_folds)
    np.testing.assert_allclose(card.members[0].mean, [mean] * 10)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "fpn"}, "of a backbone 'fpn'. Expected a panoptic release: utae, uconvlstm"),
        ({"background_label": 1}, "has background_label 1. Expected 0"),
        ({"void_label": 20}, "has void_label 20. Expected a class of PASTIS from 1 to 19"),
        ({"void_label": 0}, "has void_label 0"),
        ({"void_label": [19]}, r"has void_label \[19\]"),
        ({"num_classes": 5}, "has 5 classes"),
        ({"mono_date": "2019-05-01"}, "single dates"),
        ({"ref_date": "soon"}, "no 'ref_date'"),
        ({"shape_size": 8}, "has shape"),
        ({"mask_conv": False}, "it has also 'mask_cnn.0"),
        ({"encoder_widths": [8, 4, 8]}, "has shape"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    release: Path, norm: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    change(release, **changes)
    with pytest.raises(WeightsError, match=words) as caught:
        weights.import_paps(release, 1, norm, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["backbone", "n_head", "min_remain", "void_label", "background_label"])
def test_a_missing_option_is_named(release: Path, norm: Path, tmp_path: Path, option: str) -> None:
    conf = json.loads((release / "conf.json").read_text())
    del conf[option]
    (release / "conf.json").write_text(json.dumps(conf))
    with pytest.raises(
        WeightsError, match="of a backbone 'None'" if option == "backbone" else f"lacks the option '{option}'"
    ):
        weights.import_paps(release, 1, norm, tmp_path / "out")


def test_a_semantic_release_is_no_panoptic_one(release: Path, norm: Path, tmp_path: Path) -> None:
    state = models.build("utae", {"input_dim": 10, **TINY_UTAE, "out_conv": [4, 20]}).state_dict()
    torch.save({"epoch": 1, "state_dict": state}, release / CHECKPOINT)
    with pytest.raises(WeightsError, match=r"it lacks 'min_confidence', 'encoder\.in_conv"):
        weights.import_paps(release, 1, norm, tmp_path / "out")
    with pytest.raises(WeightsError, match="model 'None'. Expected a semantic release"):
        weights.import_utae(release, [1], norm, tmp_path / "out")


def test_code_in_a_pickle_is_not_run(release: Path, norm: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": {"x": Hostile()}}, release / CHECKPOINT)
    with pytest.raises(WeightsError, match="holds more than tensors and is not loaded"):
        weights.import_paps(release, 1, norm, tmp_path / "out")


def test_missing_files_are_named(release: Path, norm: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"Fold_3/model.pth.tar is missing"):
        weights.import_paps(release, 3, norm, tmp_path / "out")
    with pytest.raises(WeightsError, match="There is no fold 7. Choose one from 1 to 5"):
        weights.import_paps(release, 7, norm, tmp_path / "out")
    (release / "conf.json").unlink()
    with pytest.raises(WeightsError, match=r"conf\.json is missing"):
        weights.import_paps(release, 1, norm, tmp_path / "out")
