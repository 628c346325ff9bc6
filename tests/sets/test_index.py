import json
import os
import pickle
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from sitsinfer.errors import OutputError, SeriesError, StoreError
from sitsinfer.grid import Grid, Window, whole
from sitsinfer.series.parcels import ParcelLayer, open_parcels
from sitsinfer.sets import ParcelIndex, Samples, index

LEFT, TOP = 600_000, 5_200_000
GRID = GeoBox((300, 560), Affine(10, 0, LEFT, 0, -10, TOP), "EPSG:32631")


def box(row: float, col: float, height: float, width: float) -> Any:
    return shapely.box(LEFT + 10 * col, TOP - 10 * (row + height), LEFT + 10 * (col + width), TOP - 10 * row)


BOW = shapely.Polygon([(LEFT + 100, TOP), (LEFT + 300, TOP - 200), (LEFT + 300, TOP), (LEFT + 100, TOP - 200)])
ODD = {
    "whole": box(5, 5, 3, 4),
    "null": None,
    "empty": shapely.Polygon(),
    "point": shapely.Point(LEFT + 55, TOP - 55),
    "line": shapely.LineString([(LEFT, TOP), (LEFT + 500, TOP - 500)]),
    "outside": box(400, 5, 9, 9),
    "sliver": box(2, 3.1, 200, 0.3),
    "invalid": BOW,
    "half": box(-5, 100, 10, 10),
    "parts": shapely.MultiPolygon([box(20, 20, 2, 2), box(290, 500, 3, 3)]),
    "holed": box(40, 40, 9, 9).difference(box(42, 42, 5, 5)),
    "high": shapely.force_3d(box(60, 60, 4, 4), 123.0),
    "again": box(5, 5, 3, 4),
}


def land(count: int = 40) -> dict[str, Any]:
    """Parcels of all sizes, some of them over each other and over borders of blocks."""
    rng = np.random.default_rng(count)
    sides = np.column_stack([rng.uniform((0, 0), GRID.shape, (count, 2)), rng.uniform(1, 60, (count, 2))])
    return {f"FR {number}": box(*side) for number, side in enumerate(sides)}


@pytest.fixture
def layer(tmp_path: Path) -> Callable[..., ParcelLayer]:
    def make(shapes: dict[str, Any], crs: str = "EPSG:32631", names: list[Any] | None = None) -> ParcelLayer:
        path = tmp_path / "parcels.parquet"
        names = list(shapes) if names is None else names
        gpd.GeoDataFrame({"id": names}, geometry=list(shapes.values()), crs="EPSG:32631").to_crs(crs).to_parquet(path)
        return open_parcels(path, "id")

    return make


@pytest.fixture
def build(tmp_path: Path, layer: Callable[..., ParcelLayer]) -> Callable[..., ParcelIndex]:
    def make(shapes: dict[str, Any], pixels: int = 16, grid: Grid = GRID, **options: Any) -> ParcelIndex:
        return ParcelIndex.build(tmp_path / "index", layer(shapes, **options), grid, pixels)

    return make


def rows_of(samples: Samples) -> list[tuple[int, int, int, int]]:
    columns = (samples.parcels, samples.ranks, samples.rows, samples.cols)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_samples_are_pixels_of_their_parcel(build: Callable[..., ParcelIndex]) -> None:
    shapes = land()
    found = build(shapes).within(whole(GRID))
    for number, shape in enumerate(shapes.values()):
        mask = rasterize([shape], GRID.shape, transform=GRID.affine) == 1
        own = found.select(found.parcels == number)
        assert len(own) == min(16, mask.sum())
        assert mask[own.rows, own.cols].all()
        assert own.ranks.tolist() == list(range(len(own)))
        places = own.rows.astype(int) * GRID.shape.x + own.cols
        assert (np.diff(places) > 0).all()


def test_windows_find_what_lies_in_them(build: Callable[..., ParcelIndex]) -> None:
    parcels = build(land())
    everything = rows_of(parcels.within(whole(GRID)))
    for window in (Window(0, 0, 256, 256), Window(250, 250, 9, 300), Window(13, 500, 1, 1), Window(-9, -9, 99, 400)):
        inside = [
            one
            for one in everything
            if window.row <= one[2] < window.stop_row and window.col <= one[3] < window.stop_col
        ]
        assert rows_of(parcels.within(window)) == inside
    assert len(parcels.within(Window(300, 0, 50, 50))) == 0
    assert len(parcels.within(Window(5, 5, 0, 10))) == 0


def test_only_blocks_that_meet_a_window_are_read(
    build: Callable[..., ParcelIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    parcels = build(land())
    read: list[tuple[int, int]] = []
    unpacked = index._unpacked
    monkeypatch.setattr(
        index, "_unpacked", lambda row, col, *blobs: read.append((row, col)) or unpacked(row, col, *blobs)
    )
    parcels.within(Window(0, 0, 256, 256))
    parcels.within(Window(255, 255, 2, 2))
    assert sorted(read) == [(0, 0), (0, 0), (0, 1), (1, 0)]


def test_cores_share_no_sample_and_lose_none(build: Callable[..., ParcelIndex]) -> None:
    parcels = build(land())
    everything = parcels.within(whole(GRID))
    cores = [Window(row, col, 77, 130) for row in range(0, 300, 77) for col in range(0, 560, 130)]
    joined = Samples.join([parcels.within(core) for core in cores])
    assert rows_of(joined) == rows_of(everything)


def test_batches_and_flushes_leave_no_trace(build: Callable[..., ParcelIndex], monkeypatch: pytest.MonkeyPatch) -> None:
    parcels = build({**land(), **ODD})
    expected = rows_of(parcels.within(whole(GRID)))
    facts, statistics, troubles = parcels.facts(range(53)), parcels.geometry_statistics(), parcels.troubles()
    monkeypatch.setattr(index, "FLUSH", 50)
    batches = ParcelLayer.batches
    monkeypatch.setattr(ParcelLayer, "batches", lambda self: batches(self, 3))
    again = build({**land(), **ODD})
    assert rows_of(again.within(whole(GRID))) == expected
    assert again.troubles() == troubles
    np.testing.assert_array_equal(again.facts(range(53)).features, facts.features)
    np.testing.assert_array_equal(again.geometry_statistics(), statistics)


def test_a_sample_is_that_of_the_identifier_and_the_shape(build: Callable[..., ParcelIndex]) -> None:
    shape = box(33, 44, 12, 14)

    def sampled(number: int) -> list[tuple[int, ...]]:
        found = parcels.within(whole(GRID))
        return [one[1:] for one in rows_of(found.select(found.parcels == number))]

    parcels = build({"a": shape, "b": shape}, names=["a", "b"])
    first, other = sampled(0), sampled(1)
    assert first != other
    parcels = build({**land(7), "x": shape, "y": shape}, names=[*"cdefghi", "b", "a"])
    assert (sampled(8), sampled(7)) == (first, other)


def test_facts_come_in_the_order_asked_for(build: Callable[..., ParcelIndex]) -> None:
    parcels = build(ODD, pixels=5)
    facts = parcels.facts([10, 0, 1, 0])
    assert facts.pixels.tolist() == [56, 12, 0, 12]
    assert facts.samples.tolist() == [5, 5, 0, 5]
    np.testing.assert_allclose(facts.features[1], [140, 12, 1, 140 / 1200])
    np.testing.assert_allclose(facts.features[0], [560, 56, 56 / 81, 560 / 5600])
    assert np.isnan(facts.features[2]).all()
    empty = parcels.facts([])
    assert (empty.pixels.shape, empty.samples.shape, empty.features.shape) == ((0,), (0,), (0, 4))


def test_no_feature_is_lost_and_what_is_odd_is_named(build: Callable[..., ParcelIndex]) -> None:
    names: list[str | None] = [*ODD]
    names[3], names[10], names[12] = None, None, "whole"
    parcels = build(ODD, names=names)
    assert parcels.count == len(ODD)
    pixels = dict(zip(ODD, parcels.facts(range(len(ODD))).pixels.tolist(), strict=True))
    none = ("null", "empty", "point", "line", "outside", "sliver")
    assert [name for name, count in pixels.items() if not count] == list(none)
    assert (pixels["half"], pixels["parts"], pixels["holed"], pixels["high"], pixels["again"]) == (50, 13, 56, 16, 12)
    assert pixels["invalid"] == (rasterize([BOW], GRID.shape, transform=GRID.affine) == 1).sum()
    assert {trouble.what: (trouble.count, trouble.first) for trouble in parcels.troubles()} == {
        "no geometry that can be read, not classified": (2, ("null", "empty")),
        "a point, a line or without an area for other reasons, not classified": (2, ("number 3", "line")),
        "outside the data, not classified": (1, ("outside",)),
        "without the centre of a pixel, not classified": (1, ("sliver",)),
        "not valid, mended to find the pixels": (1, ("invalid",)),
        "without an identifier": (2, ("number 3", "number 10")),
        "with the identifier of a parcel before": (1, ("whole",)),
    }


def test_only_the_first_of_many_are_named(build: Callable[..., ParcelIndex]) -> None:
    parcels = build({str(number): box(900, number, 1, 1) for number in range(9)})
    assert [str(trouble) for trouble in parcels.troubles()] == [
        "9 parcels: outside the data, not classified (0, 1, 2, 3, 4 and 4 more)"
    ]


def test_a_layer_of_sound_parcels_has_no_trouble(build: Callable[..., ParcelIndex]) -> None:
    assert build(land()).troubles() == ()


def test_parcels_of_another_crs_have_the_same_samples(build: Callable[..., ParcelIndex]) -> None:
    near = rows_of(build(land()).within(whole(GRID)))
    assert rows_of(build(land(), crs="EPSG:4326").within(whole(GRID))) == near


def test_statistics_are_those_of_all_parcels_with_pixels(build: Callable[..., ParcelIndex]) -> None:
    parcels = build({**land(), **ODD})
    facts = parcels.facts(range(parcels.count))
    features = facts.features[facts.pixels > 0]
    mean, std = parcels.geometry_statistics()
    np.testing.assert_allclose(mean, features.mean(axis=0))
    np.testing.assert_allclose(std, features.std(axis=0, ddof=1))


def test_statistics_can_be_divided_by(build: Callable[..., ParcelIndex]) -> None:
    for shapes in ({"a": box(3, 3, 4, 5)}, {"a": box(3, 3, 4, 5), "b": box(9, 9, 4, 5)}):
        mean, std = build(shapes).geometry_statistics()
        np.testing.assert_allclose(mean, [180, 20, 1, 0.09])
        assert std.tolist() == [1, 1, 1, 1]
    lefts = [LEFT + 10.77 + 70.3 * number for number in range(7)]
    cells = build({str(left): shapely.box(left, TOP - 300.7, left + 60.1, TOP - 240.6) for left in lefts})
    assert cells.geometry_statistics()[1].tolist() == [1, 1, 1, 1]  # though their mean is rounded
    mean, std = build({"a": None}).geometry_statistics()
    assert (mean.tolist(), std.tolist()) == ([0] * 4, [1] * 4)


def test_an_index_can_be_asked_from_anywhere(build: Callable[..., ParcelIndex]) -> None:
    parcels = pickle.loads(pickle.dumps(build(land())))
    expected = rows_of(parcels.within(whole(GRID)))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: rows_of(parcels.within(whole(GRID))), range(8)))
    assert found == [expected] * 8
    opened = ParcelIndex(parcels.path)
    assert (opened.count, opened.pixels) == (40, 16)


def test_a_layer_without_features_makes_an_index(build: Callable[..., ParcelIndex]) -> None:
    parcels = build({})
    assert parcels.count == 0
    assert len(parcels.within(whole(GRID))) == 0


def test_so_many_pixels_cannot_be_sampled(build: Callable[..., ParcelIndex]) -> None:
    for pixels in (0, 40_000):
        with pytest.raises(SeriesError, match=f"pixels is {pixels}. Expected 1 to 32767 pixels to sample"):
            build(land(), pixels=pixels)


def test_an_index_appears_whole_or_not_at_all(
    layer: Callable[..., ParcelLayer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcels = layer(land())
    path = tmp_path / "index"

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(index, "_statistics", stop)
        with pytest.raises(KeyboardInterrupt):
            ParcelIndex.build(path, parcels, GRID, 4)
    with monkeypatch.context() as patched:
        touched = index.sample
        patched.setattr(index, "sample", lambda *given: os.utime(parcels.path, ns=(0, 0)) or touched(*given))
        with pytest.raises(SeriesError, match="parquet was changed since it was opened"):
            ParcelIndex.build(path, parcels, GRID, 4)
    parcels.path.write_bytes(parcels.path.read_bytes()[:200])
    with pytest.raises(SeriesError, match="parquet was changed since it was opened"):
        ParcelIndex.build(path, parcels, GRID, 4)
    assert {entry.name for entry in tmp_path.iterdir()} == {"parcels.parquet"}


def test_where_nothing_can_be_written_is_told(layer: Callable[..., ParcelLayer], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Cannot write \S+none/index: unable to open database file"):
        ParcelIndex.build(tmp_path / "none" / "index", layer(land()), GRID, 4)


def test_a_damaged_index_is_told(build: Callable[..., ParcelIndex], tmp_path: Path) -> None:
    parcels = build(land())
    with closing(sqlite3.connect(parcels.path)) as file, file:
        about = json.loads(file.execute("SELECT content FROM about").fetchone()[0])
        file.execute("UPDATE about SET content = ?", (json.dumps({**about, "format": 0}),))
    with pytest.raises(StoreError, match="index is of format 0, expected 1. Remove it to start anew."):
        ParcelIndex(parcels.path)
    for content in (b"", b"Hello" * 1000):
        parcels.path.write_bytes(content)
        with pytest.raises(StoreError, match="index cannot be read: .* Remove its folder, and start anew."):
            ParcelIndex(parcels.path)
    parcels.path.unlink()
    with pytest.raises(StoreError, match="index cannot be read: unable to open database file."):
        parcels.within(whole(GRID))
    assert not parcels.path.exists()
