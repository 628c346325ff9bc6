"""Temporal convolutions (TempCNN): a parcel's dates to one vector.

C. Pelletier, G. I. Webb and F. Petitjean, "Temporal Convolutional Neural Network for the Classification of Satellite
Image Time Series", Remote Sensing 11(5), 2019, as published with pixel-set encoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.layers import dense_layers
from sitsinfer.models.ltae import PositionTable


class TempCNN(nn.Module):
    """Convolve a series of vectors along its dates, and join all of them."""

    def __init__(
        self,
        in_channels: int = 128,
        nker: Sequence[int] = (32, 32, 128),
        seq_len: int = 24,
        nfc: Sequence[int] = (128, 128),
        positions: Sequence[int] | None = None,
    ) -> None:
        """Build the encoder.

        Args:
            in_channels: Channels of a date.
            nker: Kernels of each convolution over three dates.
            seq_len: Dates, T.
            nfc: Widths of the layers over all dates.
            positions: As in :class:`~sitsinfer.models.gru.GRU`.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise([in_channels, *nker]):
            layers += [nn.Conv1d(before, after, 3, padding=1), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
        self.conv1d = nn.Sequential(*layers)
        self.linear = dense_layers([nker[-1] * seq_len, *nfc])
        self.position_enc = None if positions is None else PositionTable(positions, in_channels, skipped=1)
        self.seq_len = seq_len

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, T, C) to (B, nfc[-1]).

        Raises:
            ModelError: If the series has another number of dates than the network was built for.
        """
        if x.shape[1] != self.seq_len:
            raise ModelError(f"The series has {x.shape[1]} dates. The model takes {self.seq_len}.")
        x = x if self.position_enc is None else self.position_enc(x)
        out: Tensor = self.linear(self.conv1d(x.transpose(1, 2)).flatten(1))  # channel by channel, then date by date
        return out
