"""Classes of parcels against what the network says of each parcel on its own."""

import logging
import shutil
import struct
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio
import shapely
import torch
from numpy.typing import NDArray
from rasterio.features import geometry_mask

import sitsinfer
from sitsinfer.engine import Options
from sitsinfer.errors import OutputError, SeriesError, StoreError
from sitsinfer.grid import Window
from sitsinfer.series.parcels import open_parcels
from sitsinfer.sets.gather import Waiting
from sitsinfer.tasks import classify as task_module
from tests.classifier_model import BANDS, CARD, CLASSES, DAYS, network, write_classifier
from tests.conftest import write_raster
from tests.field_layer import CRS, at, box, fields, odd, write_layer

SHAPE = (37, 58)
ORIGIN = date(2022, 1, 10)
DATES = tuple(ORIGIN + timedelta(days) for days in (-45, -8, 15, 60, 61, 120, 190, 240))
"""The first is too early to be used, and the last too late."""
NEVER = (slice(20, 27), slice(30, 41))
PROBABILITIES = ["p_wheat", "p_ble_d_hiver", "p_maize"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series in which every pixel differs, with gaps; a classifier; a layer of fields, one of which is all odd."""
    folder = tmp_path_factory.mktemp("scene")
    for index, day in enumerate(DATES):
        rng = np.random.default_rng(index)
        values = rng.integers(300, 4000, (4, *SHAPE)).astype(np.uint16)
        values[:, rng.random(SHAPE) < 0.3] = 0
        values[:, *NEVER] = 0
        write_raster(folder / "s2" / f"S2_{day:%Y%m%d}.tif", values, BANDS)
    write_raster(folder / "s2" / f"S2_{DATES[1]:%Y%m%d}_MASK.tif", np.zeros((1, *SHAPE), np.uint8))
    write_classifier(folder / "model")
    write_layer(folder / "fields.gpkg", fields(SHAPE))
    write_layer(folder / "odd.gpkg", odd())
    return folder


@pytest.fixture
def classify(scene: Path, tmp_path: Path) -> Callable[..., geopandas.GeoDataFrame]:
    """Classify the fields, and read what came out: ``classify(layer="fields", tile_size=1000)``."""

    def call(layer: str = "fields", tile_size: int = 1000, workers: int | None = None, **options: Any) -> Any:
        out = tmp_path / "table.parquet"
        given: dict[str, Any] = {"model": str(scene / "model"), "id_column": "name", "device": "cpu", **options}
        spread = Options(tile_size=tile_size, workers=workers, overwrite=True)
        sitsinfer.classify(scene / "s2", scene / f"{layer}.gpkg", out, options=spread, **given)
        return geopandas.read_parquet(out)

    return call


def numbers(frame: geopandas.GeoDataFrame) -> NDArray[np.float32]:
    values: NDArray[np.float32] = frame[PROBABILITIES].to_numpy()
    return values


def series(scene: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Reflectance of the dates that are used, NaN where there is none, (T, C, H, W), and their days."""
    used = DATES[1:-1]
    values = np.stack([rasterio.open(scene / "s2" / f"S2_{day:%Y%m%d}.tif").read() for day in used]).astype(float)
    values[values == 0] = np.nan
    return values * 1e-4, np.array([(day - ORIGIN).days for day in used])


def geometric(mask: NDArray[np.bool_], shape: Any) -> tuple[float, ...]:
    rows, cols = np.nonzero(mask)
    pixels, around = len(rows), (np.ptp(rows) + 1) * (np.ptp(cols) + 1)
    return shape.length, pixels, pixels / around, shape.length / shape.area


def test_classes_are_those_that_the_network_gives_for_a_parcels_pixels(classify, scene: Path) -> None:
    frame = classify(pixels=1000)
    values, days = series(scene)
    transform = rasterio.open(scene / "s2" / f"S2_{DATES[1]:%Y%m%d}.tif").transform
    masks = [geometry_mask([shape], SHAPE, transform, invert=True) for shape in frame.geometry]
    assert frame.name.tolist() == [f"field {number}" for number in range(len(frame))]
    expected, features = {}, {}
    for index, (mask, shape) in enumerate(zip(masks, frame.geometry, strict=True)):
        features[index] = geometric(mask, shape)
        clear = np.isfinite(values[:, :, mask]).all(axis=1)
        assert frame.dates[index] == clear.any(axis=1).sum()
        assert frame.pixels[index] == clear.any(axis=0).sum()
        seen = values[:, :, mask][:, :, clear.any(axis=0)].transpose(2, 0, 1)  # (S, T, C)
        clear = clear[:, clear.any(axis=0)].T
        bands = [
            [np.interp(DAYS, days[c], one[c, band]) for band in range(4)] for one, c in zip(seen, clear, strict=True)
        ]
        expected[index] = np.array(bands)  # (S, C, D)
    table = np.array(list(features.values()))
    standard = (table - table.mean(axis=0)) / table.std(axis=0, ddof=1)
    module = network()
    for index, sets in expected.items():
        pixels = torch.tensor((sets.transpose(2, 1, 0) - 0.1) / 0.05, dtype=torch.float32)[None]
        extra = torch.tensor(standard[index], dtype=torch.float32).repeat(len(DAYS), 1)[None]
        with torch.inference_mode():
            scores = module(pixels, torch.ones(1, len(DAYS), len(sets)), extra)[0, :3]
        np.testing.assert_allclose(numbers(frame)[index], scores.softmax(0), rtol=1e-3, atol=2e-5)
    best = numbers(frame).argmax(axis=1)
    assert frame.class_code.tolist() == [CLASSES[at].code for at in best]
    assert len(set(best)) > 1
    np.testing.assert_array_equal(frame.confidence, numbers(frame).max(axis=1))


@pytest.mark.parametrize("tile_size", [23, 9])
def test_tiles_change_nothing_and_no_pixel_is_read_twice(classify, monkeypatch, tile_size: int) -> None:
    whole = classify()
    read, reads = task_module.read_stack, np.zeros(SHAPE, int)

    def counted(given: Any, window: Window, grid: Any) -> Any:
        reads[window.row : window.stop_row, window.col : window.stop_col] += 1
        return read(given, window, grid)

    monkeypatch.setattr(task_module, "read_stack", counted)
    tiled = classify(tile_size=tile_size)
    assert reads.max() == 1
    np.testing.assert_allclose(numbers(tiled), numbers(whole), rtol=0, atol=1e-6)
    for column in ("name", "class_code", "pixels", "dates", "geometry"):
        assert (tiled[column] == whole[column]).all(), column
    assert whole.pixels.max() == CARD.pixels  # larger ones were sampled


def test_neither_do_workers(classify) -> None:
    whole, spread = classify(), classify(tile_size=20, workers=2)
    np.testing.assert_allclose(numbers(spread), numbers(whole), rtol=0, atol=1e-6)
    assert (spread.class_code == whole.class_code).all()


def test_what_is_sampled_depends_on_the_identifier(classify, scene: Path) -> None:
    shapes = fields(SHAPE)
    write_layer(scene / "renamed.gpkg", dict(zip([f"lot {n}" for n in range(len(shapes))], shapes, strict=True)))
    write_layer(scene / "reversed.gpkg", {f"field {n}": shapes[n] for n in reversed(range(len(shapes)))})
    whole, renamed, turned = (classify(layer, pixels=45) for layer in ("fields", "renamed", "reversed"))
    everything = classify(pixels=1000)
    sampled = (np.abs(numbers(everything) - numbers(whole)) > 1e-6).any(axis=1)
    assert 3 < sampled.sum() < len(whole) - 3
    differs = (np.abs(numbers(renamed) - numbers(whole)) > 1e-6).any(axis=1)
    np.testing.assert_array_equal(differs, sampled)
    np.testing.assert_allclose(numbers(turned)[::-1], numbers(whole), rtol=0, atol=1e-6)


def test_odd_parcels_are_named_and_none_is_lost(classify, caplog: pytest.LogCaptureFixture) -> None:
    frame = classify("odd")
    assert frame.name.tolist() == list(odd())
    known = dict(zip(frame.name, frame.pixels > 0, strict=True))
    assert {name for name, there in known.items() if not there} == {
        *("sliver", "outside", "none", "empty", "point", "never seen")
    }
    unknown = frame[frame.pixels == 0]
    assert unknown[["class_code", "class_name", "confidence", *PROBABILITIES]].isna().all(axis=None)
    assert (unknown.dates == 0).all()
    assert frame[frame.pixels > 0].class_code.notna().all()
    for shape, (name, given) in zip(frame.geometry, odd().items(), strict=True):
        assert given is None if shape is None else given.equals_exact(shape), name
    (line,) = (record.getMessage() for record in caplog.records if record.__dict__.get("event") == "layer")
    for name in ("sliver", "outside", "none", "empty", "point", "crossed"):
        assert name in line, name
    with pytest.raises(SeriesError, match=r"odd\.gpkg has .*sliver.*Mend the layer, or leave strict out"):
        classify("odd", strict=True)


def test_other_parcels_of_the_layer_have_no_say_but_by_the_statistics_of_their_shapes(classify, scene: Path) -> None:
    fixed = write_classifier(scene / "fixed", geometry_mean=(300, 60, 0.7, 0.06), geometry_std=(90, 30, 0.2, 0.02))
    shapes = dict(zip([f"field {n}" for n in range(99)], fields(SHAPE), strict=False))
    few = {name: shapes[name] for name in list(shapes)[3:9]}
    write_layer(scene / "few.gpkg", few)
    everything, some = classify(model=str(fixed)), classify("few", model=str(fixed))
    chosen = everything[everything.name.isin(few)]
    np.testing.assert_allclose(numbers(some), numbers(chosen), rtol=0, atol=1e-6)
    assert (np.abs(numbers(classify("few")) - numbers(some)) > 1e-3).any()


def test_features_are_known_by_their_number_and_other_systems_of_coordinates_will_do(classify, scene: Path) -> None:
    write_layer(scene / "degrees.gpkg", fields(SHAPE), "EPSG:4326")
    frame, whole = classify("degrees", id_column=None), classify()
    assert frame.fid.tolist() == list(range(1, len(whole) + 1))
    assert frame.crs == "EPSG:4326"
    same_pixels = frame.pixels == whole.pixels
    assert same_pixels.mean() > 0.9


def test_memory_holds_no_piece_longer_than_it_must(classify, monkeypatch) -> None:
    add, most = Waiting.add, []

    def watched(self: Waiting, *arguments: Any) -> Any:
        yield from add(self, *arguments)
        most.append(len(self))

    monkeypatch.setattr(Waiting, "add", watched)
    monkeypatch.setattr("sitsinfer.api.classification_run.BATCH", 40)
    frame = classify(tile_size=10)
    along = len({round(x / 10 / 7) for x in frame.geometry.centroid.x})
    assert most[-1] == 0
    assert along <= max(most) <= 2.5 * along < len(frame)


# --- life of a run


def paths(scene: Path, tmp_path: Path, **options: Any) -> dict[str, Any]:
    given = {"model": str(scene / "model"), "id_column": "name", "device": "cpu", **options}
    return {"ts": scene / "s2", "parcels": scene / "fields.gpkg", "out": tmp_path / "out.gpkg", **given}


def stop(*arguments: object) -> None:
    raise OutputError("Enough.")


def test_a_run_goes_on_from_tiles_and_index(scene: Path, tmp_path: Path, monkeypatch, classify) -> None:
    given = paths(scene, tmp_path, options=Options(tile_size=20))
    with monkeypatch.context() as patched:
        patched.setattr("sitsinfer.api.classification.write_classified", stop)
        with pytest.raises(OutputError, match="Enough"):
            sitsinfer.classify(**given)
    store = tmp_path / "out.gpkg.partial"
    assert {path.name for path in (store / "scratch").iterdir()} == {"parcels.sqlite", "results.npy"}
    with pytest.raises(StoreError, match="differs in: pixels"):
        sitsinfer.classify(**{**given, "pixels": 9})
    (store / "tiles" / "r1_c1.json").unlink()
    reads = []
    read = task_module.read_stack
    monkeypatch.setattr(task_module, "read_stack", lambda *args: reads.append(args) or read(*args))
    monkeypatch.setattr("sitsinfer.sets.ParcelIndex.build", stop)
    summary = sitsinfer.classify(**given)
    assert (summary.tiles, summary.kept, len(reads)) == (6, 5, 1)
    assert not store.exists()
    frame = geopandas.read_file(tmp_path / "out.gpkg", layer="parcels")
    monkeypatch.undo()
    np.testing.assert_allclose(numbers(frame), numbers(classify()), rtol=0, atol=1e-6)


def test_a_changed_layer_is_classified_anew(scene: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layer = write_layer(tmp_path / "layer.gpkg", fields(SHAPE))
    given = {**paths(scene, tmp_path), "parcels": layer}
    assert not sitsinfer.classify(**given).unchanged
    assert sitsinfer.classify(**given).unchanged
    write_layer(layer, fields(SHAPE)[:7])
    caplog.set_level(logging.INFO)
    assert not sitsinfer.classify(**given).unchanged
    assert "out of date: inputs changed" in caplog.text
    assert len(geopandas.read_file(tmp_path / "out.gpkg", layer="parcels")) == 7
    for option in ({"pixels": 9}, {"start": DATES[3]}, {"reference_date": date(2022, 1, 1)}):
        with pytest.raises(OutputError, match="made by another run: it differs in"):
            sitsinfer.classify(**given, **option)


def test_a_lost_item_is_written_again(scene: Path, tmp_path: Path) -> None:
    given = paths(scene, tmp_path)
    sitsinfer.classify(**given)
    item = tmp_path / "out.json"
    content = item.read_text()
    assert '"sitsinfer:reference_date": "2022-01-10"' in content
    item.unlink()
    assert sitsinfer.classify(**given).unchanged
    assert item.exists()


def test_dates_that_leave_most_of_the_year_open_are_told(scene: Path, tmp_path: Path, caplog) -> None:
    sitsinfer.classify(**paths(scene, tmp_path, end=DATES[3]))
    assert f"Acquisitions from {DATES[1]} to {DATES[3]} are used, but the weights know 2022-01-10 to" in caplog.text


def test_a_layer_without_a_parcel_is_an_error(scene: Path, tmp_path: Path) -> None:
    given = paths(scene, tmp_path)
    empty = write_layer(tmp_path / "empty.gpkg", [box(0, 0, 1, 1)])
    frame = geopandas.read_file(empty)
    frame[:0].to_file(empty, layer="fields")
    with pytest.raises(SeriesError, match=r"empty\.gpkg holds no parcel"):
        sitsinfer.classify(**{**given, "parcels": empty})
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("shape", [box(900, 900, 8, 8), shapely.Point(at(9.5, 9.5)), box(21, 31, 5, 9)])
def test_a_layer_of_which_nothing_is_seen_has_no_classes(
    scene: Path, tmp_path: Path, shape: shapely.Geometry, caplog: pytest.LogCaptureFixture
) -> None:
    given = {**paths(scene, tmp_path), "parcels": write_layer(tmp_path / "unseen.gpkg", {"a": shape, "b": None})}
    with pytest.raises(SeriesError):
        sitsinfer.classify(**given, strict=True)
    assert not list(tmp_path.glob("out*"))
    sitsinfer.classify(**given)
    assert "0 of 2 parcels have a class." in [one.message for one in caplog.records if one.levelname == "WARNING"]
    frame = geopandas.read_file(tmp_path / "out.gpkg", layer="parcels")
    assert frame.name.tolist() == ["a", "b"]
    assert frame[["class_code", "class_name", "confidence", *PROBABILITIES]].isna().all(axis=None)
    assert sitsinfer.classify(**given).unchanged


def test_another_year_is_asked_for_and_never_comes_by_itself(scene: Path, tmp_path: Path, caplog) -> None:
    series = shutil.copytree(scene / "s2", tmp_path / "s2")
    given = {**paths(scene, tmp_path), "ts": series}
    caplog.set_level(logging.INFO)
    sitsinfer.classify(**given)
    assert f"Days are counted from 2022-01-10; acquisitions from {DATES[1]} to {DATES[-2]} are used." in caplog.messages
    for day in DATES[1:]:  # as many within the days of the model, a year later: the latest year counts
        shutil.copy(series / f"S2_{day:%Y%m%d}.tif", series / f"S2_{day.replace(year=day.year + 1):%Y%m%d}.tif")
    with pytest.raises(OutputError, match=r"another run: it differs in reference date\."):
        sitsinfer.classify(**given)
    assert sitsinfer.classify(**given, reference_date=ORIGIN).unchanged  # by the acquisitions of its own year


def test_a_series_without_masks_is_told(scene: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    series = shutil.copytree(scene / "s2", tmp_path / "s2")
    (mask,) = series.glob("*MASK*")
    mask.unlink()
    sitsinfer.classify(**{**paths(scene, tmp_path), "ts": series})
    assert "s2 has no masks: clouds count as observations." in caplog.text


def test_a_layer_that_changes_meanwhile_gives_no_classes(scene: Path, tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "layer.gpkg", fields(SHAPE))
    given = {**paths(scene, tmp_path), "parcels": layer}

    def change(done: int, total: int) -> None:
        if done == total:
            write_layer(layer, fields(SHAPE)[::-1])

    with pytest.raises(SeriesError, match=r"layer\.gpkg was changed since it was opened"):
        sitsinfer.classify(**given, options=Options(progress=change))
    assert not (tmp_path / "out.gpkg").exists()
    with pytest.raises(StoreError, match=r"differs in: inputs\. They changed since\. Set overwrite"):
        sitsinfer.classify(**given)
    sitsinfer.classify(**given, options=Options(overwrite=True))
    frame = geopandas.read_file(tmp_path / "out.gpkg", layer="parcels")
    assert [shape.equals(given) for shape, given in zip(frame.geometry, fields(SHAPE)[::-1], strict=True)]


def biting(path: Path) -> Path:
    """A layer with what GDAL reads and shapely does not: an open ring, a curve; between them fields and a junk WKB."""
    (first, second), corner = fields(SHAPE)[:2], at(30, 40)
    ring = np.array([at(5, 5), at(5, 15), at(15, 15), at(15, 5)])
    arc = [(corner[0] + 50 * x, corner[1] + 50 * y) for x, y in ((-1, 0), (0, 1), (1, 0), (0, -1), (-1, 0))]
    opened = struct.pack("<BIII", 1, 3, 1, 4) + ring.tobytes()
    curve = struct.pack("<BIIBII", 1, 10, 1, 1, 8, 5) + np.array(arc).tobytes()
    shapes = [shapely.to_wkb(first), opened, shapely.to_wkb(second), curve, None]
    table = pa.table({"name": list("abcde"), "geometry": pa.array(shapes, pa.binary())})
    options = {"geometry_name": "geometry", "geometry_type": "Unknown", "crs": CRS}
    pyogrio.write_arrow(table, path, layer="fields", driver="GPKG", **options)
    return path


@pytest.mark.parametrize("ending", ["gpkg", "parquet", "fgb"])
def test_open_rings_and_curves_are_written_in_any_format(scene: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    sitsinfer.classify(**{**paths(scene, tmp_path), "parcels": biting(tmp_path / "bite.gpkg"), "out": out})
    layer = open_parcels(out, "name")
    (batch,) = layer.batches()
    areas = [None if shape is None else round(shape.area / 100) for shape in layer.shapes(batch)]
    whole = [round(shape.area / 100) for shape in fields(SHAPE)[:2]]
    assert (batch.names(), areas) == (list("abcde"), [whole[0], 100, whole[1], 78, None])
    pixels = next(open_parcels(out, "pixels").batches()).identifiers.to_pylist()
    assert [count > 0 for count in pixels] == [True] * 4 + [False]


def test_junk_in_geoparquet_is_nothing(scene: Path, tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "junk.parquet", fields(SHAPE)[:3])
    table = pq.read_table(layer)
    spoilt = [b"junk", b"", table["geometry"][2].as_py()]
    pq.write_table(table.set_column(1, "geometry", pa.array(spoilt, pa.binary())), layer)
    out = tmp_path / "out.parquet"
    sitsinfer.classify(**{**paths(scene, tmp_path), "parcels": layer, "out": out})
    frame = geopandas.read_parquet(out)
    assert frame.geometry.isna().tolist() == [True, True, False]
    assert (frame.pixels > 0).tolist() == [False, False, True]
