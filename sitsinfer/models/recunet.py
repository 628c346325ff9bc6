"""U-ConvLSTM and its kin: a U-Net over every date, pooled over dates by a recurrence or a mean.

The competing methods of "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal Attention
Networks", 2021, after R. Rustowicz et al., "Semantic Segmentation of Crop Type in Africa", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.convlstm import ConvLSTM
from sitsinfer.models.layers import ConvBlock, PaddingMode
from sitsinfer.models.unet import TemporalUNet, observed_shares, weighted_sum

TEMPORAL = ("lstm", "blstm", "mean", "mono")


class RecUNet(TemporalUNet):
    """Segment a time series of patches."""

    temporal_encoder: nn.Module
    out_convlstm: nn.Module

    def __init__(
        self,
        input_dim: int,
        encoder_widths: Sequence[int] = (64, 64, 64, 128),
        decoder_widths: Sequence[int] | None = (32, 32, 64, 128),
        out_conv: Sequence[int] = (32, 20),
        str_conv_k: int = 4,
        str_conv_s: int = 2,
        str_conv_p: int = 1,
        temporal: str = "lstm",
        encoder_norm: str = "group",
        hidden_dim: int = 64,
        padding_mode: PaddingMode = "zeros",
        pad_value: float | None = 0,
    ) -> None:
        """Build the network; arguments have their published names.

        Args:
            input_dim: Bands.
            encoder_widths: Channels of the encoder's stages, from full to lowest resolution.
            decoder_widths: Channels of the decoder's stages, in the same order; None means as the encoder.
            out_conv: Channels of the output convolutions; the last is the number of classes.
            str_conv_k: Kernel of the strided convolutions.
            str_conv_s: Stride of the strided convolutions.
            str_conv_p: Padding of the strided convolutions.
            temporal: How the lowest maps are pooled: ``lstm``, ``blstm`` (both directions), ``mean`` (of the dates
                that are not padding), or ``mono`` (there is one date).
            encoder_norm: Normalisation in the encoder, and in the decoder's 3 x 3 convolutions.
            hidden_dim: Channels of the recurrence's states.
            padding_mode: How convolutions after the first block, which reflects, see beyond the patch.
            pad_value: Frames that hold only this value are padding; None where there is none.

        Raises:
            ModelError: If hyper-parameters do not fit each other.
        """
        if temporal not in TEMPORAL:
            raise ModelError(f"Unknown temporal '{temporal}'. Choose one of {', '.join(TEMPORAL)}.")
        strided = (str_conv_k, str_conv_s, str_conv_p)
        observed = None if temporal == "mono" else pad_value
        super().__init__(
            input_dim,
            encoder_widths,
            decoder_widths,
            strided,
            encoder_norm,
            encoder_norm,
            padding_mode,
            observed,
            first_padding_mode="reflect",
        )
        self.temporal = temporal
        lowest = encoder_widths[-1]
        if temporal == "lstm":
            self.temporal_encoder = ConvLSTM(lowest, hidden_dim)
            self.out_convlstm = nn.Conv2d(hidden_dim, lowest, 3, padding=1)
        elif temporal == "blstm":
            self.temporal_encoder = BidirectionalConvLSTM(lowest, hidden_dim)
            self.out_convlstm = nn.Conv2d(2 * hidden_dim, lowest, 3, padding=1)
        first = (encoder_widths if decoder_widths is None else decoder_widths)[0]
        self.out_conv = ConvBlock([first, *out_conv], "batch", padding_mode)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Score every pixel.

        Args:
            x: Normalised time series, (B, T, C, H, W); with ``temporal='mono'`` also (B, C, H, W). H and W are
                multiples of the encoder's stride and greater.
            positions: Play no part.

        Returns:
            Scores (B, K, H, W), not logits: they pass a ReLU.

        Raises:
            ModelError: If the shape does not fit.
        """
        scores: Tensor = self.out_conv(self.decoder_maps(x)[-1])
        return scores

    def decoder_maps(self, x: Tensor) -> list[Tensor]:
        """Compute feature maps pooled over dates, for networks that build on this one.

        Returns:
            The decoder's maps (B, D, h, w), from the lowest resolution, as pooled over dates, to the full one.
        """
        if self.temporal == "mono":
            x = _single_date(x)
        *skips, lowest = self.encode(x)
        pad_mask = self.pad_mask(x)
        shares = observed_shares(x, pad_mask)
        return self.decode(self._pool(lowest, shares, pad_mask), skips, shares)

    def _pool(self, chunks: Sequence[Tensor], shares: Tensor, pad_mask: Tensor | None) -> Tensor:
        """Pool chunks (B, t, D, h, w) over dates; recurrences run over padded dates too, as published."""
        if self.temporal in ("mean", "mono"):
            return weighted_sum(chunks, shares)
        maps = torch.cat(list(chunks), dim=1)
        states = self.temporal_encoder(maps, pad_mask) if self.temporal == "blstm" else self.temporal_encoder(maps)
        pooled: Tensor = self.out_convlstm(states)
        return pooled


class BidirectionalConvLSTM(nn.Module):
    """Two ConvLSTM layers, forwards and backwards in time."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        """Build two layers from ``input_dim`` channels to ``hidden_dim``."""
        super().__init__()
        self.convlstm_forward = ConvLSTM(input_dim, hidden_dim)
        self.convlstm_backward = ConvLSTM(input_dim, hidden_dim)

    def forward(self, x: Tensor, pad_mask: Tensor | None) -> Tensor:
        """Reduce (B, T, C, H, W) to the last cell states of both directions, (B, 2 * hidden_dim, H, W).

        Padded dates, (B, T), come first in the backward direction, where their features are 0.
        """
        backward = x if pad_mask is None else x.masked_fill(pad_mask[:, :, None, None, None], 0)
        return torch.cat([self.convlstm_forward(x), self.convlstm_backward(backward.flip(1))], dim=1)


def _single_date(x: Tensor) -> Tensor:
    x = x.unsqueeze(1) if x.ndim == 4 else x
    if x.shape[1] != 1:
        raise ModelError(f"The series has {x.shape[1]} dates. A model with temporal='mono' takes one.")
    return x
