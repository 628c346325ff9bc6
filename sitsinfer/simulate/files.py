"""A scene as files: one GeoTIFF per date, masks, truth as rasters and polygons, and ``scene.json``."""

from __future__ import annotations

import datetime as dt
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import rasterio
import rasterio.windows
from affine import Affine
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter

import sitsinfer
from sitsinfer.errors import OutputError
from sitsinfer.grid import Window
from sitsinfer.simulate.legend import CLASSES, UNLABELLED
from sitsinfer.simulate.polygons import write_polygons
from sitsinfer.simulate.rendering import CLEAR, CLOUD, SCALE, SHADOW, UNSEEN, Rendering, render
from sitsinfer.simulate.scene import Scene
from sitsinfer.simulate.sensor import SENTINEL2, Sensor
from sitsinfer.simulate.weather import passes

TILE = 256
"""Block size of the GeoTIFFs, and the window that is rendered at once."""

_CACHE_BYTES = 128 * 2**20


def write_scene(
    out: Path,
    scene: Scene,
    *,
    overwrite: bool = False,
    window: int = TILE,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write a scene to a folder, whole or not at all.

    Memory depends on the number of dates and not on the size of the scene.

    Args:
        out: The folder. It may exist if it is empty.
        scene: What to write.
        overwrite: Replace a simulated scene that is there.
        window: Side of the windows that are rendered one after the other, pixels, a multiple of 256. It changes the
            memory needed and not one byte of the pixels.
        progress: Called with the share done, 0 to 1.

    Raises:
        OutputError: If ``out`` holds something and may not be replaced, or cannot be written.
    """
    if window <= 0 or window % TILE:
        raise OutputError(f"window is {window}. Expected a multiple of {TILE} pixels.")
    out = out.resolve()
    _check_free(out, overwrite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent) as scratch:
            partial = Path(scratch) / out.name
            _write(partial, scene, window, progress or (lambda share: None))
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


def _write(out: Path, scene: Scene, size: int, progress: Callable[[float], None]) -> None:
    """Write every file of a scene to a folder that does not exist yet."""
    windows = list(_windows(scene, size))
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES), ExitStack() as stack:
        series, masks = _open_series(stack, out, scene, SENTINEL2)
        classes, parcels = _open_truth(stack, out / "truth", scene)
        for n, window in enumerate(windows):
            part = render(scene, window)
            _write_window(series, masks, classes, parcels, window, part)
            progress((n + 1) / (len(windows) + 1))
    write_polygons(out / "truth" / "parcels.tif", out / "truth" / "classes.tif", out / "truth" / "parcels.gpkg")
    _write_class_names(out / "truth" / "classes.tif.aux.xml")
    (out / "scene.json").write_text(json.dumps(_description(scene), indent=2) + "\n")
    progress(1.0)


def _windows(scene: Scene, size: int) -> Iterator[Window]:
    """Cut a scene into windows, row by row."""
    whole = Window(0, 0, scene.height, scene.width)
    for row in range(0, scene.height, size):
        for col in range(0, scene.width, size):
            yield Window(row, col, size, size).intersection(whole)


def _write_window(
    series: list[DatasetWriter],
    masks: list[DatasetWriter],
    classes: DatasetWriter,
    parcels: DatasetWriter,
    window: Window,
    part: Rendering,
) -> None:
    """Write what was rendered of one window to all files."""
    where = rasterio.windows.Window(window.col, window.row, window.width, window.height)
    for t, (image, mask) in enumerate(zip(series, masks, strict=True)):
        image.write(part.values[t], window=where)
        mask.write(part.mask[t], 1, window=where)
    classes.write(part.classes, 1, window=where)
    parcels.write(part.parcels, 1, window=where)


def _open(stack: ExitStack, path: Path, scene: Scene, pixel_m: int, **profile: Any) -> DatasetWriter:
    """Create a tiled, compressed GeoTIFF on the grid of the scene."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y = scene.origin
    dataset: DatasetWriter = stack.enter_context(
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=math.ceil(scene.height * 10 / pixel_m),
            width=math.ceil(scene.width * 10 / pixel_m),
            crs=f"EPSG:{scene.epsg}",
            transform=Affine(pixel_m, 0, x, 0, -pixel_m, y),
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            compress="deflate",
            zlevel=1,
            bigtiff="if_safer",
            **profile,
        )
    )
    return dataset


def _open_series(
    stack: ExitStack, out: Path, scene: Scene, sensor: Sensor
) -> tuple[list[DatasetWriter], list[DatasetWriter]]:
    """Create the image and the mask of every date."""
    series, masks = [], []
    for when in passes(scene, sensor.name):
        stem = f"{sensor.prefix}_{when.date:%Y%m%d}"
        taken = dt.datetime.combine(when.date, dt.time(10, 40))
        image = _open(
            stack,
            out / sensor.name / f"{stem}.tif",
            scene,
            sensor.pixel_m,
            count=len(sensor.bands),
            dtype="uint16",
            nodata=0,
            predictor=2,
            interleave="band",
        )
        image.descriptions = sensor.bands
        image.scales = (SCALE,) * len(sensor.bands)
        image.offsets = (0.0,) * len(sensor.bands)
        image.update_tags(TIFFTAG_DATETIME=f"{taken:%Y:%m:%d %H:%M:%S}", DATETIME=f"{taken:%Y-%m-%dT%H:%M:%SZ}")
        mask = _open(
            stack,
            out / f"{sensor.name}_mask" / f"{stem}_mask.tif",
            scene,
            sensor.pixel_m,
            count=1,
            dtype="uint8",
            nodata=UNSEEN,
        )
        mask.descriptions = ("mask",)
        mask.update_tags(clear=CLEAR, cloud=CLOUD, shadow=SHADOW, unseen=UNSEEN)
        series.append(image)
        masks.append(mask)
    return series, masks


def _open_truth(stack: ExitStack, out: Path, scene: Scene) -> tuple[DatasetWriter, DatasetWriter]:
    """Create the class map, with its legend, and the map of parcels."""
    classes = _open(stack, out / "classes.tif", scene, 10, count=1, dtype="uint8", nodata=UNLABELLED)
    classes.write_colormap(1, {c.code: (*c.color, 255) for c in CLASSES})
    classes.descriptions = ("class",)
    classes.update_tags(1, **{f"CLASS_{c.code}": c.name for c in CLASSES})
    parcels = _open(stack, out / "parcels.tif", scene, 10, count=1, dtype="uint32", nodata=0)
    parcels.descriptions = ("parcel",)
    return classes, parcels


def _write_class_names(sidecar: Path) -> None:
    """Name the classes where GDAL and QGIS look for names, which rasterio cannot write."""
    root = ElementTree.Element("PAMDataset")
    names = ElementTree.SubElement(ElementTree.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for c in CLASSES:
        ElementTree.SubElement(names, "Category").text = c.name
    sidecar.write_bytes(ElementTree.tostring(root, encoding="utf-8"))


def _description(scene: Scene) -> dict[str, Any]:
    """Describe a scene for ``scene.json``."""
    return {
        "type": "simulated scene",
        "version": sitsinfer.__version__,
        "scene": asdict(scene),
        "sensors": [
            {
                "name": SENTINEL2.name,
                "bands": list(SENTINEL2.bands),
                "resolution_m": SENTINEL2.pixel_m,
                "scale": SCALE,
                "nodata": 0,
                "dates": [when.date.isoformat() for when in passes(scene, SENTINEL2.name)],
            }
        ],
        "mask": {"clear": CLEAR, "cloud": CLOUD, "shadow": SHADOW, "unseen": UNSEEN},
        "classes": [asdict(c) for c in CLASSES],
    }
