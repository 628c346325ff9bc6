"""Layers multiplied out for inference: what is affine one after the other becomes one matrix product.

Products of weights are computed in float64, where the device has it, so that folding costs no precision. What is
computed with them is the same to the bit in any number of threads, where torch's own layers are not always.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer.errors import ModelError

_LANES = 16  # products whose columns are no multiple of it are rounded as the number of threads and rows has it


@dataclass(frozen=True, eq=False)
class Affine:
    """``x @ weight + shift``, and ReLU after it or not.

    Attributes:
        weight: (d_in, d_out), as it is multiplied.
        shift: (d_out,).
        relu: Whether what is negative becomes 0.
    """

    weight: Tensor
    shift: Tensor
    relu: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """From (N, d_in) to (N, d_out)."""
        out = torch.addmm(self.shift, x, self.weight)
        return out.relu_() if self.relu else out

    def then(self, scale: Tensor, shift: Tensor) -> Affine:
        """Scale and shift what comes out."""
        return Affine(self.weight * scale, self.shift * scale + shift)

    def after(self, scale: Tensor, shift: Tensor) -> Affine:
        """Scale and shift what goes in."""
        return replace(self, weight=scale[:, None] * self.weight, shift=shift @ self.weight + self.shift)

    def padded(self, d_in: int) -> Affine:
        """Take ``d_in`` channels, and give whole vectors of them; those that are added are 0."""
        more_in, more_out = d_in - len(self.weight), -len(self.shift) % _LANES
        weight, shift = F.pad(self.weight, (0, more_out, 0, more_in)), F.pad(self.shift, (0, more_out))
        return replace(self, weight=weight.float().contiguous(), shift=shift.float())


@dataclass(frozen=True, eq=False)
class Folded:
    """A chain of layers, (N, d_in) to (N, d_out).

    Attributes:
        layers: The layers.
        d_out: Channels of the last one, of those that it gives.
    """

    layers: tuple[Affine, ...]
    d_out: int

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the layers, one after the other."""
        for layer in self.layers:
            x = layer(x)
        return x[:, : self.d_out]


def wide(values: Tensor) -> Tensor:
    """Values as float64 where the device has it."""
    return values if values.device.type == "mps" else values.double()


def fold_layers(layers: Iterable[nn.Module], scale: Tensor | None = None, shift: Tensor | None = None) -> Folded:
    """Fold linear layers, batch normalisation in evaluation mode, and ReLU.

    Args:
        layers: Linear layers, each alone or followed by normalisation, ReLU or both, in this order.
        scale: What the input would be multiplied by beforehand, (d_in,); not at all, if None.
        shift: What would then be added, (d_in,).

    Raises:
        ModelError: If there are other layers.
    """
    chain: list[Affine] = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            chain.append(Affine(wide(layer.weight).t(), wide(layer.bias)))
        elif isinstance(layer, nn.BatchNorm1d):
            chain.append(chain.pop().then(*batch_norm(layer)))
        elif isinstance(layer, nn.ReLU):
            chain.append(replace(chain.pop(), relu=True))
        else:
            raise ModelError(f"A layer of kind {type(layer).__name__} cannot be folded.")
    if scale is not None and shift is not None:
        chain[0] = chain[0].after(wide(scale), wide(shift))
    d_in, d_out = len(chain[0].weight), len(chain[-1].shift)
    padded: list[Affine] = []
    for affine in chain:
        padded.append(affine.padded(d_in))
        d_in = len(padded[-1].shift)
    return Folded(tuple(padded), d_out)


def batch_norm(layer: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """What batch normalisation multiplies by in evaluation mode, and what it then adds, (D,) each."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = wide(layer.weight) / (wide(layer.running_var) + layer.eps).sqrt()
    return scale, wide(layer.bias) - wide(layer.running_mean) * scale


def softmax(logits: Tensor, dim: int) -> Tensor:
    """Exponentials that sum to 1 along an axis, as float32; torch's own are rounded by the number of threads."""
    exponentials = (logits - logits.amax(dim=dim, keepdim=True)).float().exp_()
    return exponentials.div_(exponentials.sum(dim=dim, keepdim=True))
