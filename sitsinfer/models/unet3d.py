"""3D U-Net: convolutions over space and time together.

R. Rustowicz et al., "Semantic Segmentation of Crop Type in Africa: A Novel Dataset and Analysis of Deep Learning
Methods", 2019, as the competing method of "Panoptic Segmentation of Satellite Image Time Series with Convolutional
Temporal Attention Networks", 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.layers import check_series

_MULTIPLE = 4  # two halvings


class UNet3D(nn.Module):
    """Score every date by three-dimensional convolutions, and average the dates."""

    def __init__(
        self, in_channel: int, n_classes: int, feats: int = 8, pad_value: float | None = 0, zero_pad: bool = True
    ) -> None:
        """Build the network; arguments have their published names.

        Args:
            in_channel: Bands.
            n_classes: Classes.
            feats: Unit of width; stages have 4, 8 and 16 times as many channels.
            pad_value: Frames that hold only this value are padding and left out of the average; None where there is
                none.
            zero_pad: Whether every element equal to ``pad_value``, not only whole frames, is set to 0 first.
        """
        super().__init__()
        self.in_channel = in_channel
        self.pad_value = pad_value
        self.zero_pad = zero_pad
        self.en3 = _two_convolutions(in_channel, 4 * feats, 4 * feats)
        self.en4 = _two_convolutions(4 * feats, 8 * feats, 8 * feats)
        self.center_in = _convolution(8 * feats, 16 * feats)
        self.center_out = nn.Sequential(*_convolution(16 * feats, 16 * feats), _doubling(16 * feats, 8 * feats))
        self.dc4 = _two_convolutions(16 * feats, 8 * feats, 8 * feats)
        self.trans3 = nn.Sequential(_doubling(8 * feats, 4 * feats), nn.BatchNorm3d(4 * feats), nn.LeakyReLU())
        self.dc3 = _two_convolutions(8 * feats, 4 * feats, 2 * feats)
        self.final = nn.Conv3d(2 * feats, n_classes, 3, padding=1)
        self.pool = nn.MaxPool3d(2)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Score every pixel.

        Args:
            x: Normalised time series, (B, T, C, H, W). Of T dates, at least 4, the first ``T // 4 * 4`` are scored.
            positions: Play no part.

        Returns:
            Scores (B, K, H, W): the mean over the scored dates that are not padding, and 0 where all are.

        Raises:
            ModelError: If the shape does not fit.
        """
        self._check_shape(x)
        pad_mask = None if self.pad_value is None else (x == self.pad_value).flatten(2).all(dim=2)
        if self.pad_value and self.zero_pad:
            x = x.masked_fill(x == self.pad_value, 0)
        dates = self._score_dates(x.transpose(1, 2))  # (B, K, T', H, W)
        if pad_mask is None or not pad_mask.any():
            return dates.mean(dim=2)
        observed = ~pad_mask[:, None, : dates.shape[2], None, None]
        return (dates * observed).sum(dim=2) / observed.sum(dim=2).clamp(min=1)

    def _score_dates(self, x: Tensor) -> Tensor:
        full = self.en3(x)
        half = self.en4(self.pool(full))
        up = self.center_out(self.center_in(self.pool(half)))
        up = self.dc4(_join(up, half))
        out: Tensor = self.final(self.dc3(_join(self.trans3(up), full)))
        return out

    def _check_shape(self, x: Tensor) -> None:
        check_series(x, self.in_channel)
        dates, (height, width) = x.shape[1], x.shape[3:]
        if dates < _MULTIPLE:
            raise ModelError(f"The series has {dates} dates. The 3D U-Net takes {_MULTIPLE} or more.")
        if height % _MULTIPLE or width % _MULTIPLE:
            raise ModelError(f"The patch has {height} x {width} pixels. Use multiples of {_MULTIPLE}.")


def _join(up: Tensor, skip: Tensor) -> Tensor:
    """Join (N, C, T', H, W) with a skip of as many dates or more, whose last ones are left."""
    return torch.cat([up, skip[:, :, : up.shape[2]]], dim=1)


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(before, after, 3, padding=1), nn.BatchNorm3d(after), nn.LeakyReLU())


def _two_convolutions(before: int, middle: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_convolution(before, middle), *_convolution(middle, after))


def _doubling(before: int, after: int) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(before, after, 3, stride=2, padding=1, output_padding=1)
