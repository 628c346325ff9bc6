import pytest
import torch
from torch import nn

from sitsinfer.errors import ModelError
from sitsinfer.models.folding import fold_layers, softmax
from sitsinfer.models.layers import dense_layers, score_layers
from tests.golden.generator import fill_weights


@pytest.mark.parametrize(
    "layers", [score_layers([5, 7, 18, 3]), dense_layers([5, 20]), dense_layers([5, 9, 4], last_relu=False)]
)
def test_folded_layers_give_what_the_layers_give(layers):
    fill_weights(layers.eval())
    x = torch.randn(11, 5, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(fold_layers(layers)(x), layers(x), rtol=1e-5, atol=1e-6)


def test_what_scales_and_shifts_the_input_is_folded_too():
    layers, (scale, shift) = score_layers([4, 8, 3]).eval(), torch.tensor([[2.0, 1.0, -1.0, 0.5], [0.1, 0.0, 3.0, 7.0]])
    fill_weights(layers)
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        folded = fold_layers(layers, scale, shift)
        torch.testing.assert_close(folded(x), layers(x * scale + shift), rtol=1e-5, atol=1e-5)


def test_other_layers_are_refused():
    with pytest.raises(ModelError, match="A layer of kind GELU cannot be folded"):
        fold_layers([nn.Linear(3, 4), nn.GELU()])


def test_softmax_bears_large_numbers():
    logits = torch.tensor([[1e4, 0.0], [1e4 - 1, -1e4], [-1e4, 0.0]])
    torch.testing.assert_close(softmax(logits, dim=0), logits.softmax(dim=0))
