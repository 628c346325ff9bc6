"""Which predicted image belongs to which reference, where both lie in files."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.errors import MetricError
from sitsinfer.fusion.observe import View
from sitsinfer.fusion.types import RATIO
from sitsinfer.grid import Grid, whole
from sitsinfer.metrics.fusion.compare import Comparison, placement
from sitsinfer.metrics.fusion.pixels import LayerPixels, Pixels, ViewPixels
from sitsinfer.products.cube import LAYERS_ATTRIBUTE, is_cube, read_cube_tags
from sitsinfer.products.dated import Published, read_back
from sitsinfer.products.raster import open_raster
from sitsinfer.series import Series, open_series
from sitsinfer.series.names import date_in_path, sensor_in
from sitsinfer.series.pair import THERMAL, open_pair
from sitsinfer.series.types import listing

_FUSED = re.compile(r".+_\d{8}_(sentinel2|landsat)")
"""What ``fuse`` calls its files, without their ending; two sensors may lie in one folder."""


class Image(Protocol):
    """One date of one sensor in files, of which headers are read."""

    @property
    def name(self) -> str:
        """How messages and tables call it."""

    @property
    def sensor(self) -> str | None:
        """``hr``, ``lr``, or ``None`` if nothing says."""

    @property
    def date(self) -> datetime.date | None:
        """The day, if its name says."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands."""

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""

    @property
    def is_scaled(self) -> bool:
        """Whether it is known how to get from its values to reflectance and kelvin."""

    def open(self, grid: Grid) -> AbstractContextManager[Pixels]:
        """Open it on a grid, if need be and it can be another than its own."""


@dataclass(frozen=True)
class _Raster:
    """A file that GDAL reads."""

    path: Path
    date: datetime.date | None
    bands: tuple[str, ...]
    grid: Grid
    is_scaled: bool

    @classmethod
    def of(cls, path: Path) -> Self:
        with open_raster(path) as raster:
            layer = raster.layer
            is_scaled = bool(layer.scales) or np.dtype(layer.dtype).kind == "f"
            return cls(path, date_in_path(Path(path.name)), layer.bands, raster.grid, is_scaled)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def sensor(self) -> str | None:
        return _sensor_in(self.path.stem)

    @contextmanager
    def open(self, grid: Grid) -> Iterator[Pixels]:
        with open_raster(self.path, grid) as raster:
            yield LayerPixels(raster, raster.valid)


@dataclass(frozen=True)
class _CubeDate:
    """A date of a layer in a cube that ``fuse`` wrote; read on its own grid alone."""

    published: Published
    bands: tuple[str, ...]
    grid: Grid
    is_scaled: bool = True

    @classmethod
    def of(cls, published: Published) -> Self:
        with published.open() as source:
            return cls(published, source.layer.bands, source.grid)

    @property
    def name(self) -> str:
        return f"{self.published.path.name} at {self.date} ({self.published.name})"

    @property
    def sensor(self) -> str | None:
        return _sensor_in(self.published.name)

    @property
    def date(self) -> datetime.date:
        return self.published.date

    @contextmanager
    def open(self, grid: Grid) -> Iterator[Pixels]:
        with self.published.open() as source:
            yield LayerPixels(source)


@dataclass(frozen=True)
class _Acquisition:
    """One date of a series; ``series`` has no other."""

    series: Series
    is_scaled: bool = True

    @property
    def name(self) -> str:
        return self.series.acquisitions[0].name

    @property
    def sensor(self) -> str | None:
        return _sensor_in(self.series.sensor)

    @property
    def date(self) -> datetime.date:
        return self.series.dates[0]

    @property
    def bands(self) -> tuple[str, ...]:
        return self.series.bands

    @property
    def grid(self) -> Grid:
        return self.series.grid

    def open(self, grid: Grid) -> AbstractContextManager[Pixels]:
        return nullcontext(ViewPixels(View(self.series, grid, whole(grid)), self.date))


@dataclass(frozen=True)
class Matched:
    """Images of two places that belong together.

    Attributes:
        pairs: A prediction and its reference each.
        sensor: Of which sensor they are; ``None`` if nothing says.
        bands: Bands to compare; ``None``: all that both have.
        notes: What has no counterpart, and what is resampled, one line each.
    """

    pairs: Sequence[tuple[Image, Image]]
    sensor: str | None
    bands: Collection[str] | None
    notes: tuple[str, ...]

    def comparisons(self) -> Iterator[Comparison]:
        """Open one pair after the other.

        Raises:
            SitsInferError: If a file cannot be read.
        """
        for ours, theirs in self.pairs:
            with ours.open(ours.grid) as predicted, theirs.open(_reading_grid(ours.grid, theirs.grid)) as observed:
                yield Comparison(ours.name, self.sensor, ours.date, predicted, observed, only=self.bands)


def match(
    prediction: Path, reference: Path, sensor: str | None = None, bands: Collection[str] | None = None
) -> Matched:
    """Find the images of two places that belong together: those of one date, or two single rasters.

    A reference on other pixels is read on those of the prediction, or on blocks of three by three of them if its own
    are as large.

    Args:
        prediction: A raster, or a folder or cube of dated images, such as ``fuse`` writes.
        reference: Likewise, or any time series.
        sensor: ``hr`` or ``lr``; ``None``: what the reference's name or pixel size says, else the prediction's name.
        bands: Bands to compare; ``None``: all that both have.

    Raises:
        MetricError: If nothing belongs together, either side has two images of one date, or is of both sensors and
            none is chosen.
        SitsInferError: If something cannot be opened.
    """
    predicted, observed = _images(prediction), _images(reference)
    sensor = sensor or _likely_sensor((prediction, predicted), (reference, observed))
    predicted, observed = _of_sensor(sensor, prediction, predicted), _of_sensor(sensor, reference, observed)
    for path, images in ((prediction, predicted), (reference, observed)):
        _check_dates(path, images)
    pairs = _pairs(predicted, observed)
    if not pairs:
        raise MetricError(
            f"{prediction} and {reference} share no date: the one has {_span(predicted)}, the other "
            f"{_span(observed)}. Compare images of the same dates."
        )
    for pair in pairs:
        _check_scales(*pair)
    notes = [
        *_alone(prediction, predicted, reference, [ours for ours, _ in pairs]),
        *_alone(reference, observed, prediction, [theirs for _, theirs in pairs]),
        *_band_notes(*pairs[0], bands),
        *_grid_notes(*pairs[0]),
    ]
    return Matched(pairs, sensor, bands, tuple(notes))


def _images(path: Path) -> list[Image]:
    """What lies in a place."""
    if path.is_dir() and (fused := sorted(file for file in path.glob("*.tif") if _FUSED.fullmatch(file.stem))):
        return [_Raster.of(file) for file in fused]
    if path.exists() and is_cube(path) and LAYERS_ATTRIBUTE in read_cube_tags(path):
        return [_CubeDate.of(published) for published in read_back([path])]
    if path.is_file() and not is_cube(path):
        return [_Raster.of(path)]
    series = open_series(path)
    if _sensor_in(series.sensor) == "lr" and THERMAL not in series.bands:
        series = open_pair(None, lr=path).lr or series  # which knows what else temperature is called
    dates = (replace(series, acquisitions=(acquisition,)) for acquisition in series.acquisitions)
    return [_Acquisition(date.select(bands=_bands_of(date))) for date in dates]


def _bands_of(series: Series) -> list[str]:
    """The bands that the one acquisition of a series has."""
    return [band for band in series.bands if band in series.acquisitions[0].bands]


def _sensor_in(text: str) -> str | None:
    """The sensor that a name speaks of, as fusion calls it."""
    found = sensor_in(text)
    if found is not None and found.name == "sentinel-2":
        return "hr"
    return "lr" if "landsat" in (found.name if found else text.lower()) else None


def _likely_sensor(prediction: tuple[Path, Sequence[Image]], reference: tuple[Path, Sequence[Image]]) -> str | None:
    """The sensor that the reference, or else the prediction, is of.

    Raises:
        MetricError: If one that must say it is of both.
    """
    if said := _only_sensor(*reference):
        return said
    if _blocks(prediction[1][0].grid, reference[1][0].grid) == RATIO:
        return "lr"
    return _only_sensor(*prediction)


def _only_sensor(path: Path, images: Sequence[Image]) -> str | None:
    sensors = {image.sensor for image in images if image.sensor}
    if len(sensors) > 1:
        raise MetricError(f"{path} holds images of both sensors. Choose one: set sensor to hr or lr.")
    return sensors.pop() if sensors else None


def _of_sensor(sensor: str | None, path: Path, images: Sequence[Image]) -> list[Image]:
    """Images that are of a sensor, as far as they say."""
    kept = [image for image in images if sensor is None or image.sensor in (sensor, None)]
    if not kept:
        raise MetricError(f"{path} holds no image of sensor {sensor}, but of {images[0].sensor}. Compare one sensor.")
    return kept


def _check_dates(path: Path, images: Sequence[Image]) -> None:
    """Refuse images of one sensor of which it cannot be told which is meant.

    Raises:
        MetricError: If two are of one date.
    """
    seen: dict[datetime.date, Image] = {}
    for image in images:
        if image.date is None:
            continue
        other = seen.setdefault(image.date, image)
        if other is not image:
            raise MetricError(
                f"{path} holds two images of one sensor on {image.date}, {other.name} and {image.name}. Give each run "
                f"a folder of its own, and compare these one by one."
            )


def _pairs(predicted: Sequence[Image], observed: Sequence[Image]) -> list[tuple[Image, Image]]:
    if len(predicted) == len(observed) == 1 and None in (predicted[0].date, observed[0].date):
        return [(predicted[0], observed[0])]
    by_date = {image.date: image for image in observed if image.date is not None}
    return [(image, by_date[image.date]) for image in predicted if image.date in by_date]


def _check_scales(ours: Image, theirs: Image) -> None:
    """Refuse to compare reflectance with digital numbers.

    Raises:
        MetricError: If the scale of one alone is known.
    """
    if ours.is_scaled != theirs.is_scaled:
        bare, other = (theirs, ours) if ours.is_scaled else (ours, theirs)
        raise MetricError(
            f"{bare.name} holds integers without a scale, {other.name} reflectance. "
            f"Set the scale of its bands, such as 0.0001, in the file."
        )


def _alone(path: Path, images: Sequence[Image], other: Path, matched: Sequence[Image]) -> Iterator[str]:
    """Which images of a place have no counterpart."""
    alone = [str(image.date or image.name) for image in images if image not in matched]
    if alone:
        yield f"{len(alone)} of {len(images)} dates of {path} are not in {other}: {listing(alone)}."


def _band_notes(ours: Image, theirs: Image, asked: Collection[str] | None) -> Iterator[str]:
    """Which bands of the first pair are not compared."""
    wanted = ours.bands if asked is None else tuple(asked)
    lacking = [band for band in wanted if band not in ours.bands or band not in theirs.bands]
    if lacking and len(lacking) < len(wanted):
        yield f"Not compared, for want of a counterpart: {', '.join(lacking)}."


def _grid_notes(ours: Image, theirs: Image) -> Iterator[str]:
    if _reading_grid(ours.grid, theirs.grid) != theirs.grid:
        yield f"{theirs.name} lies on other pixels than {ours.name}, and is resampled."


def _span(images: Sequence[Image]) -> str:
    """Dates of images in words."""
    dates = sorted(image.date for image in images if image.date)
    if len(dates) < 2:
        return str(dates[0]) if dates else "none"
    return f"{len(dates)} from {dates[0]} to {dates[-1]}"


def _reading_grid(fine: Grid, own: Grid) -> Grid:
    """Where a reference is read: on its own pixels, if these fit into the fine ones."""
    if placement(fine, own) is not None:
        return own
    if _blocks(fine, own) == RATIO:
        height, width = fine.shape
        return GeoBox((height // RATIO, width // RATIO), fine.affine @ Affine.scale(RATIO), fine.crs)
    return fine


def _blocks(fine: Grid, own: Grid) -> int:
    """Fine pixels along the side of one of another grid."""
    return round(abs(own.affine.a / fine.affine.a))
