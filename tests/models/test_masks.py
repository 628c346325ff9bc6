import pytest
import torch
import torch.nn.functional as F

from sitsinfer.models.masks import draw_masks, stretch
from sitsinfer.models.paps import PaPs

HEIGHT, WIDTH = 16, 24


@pytest.mark.parametrize("size", [1, 3, 6, 17])
def test_an_axis_is_stretched_bilinearly(size: int) -> None:
    shape = torch.randn(1, 1, 6, generator=torch.Generator().manual_seed(1))
    expected = F.interpolate(shape, size=size, mode="linear", align_corners=False)[0, 0]
    torch.testing.assert_close(stretch(torch.arange(float(size)), 6 / size, 6) @ shape[0, 0], expected)
    part = stretch(torch.arange(float(size))[size // 2 :], 6 / size, 6)
    torch.testing.assert_close(part @ shape[0, 0], expected[size // 2 :])


@pytest.mark.parametrize("mask_conv", [True, False])
def test_masks_drawn_at_once_are_those_drawn_one_by_one(mask_conv: bool) -> None:
    encoder = {"encoder_widths": [8, 8], "decoder_widths": [8, 8], "out_conv": [8, 4], "n_head": 4, "d_model": 16}
    torch.manual_seed(0)
    module = PaPs(2, encoder=encoder, num_classes=4, shape_size=5, mask_conv=mask_conv)
    shapes, saliency = torch.randn(5, 5, 5), torch.randn(2, HEIGHT, WIDTH)
    samples = torch.tensor([0, 1, 1, 0, 1])
    boxes = torch.tensor([[2, 3, 4, 6], [-3, -1, 9, 5], [11, 20, 9, 30], [7, 0, 1, 1], [-5, -9, 40, 50]])
    drawn = draw_masks(module.mask_cnn, shapes, saliency, samples, boxes)
    shown = torch.arange(2 * HEIGHT * WIDTH).view(2, HEIGHT, WIDTH)[drawn.places]
    for n, (row, col, height, width) in enumerate(boxes.tolist()):
        expected = module.mask(shapes[n], saliency[samples[n]], (row, col, height, width))
        found = drawn.masks[n][drawn.inside[n]]
        torch.testing.assert_close(found, expected.flatten(), rtol=1e-4, atol=1e-5)
        rows, cols = slice(max(row, 0), row + height), slice(max(col, 0), col + width)
        pixels = torch.arange(2 * HEIGHT * WIDTH).view(2, HEIGHT, WIDTH)[samples[n], rows, cols]
        assert shown[n][drawn.inside[n]].tolist() == pixels.flatten().tolist()
