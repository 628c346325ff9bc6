"""NetCDF and Zarr cubes of layers with dates, as the CF conventions 1.11 want them.

One layer is a data set with dimensions time, band, y and x; several layers are a group each, named like the layer,
which is such a data set itself. Spectral bands without a unit are reflectance and share a variable, every other band
has its own; bands that are not spectral, such as heads of attention, share one that is named like the layer::

    reflectance(time, band, y, x)    scale_factor 0.0001
    LST(time, y, x)                  scale_factor 0.1, units "K"
    attention(date, head, y, x)      scale_factor 0.004
    cloud_mask(date, y, x)           flag_values 0, 1, flag_meanings "clear cloud"

Values stay the integers that they are: who decodes ``scale_factor`` and ``_FillValue``, as xarray does unasked, gets
reflectance and kelvin. Flags are single words: names of classes have underscores for their spaces. Zarr is written in
its format 2, with consolidated metadata: the one that every reader knows and that has a stable way to store the names
of bands.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from sitsinfer.errors import OutputError
from sitsinfer.grid import Grid, Window
from sitsinfer.layers import SPECTRAL, ClassInfo, Layer
from sitsinfer.products import SENSOR_TAG, DatedSource
from sitsinfer.products.whole import check_room, whole_file, whole_folder
from sitsinfer.products.windows import windows

CHUNK = 512
"""Height and width of a chunk, in pixels; it holds all bands of one date."""
BLOSC = {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 1, "blocksize": 0}
"""How chunks of Zarr are compressed."""
CONVENTIONS = "CF-1.11"
EPOCH = datetime.date(1970, 1, 1)
"""What the coordinate of time counts days from."""
REFLECTANCE = "reflectance"
MAPPING = "spatial_ref"
"""The variable that holds the CRS, by the name that rioxarray and GDAL look for."""
LAYERS_ATTRIBUTE = "layers"
"""The attribute of the root that lists the layers, separated by spaces; a single one is in the root itself."""
DIMENSIONS_ATTRIBUTE = "_ARRAY_DIMENSIONS"
"""The attribute by which xarray knows the dimensions of an array in Zarr."""
BANDS_ATTRIBUTE = "bands"
"""The attribute of a data set that lists all bands in the layer's order, separated by spaces."""


# --- what a data set holds


@dataclass(frozen=True)
class _Coordinate:
    """A variable that is written at once."""

    name: str
    dims: tuple[str, ...]
    values: NDArray[Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class _Pixels:
    """A variable of pixels.

    Attributes:
        name: Its name.
        dims: Its dimensions.
        bands: Which bands of the layer it holds, counted from 0.
        attributes: What is told of its values.
    """

    name: str
    dims: tuple[str, ...]
    bands: tuple[int, ...]
    attributes: Mapping[str, Any]

    @property
    def is_shared(self) -> bool:
        """Whether bands have a dimension in it."""
        return len(self.dims) == 4

    def shape(self, layer: Layer, grid: Grid) -> tuple[int, ...]:
        """Its sizes."""
        bands = (len(self.bands),) if self.is_shared else ()
        return (len(layer.dates), *bands, *grid.shape)

    def planes(self, step: int, window: Window) -> tuple[Any, ...]:
        """Where a window of a date lies in it."""
        rows, cols = slice(window.row, window.stop_row), slice(window.col, window.stop_col)
        return (step, slice(None), rows, cols) if self.is_shared else (step, rows, cols)


def _pixels(layer: Layer) -> list[_Pixels]:
    """The variables that the bands of a layer go to."""
    time, kind = layer.dims
    if kind != SPECTRAL:
        told = {"long_name": layer.name, "units": "1"}
        everything = tuple(range(len(layer.bands)))
        return [_Pixels(layer.name, (time, kind, "y", "x"), everything, told | _encoding(layer, 0))]
    shared = tuple(index for index, unit in enumerate(layer.band_units) if not unit)
    variables = []
    if shared:
        told = {"long_name": "surface reflectance", "units": "1"}
        attributes = told | _encoding(layer, shared[0])
        variables.append(_Pixels(REFLECTANCE, (time, kind, "y", "x"), shared, attributes))
    for index, (name, unit) in enumerate(zip(layer.bands, layer.band_units, strict=True)):
        if unit:
            told = {"standard_name": "surface_temperature"} if unit == "K" else {"long_name": name.replace("_", " ")}
            attributes = {**told, "units": unit} | _encoding(layer, index)
            variables.append(_Pixels(name, (time, "y", "x"), (index,), attributes))
    return variables


def _encoding(layer: Layer, band: int) -> dict[str, Any]:
    """How the stored values of a band become quantities on the ground."""
    scale = layer.band_scales[band]
    encoding: dict[str, Any] = {"grid_mapping": MAPPING, "coordinates": MAPPING}
    if layer.classes:
        encoding["flag_values"] = np.array([entry.code for entry in layer.classes], layer.dtype)
        encoding["flag_meanings"] = " ".join(_flag(entry.name) for entry in layer.classes)
        encoding["flag_colors"] = " ".join("#{:02x}{:02x}{:02x}".format(*entry.color) for entry in layer.classes)
    if scale == 1:
        return encoding
    # Readers decode to the type of the factor, and 8 bits need no more than float32. (Zarr has one type of number.)
    return {"scale_factor": np.float32(scale) if np.dtype(layer.dtype).itemsize == 1 else scale, **encoding}


def _flag(name: str) -> str:
    """The name of a class as one word."""
    return "_".join(name.split())


def _classes(attributes: Any) -> tuple[ClassInfo, ...]:
    """The legend in a variable's attributes, as :func:`_encoding` left it."""
    if "flag_values" not in attributes:
        return ()
    names, colors = attributes["flag_meanings"].split(), attributes["flag_colors"].split()
    return tuple(
        ClassInfo(int(code), name, (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)))
        for code, name, color in zip(attributes["flag_values"], names, colors, strict=True)
    )


def _coordinates(layer: Layer, grid: Grid) -> list[_Coordinate]:
    """Time, bands, pixel centres and CRS."""
    assert grid.crs is not None, "every grid of ours has a CRS"
    days = np.array([(date - EPOCH).days for date in layer.dates], np.int32)
    time = {"standard_name": "time", "units": f"days since {EPOCH}", "calendar": "standard", "axis": "T"}
    name, kind = layer.dims
    found = [_Coordinate(name, (name,), days, time)]
    for variable in _pixels(layer):
        if variable.is_shared and kind == SPECTRAL:
            names = np.array([layer.bands[band] for band in variable.bands])
            found.append(_Coordinate(kind, (kind,), names, {"long_name": "spectral band"}))
        elif variable.is_shared:
            numbers = np.arange(1, len(variable.bands) + 1, dtype=np.int32)
            found.append(_Coordinate(kind, (kind,), numbers, {"long_name": kind}))
    axes = {axis["axis"].lower(): axis for axis in grid.crs.proj.cs_to_cf()}
    for name, centres in zip("yx", _centres(grid), strict=True):
        found.append(_Coordinate(name, (name,), centres, axes[name]))
    wkt = grid.crs.to_wkt()
    transform = " ".join(repr(float(value)) for value in grid.affine.to_gdal())
    mapping = {**grid.crs.proj.to_cf(), "crs_wkt": wkt, "spatial_ref": wkt, "GeoTransform": transform}
    found.append(_Coordinate(MAPPING, (), np.array(0, np.int32), mapping))
    return found


def _centres(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of the pixel centres along rows and columns."""
    height, width = grid.shape
    rows, cols = (np.arange(size, dtype=np.float64) + 0.5 for size in (height, width))
    return grid.affine.f + grid.affine.e * rows, grid.affine.c + grid.affine.a * cols


# --- formats


class _Format(Protocol):
    """A way to store groups, variables and attributes; h5netcdf's and zarr's groups are alike in use."""

    def whole(self, path: Path) -> Any:
        """The context in which an output of this format is written; see :mod:`sitsinfer.products.whole`."""

    def create(self, path: Path) -> Any:
        """The context of an empty root group."""

    def open(self, path: Path) -> Any:
        """The context of the root group of what was written."""

    def add_coordinate(self, group: Any, coordinate: _Coordinate) -> None:
        """Write a coordinate, whose dimension begins with it."""

    def add_pixels(self, group: Any, variable: _Pixels, layer: Layer, shape: tuple[int, ...]) -> Any:
        """Make room for pixels: an array to assign windows to."""


class _NetCDF:
    """NetCDF 4, which is HDF5."""

    def whole(self, path: Path) -> Any:
        return whole_file(path)

    @contextmanager
    def create(self, path: Path) -> Iterator[Any]:
        import h5netcdf

        with _PatientFile(path, "w+") as file:
            with h5netcdf.File(file, "w") as root:
                yield root
            if file.error is not None:
                raise file.error

    def open(self, path: Path) -> Any:
        import h5netcdf

        return h5netcdf.File(path, "r")

    def add_coordinate(self, group: Any, coordinate: _Coordinate) -> None:
        import h5py

        for dim in coordinate.dims:
            group.dimensions[dim] = len(coordinate.values)
        is_text = coordinate.values.dtype.kind == "U"
        dtype = h5py.string_dtype() if is_text else coordinate.values.dtype
        values = coordinate.values.astype(object) if is_text else coordinate.values
        variable = group.create_variable(coordinate.name, coordinate.dims, dtype, data=values)
        variable.attrs.update(coordinate.attributes)

    def add_pixels(self, group: Any, variable: _Pixels, layer: Layer, shape: tuple[int, ...]) -> Any:
        array = group.create_variable(
            variable.name,
            variable.dims,
            layer.dtype,
            chunks=_chunks(shape),
            fillvalue=np.dtype(layer.dtype).type(layer.nodata),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        array.attrs.update(variable.attributes)
        return array


class _PatientFile(io.FileIO):
    """A file that remembers a write that failed, and goes on: HDF5 crashes where it cannot flush what it holds."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of the data, or remember why not."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = self.error or error
        return size


class _Zarr:
    """Zarr, format 2: a folder."""

    def whole(self, path: Path) -> Any:
        return whole_folder(path)

    @contextmanager
    def create(self, path: Path) -> Iterator[Any]:
        import zarr

        yield zarr.open_group(path, mode="w", zarr_format=2)
        zarr.consolidate_metadata(path, zarr_format=2)

    @contextmanager
    def open(self, path: Path) -> Iterator[Any]:
        import zarr

        yield zarr.open_group(path, mode="r", zarr_format=2)

    def add_coordinate(self, group: Any, coordinate: _Coordinate) -> None:
        values = coordinate.values
        attributes = {DIMENSIONS_ATTRIBUTE: list(coordinate.dims), **coordinate.attributes}
        array = group.create_array(
            coordinate.name, shape=values.shape, dtype=values.dtype, attributes=attributes, fill_value=None
        )
        array[...] = values

    def add_pixels(self, group: Any, variable: _Pixels, layer: Layer, shape: tuple[int, ...]) -> Any:
        told = {name: _as_json(value) for name, value in variable.attributes.items()}
        return group.create_array(
            variable.name,
            shape=shape,
            dtype=layer.dtype,
            chunks=_chunks(shape),
            fill_value=layer.nodata,
            compressors=BLOSC,
            attributes={DIMENSIONS_ATTRIBUTE: list(variable.dims), **told},
        )


def _as_json(value: Any) -> Any:
    """An attribute as JSON has it."""
    if isinstance(value, np.float32):
        return _decimal(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def _decimal(value: Any) -> float:
    """A number as the decimal number it was written as: 0.004, not 0.00400000019."""
    return float(str(value))


FORMATS: Mapping[str, _Format] = {".nc": _NetCDF(), ".zarr": _Zarr()}
"""How cubes are stored, by the ending of their name."""


def is_cube(path: Path) -> bool:
    """Whether a name is that of a cube."""
    return path.suffix.lower() in FORMATS


def _format(path: Path) -> _Format:
    return FORMATS[path.suffix.lower()]


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """One date, all bands, and a square of pixels."""
    height, width = shape[-2:]
    return (1, *shape[1:-2], min(CHUNK, height), min(CHUNK, width))


# --- writing


def write_cube(
    sources: Sequence[DatedSource], path: Path, tags: Mapping[str, str], sensors: Mapping[str, str] | None = None
) -> None:
    """Publish layers of several dates as one NetCDF file or Zarr cube, by the ending of its name.

    Layers are read date by date and window by window, twice: to write them, and to compare them with what the finished
    cube holds. Memory grows neither with the grid nor with the dates.

    Args:
        sources: The layers, all on one grid or each on its own; one fills the root, several a group each.
        path: The file or folder to write or to replace.
        tags: What to note about its making, as attributes of the root.
        sensors: The sensor of each layer, by the layer's name, as an attribute of its data set.

    Raises:
        OutputError: If it cannot be written whole; then ``path`` is as it was.
    """
    format = _format(path)
    with format.whole(path) as draft:
        with format.create(draft) as root:
            names = [source.layer.name for source in sources]
            root.attrs.update({"Conventions": CONVENTIONS, **tags, LAYERS_ATTRIBUTE: " ".join(names)})
            for name, source in zip(names, sources, strict=True):
                group = root if len(sources) == 1 else root.create_group(name)
                sensor = {SENSOR_TAG: sensors[name]} if sensors and name in sensors else {}
                bands = " ".join(source.layer.bands)
                group.attrs.update({BANDS_ATTRIBUTE: bands, **sensor})
                _write_data_set(format, group, source, draft)
        _check(sources, draft)


def _write_data_set(format: _Format, group: Any, source: DatedSource, path: Path) -> None:
    """Write a layer to a group, window by window."""
    layer, grid = source.layer, source.grid
    for coordinate in _coordinates(layer, grid):
        format.add_coordinate(group, coordinate)
    variables = _pixels(layer)
    arrays = [format.add_pixels(group, variable, layer, variable.shape(layer, grid)) for variable in variables]
    for step, date in enumerate(layer.dates):
        one = source.on(date)
        for window in windows(grid):
            values = one.read(window)
            check_room(path, values.nbytes)
            for variable, array in zip(variables, arrays, strict=True):
                part = values[list(variable.bands)] if variable.is_shared else values[variable.bands[0]]
                array[variable.planes(step, window)] = part


def _check(sources: Sequence[DatedSource], path: Path) -> None:
    """Compare a finished cube with the layers it was made of.

    Raises:
        OSError: If anything differs.
    """
    with open_cube(path) as found:
        for source, copy in zip(sources, found, strict=True):
            if (_facts(copy.layer), copy.grid) != (_facts(source.layer), source.grid):
                raise OSError(f"what was written of {source.layer.name} is described differently")
            for date in source.layer.dates:
                for window in windows(source.grid):
                    if not np.array_equal(copy.on(date).read(window), source.on(date).read(window)):
                        where = f"row {window.row}, col {window.col} on {date}"
                        raise OSError(f"what was written of {source.layer.name} at {where} reads back differently")


def _facts(layer: Layer) -> Layer:
    """A layer with nothing left unsaid, and classes named as flags are."""
    classes = tuple(replace(entry, name=_flag(entry.name)) for entry in layer.classes)
    return replace(layer, scales=layer.band_scales, units=layer.band_units, classes=classes)


# --- reading


@dataclass(frozen=True)
class CubeLayer:
    """A layer of an open cube, or one of its dates, as a :class:`~sitsinfer.products.DatedSource`.

    Attributes:
        layer: What it holds.
        grid: Where its pixels lie.
        path: The cube, for messages.
        group: The open data set.
        variables: What its bands lie in.
        steps: Which time steps it is.
    """

    layer: Layer
    grid: Grid
    path: Path
    group: Any
    variables: tuple[_Pixels, ...]
    steps: tuple[int, ...]

    def on(self, date: datetime.date) -> Self:
        """One of the layer's dates, as a layer."""
        return replace(self, layer=self.layer.on(date), steps=(self.steps[self.layer.dates.index(date)],))

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window that lies within the grid: (depth of the layer, height, width).

        Raises:
            OutputError: If it cannot be read.
        """
        out = np.empty((len(self.steps), len(self.layer.bands), *window.shape), self.layer.dtype)
        with _named(self.path):
            for variable in self.variables:
                array = self.group[variable.name]
                for values, step in zip(out, self.steps, strict=True):
                    values[list(variable.bands)] = array[variable.planes(step, window)]
        return out.reshape(-1, *window.shape)

    def thumbnail(self, size: int, bands: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Bands of the first date at a glance, one pixel of each square, at most ``size`` pixels a side.

        Returns:
            Stored values (bands, h, w), and where all these bands have one, (h, w).
        """
        height, width = self.grid.shape
        step = max(1, -(-max(height, width) // size))
        indexes = [self.layer.bands.index(band) for band in bands]
        values = np.empty((len(bands), -(-height // step), -(-width // step)), self.layer.dtype)
        first = replace(self, steps=self.steps[:1])
        for window in windows(self.grid):
            part = first.read(window)[indexes, -window.row % step :: step, -window.col % step :: step]
            row, col = -(-window.row // step), -(-window.col // step)
            values[:, row : row + part.shape[1], col : col + part.shape[2]] = part
        return values, (values != self.layer.nodata).all(axis=0)


@contextmanager
def open_cube(path: Path) -> Iterator[tuple[CubeLayer, ...]]:
    """Open a cube that :func:`write_cube` wrote: its layers, in the order that they were written in.

    Raises:
        OutputError: If it cannot be read, or is none of ours.
    """
    with ExitStack() as opened:
        with _named(path):
            root = opened.enter_context(_format(path).open(path))
            names = str(root.attrs[LAYERS_ATTRIBUTE]).split()
            groups = [root] if len(names) == 1 else [root[name] for name in names]
            layers = tuple(_cube_layer(path, name, group) for name, group in zip(names, groups, strict=True))
        yield layers


def read_cube_tags(path: Path) -> dict[str, str]:
    """Read the tags that a cube was written with; none if there is no such cube, or it is another file."""
    try:
        with _format(path).open(path) as root:
            return {str(key): str(value) for key, value in dict(root.attrs).items()}
    except (OSError, RuntimeError, ValueError, KeyError):
        return {}


def _cube_layer(path: Path, name: str, group: Any) -> CubeLayer:
    """Describe a data set, as :func:`_pixels` and :func:`_coordinates` left it."""
    bands = tuple(str(group.attrs[BANDS_ATTRIBUTE]).split())
    shared = name if name in group else REFLECTANCE
    variables = [group[band if band in group else shared] for band in bands]
    units = tuple(str(group[band].attrs["units"]) if band in group else "" for band in bands)
    scales = tuple(_decimal(variable.attrs.get("scale_factor", 1)) for variable in variables)
    time, *kind = _dimensions(max(variables, key=lambda variable: len(variable.shape)))[:-2]
    dates = tuple(EPOCH + datetime.timedelta(days=int(day)) for day in group[time][...])
    layer = Layer(
        name,
        str(variables[0].dtype),
        _fill_value(variables[0]),
        bands,
        scales if set(scales) != {1.0} else (),
        units if any(units) else (),
        dates,
        (time, kind[0] if kind else SPECTRAL),
        _classes(variables[0].attrs),
    )
    mapping = group[MAPPING].attrs
    transform = Affine.from_gdal(*map(float, mapping["GeoTransform"].split()))
    grid = GeoBox(variables[0].shape[-2:], transform, mapping["crs_wkt"])
    return CubeLayer(layer, grid, path, group, tuple(_pixels(layer)), tuple(range(len(dates))))


def _dimensions(variable: Any) -> list[str]:
    """Names of the dimensions of a variable: an attribute in Zarr, a property in NetCDF."""
    names = variable.attrs.get(DIMENSIONS_ATTRIBUTE)
    return list(variable.dimensions if names is None else names)


def _fill_value(variable: Any) -> float:
    """What a variable holds where nothing was observed: an attribute in NetCDF, a property in Zarr."""
    value = variable.attrs.get("_FillValue")
    return float(variable.fill_value if value is None else value)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which cube a library speaks of."""
    try:
        yield
    except OutputError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise OutputError(f"Cannot read {path}: {words}. Expected a cube that sitsinfer wrote.") from error
