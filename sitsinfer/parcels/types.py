"""What a patch finds, what a region is made of, and how both are kept on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.archive import pack_arrays, unpack_arrays
from sitsinfer.grid import Window


@dataclass(frozen=True, eq=False)
class Candidate:
    """One parcel as one patch sees it. Places are pixels of the grid, and may lie beyond it.

    Attributes:
        row: Row of its centre.
        col: Column of its centre.
        patch: What the patch saw that found it.
        box: Where its mask lies, within ``patch``.
        code: Its class.
        confidence: Of its centre, 0 to 1.
        mask: Its pixels, (height, width) of ``box``, bool; at least one.
    """

    row: int
    col: int
    patch: Window
    box: Window
    code: int
    confidence: float
    mask: NDArray[np.bool_]

    @property
    def rank(self) -> tuple[float, int, int, int, int]:
        """What candidates are sorted by: the most confident first, ties by the centre, then by the patch."""
        return -self.confidence, self.row, self.col, self.patch.row, self.patch.col


def pack(candidates: Iterable[Candidate]) -> bytes:
    """Candidates as the bytes of a NumPy archive, masks as bits."""
    candidates = list(candidates)
    return pack_arrays(
        places=np.array([(c.row, c.col, *_numbers(c.patch), *_numbers(c.box)) for c in candidates], np.int64).reshape(
            -1, 10
        ),
        codes=np.array([c.code for c in candidates], np.uint8),
        confidences=np.array([c.confidence for c in candidates], np.float32),
        masks=np.packbits(np.concatenate([c.mask.ravel() for c in candidates] or [np.zeros(0, np.bool_)])),
    )


def unpack(content: bytes) -> Iterator[Candidate]:
    """Read what :func:`pack` wrote.

    Raises:
        StoreError: If it is damaged.
    """
    places, codes, confidences, masks = unpack_arrays(content, ("places", "codes", "confidences", "masks"))
    sizes = places[:, 8] * places[:, 9]
    pixels = np.unpackbits(masks, count=int(sizes.sum())).view(np.bool_)
    ends = np.cumsum(sizes)
    for place, code, confidence, end, size in zip(places.tolist(), codes, confidences, ends, sizes, strict=True):
        box = Window(*place[6:])
        mask = pixels[end - size : end].reshape(box.shape)
        yield Candidate(place[0], place[1], Window(*place[2:6]), box, int(code), float(confidence), mask)


def _numbers(window: Window) -> tuple[int, int, int, int]:
    return window.row, window.col, window.height, window.width


@dataclass(frozen=True, eq=False)
class Parcels:
    """The parcels of a region as a table, (N,) each; parcel ``n`` has the id ``n + 1``, ordered by centre.

    Attributes:
        rows: Row of the centre, in pixels of the grid; that of the most confident fragment.
        cols: Column of the centre, likewise.
        codes: Class codes, uint8.
        confidences: float32, 0 to 1.
        pixels: How many pixels each has within the grid, int64; at least one.
        square_metres: Their area, float64.
        boxes: Where they lie: first row and column, height and width, (N, 4), int64.
        ids: From a label of the label layer to the id of its parcel, uint32; 0 for none, ``ids[0]`` is 0. Several
            labels may have one id.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    codes: NDArray[np.uint8]
    confidences: NDArray[np.float32]
    pixels: NDArray[np.int64]
    square_metres: NDArray[np.float64]
    boxes: NDArray[np.int64]
    ids: NDArray[np.uint32]

    def __len__(self) -> int:
        """How many parcels there are."""
        return len(self.rows)

    def select(self, kept: NDArray[np.bool_]) -> Self:
        """Leave out parcels; those that stay are numbered anew, in the same order.

        Args:
            kept: Which stay, (N,).
        """
        numbers = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.uint32)
        return type(self)(
            self.rows[kept],
            self.cols[kept],
            self.codes[kept],
            self.confidences[kept],
            self.pixels[kept],
            self.square_metres[kept],
            self.boxes[kept],
            numbers[self.ids],
        )
