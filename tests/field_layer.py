"""A layer of fields over a small scene, and all that may be odd in somebody's layer."""

from pathlib import Path

import geopandas
import numpy as np
import shapely

from tests.conftest import CORNER

CRS = "EPSG:32631"


def at(row: float, col: float) -> tuple[float, float]:
    """Where a row and column of the scene lie, its upper left corner being 0, 0."""
    return CORNER[0] + 10 * col, CORNER[1] - 10 * row


def box(row: float, col: float, height: float, width: float) -> shapely.Polygon:
    """Pixels of the scene as a polygon."""
    left, top = at(row, col)
    return shapely.box(left, top - 10 * height, left + 10 * width, top)


def fields(shape: tuple[int, int], step: int = 7, seed: int = 0) -> list[shapely.Polygon]:
    """Quadrilaterals that share their crooked borders, all over a scene; some reach beyond it."""
    rng = np.random.default_rng(seed)
    rows, cols = (np.arange(0, extent, step) for extent in shape)
    mesh = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).astype(float)
    corners = mesh + rng.uniform(-0.3, 0.3, mesh.shape) * step
    return [
        shapely.Polygon([at(*corners[row + down, col + right]) for down, right in ((0, 0), (1, 0), (1, 1), (0, 1))])
        for row in range(len(rows) - 1)
        for col in range(len(cols) - 1)
    ]


def odd() -> dict[str, shapely.Geometry | None]:
    """What else may be in a layer, by what it is."""
    hole = box(3, 4, 12, 15).difference(box(6, 8, 5, 6))
    return {
        "multi": shapely.MultiPolygon([box(2, 3, 7, 5), box(30, 50, 6, 8)]),
        "hole": hole,
        "sliver": box(12.6, 20, 0.3, 9),
        "outside": box(900, 900, 8, 8),
        "partly outside": box(-4, -3, 11, 12),
        "none": None,
        "empty": shapely.Polygon(),
        "crossed": shapely.Polygon([at(20, 5), at(30, 15), at(20, 15), at(30, 5)]),
        "point": shapely.Point(at(9.5, 9.5)),
        "never seen": box(21, 31, 5, 9),
        "hole again": hole,
    }


def write_layer(path: Path, shapes: dict[str, shapely.Geometry | None] | list[shapely.Polygon], crs: str = CRS) -> Path:
    """Write a layer with the column ``name``, of keys or numbers."""
    names = list(shapes) if isinstance(shapes, dict) else [f"field {number}" for number in range(len(shapes))]
    values = list(shapes.values()) if isinstance(shapes, dict) else shapes
    frame = geopandas.GeoDataFrame({"name": names}, geometry=values, crs=CRS).to_crs(crs)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path, layer="fields")
    return path
