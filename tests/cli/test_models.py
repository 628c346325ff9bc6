import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sitsinfer import models, weights
from sitsinfer.cli.models import app
from sitsinfer.errors import OutputError, WeightsError
from tests.fakes import TINY_UTAE
from tests.weights.published import TINY_TAMRF, tamrf_tensors, write_paps, write_tamrf

OPTIONS = TINY_UTAE | {"encoder_widths": [4, 4], "decoder_widths": [4, 4], "out_conv": [4, 20]}


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """What imports fold 1 of a release to ``tmp_path / "out"``."""
    (tmp_path / "Fold_1").mkdir()
    conf = {"model": "utae", **OPTIONS, "num_classes": 20, "ref_date": "2018-09-01"}
    (tmp_path / "conf.json").write_text(json.dumps(conf))
    state = models.build("utae", {"input_dim": 10, **OPTIONS}).state_dict()
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "Fold_1" / "model.pth.tar")
    statistics = {f"Fold_{k}": {"mean": [1000.0] * 10, "std": [500.0] * 10} for k in range(1, 6)}
    (tmp_path / "norm.json").write_text(json.dumps(statistics))
    return ["import", "utae", str(tmp_path), "--norm", str(tmp_path / "norm.json"), "--out", str(tmp_path / "out")]


def test_an_imported_release_can_be_shown(arguments: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*arguments, "--fold", "1"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "utae trained on PASTIS, fold 1" in result.stdout
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "out")], catch_exceptions=False).stdout
    assert "days since 2018-09-01" in shown
    assert "patch    128 pixels, margin 4, blend 4, fill reflect\nmembers  1\n" in shown
    assert "min_" not in shown
    assert "2 Soft winter wheat" in shown
    assert "19 Void label" not in shown
    printed = CliRunner().invoke(app, ["show", str(tmp_path / "out"), "--json"], catch_exceptions=False).stdout
    assert printed == (tmp_path / "out" / "model.json").read_text()


def test_a_model_is_not_replaced_unasked(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert CliRunner().invoke(app, [*arguments, "--overwrite"], catch_exceptions=False).exit_code == 0
    assert weights.load_card(str(tmp_path / "out"))[0].members[0].name == ""


def test_a_fold_that_is_no_number_is_misuse(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--fold", "first"])
    assert result.exit_code == 2
    assert "'first' is no fold" in result.output


def test_one_fold_of_a_panoptic_release_is_imported(arguments: list[str], tmp_path: Path) -> None:
    release = write_paps(tmp_path / "panoptic", {1: 0.3, 2: 0.8})
    command = ["import", "paps", str(release), *arguments[3:]]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "utae with PaPs trained on PASTIS, fold 1" in result.stdout
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "out")], catch_exceptions=False).stdout
    assert "classes  1 Meadow, 2 Soft winter wheat" in shown
    assert "patch    128 pixels, margin 16, fill reflect\n" in shown
    assert "parcels  min_confidence 0.3, min_remain 0.5, mask_threshold 0.4\n" in shown
    assert "members" not in shown
    with pytest.raises(OutputError, match="already exists"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    changed = [*command, "--fold", "2", "--norm-folds", "test", "--overwrite"]
    assert "fold 2" in CliRunner().invoke(app, changed, catch_exceptions=False).stdout
    card, _ = weights.load_card(str(tmp_path / "out"), task="panoptic")
    assert card.hyperparameters["min_confidence"] == 0.8
    assert "statistics of the test folds" in card.description


@pytest.mark.parametrize("folds", ["all", "1,2"])
def test_several_folds_of_a_panoptic_release_are_misuse(arguments: list[str], folds: str) -> None:
    result = CliRunner().invoke(app, ["import", "paps", *arguments[2:], "--fold", folds])
    assert result.exit_code == 2
    assert f"'{folds}' is no fold" in result.output
    assert "have no mean" in " ".join(result.output.replace("│", " ").split())


def test_embedded_models_are_listed() -> None:
    result = CliRunner().invoke(app, ["list"], catch_exceptions=False)
    assert [line.split()[0] for line in result.stdout.splitlines()] == weights.list_models()


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(WeightsError, match="no model 'nowhere'"):
        CliRunner().invoke(app, ["show", "nowhere"], catch_exceptions=False)


def test_an_imported_fusion_model_can_be_shown(tmp_path: Path) -> None:
    checkpoint, hydra = write_tamrf(tmp_path)
    paths = ["--config", str(hydra), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["import", "tamrf", str(checkpoint), *paths], catch_exceptions=False)
    assert result.exit_code == 0
    assert "TAMRF s1t2" in result.stdout
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "out")], catch_exceptions=False).stdout
    assert "lr       landsat: B01 B02 B03 B04 B05 B06 B07 LST" in shown
    assert "days since January 1st, 0 to 364" in shown
    printed = CliRunner().invoke(app, ["show", str(tmp_path / "out"), "--json"], catch_exceptions=False).stdout
    assert printed == (tmp_path / "out" / "model.json").read_text()
    with pytest.raises(OutputError, match="already exists"):
        CliRunner().invoke(app, ["import", "tamrf", str(checkpoint), *paths], catch_exceptions=False)


def test_tamrf_without_configuration_is_imported_on_request_alone(tmp_path: Path) -> None:
    release = TINY_TAMRF | {"positional_features": 64, "heads": 4, "decoder_heads": 4}
    checkpoint, hydra = write_tamrf(tmp_path, tamrf_tensors(release))
    command = ["import", "tamrf", str(checkpoint), "--out", str(tmp_path / "out")]
    for options, told in (
        ([], "Give --config with"),
        (["--config", str(hydra), "--assume-release"], "--config and --assume-release are both given"),
    ):
        result = CliRunner().invoke(app, [*command, *options])
        assert result.exit_code == 2
        assert told in result.output
    assert CliRunner().invoke(app, [*command, "--assume-release"], catch_exceptions=False).exit_code == 0
    assert weights.load_fusion_card(str(tmp_path / "out"))[0].hyperparameters["heads"] == 4


@pytest.mark.parametrize("options", [[], ["--config", "nowhere"], ["--assume-release"]])
def test_a_checkpoint_that_is_not_there_is_told_before_anything_else(tmp_path: Path, options: list[str]) -> None:
    command = ["import", "tamrf", str(tmp_path / "nofile.ckpt"), "--out", str(tmp_path / "out"), *options]
    with pytest.raises(WeightsError, match=r"nofile\.ckpt is missing\. Check the path"):
        CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        ("dstfn", {"features": 16, "dense_layers": 1, "growth_rate": 2}),
        ("dsen2", {"blocks": 1, "features": 3}),
    ],
)
def test_networks_of_the_comparison_are_imported(tmp_path: Path, name: str, hyperparameters: dict[str, int]) -> None:
    torch.save(models.build(name, hyperparameters).state_dict(), tmp_path / "model.pth")
    command = ["import", name, str(tmp_path / "model.pth"), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    assert weights.load_fusion_card(str(tmp_path / "out"))[0].architecture == name
    with pytest.raises(OutputError, match="already exists"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert CliRunner().invoke(app, [*command, "--overwrite"], catch_exceptions=False).exit_code == 0
