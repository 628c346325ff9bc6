"""Lightweight temporal attention (L-TAE), on a series of vectors or on every pixel of a feature map.

V. Sainte Fare Garnot and L. Landrieu, "Lightweight Temporal Self-Attention for Classifying Satellite Images Time
Series", 2020, and the two-dimensional form of "Panoptic Segmentation of Satellite Image Time Series with Convolutional
Temporal Attention Networks", 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.folding import softmax, wide
from sitsinfer.models.layers import dense_layers

PADDING_LOGIT = -1000.0  # of the published code: not -inf, so that a series of nothing but padding stays finite


class LTAE2d(nn.Module):
    """Pool a series of feature maps over dates, pixel by pixel, by attention with one learned query a head."""

    def __init__(
        self,
        in_channels: int = 128,
        n_head: int = 16,
        d_k: int = 4,
        mlp: Sequence[int] = (256, 128),
        d_model: int | None = 256,
        T: int = 1000,  # noqa: N803 - the published name
        positional_encoding: bool = True,
        dropout: float = 0.2,
    ) -> None:
        """Build the encoder.

        Args:
            in_channels: Channels of the maps that come in.
            n_head: Attention heads, and groups of both group normalisations.
            d_k: Size of a key.
            mlp: Widths of the layers after attention; the first is that of the attention's output.
            d_model: Width that maps are projected to before attention, or None to leave them as they are.
            T: Longest period of the positional encoding, in days.
            positional_encoding: Whether dates are told apart at all.
            dropout: Share of the output dropped in training.

        Raises:
            ModelError: If widths and heads do not fit each other.
        """
        super().__init__()
        width = in_channels if d_model is None else d_model
        if mlp[0] != width:
            raise ModelError(f"mlp starts at {mlp[0]} but attention gives {width} channels. Set mlp[0] to {width}.")
        for name, channels in (("in_channels", in_channels), ("d_model", width), ("mlp[-1]", mlp[-1])):
            if channels % n_head:
                raise ModelError(f"{name} is {channels}, which n_head ({n_head}) does not divide. Change one of them.")
        self.n_head = n_head
        self.period = T
        self.positional_encoding = positional_encoding
        self.inconv = None if d_model is None else nn.Conv1d(in_channels, d_model, 1)
        self.attention_heads = MultiHeadAttention(n_head, d_k, width)
        self.in_norm = nn.GroupNorm(n_head, in_channels)
        self.out_norm = nn.GroupNorm(n_head, mlp[-1])
        self.mlp = dense_layers(mlp)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, positions: Tensor | None = None, pad_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Pool over dates.

        Args:
            x: Feature maps, (B, T, C, h, w).
            positions: Days since the reference date of the weights, (B, T), or (B, T, h, w) where dates differ from
                pixel to pixel; any integer. Needed with a positional encoding.
            pad_mask: True where a date is padding, (B, T), bool. Padded dates have no attention, but enter the
                normalisation over dates all the same, as in the published network.

        Returns:
            Pooled maps (B, mlp[-1], h, w), and attention (n_head, B, T, h, w) that sums to 1 over T.

        Raises:
            ModelError: If positions are needed and missing, or of another shape.
        """
        b, t, _, h, w = x.shape
        pixels = x.permute(0, 3, 4, 2, 1).flatten(0, 2)  # (B h w, C, T)
        pixels = self.in_norm(pixels).transpose(1, 2)  # over the channels of a group and all dates; (B h w, T, C)
        if self.inconv is not None:  # a convolution over one date is a matrix product
            pixels = F.linear(pixels, self.inconv.weight.squeeze(2), self.inconv.bias)  # (B h w, T, D)
        if self.positional_encoding:
            table = self._encode_positions(positions, x).to(pixels.dtype)
            pixels = (pixels.view(b, h * w, t, -1) + table).flatten(0, 1)
        hidden = None if pad_mask is None else pad_mask[:, None].expand(b, h * w, t).flatten(0, 1)
        pooled, attention = self.attention_heads(pixels, hidden)  # (B h w, D), (B h w, n_head, T)
        out = self.out_norm(self.dropout(self.mlp(pooled)))
        out = out.view(b, h, w, -1).permute(0, 3, 1, 2)
        return out, attention.view(b, h, w, self.n_head, t).permute(3, 0, 4, 1, 2)

    def _encode_positions(self, positions: Tensor | None, x: Tensor) -> Tensor:
        b, t, _, h, w = x.shape
        if positions is None:
            raise ModelError("The model needs the dates' positions and got none. Give positions of shape (B, T).")
        if positions.shape == (b, t):
            positions = positions[:, None]
        elif positions.shape == (b, t, h, w):
            positions = positions.flatten(2).transpose(1, 2)
        else:
            raise ModelError(
                f"Positions have shape {tuple(positions.shape)}. Give one day a date, (B, T) = ({b}, {t})."
            )
        features = self.attention_heads.width // self.n_head
        table = positional_encoding(positions, features, self.period)  # (B, 1 or h w, T, D / n_head)
        return table.repeat(1, 1, 1, self.n_head)


class LTAE(nn.Module):
    """Pool a series of vectors over its dates, which are fixed, by attention with one learned query a head."""

    def __init__(
        self,
        in_channels: int = 128,
        n_head: int = 16,
        d_k: int = 8,
        n_neurons: Sequence[int] = (256, 128),
        dropout: float = 0.2,
        d_model: int | None = 256,
        T: int = 1000,  # noqa: N803 - the published name
        len_max_seq: int = 24,
        positions: Sequence[int] | None = None,
    ) -> None:
        """Build the encoder; arguments have their published names.

        Args:
            in_channels: Channels of a date.
            n_head: Attention heads.
            d_k: Size of a key.
            n_neurons: Widths of the layers after attention; the first is that of the attention's output.
            dropout: Share of the pooled features dropped in training.
            d_model: Width that dates are projected to before attention, or None to leave them as they are.
            T: Longest period of the positional encoding, in days.
            len_max_seq: Dates.
            positions: Days of the dates since the first of the training data; None to tell them by their order alone.

        Raises:
            ModelError: If widths, heads or dates do not fit each other.
        """
        super().__init__()
        width = in_channels if d_model is None else d_model
        if n_neurons[0] != width:
            raise ModelError(f"mlp3 starts at {n_neurons[0]} but attention gives {width}. Set mlp3[0] to {width}.")
        if width % n_head:
            raise ModelError(f"d_model is {width}, which n_head ({n_head}) does not divide. Change one of them.")
        self.inconv = None if d_model is None else projection(in_channels, d_model, len_max_seq)
        self.position_enc = position_table(positions, len_max_seq, width // n_head, T, repeats=n_head)
        self.inlayernorm = nn.LayerNorm(in_channels)
        self.outlayernorm = nn.LayerNorm(n_neurons[-1])
        self.attention_heads = MultiHeadAttention(n_head, d_k, width)
        self.mlp = dense_layers(n_neurons)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, T, C) to (B, n_neurons[-1]).

        Raises:
            ModelError: If the series has another number of dates than the network was built for.
        """
        if self.training or torch.is_grad_enabled():
            return self.attend(x)[0]
        return self._decode(self.attention_heads.pool(self._encode(x)))

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pool as :meth:`forward` does, and tell the attention, (n_head, B, T), that sums to 1 over T."""
        pooled, attention = self.attention_heads(self._encode(x), None)
        return self._decode(pooled), attention.transpose(0, 1)

    def _encode(self, x: Tensor) -> Tensor:
        """Project dates (B, T, C), and add their positions: (B, T, D)."""
        self.position_enc.check(x)
        x = self.inlayernorm(x)
        if self.inconv is None:
            return self._placed(x)
        project, normalise = self.inconv
        assert isinstance(project, nn.Conv1d)
        assert isinstance(normalise, nn.LayerNorm)
        # What the convolution of single dates does, and the norm after it, without turning dates and channels around.
        x = F.linear(x, project.weight.squeeze(2), project.bias)  # (B, T, D)
        shift = self._placed(normalise.bias.t()[None])[0]
        return F.layer_norm(x, list(x.shape[1:]), normalise.weight.t(), shift, normalise.eps)

    def _placed(self, x: Tensor) -> Tensor:
        """Add the positions of dates."""
        dates: Tensor = self.position_enc(x)
        return dates

    def _decode(self, pooled: Tensor) -> Tensor:
        out: Tensor = self.outlayernorm(self.dropout(self.mlp(pooled)))
        return out


class PositionTable(nn.Module):
    """The positions of a fixed series of dates, a frozen entry of the state dict, as published."""

    def __init__(
        self, positions: Sequence[int], size: int, period: float = 1000, repeats: int = 1, skipped: int = 0
    ) -> None:
        """Encode days by ``size`` features, repeated; the first ``skipped`` days are of no date."""
        super().__init__()
        days = torch.tensor(list(positions), dtype=torch.float64)
        self.weight = nn.Parameter(positional_encoding(days, size, period).repeat(1, repeats), requires_grad=False)
        self.skipped = skipped

    def forward(self, x: Tensor) -> Tensor:
        """Add the positions to a series, (B, T, D)."""
        self.check(x)
        return x + self.weight[self.skipped :]

    def check(self, x: Tensor) -> None:
        """Check the dates of a series (B, T, ...).

        Raises:
            ModelError: If there are more or fewer than here.
        """
        dates = len(self.weight) - self.skipped
        if x.shape[1] != dates:
            raise ModelError(f"The series has {x.shape[1]} dates. The model takes {dates}.")


def position_table(
    positions: Sequence[int] | None, dates: int, size: int, period: float, repeats: int = 1
) -> PositionTable:
    """Build the table of given days, or where there are none, of the places 1, 2, ... that dates have in the series.

    Raises:
        ModelError: If there are more or fewer days than ``dates``.
    """
    if positions is None:
        return PositionTable(range(dates + 1), size, period, repeats, skipped=1)
    if len(positions) != dates:
        raise ModelError(f"There are {len(positions)} positions but len_max_seq is {dates}. Give as many of each.")
    return PositionTable(positions, size, period, repeats)


def projection(in_channels: int, d_model: int, dates: int) -> nn.Sequential:
    """Project the dates of a series (B, C, T), and normalise over channels and dates together, which are thus fixed."""
    return nn.Sequential(nn.Conv1d(in_channels, d_model, 1), nn.LayerNorm((d_model, dates)))


class MultiHeadAttention(nn.Module):
    """Attention with one learned query a head; values are the inputs themselves, split between the heads."""

    def __init__(self, n_head: int, d_k: int, d_in: int, dropout: float = 0.1) -> None:
        """Build ``n_head`` heads with keys of size ``d_k`` over ``d_in`` channels."""
        super().__init__()
        self.n_head = n_head
        self.width = d_in
        self.Q = nn.Parameter(torch.empty(n_head, d_k))
        self.fc1_k = nn.Linear(d_in, n_head * d_k)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.Q, std=(2.0 / d_k) ** 0.5)
        nn.init.normal_(self.fc1_k.weight, std=(2.0 / d_k) ** 0.5)

    def forward(self, x: Tensor, pad_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pool (N, T, D) to (N, D), with weights (N, n_head, T)."""
        keys = self.fc1_k(x).view(*x.shape[:2], *self.Q.shape)  # (N, T, n_head, d_k)
        logits = torch.einsum("nthk,hk->nht", keys, self.Q.to(keys.dtype)) / self.Q.shape[1] ** 0.5
        if pad_mask is not None:
            logits = logits.masked_fill(pad_mask[:, None], PADDING_LOGIT)
        attention = self.dropout(logits.float().softmax(dim=2))
        values = x.view(*x.shape[:2], self.n_head, -1)  # (N, T, n_head, D / n_head)
        return torch.einsum("nht,nthd->nhd", attention.to(values.dtype), values).flatten(1), attention

    def pool(self, x: Tensor) -> Tensor:
        """Pool (N, T, D) to (N, D) as :meth:`forward` does in evaluation mode, to rounding, but faster."""
        values = x.reshape(*x.shape[:2], self.n_head, -1)  # (N, T, n_head, D / n_head)
        attention = softmax(F.linear(x, self.asked().to(x.dtype)), dim=1)  # (N, T, n_head)
        return (values * attention.to(x.dtype).unsqueeze(3)).sum(dim=1).flatten(1)

    def asked(self) -> Tensor:
        """What each head makes of a date, (n_head, D), before the softmax.

        It is the query times the layer of the keys, but for its bias, which is the same for all dates.
        """
        keys = wide(self.fc1_k.weight).view(*self.Q.shape, -1)  # (n_head, d_k, D)
        asked: Tensor = torch.einsum("hk,hkd->hd", wide(self.Q), keys) / self.Q.shape[1] ** 0.5
        return asked


def positional_encoding(positions: Tensor, size: int, period: float) -> Tensor:
    """Encode days by sines (even features) and cosines (odd ones) of falling frequency.

    Args:
        positions: Days, of any shape; any integer, negative too. As float64 they are encoded in that precision.
        size: Number of features.
        period: Base of the frequencies: feature j turns by ``day / period ** (2 * (j // 2) / size)``.

    Returns:
        Table, (..., size), float32.
    """
    dtype = torch.float64 if positions.dtype == torch.float64 else torch.float32
    j = torch.arange(size, device=positions.device)
    denominators = torch.tensor(period, dtype=dtype, device=positions.device) ** (2 * (j // 2).to(dtype) / size)
    angles = positions.to(dtype).unsqueeze(-1) / denominators
    return torch.where(j % 2 == 0, angles.sin(), angles.cos()).float()
