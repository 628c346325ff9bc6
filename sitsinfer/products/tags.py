"""Tags of a published GeoTIFF, read without GDAL.

A command that finds its output done must say so at once; this reads a few hundred bytes instead of importing GDAL.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree as ET
from xml.sax.saxutils import unescape

GDAL_METADATA = 42112
"""The TIFF tag that holds GDAL's metadata, as XML."""
OURS = "FINGERPRINT"
"""A tag that every product of ours has."""


@dataclass(frozen=True)
class _Layout:
    """How a kind of TIFF stores its first directory: `struct` formats, without the byte order."""

    offset: str
    count: str
    entry: str  # tag, type, number of values; then the values or where they are


CLASSIC = _Layout(offset="I", count="H", entry="HHI")
BIG = _Layout(offset="Q", count="Q", entry="HHQ")


def read_tags(path: Path) -> dict[str, str]:
    """Read the tags that a writer was given.

    Args:
        path: Any file, or none.

    Returns:
        The tags by name, without those that TIFF has a field for; nothing if there is no such file, it is no GeoTIFF,
        or not one of ours.
    """
    try:
        with path.open("rb") as file:
            root = ET.fromstring(_metadata(file))
    except (OSError, struct.error, ET.ParseError, ValueError):
        return {}
    tags = {item.get("name", ""): _plain(item.text or "") for item in root.iter("Item") if item.get("sample") is None}
    return tags if OURS in tags else {}


def _plain(text: str) -> str:
    """Undo GDAL's own escapes, which it adds to those of XML."""
    return unescape(text, {"&quot;": '"', "&apos;": "'"})


def _metadata(file: BinaryIO) -> bytes:
    """Find GDAL's metadata in the first directory of a TIFF.

    Raises:
        ValueError: If it is no TIFF, or has no such metadata.
        struct.error: If the file ends early.
    """
    order = {b"II": "<", b"MM": ">"}.get(file.read(2))
    if order is None:
        raise ValueError("not a TIFF")
    layout = _layout(file, order)
    (start,) = _unpack(file, order + layout.offset)
    file.seek(start)
    (entries,) = _unpack(file, order + layout.count)
    for _ in range(entries):
        tag, _, size = _unpack(file, order + layout.entry)
        value = file.read(struct.calcsize(order + layout.offset))
        if tag == GDAL_METADATA:
            file.seek(struct.unpack(order + layout.offset, value)[0])
            return file.read(size).rstrip(b"\0")
    raise ValueError("no metadata")


def _layout(file: BinaryIO, order: str) -> _Layout:
    """Read the version of a TIFF, up to where the first directory's offset stands."""
    (version,) = _unpack(file, order + "H")
    if version == 43:
        file.read(4)  # the size of an offset, which is always 8
        return BIG
    if version == 42:
        return CLASSIC
    raise ValueError("not a TIFF")


def _unpack(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))
