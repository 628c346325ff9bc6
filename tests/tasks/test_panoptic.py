import inspect
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sitsinfer.area import Area
from sitsinfer.detect import Sighting
from sitsinfer.errors import ModelError, OutputError
from sitsinfer.grid import Tiles, Window, whole, window_grid
from sitsinfer.layers import ClassInfo
from sitsinfer.models.paps import PaPs
from sitsinfer.parcels.types import Candidate, unpack
from sitsinfer.patches import Patch
from sitsinfer.tasks import patchwork
from sitsinfer.tasks.panoptic import SLACK, THRESHOLDS, Panoptic
from tests.fakes import CARD as FAKE
from tests.land import Land

CARD = replace(
    FAKE,
    task="panoptic",
    hyperparameters={"min_remain": 0.4},
    margin=4,
    classes=tuple(ClassInfo(code, f"class {code}", (code, 0, 0)) for code in (0, 7, 20)),
    ignore=(0,),
)


class Finder:
    """Finds a parcel of 5 x 3 pixels around every pixel whose values, and those of its patch, say so."""

    def __init__(self, border: int) -> None:
        self.border = border

    def detect(self, patches: Iterable[Patch]) -> Iterator[list[Sighting]]:
        for patch in patches:
            total = patch.values.astype(np.int64).sum(axis=(0, 1))
            whole_patch = Window(0, 0, *total.shape)
            own = whole_patch.expand(-self.border)
            found = []
            for row, col in zip(*np.nonzero(total % 37 == 0), strict=True):
                if Window(row, col, 1, 1).intersection(own).is_empty:
                    continue
                box = Window(int(row) - 2, int(col) - 1, 5, 3).intersection(whole_patch)
                mask = np.ones(box.shape, bool)
                found.append(Sighting(int(row), int(col), box, 7, float(total.sum() % 1009) / 1009, mask))
            yield found


@pytest.fixture
def land(monkeypatch: pytest.MonkeyPatch) -> Land:
    land = Land(37, 53)
    monkeypatch.setattr(patchwork, "read_stack", land.read)
    monkeypatch.setattr("sitsinfer.detect.get_detector", lambda *args, border, **options: Finder(border))
    return land


def make(land: Land, window: Window | None = None, **options: Any) -> Panoptic:
    bounds = window and tuple(window_grid(land.grid, window).boundingbox)
    return Panoptic(land.series(), CARD, Path("weights"), Area(bounds), **options)


def tiled(task: Panoptic, size: int, shift: tuple[int, int] | None = None) -> list[Candidate]:
    """What all tiles find."""
    found: list[Candidate] = []
    for tile in Tiles(whole(task.grid).shape, size, task.tile_shift if shift is None else shift):
        result = task.compute(task.read(tile.core), tile.core, 1)
        found.extend(unpack(result.found) if result.found else ())
    return sorted(found, key=lambda candidate: candidate.rank)


def told(candidates: list[Candidate], rows: int = 0, cols: int = 0) -> list[tuple[Any, ...]]:
    return [
        (c.row + rows, c.col + cols, c.patch.shift(rows, cols), c.box.shift(rows, cols), c.code, c.confidence)
        for c in candidates
    ]


def test_tiles_of_any_size_find_the_same_and_each_once(land: Land) -> None:
    task = make(land)
    expected = told(tiled(task, 1000))
    assert len(expected) > 30
    assert len(set(expected)) == len(expected)
    for size, shift in ((1, (0, 0)), (3, None), (8, (0, 0)), (17, (3, 9)), (30, None)):
        assert told(tiled(task, size, shift)) == expected


def test_a_centre_lies_in_the_core_of_its_patch_or_just_beside_it(land: Land) -> None:
    beside = 0
    for found in tiled(make(land), 1000):
        core = found.patch.expand(-CARD.margin)
        near = core.expand(SLACK)
        assert near.row <= found.row < near.stop_row
        assert near.col <= found.col < near.stop_col
        beside += not (core.row <= found.row < core.stop_row and core.col <= found.col < core.stop_col)
    assert beside


def test_masks_reach_over_the_margin_but_not_beyond_the_patch(land: Land) -> None:
    found = tiled(make(land), 1000)
    assert all(c.box.intersection(c.patch) == c.box for c in found)
    assert any(c.box.intersection(c.patch.expand(-CARD.margin)) != c.box for c in found)


def test_an_area_finds_what_reaches_into_it(land: Land) -> None:
    window = Window(9, 13, 17, 21)
    inside = tiled(make(land, window), 1000)
    everywhere = tiled(make(land), 1000)
    meeting = [c for c in everywhere if not c.box.intersection(window).is_empty]
    assert set(told(meeting)) <= set(told(inside, window.row, window.col)) <= set(told(everywhere))


def test_where_nothing_is_observed_nothing_is_found(land: Land) -> None:
    land.valid[:, :, 20:] = False
    task = make(land)
    core = Window(10, 45, 8, 8)
    result = task.compute(task.read(core), core, 1)
    assert (result.valid, result.layers, result.found) == (0, {}, b"")


def test_observed_pixels_are_told(land: Land) -> None:
    task, core = make(land), Window(3, 5, 12, 9)
    result = task.compute(task.read(core), core, 1)
    np.testing.assert_array_equal(result.layers["observed"][0], land.valid[:, 3:15, 5:14].any(axis=0))
    assert result.valid == land.valid[:, 3:15, 5:14].any(axis=0).sum()


@pytest.mark.parametrize("option", ["min_confidence", "mask_threshold", "min_remain"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_thresholds_out_of_range_are_refused(land: Land, option: str, value: float) -> None:
    with pytest.raises(ModelError, match=f"{option} is {value}. Expected 0 to 1"):
        make(land, **{option: value})


def test_other_options_out_of_range_are_refused(land: Land) -> None:
    with pytest.raises(OutputError, match=r"min_area is -1. Expected hectares, 0 or more"):
        make(land, min_area=-1)
    with pytest.raises(OutputError, match=r"simplify is 0. Expected a distance in units of the CRS"):
        make(land, simplify=0)
    with pytest.raises(ModelError, match=r"Class 3 cannot be void: weights fake predict 7, 20. Choose of these"):
        make(land, void=(7, 3))


OPTIONS = {
    "min_confidence": 0.3,
    "mask_threshold": 0.5,
    "min_remain": 0.5,
    "void": (7,),
    "min_area": 1.0,
    "simplify": 5.0,
    "margin": 5,
}


@pytest.mark.parametrize("option", OPTIONS)
def test_whatever_decides_parcels_is_in_the_fingerprint(land: Land, option: str) -> None:
    assert make(land, **{option: OPTIONS[option]}).fingerprint() != make(land).fingerprint()


def test_thresholds_are_the_cards_unless_given(land: Land) -> None:
    assert make(land).min_remain == 0.4
    assert make(land, min_remain=0.0).min_remain == 0.0
    assert make(land, min_remain=0.4).fingerprint() == make(land).fingerprint()


def test_thresholds_that_a_card_lacks_are_those_of_the_architecture(land: Land) -> None:
    parameters = inspect.signature(PaPs).parameters
    assert {name: parameters[name].default for name in THRESHOLDS} == THRESHOLDS
    assert make(land).mask_threshold == 0.4
