"""ConvGRU: a gated recurrence of convolutions over dates.

N. Ballas et al., "Delving Deeper into Convolutional Networks for Learning Video Representations", 2016, as the
competing method of "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal Attention
Networks", 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sitsinfer.models.layers import check_series


class ConvGRUSegmenter(nn.Module):
    """Classify the last state of a ConvGRU over the series."""

    def __init__(
        self,
        num_classes: int,
        input_dim: int,
        hidden_dim: int,
        kernel_size: Sequence[int] = (3, 3),
        pad_value: float | None = 0,
    ) -> None:
        """Build the network; arguments have their published names.

        Args:
            num_classes: Classes.
            input_dim: Bands.
            hidden_dim: Channels of the state.
            kernel_size: Height and width of the kernels, odd.
            pad_value: What fills padded dates. The recurrence runs over them as over any other, as published.
        """
        super().__init__()
        self.input_dim = input_dim
        self.pad_value = pad_value
        self.convgru_encoder = ConvGRU(input_dim, hidden_dim, kernel_size)
        self.classification_layer = nn.Conv2d(hidden_dim, num_classes, (kernel_size[0], kernel_size[1]), padding="same")

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Score every pixel of (B, T, C, H, W): scores (B, K, H, W). Positions play no part."""
        check_series(x, self.input_dim)
        scores: Tensor = self.classification_layer(self.convgru_encoder(x))
        return scores


class ConvGRU(nn.Module):
    """One ConvGRU layer, run over all dates."""

    def __init__(self, input_dim: int, hidden_dim: int, kernel_size: Sequence[int] = (3, 3)) -> None:
        """Build a layer from ``input_dim`` channels to ``hidden_dim``."""
        super().__init__()
        self.hidden_dim = hidden_dim
        self.cell_list = nn.ModuleList([ConvGRUCell(input_dim, hidden_dim, kernel_size)])

    def forward(self, x: Tensor) -> Tensor:
        """Reduce (B, T, C, H, W) to the state after the last date, (B, hidden_dim, H, W)."""
        state = x.new_zeros((x.shape[0], self.hidden_dim, *x.shape[3:]))
        for date in x.unbind(dim=1):
            state = self.cell_list[0](date, state)
        return state


class ConvGRUCell(nn.Module):
    """One step of a ConvGRU."""

    def __init__(self, input_dim: int, hidden_dim: int, kernel_size: Sequence[int]) -> None:
        """Build a step from ``input_dim`` channels to ``hidden_dim``."""
        super().__init__()
        kernel = (kernel_size[0], kernel_size[1])
        self.in_conv = nn.Conv2d(input_dim + hidden_dim, 2 * hidden_dim, kernel, padding="same")
        self.out_conv = nn.Conv2d(input_dim + hidden_dim, hidden_dim, kernel, padding="same")

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Step from a state (B, hidden_dim, H, W) to the next, by (B, input_dim, H, W)."""
        update, reset = self.in_conv(torch.cat([x, state], dim=1)).sigmoid().chunk(2, dim=1)
        candidate = self.out_conv(torch.cat([x, reset * state], dim=1)).tanh()
        new: Tensor = (1 - update) * state + update * candidate
        return new
