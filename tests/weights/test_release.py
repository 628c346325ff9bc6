import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitsinfer import models, weights
from sitsinfer.errors import WeightsError
from sitsinfer.weights.release import BANDS
from tests.fakes import TINY_UTAE
from tests.weights.published import Hostile

CONF: dict[str, Any] = {
    "model": "utae",
    **TINY_UTAE,
    "out_conv": [4, 20],
    "num_classes": 20,
    "ref_date": "2018-09-01",
    "mono_date": None,
    "ignore_index": -1,
    "lr": 0.001,
}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    for fold in (1, 2):
        (folder / f"Fold_{fold}").mkdir(parents=True)
        torch.manual_seed(fold)
        options = {"input_dim": 10, **{key: CONF[key] for key in TINY_UTAE}}
        state = models.build("utae", options).state_dict()
        content = {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.001}]}}
        torch.save(content, folder / f"Fold_{fold}" / "model.pth.tar")
    (folder / "conf.json").write_text(json.dumps(CONF))
    return folder


@pytest.fixture
def norm(tmp_path: Path) -> Path:
    folds = {
        f"Fold_{k}": {"mean": [1000.0 * k + band for band in range(10)], "std": [100.0 * k] * 10} for k in range(1, 6)
    }
    path = tmp_path / "NORM_S2_patch.json"
    path.write_text(json.dumps(folds))
    return path


def test_one_fold_becomes_a_model_folder(release: Path, norm: Path, tmp_path: Path) -> None:
    weights.import_utae(release, [2], norm, tmp_path / "out")
    card, folder = weights.load_card(str(tmp_path / "out"))
    (module,) = weights.load_modules(card, folder)
    torch.manual_seed(2)
    expected = models.build("utae", card.hyperparameters).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in module.state_dict().items())
    assert card.bands == BANDS
    assert card.reference_date.isoformat() == "2018-09-01"
    assert [entry.name for entry in card.predicted][:2] == ["Background", "Meadow"]
    assert len(card.predicted) == 19
    assert len({entry.color for entry in card.classes}) == 20


def test_statistics_are_those_of_the_training_folds(release: Path, norm: Path, tmp_path: Path) -> None:
    card = weights.import_utae(release, [2], norm, tmp_path / "out")  # trained on 2, 3 and 4
    np.testing.assert_allclose(card.members[0].mean, (3000 + np.arange(10)) * 1e-4)
    np.testing.assert_allclose(card.members[0].std, [0.03] * 10)


@pytest.mark.parametrize(("fold", "tested_on"), [(1, 5), (2, 1)])
def test_statistics_can_be_those_of_the_published_test(
    release: Path, norm: Path, tmp_path: Path, fold: int, tested_on: int
) -> None:
    card = weights.import_utae(release, [fold], norm, tmp_path / "out", norm_folds="test")
    np.testing.assert_allclose(card.members[0].mean[0], tested_on * 0.1)


def test_all_folds_become_an_ensemble(release: Path, norm: Path, tmp_path: Path) -> None:
    card = weights.import_utae(release, [], norm, tmp_path / "out")
    assert [member.name for member in card.members] == ["Fold_1", "Fold_2"]
    assert card.members[0].mean != card.members[1].mean
    assert len(weights.load_modules(card, tmp_path / "out")) == 2


def test_code_in_a_pickle_is_not_run(release: Path, norm: Path, tmp_path: Path) -> None:
    path = release / "Fold_1" / "model.pth.tar"
    torch.save({"state_dict": {"x": Hostile()}}, path)
    with pytest.raises(WeightsError, match=r"model.pth.tar holds more than tensors and is not loaded") as caught:
        weights.import_utae(release, [1], norm, tmp_path / "out")
    assert "\n" not in str(caught.value)
    path.write_bytes(pickle.dumps(Hostile(), protocol=2))
    with pytest.raises(WeightsError, match="holds more than tensors"):
        weights.import_utae(release, [1], norm, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_checkpoints_are_refused(release: Path, norm: Path, tmp_path: Path) -> None:
    path = release / "Fold_1" / "model.pth.tar"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"model\.pth\.tar") as caught:
            weights.import_utae(release, [1], norm, tmp_path / "out")
        assert "\n" not in str(caught.value)
    torch.save({"weights": {}}, path)
    with pytest.raises(WeightsError, match="no tensors under the key 'state_dict'"):
        weights.import_utae(release, [1], norm, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "unet"}, "model 'unet'. Expected a semantic release: utae, uconvlstm"),
        ({"num_classes": 5}, "has 5 classes"),
        ({"mono_date": "2019-05-01"}, "single dates"),
        ({"ref_date": "soon"}, "no 'ref_date'"),
        ({"encoder_widths": [4, 8, 8]}, "has shape"),
        ({"model": "convlstm"}, "lacks"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    release: Path, norm: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    (release / "conf.json").write_text(json.dumps({**CONF, **changes}))
    with pytest.raises(WeightsError, match=words):
        weights.import_utae(release, [1], norm, tmp_path / "out")


def test_missing_files_are_named(release: Path, norm: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"Fold_3/model.pth.tar is missing"):
        weights.import_utae(release, [3], norm, tmp_path / "out")
    with pytest.raises(WeightsError, match="There is no fold 7"):
        weights.import_utae(release, [7], norm, tmp_path / "out")
    norm.write_text("{}")
    with pytest.raises(WeightsError, match="lacks mean of Fold_1, Fold_2, Fold_3"):
        weights.import_utae(release, [1], norm, tmp_path / "out")
    (release / "conf.json").unlink()
    with pytest.raises(WeightsError, match=r"conf\.json is missing"):
        weights.import_utae(release, [1], norm, tmp_path / "out")


@pytest.mark.parametrize("model", ["uconvlstm", "buconvlstm", "unet3d", "fpn", "convlstm", "convgru"])
def test_competitors_are_imported_with_their_fixed_hyperparameters(
    release: Path, norm: Path, tmp_path: Path, model: str
) -> None:
    from sitsinfer.weights.release import _COMPETITORS

    architecture, fixed = _COMPETITORS[model]
    state = models.build(architecture, {**fixed, "pad_value": 0}).state_dict()
    torch.save({"epoch": 1, "state_dict": state}, release / "Fold_1" / "model.pth.tar")
    (release / "conf.json").write_text(json.dumps({"model": model, "num_classes": 20, "ref_date": "2018-09-01"}))
    card = weights.import_utae(release, [1], norm, tmp_path / "out")
    assert card.architecture == architecture
    assert len(weights.load_modules(card, tmp_path / "out")) == 1
