import math

import pytest
import torch

from sitsinfer.errors import ModelError
from sitsinfer.models.ltae import LTAE2d, positional_encoding
from tests.golden.generator import fill_weights


@pytest.fixture
def encoder():
    model = LTAE2d(in_channels=8, n_head=2, d_k=3, mlp=[12, 6], d_model=12).eval()
    fill_weights(model)
    return model


def test_positions_are_encoded_by_sines_and_cosines_of_falling_frequency():
    days = torch.tensor([-40, 0, 365])
    table = positional_encoding(days, size=4, period=1000)
    expected = [[math.sin(d), math.cos(d), math.sin(d / 1000**0.5), math.cos(d / 1000**0.5)] for d in (-40, 0, 365)]
    torch.testing.assert_close(table, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_days_given_as_float64_are_encoded_in_that_precision():
    table = positional_encoding(torch.tensor([410.0], dtype=torch.float64), size=2, period=1000)
    assert table.dtype == torch.float32
    assert table.tolist()[0] == pytest.approx([math.sin(410), math.cos(410)], abs=1e-7)
    exact = math.sin(409 / 1000 ** (2 / 6))
    for days, bound in ((torch.tensor([409.0], dtype=torch.float64), 6e-8), (torch.tensor([409]), 1e-5)):
        assert float(positional_encoding(days, size=6, period=1000)[0, 2]) == pytest.approx(exact, abs=bound)


def test_every_pixel_is_pooled_alone(encoder):
    x, days = torch.randn(1, 4, 8, 3, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([[2, 9, 40, 41]])
    with torch.inference_mode():
        out, attention = encoder(x, days)
        one, weights = encoder(x[..., 1:2, 3:4], days)
    torch.testing.assert_close(one[..., 0, 0], out[..., 1, 3])
    torch.testing.assert_close(weights[..., 0, 0], attention[..., 1, 3])


def test_positions_may_differ_from_pixel_to_pixel(encoder):
    x = torch.randn(1, 3, 8, 2, 2, generator=torch.Generator().manual_seed(0))
    days = torch.tensor([[5, 60, 90]])
    spread = days[:, :, None, None].repeat(1, 1, 2, 2)
    spread[..., 0, 0] += 30
    with torch.inference_mode():
        out, _ = encoder(x, days)
        shifted, _ = encoder(x, spread)
    torch.testing.assert_close(shifted[..., 1, 1], out[..., 1, 1])
    assert not torch.allclose(shifted[..., 0, 0], out[..., 0, 0], atol=1e-3)


def test_missing_positions_are_refused(encoder):
    with pytest.raises(ModelError, match="needs the dates' positions"):
        encoder(torch.zeros(1, 3, 8, 2, 2))


def test_mlp_must_start_at_the_width_of_attention():
    with pytest.raises(ModelError, match=r"mlp starts at 10 but attention gives 12 channels\. Set mlp\[0\] to 12"):
        LTAE2d(in_channels=8, n_head=2, mlp=[10, 6], d_model=12)
