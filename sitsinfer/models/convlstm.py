"""ConvLSTM: a recurrence of convolutions over dates.

X. Shi et al., "Convolutional LSTM Network", 2015, as the competing method of "Panoptic Segmentation of Satellite Image
Time Series with Convolutional Temporal Attention Networks", 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sitsinfer.models.layers import check_series


class ConvLSTMSegmenter(nn.Module):
    """Classify the last cell state of a ConvLSTM over the series."""

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
            hidden_dim: Channels of the states.
            kernel_size: Height and width of the kernels, odd.
            pad_value: What fills padded dates. The recurrence runs over them as over any other, as published.
        """
        super().__init__()
        self.input_dim = input_dim
        self.pad_value = pad_value
        self.convlstm_encoder = ConvLSTM(input_dim, hidden_dim, kernel_size)
        self.classification_layer = nn.Conv2d(hidden_dim, num_classes, (kernel_size[0], kernel_size[1]), padding="same")

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Score every pixel of (B, T, C, H, W): scores (B, K, H, W). Positions play no part."""
        check_series(x, self.input_dim)
        scores: Tensor = self.classification_layer(self.convlstm_encoder(x))
        return scores


class ConvLSTM(nn.Module):
    """One ConvLSTM layer, run over all dates."""

    def __init__(self, input_dim: int, hidden_dim: int, kernel_size: Sequence[int] = (3, 3)) -> None:
        """Build a layer from ``input_dim`` channels to ``hidden_dim``."""
        super().__init__()
        self.hidden_dim = hidden_dim
        self.cell_list = nn.ModuleList([ConvLSTMCell(input_dim, hidden_dim, kernel_size)])

    def forward(self, x: Tensor) -> Tensor:
        """Reduce (B, T, C, H, W) to the cell state after the last date, (B, hidden_dim, H, W)."""
        shape = (x.shape[0], self.hidden_dim, *x.shape[3:])
        h, c = x.new_zeros(shape), x.new_zeros(shape)
        for date in x.unbind(dim=1):
            h, c = self.cell_list[0](date, h, c)
        return c


class ConvLSTMCell(nn.Module):
    """One step of a ConvLSTM."""

    def __init__(self, input_dim: int, hidden_dim: int, kernel_size: Sequence[int]) -> None:
        """Build a step from ``input_dim`` channels to ``hidden_dim``."""
        super().__init__()
        self.conv = nn.Conv2d(input_dim + hidden_dim, 4 * hidden_dim, (kernel_size[0], kernel_size[1]), padding="same")

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Step from hidden and cell state (B, hidden_dim, H, W) to the next, by (B, input_dim, H, W)."""
        gate_in, gate_forget, gate_out, candidate = self.conv(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = gate_forget.sigmoid() * c + gate_in.sigmoid() * candidate.tanh()
        return gate_out.sigmoid() * c.tanh(), c
