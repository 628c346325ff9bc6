"""U-TAE: a U-Net over every date, pooled over dates by lightweight temporal attention.

V. Sainte Fare Garnot and L. Landrieu, "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal
Attention Networks", ICCV 2021. State-dict entries are those of the published weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.layers import ConvBlock, DownConvBlock, PaddingMode, UpConvBlock, encode_observed, padded_frames
from sitsinfer.models.ltae import LTAE2d

AGGREGATIONS = ("att_group", "att_mean", "mean")
_CPU_FRAMES = 2


class UTAE(nn.Module):
    """Segment a time series of patches.

    Attributes:
        frame_chunk: How many frames the encoder takes at once, or None for what suits the device: a few on a CPU, so
            that their maps stay in its cache, and many elsewhere. It changes speed and memory, not the result.
    """

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
        super().__init__()
        decoder_widths = encoder_widths if decoder_widths is None else decoder_widths
        _check_hyperparameters(encoder_widths, decoder_widths, agg_mode, n_head)
        self.input_dim = input_dim
        self.stride = str_conv_s ** (len(encoder_widths) - 1)
        self.agg_mode = agg_mode
        self.pad_value = pad_value
        self.frame_chunk: int | None = None
        self._mixes_frames = encoder_norm == "batch"

        strided = (str_conv_k, str_conv_s, str_conv_p)
        self.in_conv = ConvBlock([input_dim, encoder_widths[0], encoder_widths[0]], encoder_norm, padding_mode)
        self.down_blocks = nn.ModuleList(
            DownConvBlock(d_in, d_out, *strided, encoder_norm, padding_mode) for d_in, d_out in pairwise(encoder_widths)
        )
        self.up_blocks = nn.ModuleList(
            UpConvBlock(
                decoder_widths[i], decoder_widths[i - 1], encoder_widths[i - 1], *strided, "batch", padding_mode
            )
            for i in range(len(encoder_widths) - 1, 0, -1)
        )
        self.temporal_encoder = LTAE2d(
            encoder_widths[-1], n_head=n_head, d_k=d_k, mlp=[d_model, encoder_widths[-1]], d_model=d_model
        )
        self.out_conv = ConvBlock([decoder_widths[0], *out_conv], "batch", padding_mode)

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

    def decoder_maps(self, x: Tensor, positions: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute feature maps pooled over dates, for networks that build on this one.

        Returns:
            The decoder's maps (B, D, h, w), from the lowest resolution, as it leaves the temporal encoder, to the
            full one; and the attention (n_head, B, T, h, w).
        """
        self._check_input(x, positions)
        pad_mask = self._pad_mask(x)
        skips = self.encode(x)
        out, attention = self.temporal_encoder(skips.pop(), positions, pad_mask)
        weights = self._skip_weights(attention, pad_mask)
        maps = [out]
        for block in self.up_blocks:
            maps.append(block(maps[-1], weighted_sum(skips.pop(), weights)))
        return maps, attention

    def encode(self, x: Tensor) -> list[Tensor]:
        """Encode every date alone.

        Returns:
            Maps (B, T, D, h, w), from full to lowest resolution.
        """
        frames = x.flatten(0, 1)
        chunks = torch.split(frames, self._frame_chunk(x))
        stages = _gather((self._encode_frames(chunk) for chunk in chunks), len(frames))
        return [maps.view(*x.shape[:2], *maps.shape[1:]) for maps in stages]

    def _encode_frames(self, frames: Tensor) -> list[Tensor]:
        maps = [encode_observed(self.in_conv, frames, self.pad_value)]
        for block in self.down_blocks:
            maps.append(encode_observed(block, maps[-1], self.pad_value))
        return maps

    def _frame_chunk(self, x: Tensor) -> int:
        frames = x.shape[0] * x.shape[1]
        if self.training and self._mixes_frames:
            return frames  # batch statistics are those of all frames
        if self.frame_chunk is not None:
            return self.frame_chunk
        return _CPU_FRAMES if x.device.type == "cpu" else frames

    def _pad_mask(self, x: Tensor) -> Tensor | None:
        if self.pad_value is None:
            return None
        pad_mask = padded_frames(x.flatten(0, 1), self.pad_value)
        return pad_mask.view(x.shape[:2]) if pad_mask.any() else None

    def _skip_weights(self, attention: Tensor, pad_mask: Tensor | None) -> Tensor:
        """Turn attention (n_head, B, T, h, w) into what each date weighs in the skips, (B, T, groups, h, w)."""
        weights = attention.permute(1, 2, 0, 3, 4)
        if self.agg_mode == "att_mean":
            weights = weights.mean(dim=2, keepdim=True)
        elif self.agg_mode == "mean":
            weights = torch.ones_like(weights[:, :, :1, :1, :1])
        if pad_mask is not None:
            weights = weights.masked_fill(pad_mask[:, :, None, None, None], 0)
        if self.agg_mode == "mean":
            weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
        return weights

    def _check_input(self, x: Tensor, positions: Tensor) -> None:
        if x.ndim != 5 or x.shape[2] != self.input_dim:
            raise ModelError(f"The series has shape {tuple(x.shape)}. Expected (B, T, {self.input_dim}, H, W).")
        if any(size % self.stride or size <= self.stride for size in x.shape[3:]):
            height, width = x.shape[3:]
            raise ModelError(
                f"The patch has {height} x {width} pixels. Use multiples of {self.stride} from {2 * self.stride} up."
            )


def weighted_sum(maps: Tensor, weights: Tensor) -> Tensor:
    """Pool maps over dates by weights of a lower resolution, each group of weights for its own channels.

    Weights are resampled one date at a time, so that they never exist whole at the maps' resolution.

    Args:
        maps: Feature maps, (B, T, D, H, W).
        weights: Weights, (B, T, groups, h, w); groups divide D.

    Returns:
        Pooled maps, (B, D, H, W), in the type of ``maps``; summed in float32.
    """
    b, t, d, height, width = maps.shape
    groups = weights.shape[2]
    layout = _layout(maps[:, 0])
    if layout == torch.channels_last:  # one weight a channel, as channels are the fastest axis
        weights, groups = weights.repeat_interleave(d // groups, dim=2), d

    def weighted(date: int) -> tuple[Tensor, Tensor]:
        share = weights[:, date].float().contiguous(memory_format=layout)
        share = F.interpolate(share, (height, width), mode="bilinear", align_corners=False)
        return maps[:, date].view(b, groups, -1, height, width), share.unsqueeze(2)

    frame, share = weighted(0)
    out = frame * share
    for date in range(1, t):
        out.addcmul_(*weighted(date))
    return out.flatten(1, 2).to(maps.dtype)


def _layout(maps: Tensor) -> torch.memory_format:
    channels_last = maps.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last and not maps.is_contiguous() else torch.contiguous_format


def _gather(chunks: Iterator[list[Tensor]], length: int) -> list[Tensor]:
    """Join the stages of consecutive chunks of frames; without gradients, straight into place as they come."""
    if torch.is_grad_enabled():
        return [torch.cat(maps) for maps in zip(*chunks, strict=True)]
    first = next(chunks)
    if len(first[0]) == length:
        return first
    stages = [
        torch.empty((length, *maps.shape[1:]), dtype=maps.dtype, device=maps.device, memory_format=_layout(maps))
        for maps in first
    ]
    start = 0
    for chunk in chain([first], chunks):
        for stage, maps in zip(stages, chunk, strict=True):
            stage[start : start + len(maps)] = maps
        start += len(chunk[0])
    return stages


def _check_hyperparameters(
    encoder_widths: Sequence[int], decoder_widths: Sequence[int], agg_mode: str, n_head: int
) -> None:
    if agg_mode not in AGGREGATIONS:
        raise ModelError(f"Unknown agg_mode '{agg_mode}'. Choose one of {', '.join(AGGREGATIONS)}.")
    if len(encoder_widths) != len(decoder_widths) or encoder_widths[-1] != decoder_widths[-1]:
        raise ModelError(
            f"Encoder widths {list(encoder_widths)} and decoder widths {list(decoder_widths)} do not fit. "
            "Give as many of each, the last ones equal."
        )
    uneven = [width for width in encoder_widths if agg_mode == "att_group" and width % n_head]
    if uneven:
        raise ModelError(f"n_head is {n_head}, which does not divide encoder width {uneven[0]}. Change one of them.")
