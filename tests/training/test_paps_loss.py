from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from sitsinfer.models.paps import Heads, PaPs
from sitsinfer.training.paps_loss import (
    Losses,
    _at_predicted_centres,
    _centre_loss,
    _true_parcels,
    compare,
)
from sitsinfer.training.targets import Targets, find_targets

HEIGHT, WIDTH = 16, 24


def crop(*boxes: tuple[int, int, int, int]) -> Targets:
    """A crop of parcels of class 3 that fill their boxes."""
    parcels = np.zeros((HEIGHT, WIDTH), np.uint32)
    for number, (row, col, height, width) in enumerate(boxes, start=1):
        parcels[row : row + height, col : col + width] = number
    return find_targets(np.where(parcels > 0, 3, 0).astype(np.uint8), parcels)


TARGETS = [crop((2, 3, 4, 6), (9, 10, 5, 8)), crop((0, 0, 6, 3))]
CHANNELS = [np.array([1, 2]), np.array([1])]


class Knowing:
    """A network that says what its one map holds: height, width, channel, and how sure it is of a box to be filled."""

    mask_cnn = None
    boxes = staticmethod(PaPs.boxes)

    def __init__(self, heatmap: Tensor) -> None:
        self._heatmap = heatmap

    def heatmap(self, maps: Sequence[Tensor]) -> Tensor:
        return self._heatmap

    def saliency(self, maps: Sequence[Tensor]) -> Tensor:
        return torch.full((len(self._heatmap), 1, HEIGHT, WIDTH), 20.0)

    def describe(self, maps: Sequence[Tensor], where: Tensor) -> Heads:
        sample, row, col = where.unbind(1)
        said = maps[-1][sample, :, row, col]
        scores = 50 * torch.nn.functional.one_hot(said[:, 2].long(), 4).float()
        return Heads(said[:, :2], said[:, 3, None, None].logit(1e-6).expand(-1, 2, 2), scores)


def truth(heatmap: Tensor | None = None) -> tuple[Knowing, Tensor]:
    """A network, and a map that makes it say the truth at the true centres."""
    said = torch.zeros(2, 4, HEIGHT, WIDTH)
    for sample, (targets, channels) in enumerate(zip(TARGETS, CHANNELS, strict=True)):
        for (row, col), (_, _, height, width), channel in zip(targets.centres, targets.boxes, channels, strict=True):
            said[sample, :, row, col] = torch.tensor([height, width, channel, 1.0])
    exact = torch.from_numpy(np.stack([targets.heatmap for targets in TARGETS]))[:, None]
    return Knowing((exact == 1).float() if heatmap is None else heatmap), said


def losses(network: Knowing, said: Tensor, use_truth: bool = True) -> Losses:
    return compare(network, [said], TARGETS, CHANNELS, use_truth)  # type: ignore[arg-type]


@pytest.mark.parametrize("use_truth", [True, False])
def test_the_truth_costs_nothing(use_truth: bool) -> None:
    for loss in losses(*truth(), use_truth):
        assert loss.item() == pytest.approx(0, abs=0.03)  # what lies beside a centre is forgiven, but not all of it


def test_sizes_cost_what_they_are_wrong_by() -> None:
    network, said = truth()
    said[0, 0] *= 2  # heights of the first crop: two parcels of three
    said[1, 1] *= 0.5  # the width of the second
    assert losses(network, said).size.item() == pytest.approx((1 + 1 + 0.5) / 3)


def test_each_parcel_weighs_the_same_in_the_cost_of_shapes() -> None:
    network, said = truth()
    said[1, 3] = 0.25
    assert losses(network, said).shape.item() == pytest.approx(-np.log(0.25) / 3, rel=1e-4)


def test_classes_cost_their_cross_entropy() -> None:
    network, said = truth()
    said[0, 2] = 0
    assert losses(network, said).classes.item() == pytest.approx(2 / 3 * 50, rel=1e-3)


def test_a_box_that_is_too_large_costs_its_other_pixels() -> None:
    network, said = truth()
    said[1, :2] *= 3  # 18 x 9 around row 3 and column 1: 12 x 6 of it, or so, within the crop
    found = losses(network, said, use_truth=False).shape.item()
    parts = (6 * 3, 12 * 6)
    assert found == pytest.approx(-np.log(1e-6) * (1 - parts[0] / parts[1]) / 3, rel=0.05)
    assert losses(network, said, use_truth=True).shape.item() == pytest.approx(0, abs=1e-3)


def test_centres_cost_less_beside_the_truth_and_nothing_where_none_is_known() -> None:
    targets = crop((2, 3, 4, 6), (9, 10, 5, 8))
    targets.counted[:, 20:] = False
    heatmap = torch.full((1, HEIGHT, WIDTH), 0.1)
    expected = 0.0
    for row in range(HEIGHT):
        for col in range(20):
            true = float(targets.heatmap[row, col])
            expected -= np.log(0.1) if true == 1 else (1 - true) ** 4 * np.log(0.9)
    assert _centre_loss(heatmap, [targets]).item() == pytest.approx(expected / 2, rel=1e-5)


def test_a_parcel_is_described_at_the_best_centre_of_its_zone() -> None:
    heatmap = torch.zeros(2, 1, HEIGHT, WIDTH)
    heatmap[0, 0, 1, 1] = 0.5  # all in the zone of the first parcel of the first crop
    heatmap[0, 0, 4, 6] = 0.7
    heatmap[1, 0, 15, 22] = 0.2
    parcels = _true_parcels(TARGETS, CHANNELS, torch.device("cpu"))
    found = _at_predicted_centres(parcels, TARGETS, heatmap)
    assert found.samples.tolist() == [0, 1]
    assert found.numbers.tolist() == [0, 0]
    assert found.boxes.tolist() == [[2, 3, 4, 6], [0, 0, 6, 3]]
    assert found.channels.tolist() == [1, 1]
    assert found.centres.tolist() == [[4, 6], [15, 22]]


def test_without_predicted_centres_the_true_ones_are_taken() -> None:
    network, said = truth(heatmap=torch.full((2, 1, HEIGHT, WIDTH), 0.5))
    assert losses(network, said, use_truth=False).size.item() == pytest.approx(0)


def test_every_head_learns() -> None:
    encoder = {"encoder_widths": [8, 8], "decoder_widths": [8, 8], "out_conv": [8, 4], "n_head": 4, "d_model": 16}
    torch.manual_seed(0)
    module = PaPs(2, encoder=encoder, num_classes=4, shape_size=5)
    x = torch.randn(2, 3, 2, HEIGHT, WIDTH)
    maps = module.maps(x, torch.arange(3).repeat(2, 1))
    torch.stack(compare(module, maps, TARGETS, CHANNELS, use_truth=False)).sum().backward()
    still = {name.split(".")[0] for name, each in module.named_parameters() if each.grad is None}
    assert still == {"encoder"}
    assert all(each.grad is None for each in module.encoder.out_conv.parameters())
    assert all(each.grad.isfinite().all() for each in module.parameters() if each.grad is not None)
