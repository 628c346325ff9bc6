"""The store of a run under way: one Zarr array a layer, one file of it a tile, one marker a finished tile.

The store lies beside the output, as ``map.tif.partial/``, and is the checkpoint of the run: however the run ends, the
tiles whose markers are there are whole. One whose files turn out damaged is made again. The store belongs to one run,
known by its fingerprint, and to one process at a time.
"""

import errno
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from sitsinfer.errors import OutputError, StoreError
from sitsinfer.grid import Grid, Tile, Tiles, Window, whole
from sitsinfer.layers import ClassInfo, Layer

log = logging.getLogger(__name__)

LOCK = "lock"
"""The file in a store that the process which writes it holds."""
SCRATCH = "scratch"
"""The folder in a store for what a task, or publishing, keeps on disk in forms of its own, as long as the run lasts."""

Fingerprint = Mapping[str, str]
"""What decides the pixels of a run, part by part: ``{"inputs": digest, "model": digest, ...}``."""
AGEING = frozenset({"inputs", "version"})
"""Parts of a fingerprint that change by themselves; a run that differs in others was asked for differently."""


@dataclass(frozen=True)
class TileReport:
    """What is told of a finished tile.

    Attributes:
        name: The tile's name.
        valid: Pixels with at least one valid observation.
        checksum: CRC-32 of its layers, and of what else was found.
        found: Bytes of what else was found.
        read, compute, write: Seconds each took; computing counts from when the device was free.
    """

    name: str
    valid: int
    checksum: int
    found: int
    read: float
    compute: float
    write: float


def differing(one: Fingerprint, other: Fingerprint) -> list[str]:
    """The parts in which two fingerprints differ, sorted."""
    return sorted(part for part in one.keys() | other.keys() if one.get(part) != other.get(part))


@dataclass(frozen=True)
class StoredLayer:
    """One layer of a store, or one of its dates, to be read by windows of the grid.

    ``first`` is the plane of the array that it begins with.
    """

    layer: Layer
    grid: Grid
    array: Any
    shift: tuple[int, int]
    first: int = 0

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window: (depth of the layer, height, width), nodata where no tile wrote."""
        inner = window.shift(*self.shift)
        planes = slice(self.first, self.first + self.layer.depth)
        values = self.array[planes, inner.row : inner.stop_row, inner.col : inner.stop_col]
        return np.asarray(values)

    def is_empty(self) -> bool:
        """Whether it holds nodata alone; chunk by chunk, until a value is found."""
        side = self.array.chunks[-1]
        height, width = self.grid.shape
        return all(
            (self.read(Window(row, col, side, side).intersection(whole(self.grid))) == self.layer.nodata).all()
            for row in range(0, height, side)
            for col in range(0, width, side)
        )

    def on(self, date: date) -> Self:
        """One of the layer's dates, as a layer."""
        first = self.layer.dates.index(date) * len(self.layer.bands)
        return replace(self, layer=self.layer.on(date), first=first)


@dataclass(frozen=True)
class Store:
    """The Zarr group of a run: layers, markers, fingerprint."""

    path: Path
    layers: tuple[Layer, ...]
    grid: Grid
    tiles: Tiles

    @staticmethod
    def beside(output: Path) -> Path:
        """Where the store of an output lies."""
        return output.with_name(output.name + ".partial")

    @staticmethod
    def is_begun(path: Path) -> bool:
        """Whether a store lies there, with at least one finished tile."""
        return (path / "run.json").exists() and any((path / "tiles").glob("*.json"))

    @classmethod
    def create(cls, path: Path, layers: tuple[Layer, ...], grid: Grid, tiles: Tiles, fingerprint: Fingerprint) -> Self:
        """Begin an empty store.

        Raises:
            OutputError: If it cannot be written.
        """
        import zarr

        store = cls(path, layers, grid, tiles)
        with writing_to(path):
            path.mkdir(exist_ok=True)
            (path / "tiles").mkdir(exist_ok=True)
            group = zarr.open_group(path / "layers", mode="w")
            for layer in layers:
                group.create_array(
                    layer.name,
                    shape=(layer.depth, *(n + shift for n, shift in zip(tiles.shape, tiles.shift, strict=True))),
                    chunks=(len(layer.bands), tiles.size, tiles.size),
                    shards=(layer.depth, tiles.size, tiles.size) if layer.dates else None,
                    dtype=layer.dtype,
                    fill_value=layer.nodata,
                )
            # Written last: a store without it is not one yet.
            _write_whole(path / "run.json", json.dumps(store._describe(fingerprint), indent=1))
        return store

    @classmethod
    def open(cls, path: Path, fingerprint: Fingerprint) -> Self:
        """Open the store of an unfinished run.

        Raises:
            StoreError: If it belongs to another run, is not a store, or has lost a layer.
        """
        try:
            described = json.loads((path / "run.json").read_text())
            store = cls._from_description(path, described)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path} is not the store of a run ({error}). Remove it, or choose another output."
            ) from error
        if parts := differing(described["fingerprint"], fingerprint):
            aged = AGEING.issuperset(parts)
            advice = "They changed since. Set" if aged else "Repeat that run to finish it, or set"
            raise StoreError(
                f"{path} holds an unfinished run that differs in: {', '.join(parts)}. {advice} overwrite to start anew."
            )
        for layer in store.layers:
            store._array(layer.name)  # told before anything is computed
        return store

    def _describe(self, fingerprint: Fingerprint) -> dict[str, Any]:
        return {
            "fingerprint": dict(fingerprint),
            "grid": {"crs": str(self.grid.crs), "transform": self.grid.affine[:6], "shape": list(self.grid.shape)},
            "tiles": {"size": self.tiles.size, "shift": self.tiles.shift},
            "layers": [asdict(layer) | {"dates": list(map(str, layer.dates))} for layer in self.layers],
        }

    @classmethod
    def _from_description(cls, path: Path, described: dict[str, Any]) -> Self:
        grid = described["grid"]
        shape = (int(grid["shape"][0]), int(grid["shape"][1]))
        tiles = Tiles(shape, described["tiles"]["size"], tuple(described["tiles"]["shift"]))
        layers = []
        for entry in described["layers"]:
            classes = tuple(ClassInfo.from_dict(item) for item in entry["classes"])
            dates = tuple(map(date.fromisoformat, entry["dates"]))
            facts: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
            layers.append(Layer(**facts | {"dates": dates, "classes": classes}))
        return cls(path, tuple(layers), GeoBox(shape, Affine(*grid["transform"]), grid["crs"]), tiles)

    def write(self, tile: Tile, arrays: Mapping[str, NDArray[Any]], found: bytes = b"") -> None:
        """Write the core of a tile: one array (bands, height, width) a layer, and what else was found.

        Raises:
            OutputError: If the disk is full or gone.
        """
        for name, values in arrays.items():
            self.paint(name, tile.core, values)
        if found:
            path = self._found(tile)
            with writing_to(self.path):
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(found)

    def paint(self, name: str, window: Window, values: NDArray[Any]) -> None:
        """Write a window of a layer, (bands, height, width). Only whole tiles may be written by several at a time.

        Raises:
            OutputError: If the disk is full or gone.
        """
        with writing_to(self.path):
            inner, array = window.shift(*self.tiles.shift), self._array(name)
            assert values.shape == (array.shape[0], *inner.shape), "a layer of another depth or tile"
            array[:, inner.row : inner.stop_row, inner.col : inner.stop_col] = values

    def found(self, tile: Tile) -> bytes:
        """What else was found in a tile that is done; empty for nothing.

        Raises:
            StoreError: If it cannot be read, or not all of it is there.
        """
        with self._reading():
            return self._found(tile).read_bytes() if self._found_length(tile) else b""

    def mark(self, report: TileReport) -> None:
        """Note that a tile is whole; only call it after all of it is written."""
        with writing_to(self.path):
            _write_whole(self._marker(report.name), json.dumps(asdict(report)))

    def is_done(self, tile: Tile) -> bool:
        """Whether a tile is whole: its marker can be read, and what else was found is as long as that says.

        A marker that is there but cannot be relied on is logged.
        """
        if not self._marker(tile.name).exists():
            return False
        try:
            self._found_length(tile)
        except (OSError, ValueError) as error:
            log.warning(
                "Tile %s is damaged and made again: %s.", tile.name, error, extra={"event": "damage", "tile": tile.name}
            )
            return False
        return True

    def reports(self) -> Iterator[TileReport]:
        """What was told of each finished tile.

        Raises:
            StoreError: If a marker cannot be read.
        """
        for marker in sorted((self.path / "tiles").glob("*.json")):
            with self._reading():
                report = self._report(marker)
            yield report

    @staticmethod
    def _report(marker: Path) -> TileReport:
        """Read a marker.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it holds anything else than a report.
        """
        try:
            return TileReport(**json.loads(marker.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{marker} holds no report ({error})") from error

    def _found_length(self, tile: Tile) -> int:
        """Bytes of what else was found in a tile, as its marker and the length of the file agree on.

        Raises:
            OSError: If one of them cannot be read.
            ValueError: If the marker holds no report, or they disagree.
        """
        expected, path = self._report(self._marker(tile.name)).found, self._found(tile)
        length = path.stat().st_size if expected else 0
        if length != expected:
            raise ValueError(f"{path} holds {length} bytes, not the {expected} written")
        return length

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn damage to a tile that is done into one line; when a run is opened again, that tile is made again.

        Raises:
            StoreError: For any :class:`OSError` or :class:`ValueError` within.
        """
        try:
            yield
        except (OSError, ValueError) as error:
            raise StoreError(
                f"The store of the run was damaged: {error}. Run the same command again: it makes that tile anew."
            ) from error

    def source(self, name: str) -> StoredLayer:
        """A layer, to be read by windows."""
        layer = next(layer for layer in self.layers if layer.name == name)
        return StoredLayer(layer, self.grid, self._array(name), self.tiles.shift)

    def remove(self) -> None:
        """Remove the store, its description first, so that what is left of it is never taken for one."""
        remove(self.path)

    def _array(self, name: str) -> Any:
        """The array of a layer.

        Raises:
            StoreError: If it is missing or damaged.
        """
        import zarr

        path = self.path / "layers" / name
        try:
            return zarr.open_array(path, mode="r+")
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path} is missing or damaged. Remove {self.path} to start anew.") from error

    def _found(self, tile: Tile) -> Path:
        return self.path / "found" / tile.name

    def _marker(self, name: str) -> Path:
        return self.path / "tiles" / f"{name}.json"


def make_scratch(path: Path) -> Path:
    """The folder of a store, made if need be, for what is kept there in other forms.

    Raises:
        OutputError: If it cannot be made.
    """
    folder = path / SCRATCH
    with writing_to(path):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def clear(path: Path) -> None:
    """Remove what a store holds, its description first, so that what is left is never taken for one; not its lock."""
    (path / "run.json").unlink(missing_ok=True)
    for part in path.iterdir():
        if part.is_dir():
            shutil.rmtree(part)
        elif part.name != LOCK:
            part.unlink()


def remove(path: Path) -> None:
    """Remove a store, if there is one, its description first, so that what is left is never taken for one."""
    (path / "run.json").unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def _strange(path: Path) -> str | None:
    """Something in a folder that no store holds; ``None`` if there is no such thing."""
    if not path.is_dir():
        return None
    ours = {LOCK, "run.json", "run.json.tmp", "layers", "tiles", "found", SCRATCH}
    return next((part.name for part in path.iterdir() if part.name not in ours), None)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a store to this process; the lock goes with the process, however that ends.

    A store without a finished tile is worth nothing: it does not outlive the lock.

    Raises:
        StoreError: If another process has it, or it holds files that are not ours.
        OutputError: If nothing can be written there.
    """
    if strange := _strange(path):
        raise StoreError(
            f"{path} holds {strange}, which sitsinfer did not put there. Move it, or choose another output."
        )
    with writing_to(path):
        path.mkdir(exist_ok=True)
        handle = os.open(path / LOCK, os.O_CREAT | os.O_RDWR)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(f"Another run is writing {path}. Wait for it, or choose another output.") from error
        try:
            yield
        finally:
            if not Store.is_begun(path):
                remove(path)
    finally:
        os.close(handle)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn what the system says of a failed write into one line.

    Raises:
        OutputError: For any :class:`OSError` within.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"No space left on the disk of {path}. Free some and run the same command again: "
                f"it goes on where it stopped."
            ) from error
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}. Choose an output that can be written."
        ) from error


def _write_whole(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all."""
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(text)
    partial.replace(path)
