"""Lightweight temporal attention (L-TAE) as a classifier of single pixels.

V. Sainte Fare Garnot and L. Landrieu, "Lightweight Temporal Self-Attention for Classifying Satellite Images Time
Series", 2020, applied to the series of every pixel. State-dict entries are those of the published classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.folding import Folded, batch_norm, fold_layers, softmax, wide
from sitsinfer.models.layers import check_series, dense_layers, score_layers
from sitsinfer.models.ltae import PADDING_LOGIT, MultiHeadAttention, positional_encoding

ATTENTION_TYPES = ("LTAE", "vanilla")

_ELEMENTS = {"cpu": 3 << 17}  # numbers of a kind that are computed at once: on a CPU as many as its caches hold
_ELEMENTS_ELSEWHERE = 1 << 26
_RUN = 64  # pixels: in whole runs of so many, all of them are computed alike, to the bit


class PixelLTAE(nn.Module):
    """Classify every pixel of a time series by its own values alone."""

    per_pixel = True
    """The scores of a pixel depend on no other, and dates can be left out pixel by pixel.

    On a CPU they are the same to the bit wherever a pixel lies, and in any number of threads, if layers have the
    published widths or other multiples of 16.
    """

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
        self.bands = in_channels
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
        return self._as_images(torch.cat([scores for scores, _ in self._look(x, positions, valid)]), x)

    def attend(self, x: Tensor, positions: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score every pixel, and tell which dates were looked at.

        Args and errors are those of :meth:`forward`.

        Returns:
            Scores (B, K, H, W), and attention (n_head, B, T, H, W), which sums to 1 over T and is 0 on dates that are
            not valid. Where every date asks, it is the mean of what valid dates give.
        """
        b, t, _, height, width = x.shape
        scores, attention = zip(*self._look(x, positions, valid), strict=True)
        together = torch.cat(attention, dim=2).view(self.n_head, t, b, height, width)
        return self._as_images(torch.cat(scores), x), together.transpose(1, 2)

    @staticmethod
    def _as_images(scores: Tensor, x: Tensor) -> Tensor:
        """Scores of all pixels one after the other, (B H W, K), as (B, K, H, W)."""
        return scores.view(len(x), *x.shape[3:], -1).permute(0, 3, 1, 2)

    def _look(self, x: Tensor, positions: Tensor, valid: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Look at pixels: at all together where layers are to learn, else at some of a sample at a time.

        Yields:
            Scores (N, K) and attention (n_head, T, N), in the order of samples and their pixels.
        """
        check_series(x, self.bands)
        series, days = x.flatten(3), _by_pixel(positions, x, "Positions")
        observed = None if valid is None else _by_pixel(valid, x, "Observations").expand(*x.shape[:2], series.shape[3])
        if self.training or torch.is_grad_enabled():
            yield self._look_plainly(series, days, observed)
            return
        for b in range(len(x)):
            folded = self._fold(days[b, :, 0]) if self._can_fold(days) else None
            for pixels in self._chunks(series, folded is not None):
                seen = None if observed is None else observed[b, :, pixels]
                if folded is not None:
                    yield folded(series[b, :, :, pixels], seen)
                else:
                    one, own = slice(b, b + 1), pixels if days.shape[2] > 1 else slice(None)
                    seen = None if seen is None else seen[None]
                    yield self._look_plainly(series[one, :, :, pixels], days[one, :, own], seen)

    def _can_fold(self, days: Tensor) -> bool:
        """Whether what is affine can be multiplied out: dates are the same for all pixels and ask nothing."""
        return isinstance(self.attention_heads, MultiHeadAttention) and days.shape[2] == 1

    def _chunks(self, series: Tensor, folded: bool) -> Iterator[slice]:
        """Cut the pixels of a series (B, T, C, N) into runs, which depend on its shape alone."""
        of_pixel = series.shape[1] * (self.bands + self.n_head if folded else self.width)
        size = max(1, _ELEMENTS.get(series.device.type, _ELEMENTS_ELSEWHERE) // of_pixel // _RUN) * _RUN
        return (slice(start, start + size) for start in range(0, series.shape[3], size))

    def _look_plainly(self, series: Tensor, days: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor]:
        """Look at pixels (B, T, C, N), of days (B, T, 1 or N), observed or not (B, T, N), layer by layer.

        Returns:
            Scores (B N, K), and attention (n_head, T, B N).
        """
        seen = None if observed is None else observed.transpose(1, 2)
        features = self._project(series.permute(0, 3, 1, 2), seen) + self._encode(days.transpose(1, 2))
        features = features.flatten(0, 1)  # (B N, T, D)
        if seen is None:
            pooled, attention = self.attention_heads(features, None)
        else:
            hidden = ~seen.flatten(0, 1)
            features = features.masked_fill(hidden[:, :, None], 0)  # what pixels that were never seen are pooled to
            pooled, attention = self.attention_heads(features, hidden)  # (B N, D), (B N, n_head, T)
            attention = attention.masked_fill(hidden[:, None], 0)
        scores: Tensor = self.decoder(self.outlayernorm(self.dropout(self.mlp(pooled))))
        return scores, attention.permute(1, 2, 0)

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

    def _fold(self, days: Tensor) -> _Multiplied:
        """Multiply out what is affine in the standardised bands, for series of the same days (T,).

        Keys and values are affine in them, so that bands are weighed and pooled before they are projected, not after.
        """
        heads, norm = self.attention_heads, self.inconv[1]
        assert isinstance(heads, MultiHeadAttention)
        assert isinstance(norm, nn.BatchNorm1d)
        scale, shift = batch_norm(norm)
        weight = scale[:, None] * wide(self.inconv.get_parameter("0.weight")).squeeze(2)  # (D, C)
        shift = shift + scale * wide(self.inconv.get_parameter("0.bias")) + weight @ wide(self.inlayernorm.bias)
        weight = weight * wide(self.inlayernorm.weight)
        table = wide(self._encode(days)) + shift  # (T, D)
        asked = heads.asked()
        return _Multiplied(
            asked=(asked @ weight).float(),
            asked_of_dates=(table @ asked.t()).float().unsqueeze(2),
            weight=weight.view(self.n_head, -1, self.bands).float(),
            table=table.t().reshape(self.n_head, -1, len(table)).float(),
            mlp=fold_layers(self.mlp),
            decoder=fold_layers(self.decoder, self.outlayernorm.weight, self.outlayernorm.bias),
            eps=(self.inlayernorm.eps, self.outlayernorm.eps),
        )


@dataclass(frozen=True, eq=False)
class _Multiplied:
    """The network of evaluation, multiplied out for series of the same T days.

    Attributes:
        asked: What a head makes of standardised bands, (n_head, C).
        asked_of_dates: What it adds for a date, (T, n_head, 1).
        weight: From standardised bands to the values of a head, (n_head, D / n_head, C).
        table: What the values of a head have besides, for a date, (n_head, D / n_head, T).
        mlp: Layers from the values to what is standardised again.
        decoder: Layers from there to the scores.
        eps: What is added to variances of the bands, and after ``mlp``.
    """

    asked: Tensor
    asked_of_dates: Tensor
    weight: Tensor
    table: Tensor
    mlp: Folded
    decoder: Folded
    eps: tuple[float, float]

    def __call__(self, x: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor]:
        """Look at pixels (T, C, N), observed or not (T, N): scores (N, K), and attention (n_head, T, N)."""
        n = x.shape[2]
        if n % _RUN:
            x = F.pad(x, (0, -n % _RUN))
            observed = None if observed is None else F.pad(observed, (0, -n % _RUN))
        bands = self._standardise(x)
        logits = torch.matmul(self.asked, bands).add_(self.asked_of_dates)  # (T, n_head, N)
        if observed is None:
            attention = softmax(logits, dim=0)
        else:
            hidden = ~observed[:, None]
            attention = softmax(logits.masked_fill_(hidden, PADDING_LOGIT), dim=0).masked_fill_(hidden, 0)
        pooled = torch.bmm(self.table, attention.transpose(0, 1))  # (n_head, D / n_head, N)
        pooled = torch.baddbmm(pooled, self.weight, _pool(attention, bands))
        rows = self.mlp(pooled.flatten(0, 1).t())
        rows = F.layer_norm(rows, rows.shape[1:], eps=self.eps[1])
        return self.decoder(rows)[:n], attention.transpose(0, 1)[..., :n]

    def _standardise(self, x: Tensor) -> Tensor:
        """Bands of every date and pixel, (T, C, N), less their mean and over their standard deviation."""
        deviations = x - x.mean(dim=1, keepdim=True)
        variance = deviations.square().mean(dim=1, keepdim=True)
        return deviations.mul_(variance.add_(self.eps[0]).rsqrt_())


def _pool(attention: Tensor, bands: Tensor) -> Tensor:
    """Weigh bands (T, C, N) by attention (T, n_head, N), and sum over dates: (n_head, C, N)."""
    pooled = bands.new_zeros(attention.shape[1], *bands.shape[1:])
    for weights, values in zip(attention, bands, strict=True):
        pooled.addcmul_(weights[:, None], values)
    return pooled


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
    """Days or masks, (B, T) or (B, T, H, W), as (B, T, 1 or H W)."""
    b, t, _, height, width = x.shape
    if values.shape == (b, t):
        return values[:, :, None]
    if values.shape == (b, t, height, width):
        return values.flatten(2)
    raise ModelError(
        f"{what} have shape {tuple(values.shape)}. Give one a date, {(b, t)}, or one a pixel and date, "
        f"{(b, t, height, width)}."
    )
