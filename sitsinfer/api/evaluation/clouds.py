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
from sitsinfer.products.cube import is_cube, open_cube
from sitsinfer.products.dated import Published
from sitsinfer.products.raster import open_raster
from sitsinfer.products.windows import windows
from sitsinfer.series.names import date_in_path
from sitsinfer.series.rasters import SUFFIXES

SCORE = "cloud_score"
"""What ``clouds`` calls the layer of scores, which others may lie beside."""


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
        scores: A folder of rasters with their dates in their names, a NetCDF file or a Zarr cube, as ``clouds`` writes
            it: scores from 0 to 1.
        masks: A folder of rasters with their dates in their names: not 0 where there is a cloud.
        threshold: Pixels that score as much or more are taken for cloud.

    Raises:
        OutputError: If a file cannot be read.
        MetricError: If the two share no date or no pixel, there are two files of a date, or scores are out of range.
    """
    if not 0 <= threshold <= 1:
        raise MetricError(f"The threshold is {threshold:g}. Expected 0 to 1, as scores are.")
    scored, masked = _scores_in(Path(scores)), _masks_in(Path(masks))
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
        MetricError: If scores are out of range.
    """
    with scored.open() as source, open_raster(mask, source.grid) as truth:
        counted = ScoreCounts.none()
        try:
            for window in windows(source.grid):
                values, clouds = source.read(window)[0], truth.read(window)[0]
                known = truth.valid(window) & np.isfinite(clouds) & np.isfinite(values)
                known &= values != source.layer.nodata
                counted += ScoreCounts.of(values[known] * source.layer.band_scales[0], clouds[known] != 0)
        except MetricError as error:
            raise MetricError(f"{scored.path} on {scored.date}: {error}") from error
        return counted


def _scores_in(path: Path) -> dict[date, Published]:
    """Find the scores of each date.

    Raises:
        OutputError: If a cube cannot be read.
        MetricError: If there are none, or two of a date.
    """
    if not is_cube(path):
        found = _dated(path)
        chosen = {file: day for file, day in found.items() if file.stem.endswith(SCORE)} or found
        return {day: Published(SCORE, day, file) for day, file in _by_date(path, chosen).items()}
    with open_cube(path) as layers:
        names = {layer.layer.name: layer.layer.dates for layer in layers}
    name = SCORE if SCORE in names else next(iter(names))
    return {day: Published(name, day, path) for day in names[name]}


def _masks_in(path: Path) -> dict[date, Path]:
    """Find the mask of each date; errors as of :func:`_scores_in`."""
    return _by_date(path, _dated(path))


def _dated(folder: Path) -> dict[Path, date]:
    """Rasters with a date in their name.

    Raises:
        MetricError: If there are none.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    dates = {file: date_in_path(Path(file.name)) for file in files if file.suffix.lower() in SUFFIXES}
    dated = {file: day for file, day in dates.items() if day is not None}
    if not dated:
        raise MetricError(
            f"{folder} has no raster with a date in its name. Expected a folder of files such as 20220413.tif."
        )
    return dated


def _by_date(folder: Path, files: Mapping[Path, date]) -> dict[date, Path]:
    """The file of each date.

    Raises:
        MetricError: If there are two of one.
    """
    found: dict[date, Path] = {}
    for file, day in files.items():
        if (other := found.setdefault(day, file)) is not file:
            raise MetricError(
                f"{folder} has two files of {day}, {other.name} and {file.name}. Expected one a date, in a folder of "
                "their own."
            )
    return found


def _span(dates: Mapping[date, object]) -> str:
    """Dates in words."""
    return f"{len(dates)} from {min(dates)} to {max(dates)}" if len(dates) > 1 else str(*dates)
