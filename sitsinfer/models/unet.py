"""A U-Net over every date of a time series: what U-TAE and the recurrent U-Nets share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
    memory_layout,
    padded_frames,
)

_CPU_FRAMES = 2  # whose maps stay in the cache of one core


class TemporalUNet(nn.Module):
    """Encode every date alone and decode what is pooled over dates; how to pool is for the networks built on it.

    Attributes:
        map_widths: Channels of the decoder's maps, from the lowest resolution to the full one.
        frame_chunk: How many frames the encoder takes at once, but never less than one date of every sample; None for
            what suits the device: a few on a CPU, so that their maps stay in its cache, and all elsewhere. It changes
            speed and memory, not the result.
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
        self.map_widths = tuple(reversed(decoder_widths))
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

    def encode(self, x: Tensor) -> list[tuple[Tensor, ...]]:
        """Encode every date alone, a chunk of dates at a time.

        Args:
            x: Normalised time series, (B, T, C, H, W).

        Returns:
            Maps from full to lowest resolution, each as chunks (B, t, D, h, w) of consecutive dates. To copy them
            together would take a twentieth of the network's time on a CPU.

        Raises:
            ModelError: If the shape does not fit.
        """
        check_series(x, self.input_dim, self.stride)
        chunks = [self._encode_dates(dates) for dates in torch.split(x, self._date_chunk(x), dim=1)]
        return list(zip(*chunks, strict=True))

    def decode(self, out: Tensor, skips: Sequence[Sequence[Tensor]], weights: Tensor) -> list[Tensor]:
        """Decode what is pooled over dates.

        Args:
            out: Pooled maps of the lowest resolution, (B, D, h, w).
            skips: The encoder's other maps, from full to lowest resolution, each as chunks (B, t, D, h, w) of dates.
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

    def _encode_dates(self, x: Tensor) -> list[Tensor]:
        maps = [encode_observed(self.in_conv, x.flatten(0, 1), self.pad_value)]
        for block in self.down_blocks:
            maps.append(encode_observed(block, maps[-1], self.pad_value))
        return [frames.view(*x.shape[:2], *frames.shape[1:]) for frames in maps]

    def _date_chunk(self, x: Tensor) -> int:
        samples, dates = x.shape[:2]
        if self.training and self._mixes_frames:
            return dates  # batch statistics are those of all frames
        if self.frame_chunk is not None:
            return max(1, self.frame_chunk // samples)
        return max(1, _CPU_FRAMES // samples) if x.device.type == "cpu" else dates


def observed_shares(x: Tensor, pad_mask: Tensor | None) -> Tensor:
    """Share every date that is not padding alike, (B, T, 1, 1, 1); all are 0 where all are padding."""
    shares = x.new_ones((*x.shape[:2], 1, 1, 1))
    if pad_mask is not None:
        shares = shares.masked_fill(pad_mask[:, :, None, None, None], 0)
    return shares / shares.sum(dim=1, keepdim=True).clamp(min=1)


def weighted_sum(chunks: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Pool maps over dates by weights of a lower resolution, each group of weights for its own channels.

    Weights are resampled one date at a time, so that they never exist whole at the maps' resolution.

    Args:
        chunks: Feature maps of consecutive dates, (B, t, D, H, W) each.
        weights: Weights of all dates, (B, T, groups, h, w); groups divide D.

    Returns:
        Pooled maps, (B, D, H, W), in the type of ``chunks``; summed in float32.
    """
    frames = [frame for maps in chunks for frame in maps.unbind(1)]
    layout = memory_layout(frames[0])
    first, *others = zip(frames, weights.unbind(1), strict=True)
    out = torch.mul(*_resampled(*first, layout))
    for frame, share in others:
        out.addcmul_(*_resampled(frame, share, layout))
    return out.flatten(1, 2).to(frames[0].dtype)


def _resampled(frame: Tensor, share: Tensor, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
    """Bring one date's weights (B, groups, h, w) to the resolution of its maps; channels in groups, to multiply."""
    if layout == torch.channels_last:  # one weight a channel, as channels are the fastest axis
        share = share.repeat_interleave(frame.shape[1] // share.shape[1], dim=1)
    share = share.float().contiguous(memory_format=layout)
    share = F.interpolate(share, frame.shape[2:], mode="bilinear", align_corners=False)
    return frame.view(len(frame), share.shape[1], -1, *frame.shape[2:]), share.unsqueeze(2)
