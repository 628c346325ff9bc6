"""Fakes that tests share: a task without disk or weights, which asserts how the engine uses it, and a model's card."""

import dataclasses
import datetime
import os
import signal
import threading
import time
from pathlib import Path
from typing import Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from sitsinfer.errors import ReadError
from sitsinfer.grid import Grid, Window, whole
from sitsinfer.layers import ClassInfo, Layer
from sitsinfer.patches import Patch
from sitsinfer.tasks import TileResult
from sitsinfer.weights import Card, Member

CLASSES = (ClassInfo(0, "low", (20, 40, 60)), ClassInfo(1, "high", (200, 180, 20)))

TINY_UTAE = {
    "encoder_widths": [4, 4, 8],
    "decoder_widths": [4, 4, 8],
    "out_conv": [4, 3],
    "str_conv_k": 4,
    "str_conv_s": 2,
    "str_conv_p": 1,
    "agg_mode": "att_group",
    "encoder_norm": "group",
    "n_head": 4,
    "d_model": 16,
    "d_k": 4,
    "pad_value": 0,
    "padding_mode": "reflect",
}
"""Hyper-parameters of a U-TAE that computes at once, without the number of bands."""

CARD = Card(
    name="fake",
    title="",
    description="",
    architecture="utae",
    hyperparameters={},
    task="segment",
    sensor="sentinel-2",
    bands=("B04", "B08"),
    scale=1e-4,
    offset=0,
    positions="day-of-year",
    reference_date=datetime.date(2021, 9, 1),
    patch=16,
    margin=0,
    blend=0,
    fill="reflect",
    members=(Member("", (0, 0), (1, 1)),),
    classes=CLASSES,
    ignore=(),
    licence="",
    citation="",
    source="",
    digest="0" * 64,
)
"""A card of a model that is never loaded; :func:`dataclasses.replace` makes others of it."""

computing = threading.Semaphore(1)


def make_grid(height: int, width: int) -> Grid:
    return GeoBox((height, width), Affine(10, 0, 500040, 0, -10, 5400070), "EPSG:32631")


def truth(window: Window) -> NDArray[np.uint8]:
    rows, cols = np.mgrid[window.row : window.stop_row, window.col : window.stop_col]
    return ((rows * 7 + cols * 3) % 5 > 2).astype(np.uint8)[np.newaxis]


@dataclasses.dataclass(frozen=True)
class FakeTask:
    """Classes from pixel positions, with slow, failing, empty or deadly tiles on demand.

    Attributes:
        grid: The output grid.
        seconds: How long reading and computing take, in seconds.
        failing: Cores whose reading fails, as (row, col) of their first pixel.
        unprepared: Whether preparing fails too.
        mended: A file; once it exists nothing fails.
        empty: Whether no pixel is valid.
        kill_at: The core in whose computation the process is killed, once for each file it finds missing.
        counter: A folder in which each computed core leaves a file.
    """

    grid: Grid
    seconds: tuple[float, float] = (0, 0)
    failing: tuple[tuple[int, int], ...] = ()
    unprepared: bool = False
    mended: Path | None = None
    empty: bool = False
    kill_at: tuple[int, int] | None = None
    counter: Path | None = None
    options: str = "as ever"
    inputs: str = "these"
    layers: tuple[Layer, ...] = (Layer("classes", "uint8", 255, ("class",), classes=CLASSES),)
    tile_shift: tuple[int, int] = (0, 0)
    tile_step: int = 8
    largest_tile: int = 640
    device: str = "cpu"

    def fingerprint(self) -> dict[str, str]:
        return {"inputs": self.inputs, "options": self.options}

    def tile_bytes(self, size: int) -> int:
        return size * size

    def model_bytes(self, threads: int) -> int:
        return 0

    def prepared(self) -> Self:
        if self.unprepared and not self._is_mended:
            raise ReadError("Cannot read b.tif: broken")
        return self

    @property
    def _is_mended(self) -> bool:
        return self.mended is not None and self.mended.exists()

    def read(self, core: Window) -> NDArray[np.uint8]:
        assert core == core.intersection(whole(self.grid))
        time.sleep(self.seconds[0])
        if (core.row, core.col) in self.failing and not self._is_mended:
            raise ReadError(f"Cannot read a.tif at row {core.row}, col {core.col}: broken")
        return truth(core)

    def compute(self, inputs: NDArray[np.uint8], core: Window, threads: int) -> TileResult:
        assert computing.acquire(blocking=False), "two tiles compute at a time on one device"
        try:
            if (core.row, core.col) == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(self.seconds[1])
            if self.counter:
                (self.counter / f"{core.row}_{core.col}_{time.monotonic_ns()}").touch()
            return TileResult() if self.empty else TileResult({"classes": inputs}, int(np.prod(core.shape)))
        finally:
            computing.release()


def patch_of(
    value: float, days: tuple[int, ...] = (3, 8), dtype: type[np.generic] = np.uint16, nodata: float = 0
) -> Patch:
    values = np.full((len(days), 2, 8, 8), value, dtype)
    ones = np.ones(len(days), np.float32)
    return Patch(values, np.ones((len(days), 8, 8), bool), ones * np.float32(1e-4), ones * 0, np.array(days), nodata)
