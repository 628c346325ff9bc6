"""The Landsat series as files, in the layout of LS2S2: a folder per date, and ``index.csv``, separated by tabs."""

from __future__ import annotations

import csv
import datetime as dt
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetWriter

from sitsinfer.simulate.atmosphere import CLEAR, CLOUD, SHADOW, UNSEEN
from sitsinfer.simulate.landsat import BANDS, NODATA, SCALES, render_landsat
from sitsinfer.simulate.scene import Scene
from sitsinfer.simulate.sensor import LANDSAT
from sitsinfer.simulate.tiffs import create, create_image, place, windows
from sitsinfer.simulate.weather import passes

MIN_CLEAR_RATE = 0.25
"""A date of which less is clear has a row in the index, and no files."""

_KINDS = ("bands", "mask", "snow_mask")
_COLUMNS = (
    "product_id",
    "product_id",  # the published files have it twice
    "acquisition_date",
    "clear_pixel_rate",
    "snow_pixel_rate",
    "valid",
    *_KINDS,
)


def write_landsat(out: Path, scene: Scene, size: int) -> Iterator[float]:
    """Write the Landsat series of a scene to a folder that does not exist yet.

    Args:
        out: The folder.
        scene: What to write.
        size: Side of the windows that are rendered one after the other, pixels of 30 m.

    Yields:
        The share done, after each window.
    """
    dates = [p.date for p in passes(scene, LANDSAT.name)]
    clear = np.zeros(len(dates), dtype=np.int64)
    with ExitStack() as stack:
        files = [_create(stack, out, scene, date) for date in dates]
        parts = list(windows(scene, size, LANDSAT.pixel_m))
        for n, window in enumerate(parts):
            part = render_landsat(scene, window)
            for (image, mask), values, seen in zip(files, part.values, part.mask, strict=True):
                image.write(values, window=place(window))
                mask.write(seen, 1, window=place(window))
            clear += (part.mask == CLEAR).sum(axis=(1, 2))
            yield (n + 1) / len(parts)
    height, width = scene.shape(LANDSAT.pixel_m)
    _write_index(out, dates, clear / (height * width))


def _paths(date: dt.date) -> tuple[Path, Path, Path]:
    """Name the bands, the mask and the snow mask of a date, below the folder of the series."""
    bands, mask, snow = (Path(f"{date:%Y%m%d}", f"landsat_{kind}_{date:%Y%m%d}.tif") for kind in _KINDS)
    return bands, mask, snow


def _create(stack: ExitStack, out: Path, scene: Scene, date: dt.date) -> tuple[DatasetWriter, DatasetWriter]:
    """Create the image and the masks of a date; no snow falls in a simulated scene."""
    bands, mask, snow = (out / path for path in _paths(date))
    image = create_image(
        stack,
        bands,
        scene,
        LANDSAT.pixel_m,
        dtype="int16",
        nodata=NODATA,
        scales=dict(zip(BANDS, SCALES, strict=True)),
        taken=dt.datetime.combine(date, dt.time(10, 30)),
    )
    masks = [create(stack, path, scene, LANDSAT.pixel_m, count=1, dtype="uint8", nodata=0) for path in (mask, snow)]
    for dataset, kind in zip(masks, _KINDS[1:], strict=True):
        dataset.descriptions = (kind,)
    masks[0].update_tags(clear=CLEAR, cloud=CLOUD, shadow=SHADOW, unseen=UNSEEN)
    return image, masks[0]


def _write_index(out: Path, dates: Sequence[dt.date], clear: NDArray[np.float64]) -> None:
    """List all dates, and remove the files of those that are not valid."""
    with (out / "index.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        for date, rate in zip(dates, clear.tolist(), strict=True):
            valid = rate >= MIN_CLEAR_RATE
            if not valid:
                shutil.rmtree(out / f"{date:%Y%m%d}")
            product = f"landsat_{date:%Y%m%d}"
            paths = [path.as_posix() for path in _paths(date)] if valid else [""] * 3
            writer.writerow([product, product, date.isoformat(), f"{rate:.6f}", "0.0", valid, *paths])
