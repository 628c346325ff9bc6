"""How long a TIFF must be, by its own directory: what is cut off at the end is found before a pixel is read.

GDAL opens a file whose end is missing, without its last blocks or, worse, without its tags, and says nothing.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {3: "u2", 4: "u4", 16: "u8"}
_BLOCKS = ((273, 279), (324, 325))  # offsets and byte counts, of strips and of tiles


@dataclass(frozen=True)
class _Format:
    """Byte order, and the widths that differ between TIFF and BigTIFF."""

    order: str
    count: str
    entry: str
    inline: int


@dataclass(frozen=True)
class _Entry:
    """One tag: its type, and where its values lie in the file."""

    tag: int
    kind: int
    start: int
    stop: int


def least_size(path: Path) -> int:
    """Bytes that a TIFF's first image needs: its tags and all its blocks; 0 if the file is no TIFF.

    A directory that lies beyond the end of the file itself is not an error here: GDAL says so.
    """
    with path.open("rb") as file:
        head = file.read(16)
        if head[:2] not in (b"II", b"MM") or len(head) < 16:
            return 0
        order = "<" if head[:2] == b"II" else ">"
        if struct.unpack(f"{order}H", head[2:4])[0] == 43:
            layout, start = _Format(order, "Q", "HHQ", 8), struct.unpack(f"{order}Q", head[8:16])[0]
        else:
            layout, start = _Format(order, "H", "HHI", 4), struct.unpack(f"{order}I", head[4:8])[0]
        entries = {entry.tag: entry for entry in _entries(file, start, layout)}
        return max([entry.stop for entry in entries.values()] + _block_ends(file, entries, layout), default=0)


def _entries(file: BinaryIO, start: int, layout: _Format) -> Iterator[_Entry]:
    """The tags of the directory at ``start``."""
    width = struct.calcsize(layout.order + layout.count)
    file.seek(start)
    raw = file.read(width)
    if len(raw) < width:
        return
    size = struct.calcsize(layout.order + layout.entry) + layout.inline
    table = file.read(struct.unpack(layout.order + layout.count, raw)[0] * size)
    for at in range(0, len(table) - size + 1, size):
        tag, kind, count = struct.unpack_from(layout.order + layout.entry, table, at)
        length = count * _SIZES.get(kind, 1)
        values = start + width + at + size - layout.inline
        if length > layout.inline:
            pointer = layout.order + ("Q" if layout.inline == 8 else "I")
            values = struct.unpack_from(pointer, table, at + size - layout.inline)[0]
        yield _Entry(tag, kind, values, values + length)


def _block_ends(file: BinaryIO, entries: dict[int, _Entry], layout: _Format) -> list[int]:
    """Where the last strip or tile ends."""
    ends = []
    for offsets, counts in _BLOCKS:
        if offsets in entries and counts in entries:
            starts, lengths = (_integers(file, entries[tag], layout) for tag in (offsets, counts))
            if starts.size == lengths.size > 0:
                ends.append(int((starts + lengths).max()))
    return ends


def _integers(file: BinaryIO, entry: _Entry, layout: _Format) -> NDArray[np.uint64]:
    """Values of a tag; none if the file ends before them, or they are no integers."""
    file.seek(entry.start)
    raw = file.read(entry.stop - entry.start)
    if len(raw) < entry.stop - entry.start or entry.kind not in _INTEGERS:
        return np.empty(0, np.uint64)
    return np.frombuffer(raw, layout.order + _INTEGERS[entry.kind]).astype(np.uint64)
