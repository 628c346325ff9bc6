import pickle
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from shapely.affinity import translate

from sitsinfer import weights
from sitsinfer.errors import ModelError, SeriesError
from sitsinfer.grid import Tiles, Window, whole
from sitsinfer.plan import make_plan
from sitsinfer.series.parcels import open_parcels
from sitsinfer.sets.gather import unpack
from sitsinfer.tasks import classify
from sitsinfer.tasks.classify import Classify
from sitsinfer.weights import Member
from tests.classifier_model import HYPERPARAMETERS, write_classifier
from tests.field_layer import fields, write_layer
from tests.land import DATES, Land

CHANGES: dict[str, Any] = {
    "bands": ("B08", "B04"),
    "hyperparameters": {**HYPERPARAMETERS, "input_dim": 2, "mlp1": [2, 8, 8]},
    "members": (Member("", (0.5, 0.4), (0.3, 0.2)),),
    "reference_date": date(2017, 2, 20),
}
"""The series has dates of 2021-03-02, 2021-03-07 and 2021-08-30, and bands B04 and B08."""


@pytest.fixture
def land(monkeypatch: pytest.MonkeyPatch) -> Land:
    land = Land(37, 53)
    monkeypatch.setattr(classify, "read_stack", land.read)
    return land


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """Fields amid the left of the land, from row 10 on; beside them lies a model."""
    write_classifier(tmp_path / "model", **CHANGES)
    shapes = fields((21, 30))
    return write_layer(tmp_path / "fields.gpkg", [translate(one, -99_960, 199_970) for one in shapes])


def make(land: Land, layer: Path, **options: Any) -> Classify:
    card, folder = weights.load_parcel_card(str(layer.parent / "model"))
    return Classify(land.series(), card, folder, open_parcels(layer, "name"), layer.parent / "store", **options)


def test_bands_are_those_of_the_card_and_the_year_is_the_one_of_the_series(land: Land, layer: Path) -> None:
    task = make(land, layer)
    assert task.series.bands == ("B08", "B04")
    assert task.origin == date(2021, 2, 20)
    assert task.series.dates == DATES
    assert task.span == (date(2021, 2, 20), date(2021, 9, 8))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"reference_date": date(2021, 4, 6)}, DATES[1:]),  # the 30th day before
        ({"reference_date": date(2021, 1, 13)}, DATES),  # the 29th day after
        ({"reference_date": date(2021, 1, 11)}, DATES[:2]),
        ({"start": date(2021, 3, 5), "end": date(2021, 8, 1)}, DATES[1:2]),
    ],
)
def test_acquisitions_are_used_that_are_near_the_days_of_the_model(
    land: Land, layer: Path, options: dict[str, date], expected: tuple[date, ...]
) -> None:
    assert make(land, layer, **options).series.dates == expected


def test_a_series_of_another_year_is_told(land: Land, layer: Path) -> None:
    told = r"is near the days of tiny parcels, 2019-05-01 to .*: they are from 2021-03-02 to 2021-08-30. Set the ref"
    with pytest.raises(SeriesError, match=told):
        make(land, layer, reference_date=date(2019, 5, 1))


@pytest.mark.parametrize("pixels", [0, -3, 32_768])
def test_numbers_of_pixels_out_of_range_are_refused(land: Land, layer: Path, pixels: int) -> None:
    with pytest.raises(ModelError, match=f"pixels is {pixels}. Expected 1 to 32767"):
        make(land, layer, pixels=pixels)


def test_pixels_are_the_cards_unless_given(land: Land, layer: Path) -> None:
    assert make(land, layer).pixels == 16
    assert make(land, layer, pixels=16).fingerprint() == make(land, layer).fingerprint()


OPTIONS: dict[str, Any] = {
    "pixels": 9,
    "start": date(2021, 3, 4),
    "end": date(2021, 9, 4),
    "reference_date": date(2021, 2, 21),
    "device": "cpu",
    "precision": "fp32",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_whatever_decides_classes_is_in_the_fingerprint(land: Land, layer: Path, option: str) -> None:
    assert make(land, layer, **{option: OPTIONS[option]}).fingerprint() != make(land, layer).fingerprint()


def test_so_is_the_layer(land: Land, layer: Path) -> None:
    before = make(land, layer).fingerprint()
    write_layer(layer, fields((21, 30), seed=3))
    after = make(land, layer).fingerprint()
    assert {part for part in before if before[part] != after[part]} == {"inputs"}
    assert make(land, layer, strict=True).fingerprint() == after


def test_tiles_read_where_pixels_are_sampled_and_nothing_elsewhere(land: Land, layer: Path) -> None:
    task = make(land, layer, pixels=30).prepared()
    reads = np.zeros(task.grid.shape, int)
    empty = 0
    for tile in Tiles(whole(task.grid).shape, 8):
        land.reads.clear()
        samples, stack = task.read(tile.core)
        empty += stack is None
        for window in land.reads:
            assert window == samples.window == window.intersection(tile.core)
            reads[window.row : window.stop_row, window.col : window.stop_col] += 1
        result = task.compute((samples, stack), tile.core, 2)
        if stack is None:
            assert (result.valid, result.found) == (0, b"")
        else:
            done, pieces = unpack(result.found)
            assert result.valid == done.pixels.sum() + pieces.counts.sum() > 0
            facts = task.index.facts(pieces.parcels)
            assert (pieces.drawn < facts.samples).all()
    assert reads.max() == 1
    assert empty > 5
    assert not reads[:7].any()
    assert not reads[:, 33:].any()


def test_an_unseen_parcel_is_found_by_nobody(land: Land, layer: Path) -> None:
    land.valid[:] = False
    task = make(land, layer).prepared()
    core = Window(0, 0, 37, 53)
    result = task.compute(task.read(core), core, 1)
    assert (result.valid, result.layers, result.found) == (0, {}, b"")


def test_the_index_is_made_once_and_goes_along_to_workers(land: Land, layer: Path) -> None:
    task = make(land, layer).prepared()
    assert task.prepared().index.count == 8
    path = layer.parent / "store" / "scratch" / "parcels.sqlite"
    stamp = path.stat().st_mtime_ns
    task.prepared()
    assert path.stat().st_mtime_ns == stamp
    elsewhere = pickle.loads(pickle.dumps(task))
    core = Window(16, 0, 20, 30)
    np.testing.assert_array_equal(elsewhere.index.within(core).rows, task.index.within(core).rows)


def test_less_memory_makes_smaller_tiles(land: Land, layer: Path) -> None:
    land.grid = GeoBox((1500, 1300), land.grid.affine, land.grid.crs)
    task = make(land, layer)
    sizes = [make_plan(task, memory=memory << 20, tile_size=None, workers=None).tile_size for memory in (8000, 505)]
    assert sizes[0] == classify.LARGEST_TILE > sizes[1] > 0
    assert sizes[1] % classify.TILE_STEP == 0
