"""NetCDF and Zarr cubes with dimensions time, y and x: a variable per band, or one with a dimension of bands.

Read with xarray, which is loaded when a cube is met and not before.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from sitsinfer.errors import ReadError, SeriesError
from sitsinfer.grid import Grid, Window
from sitsinfer.series import names, rasters
from sitsinfer.series.assemble import Found, Scan
from sitsinfer.series.types import CubeSource, listing

if TYPE_CHECKING:
    import xarray as xr

SUFFIXES = (".nc", ".nc4", ".h5", ".hdf5", ".zarr")
TIME = ("t", "time", "date", "datetime")
Y = ("y", "lat", "latitude", "northing")
X = ("x", "lon", "longitude", "easting")
BAND = ("band", "bands", "spectral", "wavelength")

BLOCK_BYTES = 2**20  # of a variable, read at once
MOST_BLOCKS = 32  # kept: those of some fifteen bands, for this time and the one before


def matches(path: Path) -> bool:
    """Whether a path is a cube, or a folder that holds cubes and no raster."""
    if _is_cube(path):
        return True
    if not path.is_dir() or any(entry.suffix.lower() in rasters.SUFFIXES for entry in path.iterdir()):
        return False
    return bool(_cubes_in(path))


def _is_cube(path: Path) -> bool:
    marked = path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
    return marked or path.suffix.lower() in SUFFIXES


def _cubes_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_cube(path))


def scan(path: Path) -> Scan:
    """Read the headers of a cube, or of all cubes in a folder.

    Raises:
        SeriesError: If one has no bands over time, y and x, no CRS, or coordinates that are not regular.
    """
    found: list[Found] = []
    for cube in [path] if _is_cube(path) else _cubes_in(path):
        try:
            with open_dataset(cube, decode_times=True) as dataset:
                found += _steps(cube, dataset)
        except (OSError, KeyError, ValueError) as error:
            if isinstance(error, SeriesError):
                raise
            raise SeriesError(f"Cannot open {cube}: {_one_line(error)}. Replace the file.") from error
    return Scan(found)


def open_dataset(path: Path, *, decode_times: bool = False) -> "xr.Dataset":
    """Open a cube; nothing but headers and coordinates is read."""
    import xarray as xr

    options: dict[str, Any] = {"engine": _engine(path), "chunks": None, "cache": False, "mask_and_scale": False}
    if options["engine"] == "zarr":
        options["consolidated"] = False
    return xr.open_dataset(path, decode_times=decode_times, decode_coords=False, **options)


def _engine(path: Path) -> str:
    if path.is_dir():
        return "zarr"
    with path.open("rb") as file:
        return "scipy" if file.read(3) == b"CDF" else "h5netcdf"  # NetCDF 3 is not HDF5


# --- headers


@dataclass(frozen=True)
class _Axes:
    """Names of a cube's dimensions; those it does not have are None."""

    y: str
    x: str
    time: str | None
    band: str | None


def _steps(path: Path, dataset: "xr.Dataset") -> list[Found]:
    """What each time step says."""
    axes = _axes(path, dataset)
    grid = _grid(path, dataset, axes)
    sensor = names.sensor_in_tags({k: str(v) for k, v in dataset.attrs.items()}) or names.sensor_in(path.stem)
    parts = _parts(path, dataset, axes)
    found = []
    for step, (day, moment) in enumerate(_times(path, dataset, axes)):
        for part in parts:
            source = CubeSource(path, part.bands, part.indexes, grid, part.dtype, part.nodata, part.variables, step)
            name, key = f"{path.name} at {day}", f"{path.name} {step}"
            version = (0.0, moment)
            found.append(Found(source, day, name, key, sensor, part.kind, part.scale, part.offset, version=version))
    return found


def _axes(path: Path, dataset: "xr.Dataset") -> _Axes:
    """Find the dimensions by their names.

    Raises:
        SeriesError: If there is no y or x, or no variable over both.
    """
    dims = {str(dim).lower(): str(dim) for dim in dataset.dims}
    y, x, time, band = (next((dims[name] for name in among if name in dims), None) for among in (Y, X, TIME, BAND))
    if y is None or x is None or not any({y, x} <= set(variable.dims) for variable in dataset.data_vars.values()):
        raise SeriesError(
            f"{path} has dimensions {', '.join(dims) or 'none'} and no variable over y and x. "
            f"Expected bands over time, y and x."
        )
    return _Axes(y, x, time, band)


@dataclass(frozen=True)
class _Part:
    """Bands of a cube that are read together."""

    bands: tuple[str, ...]
    indexes: tuple[int, ...]
    variables: tuple[str, ...]
    dtype: str
    nodata: float | None
    scale: float | None
    offset: float | None
    kind: names.MaskKind | None


def _parts(path: Path, dataset: "xr.Dataset", axes: _Axes) -> list[_Part]:
    """Bands of all variables over y and x, those alike together.

    Raises:
        SeriesError: If no variable holds bands.
    """
    parts: dict[tuple[Any, ...], list[tuple[str, int, str]]] = {}
    for variable in _band_variables(dataset, axes):
        name, by_band = str(variable.name), axes.band in variable.dims
        labels = _labels(dataset, axes) if by_band else [name]
        for index, label in enumerate(labels, 1):
            alike = (str(variable.dtype), _nodata(variable), *_scaling(variable), names.mask_kind(label))
            key = (*alike, name if by_band or alike[-1] else None, label if alike[-1] else None)
            parts.setdefault(key, []).append((names.band_name(label), index, name))
    if not parts:
        raise SeriesError(f"{path} has no numbers over time, y and x. Expected a variable per band, or one of bands.")
    return [_part(key, members) for key, members in parts.items()]


def _part(key: tuple[Any, ...], members: Sequence[tuple[str, int, str]]) -> _Part:
    dtype, nodata, scale, offset, kind, shared, _ = key
    bands = tuple(band for band, _, _ in members)
    variables = (shared,) if shared else tuple(variable for _, _, variable in members)
    indexes = tuple(index for _, index, _ in members) if shared else tuple(range(1, len(members) + 1))
    return _Part(bands, indexes, variables, dtype, nodata, scale, offset, kind)


def _band_variables(dataset: "xr.Dataset", axes: _Axes) -> Iterator["xr.DataArray"]:
    """Variables over y and x; one that holds several bands comes first, for its scale is the reflectance's."""
    known = {axes.y, axes.x, axes.time, axes.band}
    for variable in sorted(dataset.data_vars.values(), key=lambda variable: axes.band not in variable.dims):
        if {axes.y, axes.x} <= set(variable.dims) <= known and variable.dtype.kind in "iuf":
            yield variable


def _labels(dataset: "xr.Dataset", axes: _Axes) -> list[str]:
    """Names along the dimension of bands, or numbers where it has none."""
    if axes.band in dataset.coords:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in dataset[axes.band].values]
    return [str(number) for number in range(1, dataset.sizes[axes.band] + 1)]


def _nodata(variable: "xr.DataArray") -> float | None:
    value = next((variable.attrs[k] for k in ("_FillValue", "missing_value", "nodata") if k in variable.attrs), None)
    return None if value is None or value != value else float(np.ravel(value)[0])


def _scaling(variable: "xr.DataArray") -> tuple[float | None, float | None]:
    scale, offset = variable.attrs.get("scale_factor"), variable.attrs.get("add_offset")
    return None if scale is None else float(scale), None if offset is None else float(offset)


def _times(path: Path, dataset: "xr.Dataset", axes: _Axes) -> list[tuple[date, str]]:
    """Day and moment of each time step; a cube without time is dated by its name.

    Raises:
        SeriesError: If there is no date.
    """
    if axes.time is None or axes.time not in dataset.coords:
        day = names.first_date(path.stem)
        if day is None or dataset.sizes.get(axes.time or "", 1) != 1:
            raise SeriesError(f"{path} has no coordinate of time, and no date in its name. Expected one of them.")
        return [(day, "")]
    values = dataset[axes.time].values
    if values.dtype.kind == "M":
        texts = [str(value) for value in values.astype("datetime64[s]")]
    else:
        texts = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    days = [names.first_date(text) for text in texts]
    if any(day is None for day in days):
        raise SeriesError(f"Times of {path} cannot be read: {listing(texts, 2)}. Expected dates, such as 2022-04-13.")
    return [(day, text) for day, text in zip(days, texts, strict=True) if day]


def _grid(path: Path, dataset: "xr.Dataset", axes: _Axes) -> Grid:
    """The grid of a cube, rows running south; reading turns one whose rows run north."""
    top, y_step = _axis(path, dataset, axes.y)
    left, x_step = _axis(path, dataset, axes.x)
    height, width = dataset.sizes[axes.y], dataset.sizes[axes.x]
    if y_step > 0:
        top, y_step = top + height * y_step, -y_step
    return GeoBox((height, width), Affine(x_step, 0, left, 0, y_step, top), _crs(path, dataset, axes))


def _axis(path: Path, dataset: "xr.Dataset", name: str) -> tuple[float, float]:
    """Where an axis begins, at the edge of its first pixel, and the signed size of a pixel.

    Raises:
        SeriesError: If its coordinates are missing or not evenly spaced.
    """
    centres = dataset[name].values.astype(float) if name in dataset.coords else np.empty(0)
    steps = np.diff(centres)
    if not steps.size or np.ptp(steps) > 1e-3 * abs(steps[0]):
        raise SeriesError(f"{name} of {path} has {centres.size} coordinates. Expected two or more, evenly spaced.")
    step = float((centres[-1] - centres[0]) / steps.size)
    return float(centres[0]) - step / 2, step


def _crs(path: Path, dataset: "xr.Dataset", axes: _Axes) -> CRS:
    """The CRS, as CF grid mappings, openEO, rioxarray or stackstac write it.

    Raises:
        SeriesError: If there is none.
    """
    for attributes in _crs_holders(dataset):
        for key in ("crs_wkt", "spatial_ref", "epsg_code", "crs", "epsg", "proj:epsg", "proj:code"):
            text = str(attributes.get(key, ""))
            if text and text in dataset.variables:  # the name of a grid mapping
                continue
            if text:
                return rasters.crs_of(f"EPSG:{int(float(text))}" if text.replace(".0", "").isdigit() else text)
    if axes.x.lower().startswith("lon"):
        return rasters.crs_of("EPSG:4326")
    raise SeriesError(f"{path} has no CRS. Expected a variable 'crs' or 'spatial_ref' with its 'crs_wkt'.")


def _crs_holders(dataset: "xr.Dataset") -> Iterator[Mapping[Any, Any]]:
    mappings = [v.attrs["grid_mapping"] for v in dataset.data_vars.values() if "grid_mapping" in v.attrs]
    for name in dict.fromkeys([*mappings, "spatial_ref", "crs"]):
        if name in dataset.variables:
            yield dataset[name].attrs
    yield {str(k): v.item() for k, v in dataset.coords.items() if v.ndim == 0 and k in ("epsg", "proj:epsg")}
    yield dataset.attrs
    yield from (variable.attrs for variable in dataset.data_vars.values())


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


# --- reading


class Cubes:
    """The cubes that one read needs, open while it lasts.

    Time steps that share chunks, or are small, are read together and kept for a while: else each chunk would be
    decompressed once a step, and small reads would cost more than they bring.
    """

    def __init__(self) -> None:
        """Begin with none open."""
        self._opened = ExitStack()
        self._datasets: dict[Path, tuple[xr.Dataset, _Axes]] = {}
        self._blocks: OrderedDict[tuple[Any, ...], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()  # HDF5 reads one thing at a time anyway

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._blocks.clear()
        self._opened.close()

    def read(self, source: CubeSource, window: Window, out: NDArray[Any]) -> None:
        """Read a window that lies in a cube; see :func:`sitsinfer.series.rasters.read`.

        Raises:
            ReadError: If the cube cannot be read there.
        """
        try:
            with self._lock:
                bands = [self._band(source, index, window) for index in source.indexes]
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            height, width = window.shape
            raise ReadError(
                f"Cannot read {source.path} at row {window.row}, col {window.col} ({height} x {width} pixels), "
                f"time step {source.step}: {_one_line(error)}"
            ) from error
        for target, band in zip(out, bands, strict=True):
            target[...] = band

    def _band(self, source: CubeSource, index: int, window: Window) -> NDArray[Any]:
        """One band of one time step, (H, W)."""
        dataset, axes = self._dataset(source.path)
        variable = dataset[source.variables[0 if len(source.variables) == 1 else index - 1]]
        span = _span(variable, axes, window)
        first = source.step // span * span
        key = (source.path, variable.name, first, window)
        if key not in self._blocks:
            self._blocks[key] = _block(variable, axes, slice(first, first + span), window)
            if len(self._blocks) > MOST_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        block = self._blocks[key]
        return np.asarray(block[source.step - first, index - 1 if axes.band in variable.dims else 0])

    def _dataset(self, path: Path) -> tuple["xr.Dataset", _Axes]:
        if path not in self._datasets:
            dataset = self._opened.enter_context(open_dataset(path))
            self._datasets[path] = dataset, _axes(path, dataset)
        return self._datasets[path]


def _span(variable: "xr.DataArray", axes: _Axes, window: Window) -> int:
    """How many time steps of a variable are read together: whole chunks."""
    chunk = int(variable.encoding.get("preferred_chunks", {}).get(axes.time, 1)) if axes.time else 1
    step = window.height * window.width * variable.dtype.itemsize * variable.sizes.get(axes.band or "", 1)
    return chunk * max(1, BLOCK_BYTES // (chunk * step))


def _block(variable: "xr.DataArray", axes: _Axes, steps: slice, window: Window) -> NDArray[Any]:
    """Time steps of a variable over a window, rows running south, (T, C, H, W)."""
    rows, turned = _rows(variable, axes, window)
    part = variable.isel({axes.y: rows, axes.x: slice(window.col, window.stop_col)})
    if axes.time in variable.dims:
        part = part.isel({axes.time: steps})
    dims = (axes.time, axes.band, axes.y, axes.x)
    values = np.asarray(part.transpose(*(dim for dim in dims if dim in part.dims)).values)
    values = values.reshape([part.sizes[dim] if dim in part.dims else 1 for dim in dims])
    return values[:, :, ::-1] if turned else values


def _rows(variable: "xr.DataArray", axes: _Axes, window: Window) -> tuple[slice, bool]:
    """Rows of a window as the cube counts them, and whether it counts them from the south."""
    y = variable[axes.y].values
    if y[0] > y[-1]:
        return slice(window.row, window.stop_row), False
    return slice(len(y) - window.stop_row, len(y) - window.row), True
