import pytest
import torch
import torch.nn.functional as F

from sitsinfer.models.unet import observed_shares, weighted_sum


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_weights_of_low_resolution_pool_as_if_resampled_whole(groups, layout):
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(6, 8, 12, 20, generator=generator).contiguous(memory_format=layout).view(2, 3, 8, 12, 20)
    weights = torch.rand(2, 3, groups, 3, 5, generator=generator)
    whole = F.interpolate(weights.flatten(0, 1), (12, 20), mode="bilinear", align_corners=False)
    whole = whole.view(2, 3, groups, 12, 20).repeat_interleave(8 // groups, dim=2)
    torch.testing.assert_close(weighted_sum(maps.split([2, 1], dim=1), weights), (whole * maps).sum(dim=1))


def test_sums_of_many_dates_are_exact_enough_in_bfloat16():
    maps = torch.full((1, 400, 4, 8, 8), 1.0, dtype=torch.bfloat16)
    pooled = weighted_sum([maps], torch.full((1, 400, 1, 1, 1), 1 / 400))
    assert pooled.dtype == torch.bfloat16
    torch.testing.assert_close(pooled, torch.ones(1, 4, 8, 8, dtype=torch.bfloat16))


def test_dates_that_are_not_padding_share_alike():
    x = torch.zeros(3, 4, 1, 8, 8)
    pad_mask = torch.tensor([[False] * 4, [False, True, True, False], [True] * 4])
    shares = observed_shares(x, pad_mask)[..., 0, 0, 0]
    assert shares.tolist() == [[0.25] * 4, [0.5, 0, 0, 0.5], [0] * 4]
