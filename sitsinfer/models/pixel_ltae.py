"""Lightweight temporal attention (L-TAE) as a classifier of single pixels.

V. Sainte Fare Garnot and L. Landrieu, "Lightweight Temporal Self-Attention for Classifying Satellite Images Time
Series", 2020, applied to the series of every pixel. State-dict entries are those of the published classifier.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.layers import check_series, dense_layers, score_layers
from sitsinfer.models.ltae import PADDING_LOGIT, MultiHeadAttention, positional_encoding

ATTENTION_TYPES = ("LTAE", "vanilla")


class PixelLTAE(nn.Module):
    """Classify every pixel of a time series by its own values alone."""

    per_pixel = True
    """The scores of a pixel depend on no other, and dates can be left out pixel by pixel."""

    def __init__(
        self,
        in_channels: int = 10,
        n_head: int = 16,
        d_k: int = 8,
        mlp3: Sequence[int] = (256, 128),
        mlp4: Sequence[int] = (128, 64, 32),
        n_classes: int = 20,
        dropout: float = 0.2,
        d_model: int = 256,
        T: int = 1000,  # noqa: N803 - the published name
        attention_type: str = "LTAE",
    ) -> None:
        """Build the network; arguments have their published names.

        Args:
            in_channels: Bands.
            n_head: Attention heads.
            d_k: Size of an attention key.
            mlp3: Widths of the layers after attention; the first is ``d_model``.
            mlp4: Widths of the layers before the classes; the first is ``mlp3[-1]``.
            n_classes: Classes.
            dropout: Share of the pooled features dropped in training.
            d_model: Width that bands are projected to.
            T: Longest period of the positional encoding, in days.
            attention_type: ``LTAE``, one learned query a head, or ``vanilla``, every date asking every other.

        Raises:
            ModelError: If hyper-parameters do not fit each other.
        """
        super().__init__()
        _check_widths(n_head, mlp3, mlp4, d_model, attention_type)
        self.n_head = n_head
        self.width = d_model
        self.period = T
        self.inconv = nn.Sequential(nn.Conv1d(in_channels, d_model, 1), nn.BatchNorm1d(d_model))
        self.inlayernorm = nn.LayerNorm(in_channels)
        self.outlayernorm = nn.LayerNorm(mlp3[-1])
        self.attention_heads = (MultiHeadAttention if attention_type == "LTAE" else SelfAttention)(n_head, d_k, d_model)
        self.mlp = dense_layers(mlp3)
        self.decoder = score_layers([*mlp4, n_classes])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, positions: Tensor, valid: Tensor | None = None) -> Tensor:
        """Score every pixel.

        Args:
            x: Time series, (B, T, C, H, W), finite everywhere.
            positions: Days since the reference date of the weights, (B, T), or (B, T, H, W) where dates differ from
                pixel to pixel; any integer.
            valid: True where a pixel was observed, (B, T, H, W), bool; all were, if None. A date that is not valid has
                no part in the pixel's scores, whatever ``x`` holds there. A pixel without a date gets scores that mean
                nothing but are finite.

        Returns:
            Scores, (B, K, H, W).

        Raises:
            ModelError: If a shape does not fit.
        """
        return self.attend(x, positions, valid)[0]

    def attend(self, x: Tensor, positions: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score every pixel, and tell which dates were looked at.

        Args and errors are those of :meth:`forward`.

        Returns:
            Scores (B, K, H, W), and attention (n_head, B, T, H, W), which sums to 1 over T and is 0 on dates that are
            not valid. Where every date asks, it is the mean of what valid dates give.
        """
        check_series(x, self.inlayernorm.normalized_shape[0])
        pixels = x.permute(0, 3, 4, 1, 2).flatten(1, 2)  # (B, N, T, C), N = H W
        observed = None if valid is None else _by_pixel(valid, x, "Observations").expand(pixels.shape[:3])
        scores, attention = self._attend_plainly(pixels, _by_pixel(positions, x, "Positions"), observed)
        b, t, _, height, width = x.shape
        return (
            scores.reshape(b, height, width, -1).permute(0, 3, 1, 2),
            attention.reshape(b, height, width, self.n_head, t).permute(3, 0, 4, 1, 2),
        )

    def _attend_plainly(self, pixels: Tensor, days: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor]:
        """Score pixels (B, N, T, C), of days (B, 1 or N, T), layer by layer.

        Returns:
            Scores (B, N, K), and attention (B, N, n_head, T).
        """
        b, n = pixels.shape[:2]
        features = self._project(pixels, observed) + self._encode(days)  # (B, N, T, D)
        if observed is None:
            pooled, attention = self.attention_heads(features.flatten(0, 1), None)
        else:
            hidden = ~observed.flatten(0, 1)
            features = features.flatten(0, 1).masked_fill(hidden[:, :, None], 0)
            pooled, attention = self.attention_heads(features, hidden)  # (B N, D), (B N, n_head, T)
            attention = attention.masked_fill(hidden[:, None], 0)  # where all are hidden
        out: Tensor = self.decoder(self.outlayernorm(self.dropout(self.mlp(pooled))))
        return out.view(b, n, -1), attention.view(b, n, self.n_head, -1)

    def _project(self, pixels: Tensor, observed: Tensor | None) -> Tensor:
        """Project bands (B, N, T, C) to (B, N, T, D). In training, what is hidden enters no statistics."""
        if observed is None:
            return self._project_rows(pixels.flatten(0, 2)).view(*pixels.shape[:3], -1)
        rows = self._project_rows(pixels[observed])
        return rows.new_zeros(*pixels.shape[:3], rows.shape[1]).masked_scatter(observed[..., None], rows)

    def _project_rows(self, rows: Tensor) -> Tensor:
        weight, bias = self.inconv.get_parameter("0.weight"), self.inconv.get_parameter("0.bias")
        projected: Tensor = self.inconv[1](F.linear(self.inlayernorm(rows), weight.squeeze(2), bias))
        return projected

    def _encode(self, days: Tensor) -> Tensor:
        """Encode days, of any shape; each that occurs once."""
        unique, where = torch.unique(days, return_inverse=True)
        return positional_encoding(unique, self.width, self.period)[where]


class SelfAttention(nn.Module):
    """Attention of every date to every other, with a residual; dates are pooled by their largest values."""

    def __init__(self, n_head: int, d_k: int, d_in: int, dropout: float = 0.1) -> None:
        """Build ``n_head`` heads with keys and values of size ``d_k`` over ``d_in`` channels."""
        super().__init__()
        self.n_head = n_head
        self.w_qs = nn.Linear(d_in, n_head * d_k, bias=False)
        self.w_ks = nn.Linear(d_in, n_head * d_k, bias=False)
        self.w_vs = nn.Linear(d_in, n_head * d_k, bias=False)
        self.fc = nn.Linear(n_head * d_k, d_in)
        self.layer_norm = nn.LayerNorm(d_in)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, pad_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Pool (N, T, D) to (N, D), with the mean (N, n_head, T) of the attention that dates give."""
        features, attention = self.ask(x, pad_mask)
        if pad_mask is None:
            return features.amax(dim=1), attention.mean(dim=2)
        asking = (~pad_mask).to(attention.dtype)
        asking = asking / asking.sum(dim=1, keepdim=True).clamp_min(1)
        pooled = features.masked_fill(pad_mask[:, :, None], PADDING_LOGIT).amax(dim=1)
        return pooled, torch.einsum("nhqt,nq->nht", attention, asking)

    def ask(self, x: Tensor, pad_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features of every date (N, T, D), and how each (second last axis) weighs all, (N, n_head, T, T)."""
        queries, keys, values = (
            layer(x).unflatten(2, (self.n_head, -1)).transpose(1, 2) for layer in (self.w_qs, self.w_ks, self.w_vs)
        )  # (N, n_head, T, d_k)
        logits = queries @ keys.transpose(2, 3) / keys.shape[3] ** 0.5
        if pad_mask is not None:
            logits = logits.masked_fill(pad_mask[:, None, None], PADDING_LOGIT)
        attention = self.dropout(logits.float().softmax(dim=3))
        answers = (attention.to(values.dtype) @ values).transpose(1, 2).flatten(2)  # (N, T, n_head d_k)
        return self.layer_norm(self.fc(answers) + x), attention


def _check_widths(n_head: int, mlp3: Sequence[int], mlp4: Sequence[int], d_model: int, attention_type: str) -> None:
    if attention_type not in ATTENTION_TYPES:
        raise ModelError(f"Unknown attention_type '{attention_type}'. Choose one of {', '.join(ATTENTION_TYPES)}.")
    if d_model % n_head:
        raise ModelError(f"d_model is {d_model}, which n_head ({n_head}) does not divide. Change one of them.")
    for name, width, before in (("mlp3", mlp3[0], d_model), ("mlp4", mlp4[0], mlp3[-1])):
        if width != before:
            raise ModelError(f"{name} starts at {width} but gets {before} channels. Set {name}[0] to {before}.")


def _by_pixel(values: Tensor, x: Tensor, what: str) -> Tensor:
    """Days or masks, (B, T) or (B, T, H, W), as (B, 1 or H W, T)."""
    b, t, _, height, width = x.shape
    if values.shape == (b, t):
        return values[:, None]
    if values.shape == (b, t, height, width):
        return values.flatten(2).transpose(1, 2)
    raise ModelError(
        f"{what} have shape {tuple(values.shape)}. Give one a date, {(b, t)}, or one a pixel and date, "
        f"{(b, t, height, width)}."
    )
