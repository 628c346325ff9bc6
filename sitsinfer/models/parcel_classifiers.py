"""Classifiers of parcels: a pixel-set encoder, a temporal encoder, and scores of classes.

V. Sainte Fare Garnot, L. Landrieu, S. Giordano and N. Chehata, "Satellite Image Time Series Classification with
Pixel-Set Encoders and Temporal Self-Attention", CVPR 2020, and the lightweight form of "Lightweight Temporal
Self-Attention for Classifying Satellite Images Time Series", 2020. State-dict entries are those of published weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.folding import fold_layers
from sitsinfer.models.gru import GRU
from sitsinfer.models.layers import score_layers
from sitsinfer.models.ltae import LTAE
from sitsinfer.models.pse import PixelSetEncoder
from sitsinfer.models.tae import TAE
from sitsinfer.models.tempcnn import TempCNN

_PARCELS_AT_ONCE = {"cpu": 16}  # always as many: products of another shape may round a row in another way


class ParcelClassifier(nn.Module):
    """Classify parcels by the series of their pixels and by features of their shape."""

    def __init__(
        self, spatial_encoder: PixelSetEncoder, temporal_encoder: nn.Module, mlp4: Sequence[int], width: int
    ) -> None:
        """Join the encoders; ``width`` is what the temporal one gives.

        Raises:
            ModelError: If ``mlp4`` does not start at ``width``.
        """
        super().__init__()
        if mlp4[0] != width:
            raise ModelError(f"mlp4 starts at {mlp4[0]} but gets {width} channels. Set mlp4[0] to {width}.")
        self.n_classes = mlp4[-1]
        self.spatial_encoder = spatial_encoder
        self.temporal_encoder = temporal_encoder
        self.decoder = score_layers(mlp4)

    def forward(self, pixels: Tensor, mask: Tensor, extra: Tensor | None = None) -> Tensor:
        """Score parcels, as published.

        Args:
            pixels: Normalised values, (B, T, C, S). Sets of fewer than S pixels are filled up with their first.
            mask: 1 where a pixel is one of the set, 0 where it fills up, (B, T, S); never all 0.
            extra: Normalised features of the parcel, the same for every date, (B, T, F); None for a model without.

        Returns:
            Scores, (B, K).

        Raises:
            ModelError: If a shape does not fit.
        """
        scores: Tensor = self.decoder(self.temporal_encoder(self.spatial_encoder(pixels, mask, extra)))
        return scores

    def score_sets(self, pixels: Tensor, counts: Tensor, extra: Tensor | None = None) -> Tensor:
        """Score parcels in evaluation mode, without filling up: what :meth:`forward` gives, to rounding, but faster.

        On a CPU a parcel's scores are the same to the bit whatever parcels it is scored with, and in any number of
        threads, if layers have widths that are multiples of 16, as those published. Otherwise last bits may differ.

        Args:
            pixels: Normalised values of the pixels of one parcel after the other's, (N, T, C).
            counts: How many pixels each parcel has, (B,), int64; at least one.
            extra: Normalised features of the parcels, (B, F); None for a model without.

        Returns:
            Scores, (B, K).

        Raises:
            ModelError: If a shape does not fit, or a parcel has no pixel.
        """
        assert not self.training
        _check_counts(pixels, counts)
        if len(counts) == 0:
            return pixels.new_empty(0, self.n_classes)
        joined = self.spatial_encoder.pool_sets(pixels, counts, extra)
        decode, size = fold_layers(self.decoder), _PARCELS_AT_ONCE.get(joined.device.type, len(joined))
        scores = []
        for start in range(0, len(joined), size):
            block = joined[start : start + size]
            block = block if len(block) == size else F.pad(block, (0, 0, 0, 0, 0, size - len(block)))
            scores.append(decode(self.temporal_encoder(self.spatial_encoder.encode(block))))
        return torch.cat(scores)[: len(counts)]


def _check_counts(pixels: Tensor, counts: Tensor) -> None:
    if int(counts.sum()) != len(pixels):
        raise ModelError(f"The parcels have {int(counts.sum())} pixels but {len(pixels)} were given. Give them all.")
    if (counts < 1).any():
        raise ModelError(f"{int((counts < 1).sum())} parcels have no pixel. Leave them out.")


class AttentiveParcelClassifier(ParcelClassifier):
    """A classifier that can tell which dates it looked at."""

    temporal_encoder: LTAE | TAE

    def attend(self, pixels: Tensor, mask: Tensor, extra: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score parcels, and tell the attention.

        Args and errors are those of :meth:`forward`.

        Returns:
            Scores (B, K), and attention (n_head, B, T) that sums to 1 over T.
        """
        features, attention = self.temporal_encoder.attend(self.spatial_encoder(pixels, mask, extra))
        return self.decoder(features), attention


class PseLTae(AttentiveParcelClassifier):
    """Pixel sets by lightweight temporal attention."""

    def __init__(
        self,
        input_dim: int = 10,
        mlp1: Sequence[int] = (10, 32, 64),
        pooling: str = "mean_std",
        mlp2: Sequence[int] = (132, 128),
        with_extra: bool = True,
        extra_size: int | None = 4,
        n_head: int = 16,
        d_k: int = 8,
        d_model: int | None = 256,
        mlp3: Sequence[int] = (256, 128),
        dropout: float = 0.2,
        T: int = 1000,  # noqa: N803 - the published name
        len_max_seq: int = 24,
        positions: Sequence[int] | None = None,
        mlp4: Sequence[int] = (128, 64, 32, 20),
    ) -> None:
        """Build the network; arguments have their published names.

        They are those of :class:`~sitsinfer.models.pse.PixelSetEncoder` and, ``mlp3`` being its ``n_neurons``, of
        :class:`~sitsinfer.models.ltae.LTAE`; ``mlp4`` is the widths of the layers after it, of which the last is the
        number of classes.

        Raises:
            ModelError: If hyper-parameters do not fit each other.
        """
        spatial = PixelSetEncoder(input_dim, mlp1, pooling, mlp2, with_extra, extra_size)
        temporal = LTAE(mlp2[-1], n_head, d_k, mlp3, dropout, d_model, T, len_max_seq, positions)
        super().__init__(spatial, temporal, mlp4, mlp3[-1])


class PseTae(AttentiveParcelClassifier):
    """Pixel sets by temporal attention."""

    def __init__(
        self,
        input_dim: int = 10,
        mlp1: Sequence[int] = (10, 32, 64),
        pooling: str = "mean_std",
        mlp2: Sequence[int] = (132, 128),
        with_extra: bool = True,
        extra_size: int | None = 4,
        n_head: int = 4,
        d_k: int = 32,
        d_model: int | None = None,
        mlp3: Sequence[int] = (512, 128, 128),
        dropout: float = 0.2,
        T: int = 1000,  # noqa: N803 - the published name
        len_max_seq: int = 24,
        positions: Sequence[int] | None = None,
        mlp4: Sequence[int] = (128, 64, 32, 20),
    ) -> None:
        """Build the network; arguments are those of :class:`PseLTae`, for :class:`~sitsinfer.models.tae.TAE`.

        Raises:
            ModelError: If hyper-parameters do not fit each other.
        """
        spatial = PixelSetEncoder(input_dim, mlp1, pooling, mlp2, with_extra, extra_size)
        temporal = TAE(mlp2[-1], n_head, d_k, mlp3, dropout, d_model, T, len_max_seq, positions)
        super().__init__(spatial, temporal, mlp4, mlp3[-1])


class PseGru(ParcelClassifier):
    """Pixel sets by recurrence."""

    def __init__(
        self,
        input_dim: int = 10,
        mlp1: Sequence[int] = (10, 32, 64),
        pooling: str = "mean_std",
        mlp2: Sequence[int] = (132, 128),
        with_extra: bool = True,
        extra_size: int | None = 4,
        hidden_dim: int = 128,
        mlp4: Sequence[int] = (128, 64, 32, 20),
        positions: Sequence[int] | None = None,
    ) -> None:
        """Build the network; arguments are those of :class:`PseLTae`, for :class:`~sitsinfer.models.gru.GRU`.

        Raises:
            ModelError: If hyper-parameters do not fit each other.
        """
        spatial = PixelSetEncoder(input_dim, mlp1, pooling, mlp2, with_extra, extra_size)
        super().__init__(spatial, GRU(mlp2[-1], hidden_dim, positions), mlp4, hidden_dim)


class PseTempCNN(ParcelClassifier):
    """Pixel sets by temporal convolutions."""

    def __init__(
        self,
        input_dim: int = 10,
        mlp1: Sequence[int] = (10, 32, 64),
        pooling: str = "mean_std",
        mlp2: Sequence[int] = (132, 128),
        with_extra: bool = True,
        extra_size: int | None = 4,
        nker: Sequence[int] = (32, 32, 128),
        mlp3: Sequence[int] = (128, 128),
        seq_len: int = 24,
        mlp4: Sequence[int] = (128, 64, 32, 20),
        positions: Sequence[int] | None = None,
    ) -> None:
        """Build the network; arguments are those of :class:`PseLTae`, for :class:`~sitsinfer.models.tempcnn.TempCNN`.

        Raises:
            ModelError: If hyper-parameters do not fit each other.
        """
        spatial = PixelSetEncoder(input_dim, mlp1, pooling, mlp2, with_extra, extra_size)
        super().__init__(spatial, TempCNN(mlp2[-1], nker, seq_len, mlp3, positions), mlp4, mlp3[-1])
