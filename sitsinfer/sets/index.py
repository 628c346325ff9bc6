"""The sampled pixels of a parcel layer, on disk, to be asked for by place."""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from sitsinfer.errors import OutputError, SeriesError, StoreError
from sitsinfer.grid import Grid, Window
from sitsinfer.series.parcels import ParcelBatch, ParcelLayer
from sitsinfer.sets import footprint
from sitsinfer.sets.footprint import Footprint, Shapes
from sitsinfer.sets.sampling import sample
from sitsinfer.sets.types import Facts, Samples, Trouble

MOST = 32_767
"""Pixels that can be sampled of a parcel."""
FORMAT = 1
"""Of the file, to be raised with its tables."""
BLOCK = 256
"""Height and width of the blocks by which samples are kept, in pixels; a place in one takes 16 bits."""
FLUSH = 2**21
"""Samples that are held before they are written."""
NAMED = 5
"""Identifiers that a trouble lists."""

TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE about (content TEXT);
CREATE TABLE parcels (
    parcel INTEGER PRIMARY KEY, identifier TEXT, pixels INTEGER, samples INTEGER,
    perimeter REAL, cover REAL, thinness REAL
);
CREATE TABLE blocks (row INTEGER, col INTEGER, parcels BLOB, counts BLOB, ranks BLOB, places BLOB);
"""
"""A block has the parcels that have samples in it, how many of them, and their ranks and places one parcel after the
other. It may have several rows, of which each has other parcels."""

SAME = 1e-9
"""Of the mean of a geometric feature; a standard deviation of less is rounding of equal values."""

BLOBS = ("<i8", "<i4", "<i2", "<u2")
"""Data types of the columns with blobs."""
FEATURES = ("perimeter", "pixels", "cover", "thinness")
"""The geometric features, as the columns are called."""

UNCLASSIFIED = (
    "no geometry that can be read, not classified",
    "a point, a line or without an area for other reasons, not classified",
    "outside the data, not classified",
    "without the centre of a pixel, not classified",
)
"""Why a parcel cannot be classified; the first that is true counts."""
INVALID = "not valid, mended to find the pixels"
NAMELESS = "without an identifier"
REPEATED = "with the identifier of a parcel before"


class ParcelIndex:
    """The pixels of every parcel of a layer, in one SQLite file.

    It is never changed once it is built, so that any number of threads and processes may ask it at a time. It holds its
    path and no connection: it can be pickled.

    Attributes:
        path: The file.
        count: Features of the layer; parcels are numbered from 0 to ``count`` - 1, in its order.
        pixels: The most pixels sampled of a parcel.
    """

    path: Path
    count: int
    pixels: int

    def __init__(self, path: Path) -> None:
        """Open an index.

        Raises:
            StoreError: If there is none, or it is damaged.
        """
        self.path = path
        with self._asked() as file:
            about = json.loads(file.execute("SELECT content FROM about").fetchone()[0])
        if about["format"] != FORMAT:
            raise StoreError(f"{path} is of format {about['format']}, expected {FORMAT}. Remove it to start anew.")
        self.count, self.pixels = about["count"], about["pixels"]
        self._mean, self._std = about["mean"], about["std"]
        self._troubles = tuple(Trouble(what, count, tuple(first)) for what, count, first in about["troubles"])

    @classmethod
    def build(
        cls,
        path: Path,
        layer: ParcelLayer,
        grid: Grid,
        pixels: int,
    ) -> Self:
        """Read a layer once, find and sample the pixels of its parcels, and write the index.

        Only a batch of parcels is in memory at a time. The file appears whole or not at all; one that is there is
        replaced.

        Args:
            path: The file to write.
            layer: The parcels, in any CRS.
            grid: The grid of the series; a parcel has no pixels beyond it.
            pixels: Sample at most so many pixels of a parcel, 1 to :data:`MOST`.

        Raises:
            ReadError: If the layer cannot be read to its end.
            SeriesError: If ``pixels`` is out of range, or the layer was changed since it was opened.
            OutputError: If the index cannot be written.
        """
        if not 1 <= pixels <= MOST:
            raise SeriesError(f"pixels is {pixels}. Expected 1 to {MOST} pixels to sample of a parcel.")
        draft = path.with_name(f".{path.name}.draft")
        try:
            draft.unlink(missing_ok=True)
            with closing(sqlite3.connect(draft)) as file, file:
                file.executescript(TABLES)
                _Writer(file, layer, grid, pixels).write()
            _flush(draft)
            draft.replace(path)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, SeriesError):  # the layer's, which is an OSError, too
                raise
            raise OutputError(f"Cannot write {path}: {error}. Free some space, or choose another output.") from error
        finally:
            draft.unlink(missing_ok=True)
        return cls(path)

    def within(self, core: Window) -> Samples:
        """Find every sampled pixel inside a window; only the blocks of the index that meet it are read.

        Raises:
            StoreError: If the index is gone or damaged.
        """
        rows, cols = (
            (start // BLOCK, (stop - 1) // BLOCK)
            for start, stop in ((core.row, core.stop_row), (core.col, core.stop_col))
        )
        with self._asked() as file:
            blocks = file.execute(
                "SELECT row, col, parcels, counts, ranks, places FROM blocks"
                " WHERE row BETWEEN ? AND ? AND col BETWEEN ? AND ?",
                (*rows, *cols),
            )
            found = [_inside(_unpacked(*block), core) for block in blocks]
        return Samples.join(found)

    def facts(self, parcels: ArrayLike) -> Facts:
        """What is known of some parcels, in the order in which they are given.

        Args:
            parcels: Numbers of features, (P,), each 0 to ``count`` - 1.

        Raises:
            StoreError: If the index is gone or damaged.
        """
        asked, places = np.unique(np.asarray(parcels, np.int64), return_inverse=True)
        with self._asked() as file:
            rows = file.execute(
                f"SELECT samples, {', '.join(FEATURES)} FROM parcels"
                " WHERE parcel IN (SELECT value FROM json_each(?)) ORDER BY parcel",
                (json.dumps(asked.tolist()),),
            ).fetchall()
        assert len(rows) == len(asked), "parcels are numbers of features"
        table = np.array(rows, np.float64).reshape(-1, 5)[places]  # NULL is NaN
        samples, features = table[:, 0].astype(np.int64), table[:, 1:]
        pixels = features[:, 1].astype(np.int64)
        features[pixels == 0] = np.nan
        return Facts(pixels, samples, features)

    def geometry_statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (n - 1) of the geometric features, (4,) each, over all parcels with pixels.

        The deviation is 1 where there are not two different values, so that one can divide by it.
        """
        return np.array(self._mean), np.array(self._std)

    def troubles(self) -> tuple[Trouble, ...]:
        """What a user should know about the parcels: those that cannot be classified, and those that were mended."""
        return self._troubles

    @contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        """A connection that reads only.

        Raises:
            StoreError: If the file is gone or damaged.
        """
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as file:
                yield file
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise StoreError(
                f"The index of parcels {self.path} cannot be read: {error}. Remove its folder, and start anew."
            ) from error


def _flush(path: Path) -> None:
    """See that a file is on the disk before it takes its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


class _Writer:
    """Fills the tables of an index."""

    def __init__(self, file: sqlite3.Connection, layer: ParcelLayer, grid: Grid, pixels: int) -> None:
        self.file, self.layer, self.grid, self.pixels = file, layer, grid, pixels
        self.held: list[Samples] = []
        self.troubles = {what: Trouble(what, 0, ()) for what in (*UNCLASSIFIED, INVALID, NAMELESS)}

    def write(self) -> None:
        """Write everything."""
        for batch in self.layer.batches():
            self.held.append(self._add(batch))
            if sum(map(len, self.held)) >= FLUSH:
                self._write_blocks()
        self._write_blocks()
        self.file.execute("CREATE INDEX places ON blocks (row, col)")
        mean, std = _statistics(self.file)
        troubles = [astuple(trouble) for trouble in (*self.troubles.values(), _repeated(self.file)) if trouble.count]
        about = {
            "format": FORMAT,
            "count": self.layer.count,
            "pixels": self.pixels,
            "mean": mean,
            "std": std,
            "troubles": troubles,
        }
        self.file.execute("INSERT INTO about VALUES (?)", (json.dumps(about),))

    def _add(self, batch: ParcelBatch) -> Samples:
        """Find the pixels of a batch of parcels, note what is known of these, and sample them."""
        names, shapes = batch.names(), self.layer.shapes(batch)
        areas, invalid = footprint.areas(shapes)
        placed = footprint.placed(areas, self.layer.crs, self.grid)
        prints = list(footprint.footprints(placed, self.grid))
        features = footprint.features(placed, prints, self.grid)
        chosen = [sample(name, found.count, self.pixels) for name, found in zip(names, prints, strict=True)]
        numbers = range(batch.first, batch.first + len(batch))
        pixels = (found.count for found in prints)
        facts = zip(numbers, names, pixels, map(len, chosen), *features[:, [0, 2, 3]].T.tolist(), strict=True)
        self.file.executemany("INSERT INTO parcels VALUES (?, ?, ?, ?, ?, ?, ?)", facts)
        known = [name or f"number {number}" for number, name in zip(numbers, names, strict=True)]
        self._note(_reasons(shapes, areas, placed, prints, self.grid), known)
        self._note(np.where(invalid & ~shapely.is_missing(areas), INVALID, ""), known)
        self._note(np.array(["" if name else NAMELESS for name in names]), known)
        return Samples.join([_located(*parcel) for parcel in zip(numbers, prints, chosen, strict=True)])

    def _note(self, troubles: NDArray[np.str_], names: list[str]) -> None:
        """Count what is the matter with parcels, an empty text for nothing."""
        for what in np.unique(troubles[troubles != ""]).tolist():
            where = np.flatnonzero(troubles == what)
            known = self.troubles[what]
            first = known.first + tuple(names[index] for index in where[: NAMED - len(known.first)])
            self.troubles[what] = Trouble(what, known.count + len(where), first)

    def _write_blocks(self) -> None:
        """Write the samples that are held, block by block."""
        samples = Samples.join(self.held)
        self.held = []
        rows, cols = samples.rows // BLOCK, samples.cols // BLOCK
        order = np.lexsort((cols, rows))  # keeps the order within a block
        samples, rows, cols = samples.select(order), rows[order], cols[order]
        borders = np.flatnonzero((np.diff(rows) != 0) | (np.diff(cols) != 0)) + 1
        ends = [0, *borders.tolist(), len(samples)]
        self.file.executemany(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)",
            (
                (int(rows[first]), int(cols[first]), *_packed(samples.select(slice(first, stop))))
                for first, stop in pairwise(ends)
                if first < stop
            ),
        )


def _reasons(
    shapes: Shapes, areas: Shapes, placed: Shapes, prints: Sequence[Footprint], grid: Grid
) -> NDArray[np.str_]:
    """Why each parcel cannot be classified, one of :data:`UNCLASSIFIED`; empty where it can."""
    extent = shapely.box(*grid.boundingbox.bbox)
    conditions = (
        shapely.is_missing(shapes) | shapely.is_empty(shapes),
        shapely.is_missing(areas),
        ~shapely.intersects(extent, placed),
        np.array([not len(found.rows) for found in prints]),
    )
    return np.select(conditions, UNCLASSIFIED, "")


def _located(number: int, found: Footprint, places: NDArray[np.int64]) -> Samples:
    """Sampled pixels of one parcel, given by their places among its pixels."""
    rows, cols = found.pixels(places)
    ranks = np.arange(len(places), dtype=np.int16)
    return Samples(np.full(len(places), number), ranks, rows.astype(np.int32), cols.astype(np.int32))


def _packed(samples: Samples) -> tuple[bytes, ...]:
    """The samples of one block as four blobs, little-endian: see :data:`TABLES`."""
    parcels, counts = np.unique(samples.parcels, return_counts=True)
    places = samples.rows % BLOCK * BLOCK + samples.cols % BLOCK
    columns: tuple[NDArray[Any], ...] = (parcels, counts, samples.ranks, places)
    return tuple(column.astype(dtype).tobytes() for column, dtype in zip(columns, BLOBS, strict=True))


def _unpacked(row: int, col: int, *blobs: bytes) -> Samples:
    """Read what :func:`_packed` wrote of the block at a row and column of blocks."""
    parcels, counts, ranks, places = (np.frombuffer(blob, dtype) for blob, dtype in zip(blobs, BLOBS, strict=True))
    rows, cols = np.divmod(places.astype(np.int32), BLOCK)
    return Samples(np.repeat(parcels, counts), ranks, rows + np.int32(row * BLOCK), cols + np.int32(col * BLOCK))


def _inside(samples: Samples, core: Window) -> Samples:
    """Those of some samples that lie in a window."""
    level = (samples.rows >= core.row) & (samples.rows < core.stop_row)
    return samples.select(level & (samples.cols >= core.col) & (samples.cols < core.stop_col))


def _statistics(file: sqlite3.Connection) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (n - 1) of the geometric features of parcels with pixels, 0 and 1 without any."""
    some = "FROM parcels WHERE pixels > 0"
    (count,) = file.execute(f"SELECT COUNT(*) {some}").fetchone()
    if not count:
        return [0.0] * len(FEATURES), [1.0] * len(FEATURES)
    mean = file.execute(f"SELECT {', '.join(f'AVG({name})' for name in FEATURES)} {some}").fetchone()
    squares = ", ".join(f"SUM(({name} - ?) * ({name} - ?))" for name in FEATURES)
    sums = file.execute(f"SELECT {squares} {some}", [value for value in mean for _ in range(2)]).fetchone()
    found = [(total / max(count - 1, 1)) ** 0.5 for total in sums]
    return list(mean), [std if std > SAME * abs(value) else 1.0 for value, std in zip(mean, found, strict=True)]


def _repeated(file: sqlite3.Connection) -> Trouble:
    """Parcels that share an identifier with one before them."""
    found = file.execute(
        "SELECT identifier, COUNT(*) OVER () FROM (SELECT parcel, identifier, ROW_NUMBER() OVER"
        " (PARTITION BY identifier ORDER BY parcel) AS nth FROM parcels WHERE identifier != '')"
        f" WHERE nth > 1 ORDER BY parcel LIMIT {NAMED}"
    ).fetchall()
    return Trouble(REPEATED, found[0][1] if found else 0, tuple(name for name, _ in found))
