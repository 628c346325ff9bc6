"""Pixel-set encoder: the pixels of a parcel, in any number and order, to one vector a date.

V. Sainte Fare Garnot, L. Landrieu, S. Giordano and N. Chehata, "Satellite Image Time Series Classification with
Pixel-Set Encoders and Temporal Self-Attention", CVPR 2020. State-dict entries are those of the published weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.folding import fold_layers
from sitsinfer.models.layers import dense_layers

PARCELS_AT_ONCE = {"cpu": 1}
"""Parcels whose pixels are encoded and pooled together, by the type of device."""
_PARCELS_AT_ONCE_ELSEWHERE = 512

_LEAST_VARIANCE = 1e-31  # of the published code: keeps the gradient of a square root of zero finite


class PixelSetEncoder(nn.Module):
    """Encode every pixel alone, pool the pixels of a date, and encode what comes out with features of the parcel."""

    def __init__(
        self,
        input_dim: int,
        mlp1: Sequence[int] = (10, 32, 64),
        pooling: str = "mean_std",
        mlp2: Sequence[int] = (132, 128),
        with_extra: bool = True,
        extra_size: int | None = 4,
    ) -> None:
        """Build the encoder; arguments have their published names.

        Args:
            input_dim: Bands.
            mlp1: Widths of the layers over pixels; the first is ``input_dim``.
            pooling: Statistics of the pixels of a date, in the order in which they are joined: any of ``mean``,
                ``std``, ``max`` and ``min``, with ``_`` between them.
            mlp2: Widths of the layers over dates; the first is that of all statistics and the features.
            with_extra: Whether features of the parcel are joined to the statistics.
            extra_size: How many.

        Raises:
            ModelError: If hyper-parameters do not fit each other.
        """
        super().__init__()
        names = pooling.split("_")
        unknown = [name for name in names if name not in POOLINGS]
        if unknown:
            raise ModelError(f"Unknown pooling '{unknown[0]}'. Choose of {', '.join(POOLINGS)}, joined by '_'.")
        self.extra_size = (extra_size or 0) if with_extra else 0
        self.poolings = tuple(names)
        joined = len(names) * mlp1[-1] + self.extra_size
        for name, width, before in (("mlp1", mlp1[0], input_dim), ("mlp2", mlp2[0], joined)):
            if width != before:
                raise ModelError(f"{name} starts at {width} but gets {before} channels. Set {name}[0] to {before}.")
        self.mlp1 = nn.Sequential(*(PixelLayer(before, after) for before, after in pairwise(mlp1)))
        self.mlp2 = dense_layers(mlp2, last_relu=False)

    def forward(self, pixels: Tensor, mask: Tensor, extra: Tensor | None = None) -> Tensor:
        """Encode parcels.

        Args:
            pixels: Normalised values, (B, T, C, S). Sets of fewer than S pixels are filled up with their first.
            mask: 1 where a pixel is one of the set, 0 where it fills up, (B, T, S); never all 0.
            extra: Features of the parcel, (B, T, F); None for an encoder without.

        Returns:
            Embeddings, (B, T, mlp2[-1]).

        Raises:
            ModelError: If a shape does not fit.
        """
        b, t, bands, s = pixels.shape
        self.check(bands, extra)
        features = self.mlp1(pixels.permute(0, 3, 1, 2).flatten(0, 2)).view(b, s, t, -1)
        weights = mask.transpose(1, 2).unsqueeze(3).to(features.dtype)
        pooled = self._pool(features, weights)
        return self.encode(pooled if extra is None else torch.cat([pooled, extra], dim=2))

    def encode(self, joined: Tensor) -> Tensor:
        """Encode statistics and features of every date, (B, T, mlp2[0]) to (B, T, mlp2[-1])."""
        embeddings: Tensor = self.mlp2(joined.flatten(0, 1)).view(*joined.shape[:2], -1)
        return embeddings

    def pool_sets(self, pixels: Tensor, counts: Tensor, extra: Tensor | None = None) -> Tensor:
        """Pool the pixels of parcels, by layers multiplied out for inference: what :meth:`encode` takes.

        On a CPU one parcel is computed at a time: its features fit in the caches, there is nothing to fill up, and its
        statistics are the same to the bit whatever the other parcels.

        Args:
            pixels: Pixels of one parcel after the other's, (N, T, C).
            counts: How many pixels each parcel has, (B,), int64; there is a parcel.
            extra: Features of the parcels, (B, F); None for an encoder without.

        Returns:
            Statistics and features of every date, (B, T, mlp2[0]).

        Raises:
            ModelError: If a shape does not fit.
        """
        self.check(pixels.shape[2], extra)
        layers = fold_layers(part for layer in self.mlp1 for part in (*layer.children(), nn.ReLU()))
        at_once = PARCELS_AT_ONCE.get(pixels.device.type, _PARCELS_AT_ONCE_ELSEWHERE)
        stops = [0, *counts.cumsum(0).tolist()]
        joined = pixels.new_empty(len(counts), pixels.shape[1], self.mlp2.get_parameter("0.weight").shape[1])
        for first in range(0, len(counts), at_once):
            last = min(first + at_once, len(counts))
            rows = layers(pixels[stops[first] : stops[last]].flatten(0, 1))  # (N T, D)
            sets = rows.float().view(-1, pixels.shape[1], rows.shape[1])  # (N, T, D)
            pooled = self._pool(*((sets[None], None) if at_once == 1 else _padded(sets, counts[first:last])))
            joined[first:last, :, : pooled.shape[2]] = pooled
        if extra is not None:
            joined[:, :, -self.extra_size :] = extra[:, None]
        return joined

    def _pool(self, features: Tensor, weights: Tensor | None) -> Tensor:
        """Join the statistics (B, T, D of all) of features and weights as :data:`POOLINGS` take them."""
        mean = _mean(features, weights)
        return torch.cat([POOLINGS[name](features, weights, mean) for name in self.poolings], dim=2)

    def check(self, bands: int, extra: Tensor | None) -> None:
        """Check the number of bands, and of the features in the last axis of ``extra``.

        Raises:
            ModelError: If it is not the encoder's.
        """
        expected = self.mlp1.get_parameter("0.lin.weight").shape[1]
        if bands != expected:
            raise ModelError(f"The pixels have {bands} bands. The model takes {expected}.")
        size = 0 if extra is None else extra.shape[-1]
        if size != self.extra_size:
            raise ModelError(f"The parcels come with {size} features. The model takes {self.extra_size}.")


class PixelLayer(nn.Module):
    """A linear layer with batch normalisation and ReLU, by the published attribute names."""

    def __init__(self, d_in: int, d_out: int) -> None:
        """Go from ``d_in`` to ``d_out`` channels."""
        super().__init__()
        self.lin = nn.Linear(d_in, d_out)
        self.bn = nn.BatchNorm1d(d_out)

    def forward(self, x: Tensor) -> Tensor:
        """Encode pixels, (N, d_in)."""
        out: Tensor = self.bn(self.lin(x)).relu_()
        return out


def _padded(sets: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Sets one after the other (N, T, D), of so many pixels each (B,), as sets of S (B, S, T, D); and their weights."""
    places = torch.arange(int(counts.max()), device=sets.device)
    rows = (counts.cumsum(0) - counts)[:, None] + places
    return sets[rows.clamp_max(len(sets) - 1)], (places < counts[:, None])[:, :, None, None].to(sets.dtype)


def _mean(features: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return features.mean(dim=1)
    return (features * weights).sum(dim=1) / weights.sum(dim=1)


def _std(features: Tensor, weights: Tensor | None, mean: Tensor) -> Tensor:
    """Standard deviation with n - 1; that of a single pixel is 0."""
    squares = (features - mean.unsqueeze(1)).square_()
    if weights is None:
        variance = squares.sum(dim=1) / max(features.shape[1] - 1, 1)
    else:
        variance = (squares * weights).sum(dim=1) / (weights.sum(dim=1) - 1).clamp_min(1)
    return (variance + _LEAST_VARIANCE).sqrt()


def _max(features: Tensor, weights: Tensor | None, mean: Tensor) -> Tensor:
    return (features if weights is None else features.masked_fill(weights == 0, -torch.inf)).amax(dim=1)


def _min(features: Tensor, weights: Tensor | None, mean: Tensor) -> Tensor:
    return (features if weights is None else features.masked_fill(weights == 0, torch.inf)).amin(dim=1)


POOLINGS: dict[str, Callable[[Tensor, Tensor | None, Tensor], Tensor]] = {
    "mean": lambda features, weights, mean: mean,
    "std": _std,
    "max": _max,
    "min": _min,
}
"""From features (B, S, T, D), weights 1 or 0 (B, S, T or 1, 1; None if all are 1) and mean (B, T, D) to (B, T, D)."""
