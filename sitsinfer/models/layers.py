"""Layers that several published architectures share; attribute names are those of the published weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from sitsinfer.errors import ModelError

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

_LANES = 16  # how many pixels' sums are kept apart
_SMALL_MAP = 32 * 32  # pixels that torch sums accurately in any layout


class GroupNorm(nn.GroupNorm):
    """Group normalisation that is as accurate on large channels-last maps as on others.

    On a CPU, torch sums such maps pixel after pixel in float32, and loses more the larger they are: at 128 x 128 about
    six times as much as in the plain layout. Here pixels are summed in lanes, and lanes joined in float64.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W); without gradients it may overwrite ``x``, fresh from a convolution."""
        large = x.shape[2] * x.shape[3] > _SMALL_MAP and memory_layout(x) == torch.channels_last
        if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32 or not large:
            return super().forward(x)
        mean, variance = self._statistics(x)
        scale = self.weight.view(self.num_groups, -1) * (variance + self.eps).rsqrt()
        shift = self.bias.view(self.num_groups, -1) - mean * scale
        scale, shift = (values.float().view(*x.shape[:2], 1, 1) for values in (scale, shift))
        return torch.addcmul(shift, x, scale, out=x)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of every group, (N, groups, 1), float64."""
        n, channels, height, width = x.shape
        lanes = math.gcd(height * width, _LANES)
        pixels = x.permute(0, 2, 3, 1).view(n, -1, lanes * channels)
        of_frames = [torch.batch_norm_update_stats(frame, None, None, 0.0) for frame in pixels]
        means, variances = (
            torch.stack(values).double().view(n, lanes, self.num_groups, -1) for values in zip(*of_frames, strict=True)
        )
        mean = means.mean(dim=(1, 3), keepdim=True)
        variance = (variances + (means - mean).square()).mean(dim=(1, 3), keepdim=True)
        return mean.squeeze(1), variance.squeeze(1)


_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "group": lambda channels: GroupNorm(4, channels),
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
}


def normalisation(norm: str, channels: int) -> nn.Module:
    """Build a normalisation layer over feature maps.

    Raises:
        ModelError: If ``norm`` is unknown, or its groups do not divide ``channels``.
    """
    if norm not in _NORMS:
        raise ModelError(f"Unknown normalisation '{norm}'. Choose one of {', '.join(_NORMS)}.")
    if norm == "group" and channels % 4:
        raise ModelError(
            f"Group normalisation has 4 groups, which do not divide {channels} channels. Change the widths."
        )
    return _NORMS[norm](channels)


class ConvLayer(nn.Module):
    """Convolutions of one kernel, each with normalisation and ReLU."""

    def __init__(
        self,
        widths: Sequence[int],
        norm: str,
        padding_mode: PaddingMode = "reflect",
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
        last_relu: bool = True,
    ) -> None:
        """Chain ``len(widths) - 1`` convolutions, from ``widths[0]`` to ``widths[-1]`` channels."""
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(before, after, kernel, stride, padding, padding_mode=padding_mode))
            layers.append(normalisation(norm, after))
            if last_relu or i < len(widths) - 2:
                layers.append(nn.ReLU(inplace=True))
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        out: Tensor = self.conv(x)
        return out


class ConvBlock(nn.Module):
    """A :class:`ConvLayer` one attribute deeper, as published weights have it."""

    def __init__(
        self, widths: Sequence[int], norm: str, padding_mode: PaddingMode = "reflect", last_relu: bool = True
    ) -> None:
        """Chain 3 x 3 convolutions, from ``widths[0]`` to ``widths[-1]`` channels."""
        super().__init__()
        self.conv = ConvLayer(widths, norm, padding_mode, last_relu=last_relu)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        out: Tensor = self.conv(x)
        return out


class DownConvBlock(nn.Module):
    """A strided convolution, then a convolution and a residual one."""

    def __init__(
        self,
        d_in: int,
        d_out: int,
        kernel: int,
        stride: int,
        padding: int,
        norm: str,
        padding_mode: PaddingMode = "reflect",
    ) -> None:
        """Go from ``d_in`` channels to ``d_out`` at ``1 / stride`` of the resolution."""
        super().__init__()
        self.down = ConvLayer([d_in, d_in], norm, padding_mode, kernel, stride, padding)
        self.conv1 = ConvLayer([d_in, d_out], norm, padding_mode)
        self.conv2 = ConvLayer([d_out, d_out], norm, padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Encode (N, d_in, H, W) to (N, d_out, H / stride, W / stride)."""
        out: Tensor = self.conv1(self.down(x))
        residual: Tensor = self.conv2(out)
        return out + residual


class UpConvBlock(nn.Module):
    """A transposed convolution, joined by the skip, then a convolution and a residual one."""

    def __init__(
        self,
        d_in: int,
        d_out: int,
        d_skip: int,
        kernel: int,
        stride: int,
        padding: int,
        norm: str = "batch",
        padding_mode: PaddingMode = "reflect",
    ) -> None:
        """Go from ``d_in`` channels to ``d_out`` at ``stride`` times the resolution.

        ``norm`` is that of the 3 x 3 convolutions; the other two always have batch normalisation.
        """
        super().__init__()
        self.skip_conv = nn.Sequential(nn.Conv2d(d_skip, d_skip, 1), nn.BatchNorm2d(d_skip), nn.ReLU(inplace=True))
        self.up = nn.Sequential(
            nn.ConvTranspose2d(d_in, d_out, kernel, stride, padding), nn.BatchNorm2d(d_out), nn.ReLU(inplace=True)
        )
        self.conv1 = ConvLayer([d_out + d_skip, d_out], norm, padding_mode)
        self.conv2 = ConvLayer([d_out, d_out], norm, padding_mode)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Decode (N, d_in, h, w) with a skip (N, d_skip, H, W) to (N, d_out, H, W)."""
        out: Tensor = self.conv1(torch.cat([self.up(x), self.skip_conv(skip)], dim=1))
        residual: Tensor = self.conv2(out)
        return out + residual


def dense_layers(widths: Sequence[int], last_relu: bool = True) -> nn.Sequential:
    """Chain linear layers from ``widths[0]`` to ``widths[-1]``, each with batch normalisation and ReLU, over (N, D)."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after)]
        if last_relu or i < len(widths) - 2:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def score_layers(widths: Sequence[int]) -> nn.Sequential:
    """Chain :func:`dense_layers` and a linear layer alone, which gives the scores."""
    return dense_layers(widths[:-1]).append(nn.Linear(widths[-2], widths[-1]))


def check_series(x: Tensor, bands: int, multiple: int = 1) -> None:
    """Check the shape of a time series.

    Args:
        x: Time series, (B, T, C, H, W).
        bands: The C that the model takes.
        multiple: What H and W must be multiples of; above 1 they must also be greater than it, for reflection at the
            lowest resolution takes two pixels.

    Raises:
        ModelError: If the shape does not fit.
    """
    if x.ndim != 5 or x.shape[2] != bands:
        raise ModelError(f"The series has shape {tuple(x.shape)}. The model takes (B, T, {bands}, H, W).")
    height, width = x.shape[3:]
    if multiple > 1 and any(size % multiple or size <= multiple for size in (height, width)):
        raise ModelError(
            f"The patch has {height} x {width} pixels. Use multiples of {multiple}, from {2 * multiple} up."
        )


def memory_layout(maps: Tensor) -> torch.memory_format:
    """Tell whether maps (N, C, H, W) lie with channels last; where both layouts are the same, they do not."""
    channels_last = maps.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last and not maps.is_contiguous() else torch.contiguous_format


def padded_frames(x: Tensor, pad_value: float) -> Tensor:
    """Find frames that hold nothing but the padding value.

    Args:
        x: Frames, (N, C, H, W).
        pad_value: What fills padded frames.

    Returns:
        True where a frame is padding, (N,), bool, on the device of ``x``.
    """
    pad_mask = (x[:, :, 0, 0] == pad_value).all(dim=1)
    suspects = pad_mask.nonzero().squeeze(1)
    if len(suspects):  # one pixel clears almost every frame; only what it cannot clear is read whole
        pad_mask[suspects] = (x[suspects] == pad_value).flatten(1).all(dim=1)
    return pad_mask


def encode_observed(block: nn.Module, x: Tensor, pad_value: float | None) -> Tensor:
    """Run a block on the frames that are not padding; maps of padded frames are filled with the padding value.

    Args:
        block: From (N, C, H, W) to (N, D, h, w), frame by frame.
        x: Frames, (N, C, H, W).
        pad_value: What fills padded frames, or None where none are padded.

    Returns:
        Maps, (N, D, h, w).
    """
    if pad_value is None:
        return _run(block, x)
    pad_mask = padded_frames(x, pad_value)
    if not pad_mask.any():
        return _run(block, x)
    observed = ~pad_mask
    observed[0] |= pad_mask.all()  # where all are padded, one is run all the same, to learn the shape
    maps = _run(block, x[observed])
    filled = maps.new_empty((len(x), *maps.shape[1:])).contiguous(memory_format=memory_layout(maps))
    filled[observed] = maps
    filled[pad_mask] = pad_value
    return filled


def _run(block: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = block(x)
    return out
