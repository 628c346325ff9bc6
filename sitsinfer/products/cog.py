"""Cloud-optimised GeoTIFF, written by GDAL's own driver.

Everything that GeoTIFF has a place for is in the file: colour table, nodata, band names, scales, units, and the class
names as band tags ``CLASS_<code>``. GDAL and QGIS look for category names in a sidecar alone, ``map.tif.aux.xml``, so a
layer of classes gets one as well. The map says the same without it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from sitsinfer.grid import Grid
from sitsinfer.layers import Layer
from sitsinfer.products import LayerSource
from sitsinfer.products.sidecar import write_sidecar
from sitsinfer.products.whole import check_room, whole_file
from sitsinfer.products.windows import as_rasterio, windows

BLOCK = 512
"""Height and width of a block in the file, in pixels."""
OTHER_BLOCK = 384
"""The same, for a raster with a level that is exactly ``BLOCK`` pixels wide."""
GDAL_OPTIONS = {
    "GDAL_CACHEMAX": 64 * 2**20,  # bytes; by default it is a share of the machine's memory
    "GDAL_PAM_ENABLED": False,  # the sidecar is ours to write
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_NUM_THREADS": 2,
}


def write_cog(source: LayerSource, path: Path, tags: Mapping[str, str]) -> None:
    """Publish a layer as a cloud-optimised GeoTIFF.

    The layer is read by windows, twice: to write it, and to compare it with what the finished file holds. Memory does
    not grow with its size. Overviews take the most frequent class or identifier, or the average of anything else. The
    same layer and tags give the same bytes.

    Args:
        source: The layer.
        path: The file to write or to replace.
        tags: What to note in the file about its making.

    Raises:
        OutputError: If it cannot be written whole; then ``path`` is as it was.
    """
    with rasterio.Env(**GDAL_OPTIONS), whole_file(path) as draft, _gdal_errors():
        pixels = draft.with_name(f"pixels of {draft.name}")  # another name, whatever the file is called
        _write_pixels(source, pixels, tags)
        check_room(draft, pixels.stat().st_size)
        rasterio.shutil.copy(pixels, draft, driver="COG", **_cog_options(source))
        _check(source, draft)
        write_sidecar(path, source.layer)


@contextmanager
def _gdal_errors() -> Iterator[None]:
    """Turn what GDAL raises into the error of a file that cannot be written."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise OSError(str(error.__cause__ or error)) from error


def _write_pixels(source: LayerSource, path: Path, tags: Mapping[str, str]) -> None:
    """Copy a layer window by window to a plain tiled GeoTIFF."""
    layer = source.layer
    with rasterio.open(path, "w", **_profile(layer, source.grid)) as file:
        file.update_tags(**tags, AREA_OR_POINT="Area")
        _describe(file, layer)
        for window in windows(source.grid):
            values = source.read(window)
            check_room(path, values.nbytes)
            file.write(values, window=as_rasterio(window))


def _profile(layer: Layer, grid: Grid) -> dict[str, Any]:
    """How the plain GeoTIFF is created."""
    height, width = grid.shape
    return {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": len(layer.bands),
        "dtype": layer.dtype,
        "nodata": layer.nodata,
        "crs": None if grid.crs is None else grid.crs.to_wkt(),
        "transform": grid.affine,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "interleave": "pixel",
        "compress": "deflate",
        "zlevel": 1,
        "bigtiff": "if_safer",
    }


def _describe(file: Any, layer: Layer) -> None:
    """Note in an open file what the bands and values of a layer are."""
    file.descriptions = layer.bands
    if layer.scales:
        file.scales = layer.scales
        file.offsets = [0.0] * len(layer.bands)
    if layer.units:
        file.units = layer.units
    if not layer.is_categorical:
        return
    for band in file.indexes:
        file.update_tags(band, **{f"CLASS_{entry.code}": entry.name for entry in layer.classes})
    if layer.dtype == "uint8" and len(layer.bands) == 1:  # what TIFF allows
        file.write_colormap(1, {entry.code: (*entry.color, 255) for entry in layer.classes})


def _cog_options(source: LayerSource) -> dict[str, Any]:
    """Creation options of GDAL's COG driver."""
    discrete = source.layer.is_categorical or source.layer.identifiers
    return {
        "BLOCKSIZE": _block_size(*source.grid.shape),
        "COMPRESS": "DEFLATE",  # which readers in browsers know as well
        "PREDICTOR": "NO" if discrete else "YES",
        "OVERVIEW_RESAMPLING": "MODE" if discrete else "AVERAGE",
        "OVERVIEWS": "IGNORE_EXISTING",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": 2,
    }


def _block_size(height: int, width: int) -> int:
    """Choose blocks such that no tall level of the pyramid is one block wide: validators take it for strips."""
    while height > BLOCK:
        if width == BLOCK:
            return OTHER_BLOCK
        height, width = -(-height // 2), -(-width // 2)
    return BLOCK


def _check(source: LayerSource, path: Path) -> None:
    """Compare a finished file with the layer it was made of; GDAL may not have noticed a full disk.

    Raises:
        OSError: If any pixel differs, or the file is not laid out as it should be.
    """
    with rasterio.open(path) as file:
        found, expected = _facts(file), _expected(source)
        if found != expected:
            wrong = [name for name in expected if found[name] != expected[name]]
            raise OSError(f"GDAL left a file whose {', '.join(wrong)} differs from what was asked for")
        for window in windows(source.grid):
            if not _same(file.read(window=as_rasterio(window)), source.read(window)):
                raise OSError(f"what was written at row {window.row}, col {window.col} reads back differently")
        factors = file.overviews(1)
    for level in range(len(factors)):
        _read_through(path, level)


def _expected(source: LayerSource) -> dict[str, Any]:
    """What the finished file should say."""
    return {
        "shape": tuple(source.grid.shape),
        "bands": source.layer.bands,
        "dtype": source.layer.dtype,
        "transform": tuple(source.grid.affine),
        "layout": "COG",
    }


def _facts(file: Any) -> dict[str, Any]:
    """What an open file says of itself."""
    return {
        "shape": file.shape,
        "bands": file.descriptions,
        "dtype": file.dtypes[0],
        "transform": tuple(file.transform),
        "layout": file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT"),
    }


def _read_through(path: Path, level: int) -> None:
    """Decode every block of an overview, which raises where one is broken."""
    with rasterio.open(path, overview_level=level) as file:
        for _, window in file.block_windows(1):
            file.read(window=window)


def _same(values: NDArray[Any], expected: NDArray[Any]) -> bool:
    return np.array_equal(values, expected, equal_nan=expected.dtype.kind == "f")
