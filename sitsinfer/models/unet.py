"""A U-Net over every date of a time series: what U-TAE and the recurrent U-Nets share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer.errors import ModelError
from sitsinfer.models.layers import (
    ConvBlock,
    DownConvBlock,
    PaddingMode,
    UpConvBlock,
    check_series,
    encode_observed,
    padded_frames,
)

_CPU_FRAMES = 2  # whose maps stay in the cache of one core


class TemporalUNet(nn.Module):
    """Encode every date alone and decode what is pooled over dates; how to pool is for the networks built on it.

    Attributes:
        frame_chunk: How many frames the encoder takes at once, or None for what suits the device: a few on a CPU, so
            that their maps stay in its cache, and all elsewhere. It changes speed and memory, not the result.
    """

    def __init__(
        self,
        input_dim: int,
        encoder_widths: Sequence[int],
        decoder_widths: Sequence[int] | None,
        strided: tuple[int, int, int],
        encoder_norm: str,
        decoder_norm: str,
        padding_mode: PaddingMode,
        pad_value: float | None,
        first_padding_mode: PaddingMode | None = None,
    ) -> None:
        """Build encoder and decoder.

        Args:
            input_dim: Bands.
            encoder_widths: Channels of the encoder's stages, from full to lowest resolution.
            decoder_widths: Channels of the decoder's stages, in the same order; None means as the encoder.
            strided: Kernel, stride and padding of the convolutions that change the resolution.
            encoder_norm: Normalisation in the encoder: ``group``, ``batch`` or ``instance``.
            decoder_norm: Normalisation in the decoder's 3 x 3 convolutions.
            padding_mode: How convolutions see beyond the patch.
            pad_value: Frames that hold only this value are padding; None where there is none.
            first_padding_mode: That of the first block, where it differs.

        Raises:
            ModelError: If hyper-parameters do not fit each other.
        """
        super().__init__()
        decoder_widths = encoder_widths if decoder_widths is None else decoder_widths
        if len(encoder_widths) != len(decoder_widths) or encoder_widths[-1] != decoder_widths[-1]:
            raise ModelError(
                f"Encoder widths {list(encoder_widths)} and decoder widths {list(decoder_widths)} do not fit. "
                "Give as many of each, the last ones equal."
            )
        self.input_dim = input_dim
        self.stride = strided[1] ** (len(encoder_widths) - 1)
        self.pad_value = pad_value
        self.frame_chunk: int | None = None
        self._mixes_frames = encoder_norm == "batch"

        self.in_conv = ConvBlock(
            [input_dim, encoder_widths[0], encoder_widths[0]], encoder_norm, first_padding_mode or padding_mode
        )
        self.down_blocks = nn.ModuleList(
            DownConvBlock(d_in, d_out, *strided, encoder_norm, padding_mode) for d_in, d_out in pairwise(encoder_widths)
        )
        self.up_blocks = nn.ModuleList(
            UpConvBlock(
                decoder_widths[i], decoder_widths[i - 1], encoder_widths[i - 1], *strided, decoder_norm, padding_mode
            )
            for i in range(len(encoder_widths) - 1, 0, -1)
        )

    def encode(self, x: Tensor) -> list[Tensor]:
        """Encode every date alone.

        Args:
            x: Normalised time series, (B, T, C, H, W).

        Returns:
            Maps (B, T, D, h, w), from full to lowest resolution.

        Raises:
            ModelError: If the shape does not fit.
        """
        check_series(x, self.input_dim, self.stride)
        frames = x.flatten(0, 1)
        chunks = torch.split(frames, self._frame_chunk(x))
        stages = _gather((self._encode_frames(chunk) for chunk in chunks), len(frames))
        return [maps.view(*x.shape[:2], *maps.shape[1:]) for maps in stages]

    def decode(self, out: Tensor, skips: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
        """Decode what is pooled over dates.

        Args:
            out: Pooled maps of the lowest resolution, (B, D, h, w).
            skips: The encoder's other maps (B, T, D, h, w), from full to lowest resolution.
            weights: What each date weighs in the skips, (B, T, groups, h, w), of any resolution.

        Returns:
            The decoder's maps (B, D, h, w), from ``out`` to full resolution.
        """
        maps = [out]
        for block, skip in zip(self.up_blocks, reversed(skips), strict=True):
            maps.append(block(maps[-1], weighted_sum(skip, weights)))
        return maps

    def pad_mask(self, x: Tensor) -> Tensor | None:
        """Find the dates that are padding: True there, (B, T), or None where there is none."""
        if self.pad_value is None:
            return None
        mask = padded_frames(x.flatten(0, 1), self.pad_value)
        return mask.view(x.shape[:2]) if mask.any() else None

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


def observed_shares(x: Tensor, pad_mask: Tensor | None) -> Tensor:
    """Share every date that is not padding alike, (B, T, 1, 1, 1); all are 0 where all are padding."""
    shares = x.new_ones((*x.shape[:2], 1, 1, 1))
    if pad_mask is not None:
        shares = shares.masked_fill(pad_mask[:, :, None, None, None], 0)
    return shares / shares.sum(dim=1, keepdim=True).clamp(min=1)


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
