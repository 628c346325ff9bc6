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
from sitsinfer.models.layers import dense_layers

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
        b, t, _, s = pixels.shape
        self.check(pixels.shape[2], extra)
        features = self.mlp1(pixels.transpose(2, 3).flatten(0, 2)).view(b * t, s, -1)
        weights = mask.reshape(b * t, s, 1).to(features.dtype)
        pooled = [POOLINGS[name](features, weights).view(b, t, -1) for name in self.poolings]
        joined = torch.cat(pooled if extra is None else [*pooled, extra], dim=2)
        embeddings: Tensor = self.mlp2(joined.flatten(0, 1)).view(b, t, -1)
        return embeddings

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


def _mean(features: Tensor, weights: Tensor) -> Tensor:
    return (features * weights).sum(dim=1) / weights.sum(dim=1)


def _std(features: Tensor, weights: Tensor) -> Tensor:
    """Standard deviation with n - 1; that of a single pixel is 0."""
    deviations = (features - _mean(features, weights).unsqueeze(1)).square() * weights
    return (deviations.sum(dim=1) / (weights.sum(dim=1) - 1).clamp_min(1) + _LEAST_VARIANCE).sqrt()


def _max(features: Tensor, weights: Tensor) -> Tensor:
    return features.masked_fill(weights == 0, -torch.inf).amax(dim=1)


def _min(features: Tensor, weights: Tensor) -> Tensor:
    return features.masked_fill(weights == 0, torch.inf).amin(dim=1)


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": _mean, "std": _std, "max": _max, "min": _min}
"""From features (N, S, D), of pixels of weight 1 or 0 (N, S, 1), to (N, D)."""
