import pytest
import torch
from torch import nn

from sitsinfer.models.layers import encode_observed, padded_frames


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
