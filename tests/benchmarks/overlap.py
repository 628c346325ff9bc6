"""Whether reading, computing and writing overlap: each is made slow in turn, and all of them, in the one process.

The wall time of a run is held against that of the slowest stage alone, one tile after the other.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from sitsinfer import cluster, engine
from sitsinfer.grid import Tile
from sitsinfer.store import Store
from tests.benchmarks import data
from tests.benchmarks.measure import table, verdict
from tests.fakes import FakeTask, make_grid

TILES = (4, 6)
SIZE = 16  # pixels of a tile
SLOW, FAST = 0.5, 0.1  # seconds
BOUND = 1.15


def main(options: list[str]) -> bool:
    """Slow down one stage after the other."""
    assert cluster  # imported before the clock starts: a run imports it once
    slow = {"read": (SLOW, FAST, FAST), "compute": (FAST, SLOW, FAST), "write": (FAST, FAST, SLOW), "all": (SLOW,) * 3}
    rows = [(stage, *_ratio(*seconds)) for stage, seconds in slow.items()]
    table(("slow", "wall s", "wall / slowest", "wall / sum"), rows)
    return verdict("wall over the slowest stage, at worst", max(row[2] for row in rows), BOUND)


def _ratio(read: float, compute: float, write: float) -> tuple[float, float, float]:
    """Wall time of a run, and over that of its slowest stage and of all its stages."""
    tiles = TILES[0] * TILES[1]
    task = FakeTask(make_grid(TILES[0] * SIZE, TILES[1] * SIZE), seconds=(read, compute))
    plainly = Store.write

    def slowly(store: Store, tile: Tile, arrays: Mapping[str, Any]) -> None:
        time.sleep(write)
        plainly(store, tile, arrays)

    with patch.object(Store, "write", slowly):
        began = time.monotonic()
        out = data.scratch() / f"overlap_{read}_{compute}_{write}.tif"
        options = engine.Options(tile_size=SIZE)
        outputs = engine.Outputs(out, (out,), lambda *finished: None, lambda path: {})
        engine.run(task, outputs, options)
        wall = time.monotonic() - began
    return wall, wall / (tiles * max(read, compute, write)), wall / (tiles * (read + compute + write))


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
