import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitsinfer import weights
from sitsinfer.errors import WeightsError
from sitsinfer.weights import Statistics
from tests.weights.published import PSE_DAYS, TINY_PSE, write_pse

UNIT = Statistics(np.zeros((1, 10)), np.ones((1, 10)), "nothing")

CONF: dict[str, Any] = {
    **{name: TINY_PSE["pse_ltae"][name] for name in ("input_dim", "mlp1", "mlp2", "n_head", "d_k", "d_model")},
    **{"pooling": "mean_std", "geomfeat": 1, "T": 1000, "positions": "bespoke", "lms": 5, "dropout": 0.3, "npixel": 48},
    **{"mlp3": [12, 7], "mlp4": [7, 9, 20], "tae": False, "gru": False, "tcnn": False, "num_classes": 20},
}


def parcels(card: weights.ParcelCard) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels, mask and features of three parcels."""
    torch.manual_seed(5)
    return torch.randn(3, len(card.days), 10, 6), torch.ones(3, len(card.days), 6), torch.randn(3, len(card.days), 4)


@pytest.mark.parametrize("conf", [None, CONF])
def test_an_imported_release_computes_as_it_did(tmp_path: Path, conf: object) -> None:
    release = weights.read_pse(write_pse(tmp_path / "release", conf=conf))
    written = weights.import_pse(release, UNIT, tmp_path / "out")
    card, folder = weights.load_parcel_card(str(tmp_path / "out"))
    assert card == written
    assert (card.days, card.reference_date) == (tuple(PSE_DAYS), datetime.date(2017, 1, 5))
    assert (card.pixels, card.hyperparameters["dropout"]) == ((48, 0.3) if conf else (64, 0.2))
    assert [member.name for member in card.members] == ["Fold_1", "Fold_2"]
    assert [card.classes[k].code for k in (0, 1, 19)] == [1, 3, 39]
    assert card.geometry_mean == ()
    inputs = parcels(card)
    for fold, module in enumerate(weights.load_modules(card, folder), 1):
        original = torch.load(tmp_path / "release" / f"Fold_{fold}" / "model.pth.tar", weights_only=True)["state_dict"]
        assert all(torch.equal(value, original[name]) for name, value in module.state_dict().items())
        assert module(*inputs).shape == (3, 20)


@pytest.mark.parametrize("architecture", ["pse_tae", "pse_gru", "pse_tempcnn"])
def test_competitors_are_imported(tmp_path: Path, architecture: str) -> None:
    days = [] if architecture == "pse_tae" else PSE_DAYS
    release = weights.read_pse(write_pse(tmp_path / "release", architecture), days=days)
    card = weights.import_pse(release, UNIT, tmp_path / "out")
    assert (card.architecture, card.days) == (architecture, tuple(PSE_DAYS))
    assert weights.load_modules(card, tmp_path / "out")[1](*parcels(card)).isfinite().all()


def test_some_folds_are_taken_in_the_order_given(tmp_path: Path) -> None:
    folder = write_pse(tmp_path / "release", folds=(1, 3, 11))
    assert weights.read_pse(folder).folds == (1, 3, 11)
    release = weights.read_pse(folder, folds=(11, 1))
    assert [member.name for member in weights.import_pse(release, UNIT, tmp_path / "two").members] == [
        "Fold_11",
        "Fold_1",
    ]
    single = weights.import_pse(weights.read_pse(folder, folds=(3,)), UNIT, tmp_path / "one")
    assert [member.name for member in single.members] == [""]
    assert single.name == "pse-ltae-t31tfm-fold-3"


def test_statistics_of_dates_go_into_the_card(tmp_path: Path) -> None:
    mean = np.arange(50.0).reshape(5, 10)
    release = weights.read_pse(write_pse(tmp_path / "release"))
    card = weights.import_pse(release, Statistics(mean, mean + 1, "dates"), tmp_path / "out")
    np.testing.assert_array_equal(card.statistics(card.members[1])[0], mean)
    assert "normalised by dates." in card.description


def test_a_first_date_that_is_given_holds(tmp_path: Path) -> None:
    release = weights.read_pse(write_pse(tmp_path / "release"))
    card = weights.import_pse(release, UNIT, tmp_path / "out", reference_date=datetime.date(2017, 1, 3))
    assert card.reference_date == datetime.date(2017, 1, 3)


def test_positions_of_other_encoders_skip_a_row(tmp_path: Path) -> None:
    assert weights.read_pse(write_pse(tmp_path, "pse_gru", positions=[0, *PSE_DAYS])).days == tuple(PSE_DAYS)


@pytest.mark.parametrize(
    ("architecture", "changes", "days", "words"),
    [
        ("pse_ltae", {"positions": None}, [], "does not tell the days .* Set days to them"),
        ("pse_gru", {}, [], "does not tell the days"),
        ("pse_tempcnn", {}, [0, 10], "days has 2 days but .* takes 5 dates"),
        ("pse_ltae", {}, [0, 10, 20, 30, 40], "was trained on days 0, 13, 41, 97, 222"),
    ],
)
def test_days_must_be_told_once(
    tmp_path: Path, architecture: str, changes: dict[str, object], days: list[int], words: str
) -> None:
    folder = write_pse(tmp_path, architecture, **changes)
    with pytest.raises(WeightsError, match=words):
        weights.read_pse(folder, days=days)


def test_days_that_repeat_what_weights_tell_are_fine(tmp_path: Path) -> None:
    assert weights.read_pse(write_pse(tmp_path), days=PSE_DAYS).days == tuple(PSE_DAYS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_head": 4}, "has n_head 4 but the weights have 2"),
        ({"lms": 24}, "has lms 24 but the weights have 5"),
        ({"geomfeat": 0}, "has geomfeat 0 but the weights have True"),
        ({"mlp4": [7, 20]}, r"has mlp4 \[7, 20\] but the weights have \[7, 9, 20\]"),
        ({"tae": True}, r"is of PSE\+TAE but the weights are of PSE\+L-TAE"),
    ],
)
def test_options_that_contradict_the_weights_are_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    folder = write_pse(tmp_path, conf={**CONF, **changes})
    with pytest.raises(WeightsError, match=f"conf.json {words}"):
        weights.read_pse(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mlp4": [7, 19]}, "has 19 classes. Expected the 20"),
        ({"input_dim": 4, "mlp1": [4, 4, 6]}, "has 4 bands. Expected the 10"),
    ],
)
def test_weights_of_other_data_are_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    folder = write_pse(tmp_path, **changes)
    with pytest.raises(WeightsError, match=words):
        weights.read_pse(folder)


def test_folders_without_folds_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has no Fold_1/model.pth.tar"):
        weights.read_pse(tmp_path)
    with pytest.raises(WeightsError, match=r"Fold_4.model\.pth\.tar is missing"):
        weights.read_pse(write_pse(tmp_path), folds=(4,))


def test_a_fold_of_another_size_is_refused(tmp_path: Path) -> None:
    write_pse(tmp_path, folds=(2,), mlp1=[10, 5, 6])
    release = weights.read_pse(write_pse(tmp_path, folds=(1,)))
    with pytest.raises(WeightsError, match=r"Fold_2.model\.pth\.tar holds weights of another configuration"):
        weights.import_pse(release, UNIT, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_statistics_are_scaled_to_the_spread_of_training(tmp_path: Path) -> None:
    folder = write_pse(tmp_path, folds=(1, 2), mlp1=[10, 32, 6])
    for path in folder.glob("Fold_*/model.pth.tar"):
        content = torch.load(path, weights_only=True)
        state = content["state_dict"]
        weight = state["spatial_encoder.mlp1.0.lin.weight"]
        state["spatial_encoder.mlp1.0.bn.running_var"] = (weight**2).sum(dim=1) * 0.25  # bands that spread by 0.5
        torch.save(content, path)
    ours = Statistics(np.full((1, 10), 0.2), np.full((1, 10), 0.1), "ours")
    scaled = weights.as_trained(weights.read_pse(folder, folds=(2,)), ours)
    np.testing.assert_allclose(scaled.std, 0.2, rtol=1e-4)
    np.testing.assert_array_equal(scaled.mean, ours.mean)
    assert scaled.origin == "ours, spread as in training"


def test_statistics_stay_where_the_weights_tell_no_spread(tmp_path: Path) -> None:
    release = weights.read_pse(write_pse(tmp_path))
    assert release.spread is None
    assert weights.as_trained(release, UNIT) is UNIT


def test_the_published_folds_are_imported(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data.parent / "weights" / "pse_tae_official"
    if not folder.is_dir():
        pytest.skip(f"needs the published weights in {folder}")
    release = weights.read_pse(folder)
    every_ten_days = (0, 10, 40, 70, 90, 110, 130, 150, 160, 170)
    every_five_days = (180, 185, 190, 195, 200, 215, 230, 235, 245, 250, 260, 275, 280, 285)  # of two satellites
    assert release.days == every_ten_days + every_five_days
    assert release.spread is not None
    np.testing.assert_allclose(release.spread, [0.52, 0.40, 0.62, 0.34, 0.24, 0.25, 0.25, 0.25, 0.27, 0.41], atol=0.006)
    card = weights.import_pse(release, UNIT, tmp_path)
    assert [module(*parcels(card)).isfinite().all() for module in weights.load_modules(card, tmp_path)] == [True] * 3
