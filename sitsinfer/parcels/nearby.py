"""What lies near a window, found without looking at everything."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Generic, TypeVar

from sitsinfer.grid import Window

BUCKET = 64
"""Height and width of a bucket, in pixels: a few parcels of common size."""

Thing = TypeVar("Thing")


class Nearby(Generic[Thing]):
    """Things with a window each, sorted into square buckets of pixels by the buckets that their window touches."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._buckets: defaultdict[tuple[int, int], list[tuple[Window, Thing]]] = defaultdict(list)

    def add(self, window: Window, thing: Thing) -> None:
        """Add a thing."""
        for bucket in _buckets(window):
            self._buckets[bucket].append((window, thing))

    def find(self, window: Window) -> Iterator[Thing]:
        """Everything whose window shares a pixel with this one, each thing once."""
        row, col, stop_row, stop_col = window.row, window.col, window.stop_row, window.stop_col
        for bucket in _buckets(window):
            for other, thing in self._buckets.get(bucket, ()):
                if (
                    other.row < stop_row
                    and row < other.row + other.height
                    and other.col < stop_col
                    and col < other.col + other.width
                    # Two windows may meet in several buckets: that of their first shared pixel counts.
                    and (max(row, other.row) // BUCKET, max(col, other.col) // BUCKET) == bucket
                ):
                    yield thing

    def forget(self, row: int) -> None:
        """Let go of what lies above a row, by whole buckets; it must not be asked for again."""
        for bucket in [bucket for bucket in self._buckets if (bucket[0] + 1) * BUCKET <= row]:
            del self._buckets[bucket]


def _buckets(window: Window) -> Iterator[tuple[int, int]]:
    rows = range(window.row // BUCKET, (window.stop_row - 1) // BUCKET + 1)
    cols = range(window.col // BUCKET, (window.stop_col - 1) // BUCKET + 1)
    return ((row, col) for row in rows for col in cols)
