from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray

from sitsinfer.area import Area
from sitsinfer.errors import GridError, SeriesError
from sitsinfer.fusion.naive import Naive
from sitsinfer.fusion.slices import Slice, slices
from sitsinfer.fusion.types import RATIO, Image, Observations, Plane, Reads
from sitsinfer.grid import Tiles, Window, whole
from sitsinfer.layers import Layer
from sitsinfer.series.pair import Pair, open_pair
from sitsinfer.tasks.fuse import NODATA, Fuse
from tests.conftest import CORNER, write_raster
from tests.pairs import HR_BANDS, HR_DATES, LR_BANDS, SHAPE, write_pair

IN_A_GAP = date(2022, 4, 11)
"""Day 100: GAPS leaves it out by default."""


@dataclass(frozen=True)
class Neighbours:
    """Mean of all dates over squares that reach as far as it reads: both sensors in every band of both."""

    beyond: Any = "zero"
    largest_core: int = 12
    published: bool = False

    name = "neighbours"
    strategy = None
    device = "cpu"
    writes = {"hr": ("B02", "B08"), "lr": ("B02", "LST")}  # noqa: RUF012

    @property
    def reads(self) -> Mapping[str, Reads]:
        return {"hr": Reads(("B02", "B08"), 2, self.beyond), "lr": Reads(("B02", "LST"), 1, self.beyond)}

    def fingerprint(self) -> object:
        return self.beyond

    def working_bytes(self, core: int, dates: Mapping[str, int], queries: int) -> int:
        return core * core

    def prepared(self, image: Image) -> Self:
        return self

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        assert not any(n % RATIO for n in (core.row, core.col, core.height, core.width))
        fine = _mean_around(inputs["hr"].values.mean(axis=0), 2)
        coarse = _mean_around(inputs["lr"].values.mean(axis=0), 1).repeat(RATIO, 1).repeat(RATIO, 2)
        assert fine.shape == coarse.shape == (2, *core.shape)
        for sensor, days in queries.items():
            for index, day in enumerate(days):
                yield Plane(sensor, index, (fine + coarse) / 2 + np.float32(day / 10_000))


@dataclass(frozen=True)
class Constant(Neighbours):
    """The same value everywhere."""

    value: float = 0

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        for sensor, days in queries.items():
            for index in range(len(days)):
                yield Plane(sensor, index, np.full((2, *core.shape), self.value, np.float32))


def _mean_around(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    side = 2 * reach + 1
    windows = np.lib.stride_tricks.sliding_window_view(values, (side, side), axis=(1, 2))
    return windows.mean(axis=(3, 4), dtype=np.float32)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    hr, lr = write_pair(tmp_path_factory.mktemp("pair"))
    return open_pair(None, hr, lr)


def fuse(pair: Pair, strategy: str = "ALL", **options: Any) -> Fuse:
    dates = {"hr": pair.hr.dates, "lr": pair.lr.dates} if pair.hr and pair.lr else {}
    pieces = options.pop("slices", None) or slices(strategy, dates)
    return Fuse(pair, options.pop("algorithm", Neighbours()), pieces, {"strategy": strategy}, **options)


def run(task: Fuse, size: int | None = None) -> dict[str, NDArray[np.int16]]:
    """All tiles of a task, put together."""
    task = task.prepared()
    tiles = Tiles(whole(task.grid).shape, size or task.largest_tile, task.tile_shift)
    found = {layer.name: np.full((layer.depth, *task.grid.shape), NODATA, np.int16) for layer in task.layers}
    for tile in tiles:
        result = task.compute(task.read(tile.core), tile.core, 1)
        for name, values in result.layers.items():
            rows, cols = tile.core.slices_in(whole(task.grid))
            found[name][:, rows, cols] = values
    return found


def test_layers_say_what_they_hold(pair: Pair) -> None:
    task = fuse(pair, algorithm=Naive.of({"hr": ("B02", "B08"), "lr": ("B02", "LST")}))
    hr, lr = task.layers
    assert hr == Layer("sentinel2", "int16", NODATA, ("B02", "B08"), (1e-4, 1e-4), ("", ""), HR_DATES)
    assert (lr.scales, lr.units) == ((1e-4, 0.1), ("", "K"))
    assert task.grid.shape == SHAPE


@pytest.mark.parametrize("compensated", [False, True])
@pytest.mark.parametrize("beyond", ["zero", "repeat"])
def test_tiles_leave_no_trace(pair: Pair, beyond: str, compensated: bool) -> None:
    task = fuse(pair, algorithm=Neighbours(beyond), residual_compensation=compensated)
    expected = run(task, 200)
    for size in (7, 12, 20, 33):
        for name, values in run(task, size).items():
            np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("compensated", [False, True])
@pytest.mark.parametrize("subtile", [pytest.param(3, marks=pytest.mark.slow), 15, 60])
def test_subtiles_change_at_most_the_last_digit(pair: Pair, subtile: int, compensated: bool) -> None:
    expected = run(fuse(pair, residual_compensation=compensated))
    found = run(fuse(pair, subtile=subtile, residual_compensation=compensated))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1)


def test_an_area_is_a_part_of_the_whole(pair: Pair) -> None:
    left, bottom, right, top = fuse(pair).grid.boundingbox.bbox
    part = fuse(pair, area=Area((left + 70, bottom + 50, right - 20, top - 110)))
    assert part.grid.shape == (39 - 16, 48 - 9)
    expected, found = run(fuse(pair)), run(part, 11)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name][:, 11:-5, 7:-2])


def test_what_was_never_seen_clear_is_nodata(pair: Pair) -> None:
    found = run(fuse(pair))
    assert (found["sentinel2"][:, -2:, -2:] == NODATA).all()
    assert (found["sentinel2"][:, :30, :30] != NODATA).all()


def test_bands_are_chosen_of_either_sensor(pair: Pair) -> None:
    task = fuse(pair, bands=("LST", "B08"))
    assert [layer.bands for layer in task.layers] == [("B08",), ("LST",)]
    expected, found = run(fuse(pair)), run(task)
    np.testing.assert_array_equal(found["sentinel2"], expected["sentinel2"][1::2])
    np.testing.assert_array_equal(found["landsat"], expected["landsat"][1::2])
    with pytest.raises(
        SeriesError, match="neighbours predicts no band 'B99' of these series. Choose of B02, B08, LST."
    ):
        fuse(pair, bands=("B99",))


def test_compensated_predictions_agree_better_with_what_landsat_saw(pair: Pair) -> None:
    plain, compensated = (run(fuse(pair, residual_compensation=on))["landsat"] for on in (False, True))
    task = fuse(pair)
    day = task.targets["lr"][1]
    view = task.observed("lr", day)
    assert view is not None
    seen = view.read(Window(0, 0, 13, 16)).observations(Window(0, 0, 13, 16), [day], day)
    errors = [
        np.abs(values[2].reshape(13, 3, 16, 3).mean(axis=(1, 3)) / 10_000 - seen.values[0, 0])[seen.clear[0]].mean()
        for values in (plain, compensated)
    ]
    assert errors[1] < 0.9 * errors[0]
    np.testing.assert_array_equal(
        run(fuse(pair))["sentinel2"], run(fuse(pair, residual_compensation=True))["sentinel2"]
    )


def test_compensation_does_not_look_beyond_the_footprint(tmp_path: Path) -> None:
    """Landsat is smaller than Sentinel-2, half a fine pixel off, and both see the same everywhere."""
    for name, size, shape, start in (("s2", 1, (36, 42), (0, 0)), ("l8", 3, (9, 10), (1.5, 1.5))):
        at = Affine(10 * size, 0, CORNER[0] + 10 * start[1], 0, -10 * size, CORNER[1] - 10 * start[0])
        for day in HR_DATES[:2]:
            values = np.full((1, *shape), 3000, np.int16)
            write_raster(
                tmp_path / name / f"{name.upper()}_{day:%Y%m%d}.tif", values, ("B02",), transform=at, nodata=NODATA
            )
    small = open_pair(None, tmp_path / "s2", tmp_path / "l8")
    found = run(fuse(small, algorithm=Plain(), residual_compensation=True))["landsat"]
    np.testing.assert_allclose(found, 3000, atol=1)


@dataclass(frozen=True)
class Plain(Neighbours):
    """Predicts 0.3 everywhere, and sees zeros beyond the footprint."""

    writes = {"lr": ("B02",)}  # noqa: RUF012

    @property
    def reads(self) -> Mapping[str, Reads]:
        return {"hr": Reads(("B02",), 2), "lr": Reads(("B02",), 1)}

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        for index in range(len(queries["lr"])):
            yield Plane("lr", index, np.full((1, *core.shape), 0.3, np.float32))


def test_published_subtiles_lie_from_the_first_pixel_asked_for(pair: Pair) -> None:
    left, bottom, right, top = fuse(pair).grid.boundingbox.bbox
    task = fuse(pair, area=Area((left + 60, bottom, right, top - 90)), published_tiling=True, subtile=15)
    windows = list(task._subtiles(Window(0, 0, 20, 20)))
    assert windows == [Window(row, col, 15, 15) for row in (9, 24) for col in (6, 21)]
    for size in (7, 15, 30):
        for name, values in run(task, size).items():
            np.testing.assert_array_equal(values, run(task)[name])


def test_subtiles_hold_whole_coarse_pixels(pair: Pair) -> None:
    with pytest.raises(
        GridError, match="sub-tile of 10 pixels does not hold whole coarse pixels. Choose a multiple of 3"
    ):
        fuse(pair, subtile=10)


def test_each_year_is_predicted_from_itself(tmp_path: Path) -> None:
    dates = tuple(replace_year(day, year) for year in (2021, 2022) for day in HR_DATES)
    hr, lr = write_pair(tmp_path, hr_dates=dates, lr_dates=dates[:7])
    both = open_pair(None, hr, lr)
    assert both.hr is not None
    assert both.lr is not None
    found = slices("ALL", {"hr": both.hr.dates, "lr": both.lr.dates})
    assert [piece.origin.year for piece in found] == [2021, 2022]
    together, alone = run(fuse(both, slices=found)), [run(fuse(both, slices=(piece,))) for piece in found]
    np.testing.assert_array_equal(together["sentinel2"], np.concatenate([part["sentinel2"] for part in alone]))


def replace_year(day: Any, year: int) -> Any:
    return day.replace(year=year)


def test_the_fingerprint_tells_what_was_asked(pair: Pair) -> None:
    task = fuse(pair)
    for other in (
        replace(task, residual_compensation=True),
        replace(task, bands=("B02",)),
        replace(task, algorithm=Neighbours("repeat")),
        replace(task, request={"strategy": "L3A"}),
        replace(task, published_tiling=True),
        replace(task, subtile=12),
    ):
        assert other.fingerprint() != task.fingerprint()


def test_an_acquisition_that_only_comes_out_is_an_input_too(pair: Pair) -> None:
    assert pair.hr
    assert pair.lr
    known = {"hr": pair.hr.dates, "lr": pair.lr.dates}
    grown = {**known, "lr": tuple(sorted((*pair.lr.dates, IN_A_GAP)))}
    task, later = (fuse(pair, slices=slices("GAPS", dates)) for dates in (known, grown))
    assert later.views.keys() == task.views.keys()
    assert [view.series.dates for view in later.views.values()] == [view.series.dates for view in task.views.values()]
    assert {part for part in task.fingerprint() if task.fingerprint()[part] != later.fingerprint()[part]} == {"inputs"}


@pytest.mark.parametrize("published", [False, True])
def test_memory_of_what_compensation_sees_is_planned(pair: Pair, published: bool) -> None:
    plain, compensated = (
        fuse(pair, subtile=12, published_tiling=published, residual_compensation=chosen) for chosen in (False, True)
    )
    core = Window(12, 12, 12, 12)
    for task in (plain, compensated):
        read = sum(look.stack.values.nbytes + look.stack.valid.nbytes for look in task.read(core).values())
        assert read <= task.tile_bytes(12)
    assert compensated.model_bytes(1) > plain.model_bytes(1)


@pytest.mark.parametrize(("value", "number"), [(-1.2, NODATA + 1), (-1.0, NODATA + 1), (0.25, 2500), (9.0, 32767)])
def test_what_is_predicted_is_never_taken_for_nodata(pair: Pair, value: float, number: int) -> None:
    for values in run(fuse(pair, algorithm=Constant(value=value))).values():
        assert set(np.unique(values)) == {number, NODATA}  # a corner was never seen


def test_missing_bands_are_named(tmp_path: Path) -> None:
    hr, lr = write_pair(tmp_path, hr_bands=HR_BANDS[:3], lr_bands=LR_BANDS)
    with pytest.raises(SeriesError, match="Band 'B08' is missing from all 5 acquisitions"):
        fuse(open_pair(None, hr, lr))


def test_a_slice_without_a_sensor_is_predicted_without_it(pair: Pair) -> None:
    assert (
        isinstance(slices("NOLR", {"hr": pair.hr.dates, "lr": pair.lr.dates})[0], Slice) if pair.hr and pair.lr else 0
    )
    task = fuse(pair, "NOLR", algorithm=Naive.of({"hr": ("B02",), "lr": ("B02",)}))
    found = run(task)
    assert (found["landsat"] == NODATA).all()
    assert (found["sentinel2"] != NODATA).any()
