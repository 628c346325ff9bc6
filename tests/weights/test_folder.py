import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sitsinfer import models, weights
from sitsinfer.errors import OutputError, WeightsError
from sitsinfer.weights import Card, Member
from sitsinfer.weights import folder as folders
from tests.parcel_model import write_parcel_model


def edit(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_folder_gives_back_what_was_saved(model_folder: Path) -> None:
    card, folder = weights.load_card(str(model_folder))
    (module,) = weights.load_modules(card, folder)
    torch.manual_seed(0)
    expected = models.build("utae", card.hyperparameters).state_dict()
    found = module.state_dict()
    assert not module.training
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_members_keep_their_own_weights(tmp_path: Path, make_card: Callable[..., Card]) -> None:
    members = (Member("Fold_1", (0.1, 0.2), (0.1, 0.1)), Member("Fold_2", (0.2, 0.3), (0.1, 0.1)))
    card = make_card(members=members)
    states = [models.build("utae", card.hyperparameters).state_dict() for _ in members]
    weights.save(tmp_path / "two", card, states)
    card, folder = weights.load_card(str(tmp_path / "two"))
    first, second = weights.load_modules(card, folder)
    key = "in_conv.conv.conv.0.weight"
    assert torch.equal(first.state_dict()[key], states[0][key])
    assert torch.equal(second.state_dict()[key], states[1][key])
    with pytest.raises(WeightsError, match="of no member"):
        weights.load_modules(replace(card, members=members[:1]), folder)


def test_weights_that_changed_are_refused(model_folder: Path) -> None:
    path = model_folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"has SHA-256 \w{12}\.\.\. but model.json says"):
        weights.load_card(str(model_folder))


def test_truncated_weights_are_refused_even_with_their_digest(model_folder: Path) -> None:
    path = model_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    edit(model_folder, digest=hashlib.sha256(path.read_bytes()).hexdigest())
    card, folder = weights.load_card(str(model_folder))
    with pytest.raises(WeightsError, match="not a whole safetensors file") as caught:
        weights.load_modules(card, folder)
    assert "\n" not in str(caught.value)


def test_a_wrong_number_of_classes_is_refused_before_torch_loads(model_folder: Path) -> None:
    classes = json.loads((model_folder / "model.json").read_text())["classes"]
    edit(model_folder, classes=classes[:2], ignore=[])
    with pytest.raises(WeightsError, match="lists 2 classes but the weights have 3"):
        weights.load_card(str(model_folder))


def test_weights_of_another_architecture_are_refused(model_folder: Path) -> None:
    card, folder = weights.load_card(str(model_folder))
    deeper = {**card.hyperparameters, "encoder_widths": [4, 4, 8, 8], "decoder_widths": [4, 4, 8, 8]}
    with pytest.raises(WeightsError, match=r"lacks 'down_blocks.2.* and \d+ more"):
        weights.load_modules(replace(card, hyperparameters=deeper), folder)
    shallower = {**card.hyperparameters, "encoder_widths": [4, 8], "decoder_widths": [4, 8]}
    with pytest.raises(WeightsError, match=r"has also 'down_blocks.1.* and \d+ more"):
        weights.load_modules(replace(card, hyperparameters=shallower), folder)
    wider = {**card.hyperparameters, "encoder_widths": [8, 4, 8]}
    with pytest.raises(WeightsError, match=r"shape \(4, 2, 3, 3\), not \(8, 2, 3, 3\)"):
        weights.load_modules(replace(card, hyperparameters=wider), folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(model_folder: Path, name: str) -> None:
    (model_folder / name).unlink()
    with pytest.raises(WeightsError, match=f"{name} is missing"):
        weights.load_card(str(model_folder))


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="There is no model 'nowhere'"):
        weights.load_card("nowhere")


def test_embedded_models_are_whole_and_small() -> None:
    for name in weights.list_models():
        card, folder = weights.load_any_card(name)
        assert card.name == name
        assert weights.load_modules(card, folder)
        assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6


def test_a_confidence_that_parcels_were_not_tuned_to_is_refused(tmp_path: Path) -> None:
    folder = write_parcel_model(tmp_path / "parcels")
    card, _ = weights.load_card(str(folder), "panoptic")
    for rounded in ({}, {"min_confidence": 0.10004}, {"min_confidence": 0.09996}):
        weights.load_modules(replace(card, hyperparameters={**card.hyperparameters, **rounded}), folder)
    for said in (0.15, 0, 1):
        changed = replace(card, hyperparameters={**card.hyperparameters, "min_confidence": said})
        with pytest.raises(WeightsError, match=rf"was tuned to a min_confidence of 0\.1 but .* says {said}\. "):
            weights.load_modules(changed, folder)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, make_card: Callable[..., Card]) -> None:
    (tmp_path / "file").touch()
    card = make_card()
    state = models.build("utae", card.hyperparameters).state_dict()
    with pytest.raises(OutputError, match="Cannot write the model to"):
        weights.save(tmp_path / "file" / "model", card, [state])


def test_reading_a_card_imports_no_torch(model_folder: Path) -> None:
    script = "import sys; from sitsinfer import weights; weights.load_card(sys.argv[1]); print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script, str(model_folder)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_a_fusion_model_gives_back_what_was_saved(fusion_folder: Path) -> None:
    card, folder = weights.load_fusion_card(str(fusion_folder))
    (module,) = weights.load_modules(card, folder)
    torch.manual_seed(0)
    expected = models.build("dsen2", card.hyperparameters).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in module.state_dict().items())
    assert weights.load_any_card(str(fusion_folder)) == (card, folder)


def test_a_model_of_another_task_is_refused_with_its_command(model_folder: Path, fusion_folder: Path) -> None:
    with pytest.raises(WeightsError, match="sharp is a model for fuse, not for segment. Use 'sitsinfer fuse'"):
        weights.load_card(str(fusion_folder))
    with pytest.raises(WeightsError, match="tiny is a model for segment, not for fuse. Use 'sitsinfer segment'"):
        weights.load_fusion_card(str(model_folder))


def test_an_unknown_task_is_refused(fusion_folder: Path) -> None:
    for task in ("regress", None, ["fuse"]):
        edit(fusion_folder, task=task)
        with pytest.raises(
            WeightsError, match="'task' of .*model.json is .* Expected 'segment' or 'panoptic' or 'fuse'"
        ):
            weights.load_fusion_card(str(fusion_folder))


def test_weights_are_hashed_once_while_they_stay_the_same(fusion_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(folders.hashlib, "file_digest", lambda *args: hashed.append(args) or digest(*args))
    card, folder = weights.load_fusion_card(str(fusion_folder))
    weights.load_modules(card, folder)
    assert len(hashed) == 1
    (fusion_folder / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="has SHA-256"):
        weights.load_modules(card, folder)
