"""Layers multiplied out for inference: what is affine one after the other becomes one matrix product.

Products of weights are computed in float64, where the device has it, so that folding costs no precision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sitsinfer.errors import ModelError


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


def wide(values: Tensor) -> Tensor:
    """Values as float64 where the device has it."""
    return values if values.device.type == "mps" else values.double()


def fold_layers(layers: nn.Sequential, scale: Tensor | None = None, shift: Tensor | None = None) -> list[Affine]:
    """Fold linear layers, batch normalisation in evaluation mode, and ReLU.

    Args:
        layers: Linear layers, each alone or followed by normalisation, ReLU or both, in this order.
        scale: What the input would be multiplied by beforehand, (d_in,); not at all, if None.
        shift: What would then be added, (d_in,).

    Raises:
        ModelError: If there are other layers.
    """
    folded: list[Affine] = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            folded.append(Affine(wide(layer.weight).t(), wide(layer.bias)))
        elif isinstance(layer, nn.BatchNorm1d):
            folded.append(_then(folded.pop(), *batch_norm(layer)))
        elif isinstance(layer, nn.ReLU):
            folded.append(replace(folded.pop(), relu=True))
        else:
            raise ModelError(f"A layer of kind {type(layer).__name__} cannot be folded.")
    if scale is not None and shift is not None:
        first = folded[0]
        folded[0] = Affine(wide(scale)[:, None] * first.weight, wide(shift) @ first.weight + first.shift, first.relu)
    return [Affine(one.weight.float().contiguous(), one.shift.float(), one.relu) for one in folded]


def batch_norm(layer: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """What batch normalisation multiplies by in evaluation mode, and what it then adds, (D,) each."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = wide(layer.weight) / (wide(layer.running_var) + layer.eps).sqrt()
    return scale, wide(layer.bias) - wide(layer.running_mean) * scale


def _then(first: Affine, scale: Tensor, shift: Tensor) -> Affine:
    return Affine(first.weight * scale, first.shift * scale + shift)
