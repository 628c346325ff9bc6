import pytest
import torch
from torch import nn

from sitsinfer import models
from sitsinfer.errors import ModelError
from tests.data.record_models import filled

TINY = {"blocks": 2, "features": 4}


def bands(height=21, width=27):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(1, 4, height, width, generator=generator), torch.rand(1, 6, height, width, generator=generator)


def test_parameters_stand_in_the_order_of_the_layers():
    names = list(models.build("dsen2", TINY).state_dict())
    order = ["first", "blocks.0.conv1", "blocks.0.conv2", "blocks.1.conv1", "blocks.1.conv2", "last"]
    assert names == [f"{layer}.{kind}" for layer in order for kind in ("weight", "bias")]


def test_the_published_size_is_the_default():
    with torch.device("meta"):
        model = models.build("dsen2", {})
    assert (len(model.blocks), model.first.out_channels, model.reach) == (32, 256, 66)


def test_it_adds_detail_to_bands_of_20_m():
    model, (x10, x20) = filled("dsen2", TINY), bands()
    nn.init.zeros_(model.last.weight)
    nn.init.zeros_(model.last.bias)
    with torch.inference_mode():
        torch.testing.assert_close(model(x10, x20), x20, rtol=0, atol=0)


def test_a_residual_block_adds_a_tenth():
    block = models.build("dsen2", TINY).blocks[0]
    x = torch.rand(1, 4, 5, 7)
    with torch.inference_mode():
        detail = block.conv2(block.conv1(x).clamp(min=0))
        torch.testing.assert_close(block(x), x + 0.1 * detail)


@pytest.mark.parametrize("which", [0, 1])
def test_a_pixel_sees_as_far_as_reach_says(which):
    model, inputs = filled("dsen2", TINY), [x.requires_grad_() for x in bands()]
    model(*inputs)[0, :, 10, 13].sum().backward()
    rows, cols = inputs[which].grad[0].abs().sum(dim=0).nonzero().unbind(dim=1)
    assert model.reach == 6
    assert (rows.min(), rows.max()) == (4, 16)
    assert (cols.min(), cols.max()) == (7, 19)


def test_bands_in_the_wrong_place_are_refused():
    x10, x20 = bands()
    with pytest.raises(ModelError, match=r"6 bands of 10 m and 4 of 20 m\. Expected 4 and 6"):
        filled("dsen2", TINY)(x20, x10)
