from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from sitsinfer import models, weights
from sitsinfer.errors import WeightsError
from tests.weights.published import script

DSTFN = {
    "features": 8,
    "dense_layers": 3,
    "growth_rate": 2,
    "s2_bands": 6,
    "landsat_bands": 6,
    "pan_bands": 1,
    "attention_ratio": 4,
}
DSEN2 = {"blocks": 2, "features": 5, "bands_10m": 4, "bands_20m": 6}


@pytest.fixture
def dstfn() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(models.build("dstfn", DSTFN).state_dict())


class Block(nn.Module):
    """Names its parts as nobody else does."""

    def __init__(self) -> None:
        super().__init__()
        self.zeta = nn.Conv2d(5, 5, 3, padding=1)
        self.alpha = nn.Conv2d(5, 5, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.1 * self.alpha(self.zeta(x).relu())


class Published(nn.Module):
    """DSen2 as a release may have it."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Conv2d(10, 5, 3, padding=1)
        self.middle = nn.Sequential(Block(), Block())
        self.end = nn.Conv2d(5, 6, 3, padding=1)

    def forward(self, x10: torch.Tensor, x20: torch.Tensor) -> torch.Tensor:
        return self.end(self.middle(self.start(torch.cat((x10, x20), 1)).relu())) + x20


def test_dsen2_of_a_torchscript_archive_computes_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = Published()
    script(tmp_path / "L2A20M.pt", published)
    card = weights.import_dsen2(tmp_path / "L2A20M.pt", tmp_path / "out")
    assert card.hyperparameters == DSEN2
    (module,) = weights.load_modules(*weights.load_fusion_card(str(tmp_path / "out")))
    x10, x20 = torch.rand(1, 4, 5, 7), torch.rand(1, 6, 5, 7)
    with torch.inference_mode():
        torch.testing.assert_close(module(x10, x20), published(x10, x20))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda state: state.pop("end.bias"), "holds 11 tensors. Expected weights and biases of DSen2"),
        (lambda state: state.update({"start.weight": torch.zeros(5, 4, 3, 3)}), r"shape \(5, 4, 3, 3\)"),
        (lambda state: state.update({"start.weight": torch.tensor(1.0)}), "Expected weights and biases of DSen2"),
    ],
)
def test_dsen2_of_another_shape_is_refused(
    tmp_path: Path, spoil: Callable[[dict[str, torch.Tensor]], object], words: str
) -> None:
    state = dict(Published().state_dict())
    spoil(state)
    torch.save(state, tmp_path / "L2A20M.pt")
    with pytest.raises(WeightsError, match=words) as caught:
        weights.import_dsen2(tmp_path / "L2A20M.pt", tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_dstfn_is_imported_from_its_state_dict(tmp_path: Path, dstfn: dict[str, torch.Tensor], name: str) -> None:
    published = {f"module.{key}": value for key, value in dstfn.items()}
    published["module.conv1_net1.0.weight"] = torch.zeros(3)  # of a part that served its training
    save = safetensors.torch.save_file if name.endswith("safetensors") else torch.save
    save(published, tmp_path / name)
    card = weights.import_dstfn(tmp_path / name, tmp_path / "out")
    assert card.hyperparameters == DSTFN
    assert [len(sensor.bands) for sensor in card.sensors.values()] == [6, 6, 1]
    (module,) = weights.load_modules(*weights.load_fusion_card(str(tmp_path / "out")))
    assert all(torch.equal(value, dstfn[key]) for key, value in module.state_dict().items())


def test_dstfn_as_a_pickled_object_is_refused_with_a_way_out(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model_100.pth")
    with pytest.raises(WeightsError, match=r"model_100\.pth holds more than .* Load it once where it is trusted"):
        weights.import_dstfn(tmp_path / "model_100.pth", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("conv2_net2.0.weight", None, "it has no 'conv2_net2.0.weight'"),
        ("conv1_net2.0.weight", torch.zeros(3), "is not the state dict of DSTFN: its tensors have other shapes"),
        ("conv4_net2.0.weight", None, "it lacks 'conv4_net2.0.weight'"),
        ("conv1_1x1_net2.bias", torch.zeros(3), r"conv1_1x1_net2.bias has shape \(3,\), not \(8,\)"),
        ("conv9_net2.bias", torch.zeros(3), "it has also 'conv9_net2.bias'"),
        ("conv3_net2.0.weight", torch.zeros(8, 2, 3, 3), "'pan' .* lists 1 bands but the weights have 2"),
    ],
)
def test_dstfn_of_another_shape_is_refused(
    tmp_path: Path, dstfn: dict[str, torch.Tensor], name: str, value: torch.Tensor | None, words: str
) -> None:
    tensors = {key: entry for key, entry in {**dstfn, name: value}.items() if entry is not None}
    torch.save(tensors, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=words) as caught:
        weights.import_dstfn(tmp_path / "model.pth", tmp_path / "out")
    assert "\n" not in str(caught.value)
