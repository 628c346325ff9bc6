"""Fields as polygons, from the map of their ids, strip by strip."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.features
import rasterio.windows
import shapely
import shapely.geometry
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from sitsinfer.simulate.landscape import REACH_M
from sitsinfer.simulate.legend import CLASSES

_LAYER = "parcels"


def write_polygons(parcels: Path, classes: Path, out: Path) -> None:
    """Write the outline of every field.

    Fields in several pieces, cut by a road or a wood, become one multi-polygon.

    Args:
        parcels: GeoTIFF of field ids, 0 for none.
        classes: GeoTIFF of class codes on the same grid.
        out: GeoPackage to make, with columns ``id``, ``class_code``, ``class_name`` and ``area_m2``.
    """
    with rasterio.open(parcels) as ids, rasterio.open(classes) as codes:
        # No field reaches further than two strips: one that is not in a strip ended above it.
        rows = math.ceil(2 * REACH_M / ids.res[1] / 256) * 256
        open_pieces: dict[int, list[BaseGeometry]] = {}
        class_of: dict[int, int] = {}
        _append(out, open_pieces, class_of, ids.crs)
        for row in range(0, ids.height, rows):
            found = _outline(ids, codes, row, min(rows, ids.height - row), class_of)
            ended = {key: open_pieces.pop(key) for key in open_pieces.keys() - found.keys()}
            _append(out, ended, class_of, ids.crs)
            for key, pieces in found.items():
                open_pieces.setdefault(key, []).extend(pieces)
        _append(out, open_pieces, class_of, ids.crs)


def _outline(
    ids: DatasetReader, codes: DatasetReader, row: int, height: int, class_of: dict[int, int]
) -> dict[int, list[BaseGeometry]]:
    """Outline the fields of one strip, and note their classes."""
    window = rasterio.windows.Window(0, row, ids.width, height)
    parcel, code = ids.read(1, window=window), codes.read(1, window=window)
    keys, first, index = np.unique(parcel, return_index=True, return_inverse=True)
    class_of.update(zip(keys.tolist(), code.ravel()[first].tolist(), strict=True))
    # Ids do not fit into the signed 32 bits that GDAL polygonises; their ranks do.
    rank = index.reshape(parcel.shape).astype(np.int32)
    pieces: dict[int, list[BaseGeometry]] = defaultdict(list)
    north_up = ids.transform
    transform = Affine(north_up.a, 0, north_up.c, 0, north_up.e, north_up.f + row * north_up.e)
    shapes = rasterio.features.shapes(rank, mask=parcel != 0, transform=transform)
    for geometry, value in shapes:
        pieces[int(keys[int(value)])].append(shapely.geometry.shape(geometry))
    return pieces


def _append(out: Path, pieces: dict[int, list[BaseGeometry]], class_of: dict[int, int], crs: rasterio.crs.CRS) -> None:
    """Join the pieces of each field and add them to the file; with no pieces, make sure that the layer is there."""
    if not pieces and out.exists():
        return
    keys = sorted(pieces)
    codes = [class_of.pop(key) for key in keys]
    joined = [shapely.unary_union(pieces[key]) for key in keys]
    geometry: NDArray[np.object_] = np.array([_multi(outline) for outline in joined], dtype=object)
    frame = gpd.GeoDataFrame(
        {
            "id": np.array(keys, dtype=np.int64),
            "class_code": np.array(codes, dtype=np.int32),
            "class_name": np.array([CLASSES[code].name for code in codes], dtype=object),
            "area_m2": shapely.area(geometry) if keys else np.zeros(0),
        },
        geometry=geometry,
        crs=crs,
    )
    frame.to_file(
        out,
        layer=_LAYER,
        driver="GPKG",
        engine="pyogrio",
        mode="a" if out.exists() else "w",
        geometry_type="MultiPolygon",
    )


def _multi(geometry: BaseGeometry) -> BaseGeometry:
    """Make every outline a multi-polygon, as a layer holds one type."""
    return MultiPolygon([geometry]) if isinstance(geometry, Polygon) else geometry
