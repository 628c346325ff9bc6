"""Recurrent temporal encoder: a parcel's dates to one vector, by gated recurrent units.

V. S. F. Garnot, L. Landrieu, S. Giordano and N. Chehata, "Time-Space Tradeoff in Deep Learning Models for Crop
Classification on Satellite Multi-Spectral Image Time Series", IGARSS 2019, as published with pixel-set encoders.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sitsinfer.models.ltae import PositionTable


class GRU(nn.Module):
    """Read a series of vectors from first to last; the last state stands for all."""

    def __init__(self, in_channels: int = 128, hidden_dim: int = 128, positions: Sequence[int] | None = None) -> None:
        """Build the encoder.

        Args:
            in_channels: Channels of a date.
            hidden_dim: Channels of the state.
            positions: Days of the dates, after one more day that the published code skips; None to tell them by their
                order alone.
        """
        super().__init__()
        self.gru_cell = nn.GRU(in_channels, hidden_dim, batch_first=True)
        self.position_enc = None if positions is None else PositionTable(positions, in_channels, skipped=1)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, T, C) to (B, hidden_dim).

        Raises:
            ModelError: If there are positions, of another number of dates.
        """
        states, _ = self.gru_cell(x if self.position_enc is None else self.position_enc(x))
        last: Tensor = states[:, -1]
        return last
