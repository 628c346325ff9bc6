"""Values between pixels of nested grids, by an explicit factor, as PyTorch's ``interpolate`` counts and weighs them.

Pixels are areas (``align_corners`` is false), borders are repeated, nothing is smoothed before values are taken apart.
Weights come from each pixel's exact phase, not from its rounded position in a window, and sums run in one order: a
pixel gets the same value to the bit in whatever window it is computed. NaN spreads to all that its stencil touches.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

BICUBIC_REACH = 2
"""Pixels that bicubic upsampling sees beyond those that an output pixel lies in."""

BILINEAR_REACH = 1
"""Pixels that bilinear upsampling sees beyond those that an output pixel lies in."""

_SHARPNESS = -0.75
"""The free parameter of cubic convolution, usually called a."""

_Weights = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def bicubic(values: NDArray[np.float32], factor: Fraction | int) -> NDArray[np.float32]:
    """Resample by cubic convolution with a = -0.75 (Keys, 1981).

    Args:
        values: Any number of planes, (..., H, W).
        factor: Output pixels an input pixel, along a side: above 1 makes smaller pixels.

    Returns:
        (..., floor(H x factor), floor(W x factor)).
    """
    return _resample(values, Fraction(factor), _cubic)


def bilinear(values: NDArray[np.float32], factor: Fraction | int) -> NDArray[np.float32]:
    """Resample linearly between the four nearest pixels; arguments and result as in :func:`bicubic`."""
    return _resample(values, Fraction(factor), _linear)


def bicubic_integers(values: NDArray[np.int16], factor: Fraction | int) -> NDArray[np.int16]:
    """Resample digital numbers as LS2S2's reader does: bicubic in float32, then cut toward zero.

    Overshoots beyond what 16 bits hold are clipped. Arguments and result as in :func:`bicubic`.
    """
    limits = np.iinfo(np.int16)
    return np.clip(bicubic(values.astype(np.float32), factor), limits.min, limits.max).astype(np.int16)


def nearest(values: NDArray[_Scalar], factor: Fraction | int) -> NDArray[_Scalar]:
    """Take pixel floor(index / factor), as masks are resampled: of 3 x 3 pixels made one, the first.

    Args:
        values: Any number of planes, (..., H, W), of any type.
        factor: As in :func:`bicubic`.
    """
    factor = Fraction(factor)
    for axis in (-2, -1):
        index = np.arange(int(values.shape[axis] * factor)) * factor.denominator // factor.numerator
        values = np.take(values, index, axis)
    return values


def middle(values: NDArray[_Scalar], shape: tuple[int, int]) -> NDArray[_Scalar]:
    """Cut off as many pixels on each side as are too many.

    Args:
        values: (..., H, W).
        shape: What is to be left of H and W.
    """
    row, col = ((n - m) // 2 for n, m in zip(values.shape[-2:], shape, strict=True))
    return values[..., row : row + shape[0], col : col + shape[1]]


def _resample(values: NDArray[np.float32], factor: Fraction, weigh: _Weights) -> NDArray[np.float32]:
    return _along(_along(values, -2, factor, weigh), -1, factor, weigh)


def _along(values: NDArray[np.float32], axis: int, factor: Fraction, weigh: _Weights) -> NDArray[np.float32]:
    """Resample along one axis."""
    size = values.shape[axis]
    # Output pixel i lies at (i + 1/2) / factor - 1/2; in whole numbers, so that equal phases are equal.
    unit = 2 * factor.numerator
    position = (2 * np.arange(int(size * factor)) + 1) * factor.denominator - factor.numerator
    before, phase = np.divmod(position, unit)
    weights = weigh(phase / unit).astype(np.float32)
    first = before - (len(weights) // 2 - 1)
    column = (-1, 1) if axis == -2 else (-1,)
    total: NDArray[np.float32] | None = None
    for tap, weight in enumerate(weights):
        term = np.take(values, np.clip(first + tap, 0, size - 1), axis)
        term *= weight.reshape(column)
        total = term if total is None else np.add(total, term, out=total)
    assert total is not None
    return total


def _cubic(phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the two pixels before a position and the two after it, (4, N)."""
    return np.stack([_outer(1 + phase), _inner(phase), _inner(1 - phase), _outer(2 - phase)])


def _inner(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic kernel within one pixel."""
    return ((_SHARPNESS + 2) * distance - (_SHARPNESS + 3)) * distance**2 + 1


def _outer(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic kernel from one pixel to two."""
    return _SHARPNESS * (((distance - 5) * distance + 8) * distance - 4)


def _linear(phase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the pixel before a position and the one after it, (2, N)."""
    return np.stack([1 - phase, phase])
