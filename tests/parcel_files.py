"""Published parcels, as tests compare them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import rasterio
from numpy.typing import NDArray


class Feature(NamedTuple):
    """A parcel as a file holds it."""

    id: int
    identifier: str
    code: int
    class_name: str
    confidence: float
    area_ha: float
    center_x: float
    center_y: float
    wkb: bytes


def features(path: Path) -> list[Feature]:
    """The parcels of a file of any format, by their ids; whatever else differs between files matters to nobody."""
    if path.suffix == ".parquet":
        table = pq.read_table(path).drop_columns("bbox").to_pydict()
        columns = list(table.values())
    else:
        _, _, wkb, values = pyogrio.raw.read(path, layer="parcels")
        columns = [*(column.tolist() for column in values), wkb.tolist()]
    return sorted(Feature(*row) for row in zip(*columns, strict=True))


def pixels(path: Path) -> NDArray[Any]:
    """The values of a raster of one band."""
    with rasterio.open(path) as file:
        values: NDArray[Any] = file.read(1)
        return values


def pixels_within(feature: Feature, transform: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres lie in a polygon."""
    import shapely
    from rasterio.features import geometry_mask

    return geometry_mask([shapely.from_wkb(feature.wkb)], shape, transform, invert=True)
