"""The STAC item of a run: where and when it is from, what its files hold, and how they were made."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from pyproj import Transformer

from sitsinfer import __version__
from sitsinfer.grid import Grid
from sitsinfer.layers import ClassInfo, Layer
from sitsinfer.products import DATE_TAG, GEOMETRY
from sitsinfer.products.cube import is_cube, open_cube
from sitsinfer.products.raster import open_raster
from sitsinfer.products.vector import FORMATS, is_vector, read_vector_file
from sitsinfer.products.whole import whole_file

EXTENSIONS = (
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
)
MEDIA_TYPES: Mapping[str, str] = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".tiff": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".nc": "application/x-netcdf",
    ".zarr": "application/vnd+zarr",
    **{ending: form.media_type for ending, form in FORMATS.items()},
}
"""By the ending of a product's name."""
TABLE_EXTENSION = "https://stac-extensions.github.io/table/v1.2.0/schema.json"
"""Of an item with parcels."""
SHA256 = "1220"
"""How a multihash says that 32 bytes of SHA-256 follow."""


def item_path(path: Path) -> Path:
    """The name of the item that describes a product."""
    return path.with_suffix(".json")


def write_item(
    path: Path, products: Mapping[str, Path], provenance: Mapping[str, Any], grid: Grid | None = None
) -> None:
    """Write a STAC item that describes finished products of one run, all on one grid.

    Bands, classes and numbers of parcels are read from the files: the item tells what is in them.

    Args:
        path: The item to write or to replace.
        products: GeoTIFFs, cubes and files of parcels by the name of what each holds, beside ``path`` or elsewhere; at
            least one.
        provenance: How they were made, as plain JSON: ``dates`` of the acquisitions, in ISO format, and whatever else
            is to be told, such as inputs, weights, options and timings. Each key becomes a property
            ``sitsinfer:<key>``.
        grid: The grid of the run; if None, that of the first product, which then is a GeoTIFF or a cube.

    Raises:
        OutputError: If it cannot be written, or a product not read.
    """
    if grid is None:
        grid, _, _ = _contents(next(iter(products.values())))
    item = _item(path, products, provenance, grid)
    with whole_file(path) as draft:
        draft.write_text(json.dumps(item, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def is_item(path: Path) -> bool:
    """Whether a file is an item that :func:`write_item` wrote."""
    try:
        return "sitsinfer" in json.loads(path.read_text(encoding="utf-8"))["properties"]["processing:software"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def describes(path: Path, product: Path) -> bool:
    """Whether an item describes a product, among others."""
    assets = json.loads(path.read_text(encoding="utf-8")).get("assets", {})
    return any((path.parent / asset["href"]).resolve() == product.resolve() for asset in assets.values())


def _item(path: Path, products: Mapping[str, Path], provenance: Mapping[str, Any], grid: Grid) -> dict[str, Any]:
    """Build the item as plain JSON."""
    import pystac

    outline = _footprint(grid)
    longitudes, latitudes = zip(*outline, strict=True)
    days = [date.fromisoformat(day) for day in provenance["dates"]]
    item = pystac.Item(
        id=path.stem,
        geometry={"type": "Polygon", "coordinates": [outline]},
        bbox=[min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        datetime=None,
        start_datetime=datetime.combine(min(days), time.min, UTC),
        end_datetime=datetime.combine(max(days), time(23, 59, 59), UTC),
        properties={
            **_projection(grid),
            "processing:software": {"sitsinfer": __version__},
            **{f"sitsinfer:{key}": value for key, value in provenance.items()},
        },
        stac_extensions=[*EXTENSIONS, *([TABLE_EXTENSION] if any(map(is_vector, products.values())) else [])],
    )
    for name, product in products.items():
        item.add_asset(name, pystac.Asset(_href(product, path), **_asset(name, product)))
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def _footprint(grid: Grid) -> list[tuple[float, float]]:
    """The outline of a grid as longitudes and latitudes: its corners and the middles of its sides, anticlockwise."""
    assert grid.crs is not None, "every grid of ours has a CRS"
    height, width = grid.shape
    steps = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))  # columns and rows, in halves
    places = [grid.affine @ (width * col / 2, height * row / 2) for col, row in steps]
    to_degrees = Transformer.from_crs(grid.crs.proj, "EPSG:4326", always_xy=True)
    return [to_degrees.transform(x, y) for x, y in places]


def _projection(grid: Grid) -> dict[str, Any]:
    """Fields of the projection extension."""
    assert grid.crs is not None, "every grid of ours has a CRS"
    code = grid.crs.to_epsg()
    fields: dict[str, Any] = {"proj:code": None if code is None else f"EPSG:{code}"}
    if code is None:
        fields["proj:projjson"] = grid.crs.proj.to_json_dict()
    return {**fields, "proj:shape": list(grid.shape), "proj:transform": list(grid.affine)[:6]}


def _href(product: Path, item: Path) -> str:
    """Where a product lies, seen from its item."""
    product, folder = product.absolute(), item.absolute().parent
    return f"./{product.name}" if product.parent == folder else product.as_posix()


def _contents(path: Path) -> tuple[Grid, tuple[Layer, ...], str | None]:
    """The grid and the layers of a product, and its date if it has just one."""
    if is_cube(path):
        with open_cube(path) as layers:
            return layers[0].grid, tuple(entry.layer for entry in layers), None
    with open_raster(path) as raster:
        return raster.grid, (raster.layer,), raster.file.tags().get(DATE_TAG)


def _asset(name: str, path: Path) -> dict[str, Any]:
    """Describe one product: its bytes, and what it holds."""
    fields = _bytes(path) | (_table(path) if is_vector(path) else _pixels(path))
    media_type = MEDIA_TYPES[path.suffix.lower()]
    return {"title": name, "media_type": media_type, "roles": ["data"], "extra_fields": fields}


def _table(path: Path) -> dict[str, Any]:
    """Rows, columns and classes of a file of parcels."""
    file = read_vector_file(path)
    return {
        "table:row_count": file.count,
        "table:primary_geometry": GEOMETRY,
        "table:columns": [{"name": name, "type": kind} for name, kind in file.columns.items()],
        "classification:classes": _classes(file.classes),
    }


def _pixels(path: Path) -> dict[str, Any]:
    """Data type, bands and date of a raster or a cube."""
    _, layers, day = _contents(path)
    prefixes = ("",) if len(layers) == 1 else tuple(f"{layer.name}/" for layer in layers)
    return {
        **({} if day is None else {"datetime": f"{day}T00:00:00Z"}),
        "data_type": layers[0].dtype,
        "nodata": "nan" if math.isnan(layers[0].nodata) else layers[0].nodata,
        "bands": [band for layer, prefix in zip(layers, prefixes, strict=True) for band in _bands(layer, prefix)],
    }


def _bytes(path: Path) -> dict[str, Any]:
    """Size of a product, and checksum of a file; there is none of a folder."""
    if path.is_dir():
        return {"file:size": sum(part.stat().st_size for part in path.rglob("*") if part.is_file())}
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file:size": path.stat().st_size, "file:checksum": SHA256 + digest}


def _bands(layer: Layer, prefix: str) -> list[dict[str, Any]]:
    """Describe the bands of a layer; their names begin with ``prefix``."""
    each = zip(layer.bands, layer.band_scales, layer.band_units, strict=True)
    return [_band(prefix + name, scale, unit, layer) for name, scale, unit in each]


def _band(name: str, scale: float, unit: str, layer: Layer) -> dict[str, Any]:
    """Describe one band."""
    band: dict[str, Any] = {"name": name}
    if unit:
        band["unit"] = unit
    if scale != 1:
        band |= {"raster:scale": scale, "raster:offset": 0.0}
    if layer.is_categorical:
        band["classification:classes"] = _classes(layer.classes)
    return band


def _classes(classes: tuple[ClassInfo, ...]) -> list[dict[str, Any]]:
    """A legend as the classification extension has it."""
    return [
        {
            "value": entry.code,
            "name": "-".join("".join(c if c.isalnum() else " " for c in entry.name).split()),
            "title": entry.name,
            "color_hint": "{:02X}{:02X}{:02X}".format(*entry.color),
        }
        for entry in classes
    ]
