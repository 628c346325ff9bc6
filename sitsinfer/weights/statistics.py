"""Means and standard deviations that normalise what a network takes, out of a file; never out of a pickle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import WeightsError

Units = Literal["digital-numbers", "reflectance"]

_MOST_REFLECTANCE = 5.0
"""Statistics of reflectance lie below, those of digital numbers x 10000 above."""

_EXPECTED = "Expected mean and std, each a number, one a band (C) or one a date and band (T x C)"


@dataclass(frozen=True)
class Statistics:
    """What normalises the input of a network: a value less ``mean``, by ``std``.

    Attributes:
        mean: Mean reflectance, (1, C), or (T, C) where dates are normalised each by its own.
        std: Standard deviation of the reflectance, of the same shape.
        origin: Where they come from, in words that follow "normalised by".
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    origin: str


def read_statistics(path: Path, bands: int, days: int, units: Units, scale: float) -> Statistics:
    """Read statistics from a file that holds arrays ``mean`` and ``std``.

    Args:
        path: ``.npz`` or ``.json``.
        bands: How many bands the network takes, C.
        days: How many dates it takes, T.
        units: What the statistics are of.
        scale: Reflectance is digital number times ``scale``.

    Raises:
        WeightsError: If the file is missing, a pickle, or holds something else.
    """
    content = _read(path)
    if missing := [name for name in ("mean", "std") if name not in content]:
        raise WeightsError(f"{path} holds no '{missing[0]}'. {_EXPECTED}.")
    mean, std = (_array(content[name], name, (days, bands), path) for name in ("mean", "std"))
    if (std <= 0).any():
        raise WeightsError(f"{path} has a standard deviation of 0 or less. Mend the statistics.")
    if (np.abs(mean).max() > _MOST_REFLECTANCE) != (units == "digital-numbers"):
        raise WeightsError(
            f"{path} has means up to {np.abs(mean).max():.4g}, which are no {units.replace('-', ' ')}. Set "
            f"statistics_units to what they are of: digital-numbers (reflectance x 10000) or reflectance."
        )
    factor = scale if units == "digital-numbers" else 1.0
    mean, std = np.broadcast_arrays(mean, std)
    return Statistics(mean * factor, std * factor, f"the statistics in {path.name}")


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix in (".pkl", ".pickle"):
        raise WeightsError(
            f"{path} is a pickle, which could run code and is not read. Where you trust it, save what it holds once: "
            f"numpy.savez('statistics.npz', mean=mean, std=std), with the two entries of the published tuple."
        )
    try:
        content = _read_arrays(path) if path.suffix == ".npz" else json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing. Check the path; see 'sitsinfer models import --help'.") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"Cannot read {path}: it is neither .npz nor .json. {_EXPECTED}.") from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds no names. {_EXPECTED}.")
    return content


def _read_arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _array(value: Any, name: str, shape: tuple[int, int], path: Path) -> NDArray[np.float64]:
    """One of the arrays, (1, C) or (T, C)."""
    days, bands = shape
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"'{name}' in {path} is no array of numbers. {_EXPECTED}.") from error
    if array.shape not in ((), (bands,), (1, bands), (days, bands)) or not np.isfinite(array).all():
        raise WeightsError(
            f"'{name}' in {path} has shape {array.shape}, or holds what is not finite. {_EXPECTED}; here C is {bands} "
            f"and T is {days}."
        )
    return np.broadcast_to(array, (days, bands)) if array.shape == shape else np.broadcast_to(array, (1, bands))
