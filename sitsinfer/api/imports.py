"""``sitsinfer models import`` of classifiers of parcels, whose statistics may come from a series."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sitsinfer import weights
from sitsinfer.errors import SeriesError, WeightsError
from sitsinfer.grid import Grid, Window, whole
from sitsinfer.series import open_series, read_stack
from sitsinfer.weights.release import SCALE
from sitsinfer.weights.statistics import Units

_BLOCK = 256
_MOST_BLOCKS = 64


def import_pse(
    folder: str | Path,
    out: str | Path,
    *,
    statistics: str | Path | None = None,
    statistics_units: Units = "digital-numbers",
    statistics_from: str | Path | None = None,
    folds: Sequence[int] = (),
    days: Sequence[int] = (),
    reference_date: datetime.date | None = None,
) -> weights.ParcelCard:
    """Turn a published release of classifiers of parcels into a model folder.

    Args:
        folder: The release, with ``Fold_k/model.pth.tar``.
        out: The model folder to write.
        statistics: A file with ``mean`` and ``std`` of the data the networks were trained on, ``.npz`` or ``.json``.
        statistics_units: What these are of.
        statistics_from: A series to compute the statistics from instead: that which the networks are to be used on.
        folds: Which folds; none: all that are there. The log-probabilities of several are averaged.
        days: Days since the first date, where the weights do not tell them.
        reference_date: Day 0 of the days; ``None``: that of the published data, as far as is known.

    Returns:
        The card as written.

    Raises:
        SitsInferError: What stands in the way, on one line.
    """
    release = weights.read_pse(Path(folder), folds, days)
    if (statistics is None) == (statistics_from is None):
        raise WeightsError(
            f"{'No' if statistics is None else 'More than one'} source of statistics is given, and the release holds "
            f"none. Set statistics to a file with mean and std of its training data (.npz or .json), or "
            f"statistics_from to the series that you will classify, to normalise by those of it."
        )
    if statistics is not None:
        found = weights.read_statistics(
            Path(statistics), len(release.bands), len(release.days), statistics_units, SCALE
        )
    else:
        assert statistics_from is not None
        found = weights.as_trained(release, series_statistics(statistics_from, release.bands))
    return weights.import_pse(release, found, Path(out), reference_date=reference_date or weights.FIRST_DATE)


def series_statistics(ts: str | Path, bands: Sequence[str]) -> weights.Statistics:
    """Mean and standard deviation of the reflectance of each band, over all dates, where masks say it is clear.

    Of a large series, 64 blocks of 256 x 256 pixels are read, spread evenly.

    Args:
        ts: The series.
        bands: Which bands, in order.

    Raises:
        SeriesError: If the series cannot be read, lacks a band, or shows nothing or the same everywhere.
    """
    series = open_series(Path(ts)).select(bands=bands)
    count, total, squares = np.zeros(len(bands)), np.zeros(len(bands)), np.zeros(len(bands))
    for window in _blocks(series.grid):
        stack = read_stack(series, window, series.grid)
        for values, valid, scale, offset in zip(stack.values, stack.valid, stack.scale, stack.offset, strict=True):
            clear = values[:, valid]  # (C, N)
            seen = np.isfinite(clear) & (clear != stack.nodata)
            reflectance = np.where(seen, clear * np.float64(scale) + offset, 0)
            count += seen.sum(axis=1)
            total += reflectance.sum(axis=1)
            squares += (reflectance**2).sum(axis=1)
    mean = total / np.maximum(count, 1)
    std = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
    if not (std > 0).all():
        raise SeriesError(
            f"{ts} shows nothing that is clear, or a band that is the same everywhere. Give a series that shows crops."
        )
    return weights.Statistics(mean[None], std[None], f"the statistics of the series {Path(ts).name}")


def _blocks(grid: Grid) -> Iterator[Window]:
    """Blocks that spread evenly over a grid: all of them, or as many as are read at most."""
    extent = whole(grid)
    corners = [(row, col) for row in range(0, extent.height, _BLOCK) for col in range(0, extent.width, _BLOCK)]
    chosen = np.unique(np.linspace(0, len(corners) - 1, min(len(corners), _MOST_BLOCKS)).round().astype(int))
    for row, col in (corners[index] for index in chosen):
        yield Window(row, col, _BLOCK, _BLOCK).intersection(extent)
