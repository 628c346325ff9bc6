"""Layers of parcels: vector files of any format that GDAL reads, and GeoParquet, as streams of features."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS
from pyproj.exceptions import CRSError

from sitsinfer.errors import ReadError, SeriesError
from sitsinfer.series.types import listing

BATCH = 4096
"""Features that are read at a time, unless said otherwise."""
COMPANIONS = {
    ".shp": (".dbf", ".shx", ".prj", ".cpg"),
    ".tab": (".dat", ".map", ".id"),
    ".mif": (".mid",),
}
"""Endings, in any case, of files that a shapefile or a file of MapInfo is made of beside that with its own ending."""
JOURNAL = "-wal"
"""What the name of a database is followed by in that of the file with changes which are not yet in the database."""
PLAIN_STREAM = {"OGR_FLATGEOBUF_STREAM_BASE_IMPL": "YES", "OGR_GPKG_STREAM_BASE_IMPL": "YES"}
"""Settings of GDAL for streams that lose nothing: its fast ones are damaged by features without a geometry in a
FlatGeobuf, and give features twice where a GeoPackage counts more of them than it has."""


@dataclass(frozen=True, eq=False)
class ParcelBatch:
    """Features of a layer that follow each other.

    Attributes:
        first: Number of the first in the layer, from 0.
        identifiers: Of the type of the layer's ``id_type``, (N,); null where a feature has none.
        geometries: As the file has them, as WKB, (N,), binary; null where a feature has none.
    """

    first: int
    identifiers: pa.Array
    geometries: pa.Array

    def __len__(self) -> int:
        """How many features it holds."""
        return len(self.identifiers)

    def names(self) -> list[str]:
        """Identifiers as text, by which pixels are sampled; empty where a feature has none.

        A whole number reads the same in a column of floats, as some formats have it, as in one of integers.
        """
        return [_text(value) for value in self.identifiers.to_pylist()]


def _text(value: object) -> str:
    if value is None or value != value:  # NaN
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


@dataclass(frozen=True)
class ParcelLayer:
    """One layer of a vector file, as its header tells; no feature is read.

    Attributes:
        path: The file.
        name: Of the layer; ``None`` in a GeoParquet file, which has but one.
        crs: Of its geometries, whose coordinates are x, y in any case.
        count: How many features it has.
        id_column: The column with identifiers; ``None``: features are known by their number in the file, as GDAL counts
            them (FID), or from 0 in GeoParquet.
        id_type: Type of the identifiers, int64 where there is no column.
        inputs: Every file that is read, as it was when the layer was opened: its name, size in bytes, time of its last
            change in nanoseconds.
        geometry_column: The column with geometries of a GeoParquet file; empty otherwise.
        columns: Names of all columns but that with geometries.
    """

    path: Path
    name: str | None
    crs: CRS
    count: int
    id_column: str | None
    id_type: pa.DataType
    inputs: tuple[tuple[str, int, int], ...]
    geometry_column: str = ""
    columns: tuple[str, ...] = ()

    def batches(self, size: int = BATCH) -> Iterator[ParcelBatch]:
        """Read all features in the order of the file, none left out, at most ``size`` at a time.

        Once the last batch is taken, all of them are of the layer as it was opened.

        Raises:
            ReadError: If a feature cannot be read, or there are not ``count`` of them.
            SeriesError: If the layer is not what was opened.
        """
        self.check_unchanged()
        try:
            yield from self._batches(size)
        except ReadError:
            self.check_unchanged()  # if it was changed, that is why
            raise
        self.check_unchanged()

    def _batches(self, size: int) -> Iterator[ParcelBatch]:
        stream = _vector_stream if self.name is not None else _parquet_stream
        stop = 0
        with _reading(self.path):
            for identifiers, geometries in stream(self, size):
                first, stop = stop, stop + len(identifiers)
                if stop > self.count:
                    break
                yield ParcelBatch(first, identifiers, geometries)
        if stop != self.count:
            some = "more" if stop > self.count else stop
            raise ReadError(f"{self.path} has {some} parcels where {self.count} were found first. Start again.")

    def check_unchanged(self) -> None:
        """See that its files are as they were when it was opened: numbers of features mean the same as then.

        Raises:
            SeriesError: If one of them was changed, or is gone.
        """
        if _stamps(self.path) != self.inputs:
            raise SeriesError(f"{self.path} was changed since it was opened. Start again.")

    def shapes(self, batch: ParcelBatch) -> NDArray[np.object_]:
        """Geometries of a batch as shapely geometries in the CRS of the layer, curves as polylines, (N,).

        ``None`` where there is none, or where what the file holds is no geometry that shapely knows. Rings that are not
        closed are; nothing else is mended: geometries may be empty, invalid, of any type, and have heights.

        Raises:
            ReadError: If there are curves and the file cannot be read again.
        """
        try:
            return _decoded(batch.geometries.to_numpy(zero_copy_only=False))
        except NotImplementedError:  # only GDAL turns curves into lines, which its Arrow streams leave as they are
            with _reading(self.path):
                return _decoded(_without_curves(self, batch))

    def plain(self, batch: ParcelBatch) -> pa.Array:
        """Geometries of a batch as :meth:`shapes` has them, as WKB of ISO 13249-3, (N,), binary; the same errors."""
        return pa.array(shapely.to_wkb(self.shapes(batch), flavor="iso"), pa.binary())


def _stamps(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Every file of a layer: its name, size, time of its last change.

    Raises:
        SeriesError: If it is gone.
    """
    try:
        stats = [(file.relative_to(path.parent).as_posix(), file.stat()) for file in _files(path)]
    except OSError as error:
        raise SeriesError(f"{path} is gone since it was opened. Start again.") from error
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _files(path: Path) -> Iterator[Path]:
    """The file of a layer, and those that are read with it; all files of a folder."""
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
        return
    yield path
    if endings := COMPANIONS.get(path.suffix.lower()):
        beside = (file for file in path.parent.iterdir() if file.stem == path.stem)
        yield from sorted(file for file in beside if file.suffix.lower() in endings)
    journal = path.with_name(path.name + JOURNAL)
    if journal.exists() and journal.stat().st_size:  # that a program has the database open alone is no change
        yield journal


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what libraries say of a file of parcels that cannot be read into one line.

    Raises:
        ReadError: For any of their errors within.
    """
    try:
        yield
    except (RuntimeError, OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, SeriesError):
            raise
        words = " ".join(str(error).split(";")[0].split()).rstrip(".")  # what follows is advice for programmers
        raise ReadError(f"Cannot read parcels from {path}: {words}. Expected a whole vector file.") from error


def _decoded(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """WKB as shapely geometries, ``None`` for what is none."""
    with np.errstate(invalid="ignore"):  # coordinates that are no numbers
        decoded: NDArray[np.object_] = shapely.from_wkb(geometries, on_invalid="fix")
    return decoded


def _vector_stream(layer: ParcelLayer, size: int) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Identifiers and geometries as GDAL streams them."""
    with _arrow(layer.path, layer.name, layer.id_column, size) as reader:
        while (batch := _next(reader)) is not None:
            yield batch.column(0 if layer.id_column is None else batch.num_columns - 2), batch.column(-1)


@contextmanager
def _arrow(path: Path, name: str | None, id_column: str | None, size: int) -> Iterator[Any]:
    """A stream of record batches: FID, the column of identifiers unless FIDs are, and geometry, in this order."""
    import pyogrio  # takes GeoPandas along, which rasters do without

    columns = [] if id_column is None else [id_column]
    options = {"columns": columns, "return_fids": True, "batch_size": size, "use_pyarrow": True}
    pyogrio.set_gdal_config_options(PLAIN_STREAM)
    try:
        with pyogrio.open_arrow(path, layer=name, **options) as (_, reader):
            yield reader
    finally:
        pyogrio.set_gdal_config_options(dict.fromkeys(PLAIN_STREAM))


def _next(reader: Any) -> pa.RecordBatch | None:
    """The next batch, ``None`` at the end; what GDAL mends on the way, such as open rings, it need not tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return next(iter(reader), None)


def _without_curves(layer: ParcelLayer, batch: ParcelBatch) -> NDArray[np.object_]:
    """The geometries of a batch as WKB, read again feature by feature."""
    import pyogrio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        _, _, geometries, _ = pyogrio.raw.read(
            layer.path, layer=layer.name, columns=[], skip_features=batch.first, max_features=len(batch)
        )
    wkb: NDArray[np.object_] = geometries
    return wkb


def _parquet_stream(layer: ParcelLayer, size: int) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Identifiers and geometries of a GeoParquet file, read by pages of its row groups."""
    columns = [layer.geometry_column] if layer.id_column is None else [layer.id_column, layer.geometry_column]
    first = 0
    with pq.ParquetFile(layer.path) as file:
        for batch in file.iter_batches(size, columns=columns, use_threads=False):
            geometries = batch.column(layer.geometry_column)
            if isinstance(geometries, pa.ExtensionArray):
                geometries = geometries.storage
            numbers = pa.array(np.arange(first, first + len(batch)))
            yield numbers if layer.id_column is None else batch.column(layer.id_column), geometries.cast(pa.binary())
            first += len(batch)


def open_parcels(path: Path, id_column: str | None = None, layer: str | None = None) -> ParcelLayer:
    """Read the header of a layer of parcels.

    Args:
        path: A vector file of any format that GDAL reads, or GeoParquet.
        id_column: The column with identifiers of parcels, of any type.
        layer: The layer, where the file has several with geometries.

    Raises:
        ReadError: If it cannot be read as a vector file.
        SeriesError: If it has no CRS, no geometries, no such column or layer, or several layers and none is chosen.
    """
    if not path.exists():
        raise ReadError(f"{path} does not exist. Expected a vector file of parcels.")
    with _reading(path):
        return _open_parquet(path, id_column) if _is_parquet(path) else _open_vector(path, id_column, layer)


def _is_parquet(path: Path) -> bool:
    """Whether a file starts as Parquet does; GDAL reads it in few of its builds."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _open_vector(path: Path, id_column: str | None, layer: str | None) -> ParcelLayer:
    import pyogrio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        name = _chosen(path, pyogrio.list_layers(path), layer)
        info: dict[str, Any] = pyogrio.read_info(path, layer=name, force_feature_count=True)
        count = _counted(path, name) if info["driver"] == "GPKG" else int(info["features"])
        columns = tuple(str(field) for field in (*info["fields"], info["fid_column"]) if field)
        _check_column(path, id_column, columns)
        id_column = None if id_column == info["fid_column"] else id_column
        with _arrow(path, name, id_column, 1) as reader:
            id_type = reader.schema.types[-2]
    return ParcelLayer(path, name, _known(path, info["crs"]), count, id_column, id_type, _stamps(path), columns=columns)


def _counted(path: Path, name: str) -> int:
    """Count the features of a GeoPackage, which notes how many it has, but not every program keeps that up."""
    import pyogrio

    table = name.replace('"', '""')
    _, _, _, ((count,),) = pyogrio.raw.read(path, sql=f'SELECT COUNT(*) FROM "{table}"', read_geometry=False)
    return int(count)


def _chosen(path: Path, layers: NDArray[np.object_], layer: str | None) -> str:
    """The name of the layer to read, of pairs of a name and a type of geometry, which is ``None`` in mere tables."""
    spatial = [str(name) for name, kind in layers if kind is not None]
    if not spatial:
        raise SeriesError(f"{path} has no layer with geometries. Expected parcels as polygons.")
    if layer is None and len(spatial) > 1:
        raise SeriesError(f"{path} has {len(spatial)} layers: {listing(spatial, 14)}. Set layer to choose one.")
    if layer is not None and layer not in spatial:
        raise SeriesError(f"{path} has no layer '{layer}' with geometries. Expected one of {listing(spatial, 14)}.")
    return layer or spatial[0]


def _check_column(path: Path, column: str | None, columns: Sequence[str]) -> None:
    if column is not None and column not in columns:
        found = listing(columns, 14) if columns else "none"
        raise SeriesError(f"{path} has no column '{column}'. Choose one of its columns: {found}.")


def _known(path: Path, definition: Any) -> CRS:
    """The CRS of a layer.

    Raises:
        SeriesError: If it has none that tells where on Earth it is.
    """
    try:
        crs = None if definition is None else CRS(definition)
    except (CRSError, ValueError, TypeError):
        crs = None
    if crs is None or not (crs.proj.is_geographic or crs.proj.is_projected):
        raise SeriesError(
            f"{path} has no CRS that is known. Assign the one of its coordinates in a GIS, and try again."
        )
    return crs


def _open_parquet(path: Path, id_column: str | None) -> ParcelLayer:
    with pq.ParquetFile(path) as file:
        schema, count = file.schema_arrow, file.metadata.num_rows
        notes = (file.metadata.metadata or {}).get(b"geo")
    if notes is None:
        raise SeriesError(f"{path} is Parquet without geometries. Expected GeoParquet.")
    geometry, encoding, crs = _explained(path, notes)
    if geometry not in schema.names:
        raise SeriesError(f"{path} has no column '{geometry}' with the geometries that it tells of. Write it anew.")
    if encoding != "WKB":
        raise SeriesError(
            f"{path} has geometries encoded as '{encoding}'. Expected WKB: write it anew, such as by GDAL."
        )
    columns = tuple(name for name in schema.names if name != geometry)
    _check_column(path, id_column, columns)
    id_type = pa.int64() if id_column is None else schema.field(id_column).type
    return ParcelLayer(path, None, _known(path, crs), count, id_column, id_type, _stamps(path), geometry, columns)


def _explained(path: Path, notes: bytes) -> tuple[str, str, Any]:
    """What the metadata of a GeoParquet file say: its main column of geometries, their encoding and CRS.

    Raises:
        SeriesError: If they do not say so as the specification has it.
    """
    try:
        told = json.loads(notes)
        geometry = str(told["primary_column"])
        column = told["columns"][geometry]
        # Where nothing is said the specification has longitude and latitude; null says that it is not known.
        return geometry, str(column["encoding"]), _named(column.get("crs", "OGC:CRS84"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SeriesError(
            f"{path} has metadata of GeoParquet that are broken ({type(error).__name__}: {error}). Write it anew, such "
            f"as by GDAL."
        ) from error


def _named(crs: Any) -> Any:
    """A CRS in PROJJSON, by its name in a register where it has one."""
    if not isinstance(crs, dict):
        return crs
    return "{authority}:{code}".format(**crs["id"]) if "id" in crs else json.dumps(crs)
