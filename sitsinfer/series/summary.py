"""What was understood of a series: for a person to check before a run."""

from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Window, whole
from sitsinfer.series.read import observed, read_stack
from sitsinfer.series.types import Acquisition, Series

WHOLE = 512  # pixels: a smaller series is read whole, of a larger one windows are sampled
SAMPLES, SAMPLE = 4, 64  # windows along rows and columns, and their size in pixels

SHADES = ((0.1, "█"), (0.3, "▓"), (0.6, "▒"), (1.0, "░"))
"""How the timeline shows an acquisition, by the largest share of cloud."""


@dataclass(frozen=True)
class DateSummary:
    """One acquisition.

    Attributes:
        date: The day.
        products: Names of its files, or time steps of a cube.
        coverage: Share of the series' pixels that were observed.
        cloud: Share of the observed pixels that are masked; None without a mask, or with nothing observed.
    """

    date: date
    products: tuple[str, ...]
    coverage: float
    cloud: float | None


@dataclass(frozen=True)
class Gap:
    """Days between two acquisitions."""

    start: date
    end: date
    days: int


@dataclass(frozen=True)
class Summary:
    """A series in a few words.

    Attributes:
        path: What was opened.
        sensor: Its sensor.
        bands: Its bands.
        crs: Its main CRS.
        resolution: Width and height of a pixel, in units of the CRS.
        shape: Height and width, pixels.
        bounds: Left, bottom, right, top.
        dtype: Data type of the digital numbers.
        nodata: None for NaN.
        scale: From digital numbers to reflectance, one for each way in which acquisitions are scaled.
        dates: Each acquisition.
        longest_gap: None with one acquisition.
        is_sampled: Whether coverage and cloud come from sample windows.
        left_out: Files that are no part of it: path and reason.
        notes: What else a user should know.
    """

    path: str
    sensor: str
    bands: tuple[str, ...]
    crs: str
    resolution: tuple[float, float]
    shape: tuple[int, int]
    bounds: tuple[float, float, float, float]
    dtype: str
    nodata: float | None
    scale: tuple[tuple[float, float], ...]
    dates: tuple[DateSummary, ...]
    longest_gap: Gap | None
    is_sampled: bool
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, dates in ISO 8601."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def summarise(series: Series) -> Summary:
    """Describe a series; reads it whole if it is small, else sample windows.

    Raises:
        ReadError: If a file cannot be read.
    """
    windows = sample_windows(whole(series.grid))
    seen, clear, pixels = _counts(series, windows)
    box, affine = series.grid.boundingbox, series.grid.affine
    return Summary(
        path=str(series.root),
        sensor=series.sensor,
        bands=series.bands,
        crs=str(series.grid.crs),
        resolution=(affine.a, -affine.e),
        shape=(series.grid.shape.y, series.grid.shape.x),
        bounds=(box.left, box.bottom, box.right, box.top),
        dtype=series.dtype,
        nodata=None if np.isnan(series.nodata) else series.nodata,
        scale=tuple(sorted({(a.scale, a.offset) for a in series.acquisitions})),
        dates=tuple(map(_date_summary, series.acquisitions, seen / pixels, _share(seen - clear, seen))),
        longest_gap=longest_gap(series.dates),
        is_sampled=windows != [whole(series.grid)],
        left_out=tuple((str(out.path), out.reason) for out in series.left_out),
        notes=series.notes,
    )


def _date_summary(acquisition: Acquisition, coverage: float, cloud: float) -> DateSummary:
    products = tuple(image.name for image in acquisition.images)
    unmasked = not any(image.masks for image in acquisition.images) or np.isnan(cloud)
    return DateSummary(acquisition.date, products, float(coverage), None if unmasked else float(cloud))


def sample_windows(area: Window) -> list[Window]:
    """The area itself if it is small, else windows spread evenly over it."""
    if max(area.shape) <= WHOLE:
        return [area]
    rows, cols = (_starts(length) for length in area.shape)
    return [Window(row, col, SAMPLE, SAMPLE).intersection(area) for row in rows for col in cols]


def _starts(length: int) -> list[int]:
    """First pixels of the sample windows along one axis."""
    return sorted({max(0, (2 * index + 1) * length // (2 * SAMPLES) - SAMPLE // 2) for index in range(SAMPLES)})


def _counts(series: Series, windows: list[Window]) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Pixels observed and pixels valid, (T,) each, and pixels looked at."""
    seen, clear = np.zeros(len(series.dates)), np.zeros(len(series.dates))
    for window in windows:
        stack = read_stack(series, window, series.grid)
        seen += [np.count_nonzero(observed(values, stack.nodata)) for values in stack.values]
        clear += np.count_nonzero(stack.valid, axis=(1, 2))
    return seen, clear, sum(window.height * window.width for window in windows)


def _share(part: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    share = np.full(of.shape, np.nan)
    np.divide(part, of, out=share, where=of > 0)
    return share


def longest_gap(dates: tuple[date, ...]) -> Gap | None:
    """The longest time without an acquisition, the first if there are several; None with one date."""
    gaps = [Gap(start, end, (end - start).days) for start, end in pairwise(dates)]
    return max(gaps, key=lambda gap: gap.days, default=None)


def timeline(summary: Summary, width: int) -> tuple[str, int]:
    """One character for every few days, shaded by the share of cloud of the clearest acquisition in them.

    Args:
        summary: Whose dates to show.
        width: Most characters.

    Returns:
        The line, and days per character.
    """
    first, last = summary.dates[0].date, summary.dates[-1].date
    days = -(-((last - first).days + 1) // width)
    cells = ["·"] * ((last - first).days // days + 1)
    for entry in sorted(summary.dates, key=lambda entry: entry.cloud or 0.0, reverse=True):
        cells[(entry.date - first).days // days] = shade(entry)
    return "".join(cells), days


def shade(entry: DateSummary) -> str:
    """The character of an acquisition; where there is no mask it counts as clear."""
    if not entry.coverage:
        return "·"
    return next(character for most, character in SHADES if (entry.cloud or 0.0) <= most)
