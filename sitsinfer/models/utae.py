"""U-TAE: a U-Net over every date, pooled over dates by lightweight temporal attention.

V. Sainte Fare Garnot and L. Landrieu, "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal
Attention Networks", ICCV 2021. State-dict entries are those of the published weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from sitsinfer.errors import ModelError
from sitsinfer.models.layers import ConvBlock, PaddingMode
from sitsinfer.models.ltae import LTAE2d
from sitsinfer.models.unet import TemporalUNet, observed_shares

AGGREGATIONS = ("att_group", "att_mean", "mean")


class UTAE(TemporalUNet):
    """Segment a time series of patches."""

    def __init__(
        self,
        input_dim: int,
        encoder_widths: Sequence[int] = (64, 64, 64, 128),
        decoder_widths: Sequence[int] | None = (32, 32, 64, 128),
        out_conv: Sequence[int] = (32, 20),
        str_conv_k: int = 4,
        str_conv_s: int = 2,
        str_conv_p: int = 1,
        agg_mode: str = "att_group",
        encoder_norm: str = "group",
        n_head: int = 16,
        d_model: int = 256,
        d_k: int = 4,
        pad_value: float | None = 0,
        padding_mode: PaddingMode = "reflect",
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
            agg_mode: How skips are pooled over dates: ``att_group`` (each head weighs its own channels), ``att_mean``
                (the mean of the heads weighs all) or ``mean`` (of the dates that are not padding).
            encoder_norm: Normalisation in the encoder: ``group``, ``batch`` or ``instance``.
            n_head: Attention heads.
            d_model: Channels of the attention's values, all heads together.
            d_k: Size of an attention key.
            pad_value: Frames that hold only this value are padding; None where there is none.
            padding_mode: How convolutions see beyond the patch.

        Raises:
            ModelError: If hyper-parameters do not fit each other.
        """
        if agg_mode not in AGGREGATIONS:
            raise ModelError(f"Unknown agg_mode '{agg_mode}'. Choose one of {', '.join(AGGREGATIONS)}.")
        uneven = [width for width in encoder_widths if agg_mode == "att_group" and width % n_head]
        if uneven:
            raise ModelError(
                f"n_head is {n_head}, which does not divide encoder width {uneven[0]}. Change one of them."
            )
        strided = (str_conv_k, str_conv_s, str_conv_p)
        super().__init__(
            input_dim, encoder_widths, decoder_widths, strided, encoder_norm, "batch", padding_mode, pad_value
        )
        self.agg_mode = agg_mode
        self.temporal_encoder = LTAE2d(
            encoder_widths[-1], n_head=n_head, d_k=d_k, mlp=[d_model, encoder_widths[-1]], d_model=d_model
        )
        first = (encoder_widths if decoder_widths is None else decoder_widths)[0]
        self.out_conv = ConvBlock([first, *out_conv], "batch", padding_mode)

    @overload
    def forward(self, x: Tensor, positions: Tensor, return_attention: Literal[False] = False) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, positions: Tensor, return_attention: Literal[True]) -> tuple[Tensor, Tensor]: ...
    def forward(self, x: Tensor, positions: Tensor, return_attention: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Score every pixel.

        Args:
            x: Normalised time series, (B, T, C, H, W). H and W are multiples of the encoder's stride and greater.
            positions: Days since the reference date of the weights, (B, T), int64.
            return_attention: Whether to return the attention too.

        Returns:
            Scores (B, K, H, W), not logits: they pass a ReLU, so that many are exactly 0. With ``return_attention``
            also the attention (n_head, B, T, h, w), at the lowest resolution.

        Raises:
            ModelError: If a shape does not fit.
        """
        maps, attention = self.decoder_maps(x, positions)
        scores: Tensor = self.out_conv(maps[-1])
        return (scores, attention) if return_attention else scores

    def attend(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Score every pixel, and tell which dates were looked at: :meth:`forward` with its attention."""
        return self.forward(x, positions, return_attention=True)

    def decoder_maps(self, x: Tensor, positions: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute feature maps pooled over dates, for networks that build on this one.

        Returns:
            The decoder's maps (B, D, h, w), from the lowest resolution, as it leaves the temporal encoder, to the
            full one; and the attention (n_head, B, T, h, w).
        """
        *skips, lowest = self.encode(x)
        pad_mask = self.pad_mask(x)
        out, attention = self.temporal_encoder(torch.cat(lowest, dim=1), positions, pad_mask)
        if self.agg_mode == "mean":
            weights = observed_shares(x, pad_mask)
        else:
            weights = self._attention_weights(attention, pad_mask)
        return self.decode(out, skips, weights), attention

    def _attention_weights(self, attention: Tensor, pad_mask: Tensor | None) -> Tensor:
        """Turn attention (n_head, B, T, h, w) into what each date weighs in the skips, (B, T, groups, h, w)."""
        weights = attention.permute(1, 2, 0, 3, 4)
        if self.agg_mode == "att_mean":
            weights = weights.mean(dim=2, keepdim=True)
        if pad_mask is not None:
            weights = weights.masked_fill(pad_mask[:, :, None, None, None], 0)
        return weights
