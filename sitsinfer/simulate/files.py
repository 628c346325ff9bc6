"""A scene as files: GeoTIFFs of each date, masks, truth as rasters and polygons, and ``scene.json``."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import rasterio
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter

import sitsinfer
from sitsinfer.errors import OutputError
from sitsinfer.simulate import landsat
from sitsinfer.simulate.atmosphere import CLEAR, CLOUD, SHADOW, UNSEEN
from sitsinfer.simulate.legend import CLASSES, UNLABELLED
from sitsinfer.simulate.ls2s2 import write_landsat
from sitsinfer.simulate.polygons import write_polygons
from sitsinfer.simulate.rendering import SCALE, render
from sitsinfer.simulate.scene import PIXEL_M, Scene
from sitsinfer.simulate.sensor import LANDSAT, SENTINEL2
from sitsinfer.simulate.tiffs import TILE, create, create_image, place, windows
from sitsinfer.simulate.truth import render_truth
from sitsinfer.simulate.weather import passes

_CACHE_BYTES = 128 * 2**20
_SENTINEL2_SCALES = dict.fromkeys(SENTINEL2.bands, SCALE)
_LANDSAT_SCALES = dict(zip(landsat.BANDS, landsat.SCALES, strict=True))


def write_scene(
    out: Path,
    scene: Scene,
    *,
    truth_dates: Sequence[dt.date] = (),
    overwrite: bool = False,
    window: int = TILE,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a scene to a folder, whole or not at all.

    Memory depends on the number of dates and not on the size of the scene.

    Args:
        out: The folder. It may exist if it is empty.
        scene: What to write.
        truth_dates: Days of the scene's year to write without clouds, at 10 m, in the bands of both sensors.
        overwrite: Replace a simulated scene that is there.
        window: Side of the windows that are rendered one after the other, pixels, a multiple of 256. It changes the
            memory needed and not one byte of the pixels.
        progress: Called with the share done, 0 to 1.

    Raises:
        SimulationError: If a date of ``truth_dates`` is of another year.
        OutputError: If ``out`` holds something and may not be replaced, or cannot be written.
    """
    if window <= 0 or window % TILE:
        raise OutputError(f"window is {window}. Expected a multiple of {TILE} pixels.")
    scene.days(truth_dates)
    out = out.resolve()
    _check_free(out, overwrite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent) as scratch:
            partial = Path(scratch) / out.name
            _write(partial, scene, sorted(set(truth_dates)), window, progress or (lambda share: None))
            if out.exists():
                shutil.rmtree(out)
            partial.rename(out)
    except (OSError, RasterioError, DataSourceError, DataLayerError, FeatureError) as error:
        raise OutputError(f"Cannot write {out}: {error}") from error


def _check_free(out: Path, overwrite: bool) -> None:
    """Refuse to replace what is not ours, or what the user did not offer."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out} is a file. Expected a folder to write the scene to.")
    if not any(out.iterdir()):
        return
    if not (out / "scene.json").is_file():
        raise OutputError(f"{out} is not empty and holds no simulated scene. Choose another folder.")
    if not overwrite:
        raise OutputError(f"{out} already holds a simulated scene. Set overwrite to replace it.")


def _write(
    out: Path, scene: Scene, truth_dates: Sequence[dt.date], size: int, progress: Callable[[float], None]
) -> None:
    """Write every file of a scene to a folder that does not exist yet."""
    parts = [_write_sentinel2(out, scene, size)]
    if truth_dates:
        parts.append(_write_truth(out / "truth", scene, truth_dates, size))
    if scene.landsat:
        parts.append(write_landsat(out / LANDSAT.name, scene, size))
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        for n, part in enumerate(parts):
            for share in part:
                progress((n + share) / len(parts))
    (out / "scene.json").write_text(json.dumps(_description(scene, truth_dates), indent=2) + "\n")


def _write_sentinel2(out: Path, scene: Scene, size: int) -> Iterator[float]:
    """Write the Sentinel-2 series, and what the ground is, yielding the share done."""
    truth = out / "truth"
    parts = list(windows(scene, size, PIXEL_M))
    with ExitStack() as stack:
        series, masks = _create_series(stack, out, scene)
        classes, parcels = _create_labels(stack, truth, scene)
        for n, window in enumerate(parts):
            part, where = render(scene, window), place(window)
            for image, mask, values, seen in zip(series, masks, part.values, part.mask, strict=True):
                image.write(values, window=where)
                mask.write(seen, 1, window=where)
            classes.write(part.classes, 1, window=where)
            parcels.write(part.parcels, 1, window=where)
            yield (n + 1) / (len(parts) + 1)
    write_polygons(truth / "parcels.tif", truth / "classes.tif", truth / "parcels.gpkg")
    _write_class_names(truth / "classes.tif.aux.xml")
    yield 1.0


def _create_series(stack: ExitStack, out: Path, scene: Scene) -> tuple[list[DatasetWriter], list[DatasetWriter]]:
    """Create Sentinel-2's image and mask of every date."""
    series, masks = [], []
    for when in passes(scene, SENTINEL2.name):
        stem = f"S2_{when.date:%Y%m%d}"
        series.append(_create_sentinel2(stack, out / SENTINEL2.name / f"{stem}.tif", scene, when.date))
        mask = create(
            stack,
            out / f"{SENTINEL2.name}_mask" / f"{stem}_mask.tif",
            scene,
            PIXEL_M,
            count=1,
            dtype="uint8",
            nodata=UNSEEN,
        )
        mask.descriptions = ("mask",)
        mask.update_tags(clear=CLEAR, cloud=CLOUD, shadow=SHADOW, unseen=UNSEEN)
        masks.append(mask)
    return series, masks


def _create_sentinel2(stack: ExitStack, path: Path, scene: Scene, date: dt.date) -> DatasetWriter:
    """Create one of Sentinel-2's images."""
    taken = dt.datetime.combine(date, dt.time(10, 40))
    return create_image(stack, path, scene, PIXEL_M, dtype="uint16", nodata=0, scales=_SENTINEL2_SCALES, taken=taken)


def _create_labels(stack: ExitStack, out: Path, scene: Scene) -> tuple[DatasetWriter, DatasetWriter]:
    """Create the class map, with its legend, and the map of parcels."""
    classes = create(stack, out / "classes.tif", scene, PIXEL_M, count=1, dtype="uint8", nodata=UNLABELLED)
    classes.write_colormap(1, {c.code: (*c.color, 255) for c in CLASSES})
    classes.descriptions = ("class",)
    classes.update_tags(1, **{f"CLASS_{c.code}": c.name for c in CLASSES})
    parcels = create(stack, out / "parcels.tif", scene, PIXEL_M, count=1, dtype="uint32", nodata=0)
    parcels.descriptions = ("parcel",)
    return classes, parcels


def _write_truth(out: Path, scene: Scene, dates: Sequence[dt.date], size: int) -> Iterator[float]:
    """Write what sensors would see without clouds, yielding the share done."""
    parts = list(windows(scene, size, PIXEL_M))
    with ExitStack() as stack:
        sentinel2 = [_create_sentinel2(stack, _truth_path(out, "sentinel2", date), scene, date) for date in dates]
        of_landsat = [
            create_image(
                stack,
                _truth_path(out, "landsat", date),
                scene,
                PIXEL_M,
                dtype="int16",
                nodata=landsat.NODATA,
                scales=_LANDSAT_SCALES,
                taken=dt.datetime.combine(date, dt.time(10, 30)),
            )
            for date in dates
        ]
        for n, window in enumerate(parts):
            part, where = render_truth(scene, dates, window), place(window)
            for t in range(len(dates)):
                sentinel2[t].write(part.sentinel2[t], window=where)
                of_landsat[t].write(part.landsat[t], window=where)
            yield (n + 1) / len(parts)


def _truth_path(out: Path, sensor: str, date: dt.date) -> Path:
    """Name a file so that a folder of them is a time series."""
    return out / sensor / f"{sensor}_{date:%Y%m%d}.tif"


def _write_class_names(sidecar: Path) -> None:
    """Name the classes where GDAL and QGIS look for names, which rasterio cannot write."""
    root = ElementTree.Element("PAMDataset")
    names = ElementTree.SubElement(ElementTree.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for c in CLASSES:
        ElementTree.SubElement(names, "Category").text = c.name
    sidecar.write_bytes(ElementTree.tostring(root, encoding="utf-8"))


def _description(scene: Scene, truth_dates: Sequence[dt.date]) -> dict[str, Any]:
    """Describe a scene for ``scene.json``."""
    sensors = [
        {
            "name": SENTINEL2.name,
            "bands": list(SENTINEL2.bands),
            "resolution_m": SENTINEL2.pixel_m,
            "scale": SCALE,
            "nodata": 0,
            "dates": [when.date.isoformat() for when in passes(scene, SENTINEL2.name)],
        }
    ]
    if scene.landsat:
        sensors.append(
            {
                "name": LANDSAT.name,
                "bands": list(landsat.BANDS),
                "resolution_m": LANDSAT.pixel_m,
                "scale": list(landsat.SCALES),
                "nodata": landsat.NODATA,
                "dates": [when.date.isoformat() for when in passes(scene, LANDSAT.name)],
            }
        )
    return {
        "type": "simulated scene",
        "version": sitsinfer.__version__,
        "scene": asdict(scene),
        "sensors": sensors,
        "truth_dates": [date.isoformat() for date in truth_dates],
        "mask": {"clear": CLEAR, "cloud": CLOUD, "shadow": SHADOW, "unseen": UNSEEN},
        "classes": [asdict(c) for c in CLASSES],
    }
