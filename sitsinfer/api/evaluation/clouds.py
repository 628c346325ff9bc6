"""``sitsinfer.evaluate_clouds``: how well scores of clouds agree with masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import numpy as np

from sitsinfer.errors import MetricError
from sitsinfer.metrics.ranking import ScoreCounts
from sitsinfer.products.dated import Published, find
from sitsinfer.products.raster import RasterLayer, open_raster
from sitsinfer.products.windows import windows
from sitsinfer.series.names import date_in_path
from sitsinfer.series.rasters import SUFFIXES
from sitsinfer.series.types import listing
from sitsinfer.tasks.clouds import SCORES

KINDS = {1, 2, 3}
"""Values of masks that tell kinds of what hides the ground apart, such as clouds and their shadows."""
ALL_BITS = {255}
"""The value of masks that know one kind, written as white."""


@dataclass(frozen=True)
class CloudScores:
    """How well scores agree with masks, as fractions; NaN where that is not defined.

    Attributes:
        pixels: How many have a score, and a mask says what they are.
        share: Of these, how many are cloud.
        auc: How often a cloud scores higher than what is none; not defined where all is cloud, or none.
        precision: Of the pixels that score at least the threshold, how many are cloud.
        recall: Of the pixels that are cloud, how many score at least the threshold.
    """

    pixels: int
    share: float
    auc: float
    precision: float
    recall: float

    @classmethod
    def of(cls, counts: ScoreCounts, threshold: float) -> Self:
        """Scores of counted pixels."""
        precision, recall = counts.precision(threshold), counts.recall(threshold)
        return cls(counts.pixels, counts.share, counts.auc, precision, recall)


@dataclass(frozen=True)
class CloudAccuracy:
    """How well scores of clouds agree with masks.

    Attributes:
        dates: Scores of each date.
        pooled: Those of the pixels of all dates together. They tell more than means over dates would: whether a score
            means the same on a day in summer and on one in winter.
        without_mask: Dates that have scores only.
        without_scores: Dates that have a mask only.
    """

    dates: Mapping[date, CloudScores]
    pooled: CloudScores
    without_mask: tuple[date, ...]
    without_scores: tuple[date, ...]


def evaluate_clouds(scores: str | Path, masks: str | Path, *, threshold: float = 0.5) -> CloudAccuracy:
    """Compare scores of clouds with masks, date by date.

    Pixels count that have a score where the mask of that date has a value. Masks may lie on other grids than scores,
    and are read by nearest neighbour.

    Args:
        scores: The folder, NetCDF file or Zarr cube that ``clouds`` wrote; scores are 0 to 1.
        masks: A folder of rasters with their dates in their names: 1 to 3 or 255 where a cloud or a shadow is, else 0.
        threshold: Pixels that score as much or more are taken for cloud.

    Raises:
        OutputError: If a file cannot be read, or there are no scores.
        MetricError: If the two share no date or no pixel, there are two masks of a date, one is none, or scores are out
            of range.
    """
    if not 0 <= threshold <= 1:
        raise MetricError(f"The threshold is {threshold:g}. Expected 0 to 1, as scores are.")
    scored = {one.date: one for one in find(Path(scores), SCORES).dates}
    masked = _masks_in(Path(masks))
    shared = sorted(scored.keys() & masked.keys())
    if not shared:
        raise MetricError(
            f"{scores} and {masks} share no date: the one has {_span(scored)}, the other {_span(masked)}. "
            "Compare scores and masks of the same dates."
        )
    dates, pooled = {}, ScoreCounts.none()
    for day in shared:
        counts = _compare(scored[day], masked[day])
        dates[day] = CloudScores.of(counts, threshold)
        pooled += counts
    if not pooled.pixels:
        raise MetricError(f"{scores} and {masks} share no pixel that counts. Expected images of one area.")
    alone = (tuple(sorted(some.keys() - others.keys())) for some, others in ((scored, masked), (masked, scored)))
    return CloudAccuracy(dates, CloudScores.of(pooled, threshold), *alone)


def _compare(scored: Published, mask: Path) -> ScoreCounts:
    """Count the pixels of a date, window by window.

    Raises:
        OutputError: If one cannot be read.
        MetricError: If scores are out of range, or the mask is none.
    """
    with scored.open() as source, open_raster(mask, source.grid) as truth:
        _check_kind(truth)
        counted, met = ScoreCounts.none(), set[int]()
        for window in windows(source.grid):
            values, clouds, told = source.read(window)[0], truth.read(window)[0], truth.valid(window)
            met |= set(np.unique(clouds[told]).tolist())
            _check_values(met, mask)
            known = told & np.isfinite(values) & (values != source.layer.nodata)
            try:
                counted += ScoreCounts.of(values[known] * source.layer.band_scales[0], clouds[known] != 0)
            except MetricError as error:
                raise MetricError(f"{scored.path} on {scored.date}: {error}") from error
        return counted


def _check_kind(mask: RasterLayer) -> None:
    """See that a raster can be a mask.

    Raises:
        MetricError: If it cannot.
    """
    bands, dtype = len(mask.layer.bands), np.dtype(mask.layer.dtype)
    if bands > 1 or not np.issubdtype(dtype, np.integer):
        kind = f"{bands} bands" if bands > 1 else f"values of type {dtype}"
        raise MetricError(
            f"{mask.path} has {kind}. Expected a mask: one band of integers, not 0 where a cloud or a shadow is."
        )


def _check_values(values: set[int], mask: Path) -> None:
    """See that the values of a raster are those of a mask.

    Raises:
        MetricError: If they are not.
    """
    if not (values <= {0, *KINDS} or values <= {0, *ALL_BITS}):
        raise MetricError(
            f"{mask} holds {listing([*map(str, sorted(values))])}. Expected a mask: 1 to 3 or 255 where a cloud or a "
            "shadow is, else 0. Make one of scene classes, and set nodata where nothing is known."
        )


def _masks_in(folder: Path) -> dict[date, Path]:
    """Find the mask of each date.

    Raises:
        MetricError: If there are none, or two of one date.
    """
    found: dict[date, Path] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        day = date_in_path(Path(file.name)) if file.suffix.lower() in SUFFIXES else None
        if day is not None and (other := found.setdefault(day, file)) is not file:
            raise MetricError(
                f"{folder} has two rasters of {day}, {other.name} and {file.name}. "
                "Expected a folder of masks, one a date."
            )
    if not found:
        raise MetricError(
            f"{folder} has no raster with a date in its name. Expected a folder of masks such as 20220413.tif."
        )
    return found


def _span(dates: Mapping[date, object]) -> str:
    """Dates in words."""
    return f"{len(dates)} from {min(dates)} to {max(dates)}" if len(dates) > 1 else str(*dates)
