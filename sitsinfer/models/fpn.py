"""FPN-ConvLSTM: a pyramid of dilated convolutions over every date, then a ConvLSTM over dates.

The competing method of "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal Attention
Networks", 2021, after J. A. Chamorro Martinez et al., "Fully Convolutional Recurrent Networks for Multidate Crop
Recognition from Multitemporal Image Sequences", 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.convlstm import ConvLSTM
from sitsinfer.models.layers import ConvBlock, check_series, encode_observed


class FPNConvLSTM(nn.Module):
    """Classify the last cell state of a ConvLSTM over features of several receptive fields."""

    def __init__(
        self,
        input_dim: int,
        num_classes: int,
        inconv: Sequence[int] = (32, 64),
        n_levels: int = 4,
        n_channels: int = 64,
        hidden_size: int = 88,
        mid_conv: bool = True,
        pad_value: float | None = 0,
    ) -> None:
        """Build the network; arguments have their published names.

        Args:
            input_dim: Bands.
            num_classes: Classes.
            inconv: Channels of the first convolutions.
            n_levels: Levels of the pyramid; the last is the whole patch.
            n_channels: Channels of a level.
            hidden_size: Channels of the ConvLSTM's states.
            mid_conv: Whether a convolution halves the channels between pyramid and ConvLSTM.
            pad_value: Frames that hold only this value are padding. Their features are this value too, and the
                recurrence runs over them as over any other, as published.
        """
        super().__init__()
        self.input_dim = input_dim
        self.pad_value = pad_value
        self.reach = 2 ** max(n_levels - 2, 0)  # of the widest dilation, which reflects at borders
        features = n_levels * n_channels
        self.inconv = ConvBlock([input_dim, *inconv], "group")
        self.pyramid = PyramidBlock(inconv[-1], n_channels, n_levels)
        self.mid_conv = ConvBlock([features, features // 2], "group") if mid_conv else None
        self.convlstm = ConvLSTM(features // 2 if mid_conv else features, hidden_size)
        self.outconv = nn.Conv2d(hidden_size, num_classes, 1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Score every pixel of (B, T, C, H, W): scores (B, K, H, W). Positions play no part."""
        check_series(x, self.input_dim)
        if min(x.shape[3:]) <= self.reach:
            height, width = x.shape[3:]
            raise ModelError(f"The patch has {height} x {width} pixels. The pyramid takes {self.reach + 1} and more.")
        features = [self._encode(date) for date in x.unbind(dim=1)]
        scores: Tensor = self.outconv(self.convlstm(torch.stack(features, dim=1)))
        return scores

    def _encode(self, frames: Tensor) -> Tensor:
        maps = encode_observed(self.inconv, frames, self.pad_value)
        maps = encode_observed(self.pyramid, maps, self.pad_value)
        return maps if self.mid_conv is None else encode_observed(self.mid_conv, maps, self.pad_value)


class PyramidBlock(nn.Module):
    """Convolutions of doubling dilation side by side, and the maximum over the patch."""

    def __init__(self, input_dim: int, n_channels: int, n_levels: int) -> None:
        """Build ``n_levels - 1`` convolutions; the maximum is the last level."""
        super().__init__()
        self.inconv = nn.Conv2d(input_dim, n_channels, 3, padding=1)
        self.convs = nn.ModuleList(
            nn.Conv2d(n_channels, n_channels, 3, padding=2**i, dilation=2**i, padding_mode="reflect")
            for i in range(n_levels - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Describe (N, input_dim, H, W) by (N, n_levels * n_channels, H, W)."""
        out: Tensor = self.inconv(x)
        levels: list[Tensor] = [conv(out) for conv in self.convs]
        levels.append(out.amax(dim=(2, 3), keepdim=True).expand_as(out))
        return torch.cat(levels, dim=1)
