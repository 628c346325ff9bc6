import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sitsinfer.models.layers import GroupNorm, encode_observed, padded_frames


class Doubling(nn.Module):
    """A block that remembers how many frames it saw."""

    seen = 0

    def forward(self, x):
        self.seen += len(x)
        return 2 * x[..., ::2, ::2] + 1


@pytest.fixture
def frames():
    return torch.rand(5, 3, 4, 6, generator=torch.Generator().manual_seed(0)) + 1


def test_frames_are_padding_only_if_every_value_is(frames):
    frames[1] = 0
    frames[2] = 0
    frames[2, 1, 3, 5] = 7
    frames[4, :, 0, 0] = 0
    assert padded_frames(frames, 0).tolist() == [False, True, False, False, False]
    assert not padded_frames(frames, -1).any()


def test_padded_frames_are_filled_and_not_run(frames):
    frames[1] = frames[3] = -9.0
    block = Doubling()
    maps = encode_observed(block, frames, -9.0)
    assert block.seen == 3
    assert (maps[[1, 3]] == -9).all()
    torch.testing.assert_close(maps[[0, 2, 4]], 2 * frames[[0, 2, 4], :, ::2, ::2] + 1)


def test_nothing_but_padding_is_filled_too(frames):
    maps = encode_observed(Doubling(), torch.zeros_like(frames), 0)
    assert maps.shape == (5, 3, 2, 3)
    assert (maps == 0).all()


def test_without_a_padding_value_every_frame_is_run(frames):
    block = Doubling()
    encode_observed(block, torch.zeros_like(frames), None)
    assert block.seen == 5


@pytest.fixture
def large_maps():
    """Two maps of channels that differ in mean and spread, laid out channels last."""
    maps = torch.randn(2, 8, 128, 96, generator=torch.Generator().manual_seed(0))
    spread, mean = torch.linspace(0.5, 2, 8), torch.linspace(-3, 3, 8)
    return (maps * spread[:, None, None] + mean[:, None, None]).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def norm():
    layer = GroupNorm(4, 8)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0.5, 1.5, 8))
        layer.bias.copy_(torch.linspace(-1, 1, 8))
    return layer


def test_groups_of_large_channels_last_maps_are_normalised_accurately(large_maps, norm):
    expected = F.group_norm(large_maps.double(), 4, norm.weight.double(), norm.bias.double())
    with torch.inference_mode():
        torchs = F.group_norm(large_maps, 4, norm.weight, norm.bias)
        ours = norm(large_maps.clone())
    assert (ours - expected).abs().max() < 1e-6 < (torchs - expected).abs().max()
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_maps_of_an_odd_number_of_pixels_are_normalised_too(large_maps, norm):
    odd = large_maps[..., :127, :33].contiguous(memory_format=torch.channels_last)
    expected = F.group_norm(odd.double(), 4, norm.weight.double(), norm.bias.double()).detach()
    with torch.inference_mode():
        torch.testing.assert_close(norm(odd.clone()).double(), expected, rtol=0, atol=1e-5)


def test_normalisation_with_gradients_leaves_its_input_alone(large_maps, norm):
    kept = large_maps.clone()
    norm(large_maps).sum().backward()
    torch.testing.assert_close(large_maps, kept, rtol=0, atol=0)
    assert norm.weight.grad is not None


def test_padded_frames_keep_the_layout_of_the_others(frames):
    frames[1] = 0
    convolution = nn.Conv2d(3, 4, 1).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        maps = encode_observed(convolution, frames, 0)
    assert maps.is_contiguous(memory_format=torch.channels_last)
