"""Temporal attention encoder (TAE): a parcel's dates to one vector, by attention that the dates themselves ask for.

V. Sainte Fare Garnot, L. Landrieu, S. Giordano and N. Chehata, "Satellite Image Time Series Classification with
Pixel-Set Encoders and Temporal Self-Attention", CVPR 2020. State-dict entries are those of the published weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.layers import dense_layers
from sitsinfer.models.ltae import position_table, projection


class TAE(nn.Module):
    """Pool a series of vectors over its dates; every head weighs all channels."""

    def __init__(
        self,
        in_channels: int = 128,
        n_head: int = 4,
        d_k: int = 32,
        n_neurons: Sequence[int] = (512, 128, 128),
        dropout: float = 0.2,
        d_model: int | None = None,
        T: int = 1000,  # noqa: N803 - the published name
        len_max_seq: int = 24,
        positions: Sequence[int] | None = None,
    ) -> None:
        """Build the encoder; arguments are those of :class:`~sitsinfer.models.ltae.LTAE`.

        Here ``n_neurons[0]`` is ``n_head`` times the width of a date.

        Raises:
            ModelError: If widths and heads do not fit each other.
        """
        super().__init__()
        width = in_channels if d_model is None else d_model
        if n_neurons[0] != n_head * width:
            raise ModelError(
                f"mlp3 starts at {n_neurons[0]} but {n_head} heads of {width} channels give {n_head * width}. "
                f"Set mlp3[0] to {n_head * width}."
            )
        self.position_enc = position_table(positions, len_max_seq, in_channels, T)
        self.inlayernorm = nn.LayerNorm(in_channels)
        self.inconv = None if d_model is None else projection(in_channels, d_model, len_max_seq)
        self.outlayernorm = nn.LayerNorm(n_neurons[-1])
        self.attention_heads = MeanQueryAttention(n_head, d_k, width)
        self.mlp = dense_layers(n_neurons)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, T, C) to (B, n_neurons[-1])."""
        return self.attend(x)[0]

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pool (B, T, C) to (B, n_neurons[-1]), and tell the attention, (n_head, B, T), that sums to 1 over T.

        Raises:
            ModelError: If the series has another number of dates than the network was built for.
        """
        x = self.position_enc(self.inlayernorm(x))
        if self.inconv is not None:
            x = self.inconv(x.transpose(1, 2)).transpose(1, 2)  # (B, T, D)
        pooled, attention = self.attention_heads(x)
        out: Tensor = self.outlayernorm(self.dropout(self.mlp(pooled)))
        return out, attention.transpose(0, 1)


class MeanQueryAttention(nn.Module):
    """Attention whose query is the mean of what all dates ask; values are the inputs, whole for each head."""

    def __init__(self, n_head: int, d_k: int, d_in: int, dropout: float = 0.1) -> None:
        """Build ``n_head`` heads with keys of size ``d_k`` over ``d_in`` channels."""
        super().__init__()
        self.n_head = n_head
        self.fc1_q = nn.Linear(d_in, n_head * d_k)
        self.fc1_k = nn.Linear(d_in, n_head * d_k)
        self.fc2 = nn.Sequential(nn.BatchNorm1d(n_head * d_k), nn.Linear(n_head * d_k, n_head * d_k))
        self.dropout = nn.Dropout(dropout)
        for layer in (self.fc1_q, self.fc1_k):
            nn.init.normal_(layer.weight, std=(2.0 / d_k) ** 0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pool (B, T, D) to (B, n_head D), with weights (B, n_head, T)."""
        b, t = x.shape[:2]
        queries = self.fc2(self.fc1_q(x).mean(dim=1)).view(b, self.n_head, -1)
        keys = self.fc1_k(x).view(b, t, self.n_head, -1)
        logits = torch.einsum("bthk,bhk->bht", keys, queries) / keys.shape[3] ** 0.5
        attention = self.dropout(logits.float().softmax(dim=2))
        return (attention.to(x.dtype) @ x).flatten(1), attention
