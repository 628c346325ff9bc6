import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate

from sitsinfer import weights
from sitsinfer.weights import folder as model_folders
from tests.cli.conftest import CLASSES, DATES, NEVER, SHAPE, Outcome, spoil_pixels, stats, write_date

Segment = Callable[..., Outcome]


def pixels(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as file:
        values: NDArray[Any] = file.read()
        return values


@pytest.fixture
def expected(segment: Segment, tmp_path: Path) -> dict[str, NDArray[Any]]:
    """Layers of the year, made at one go."""
    folder = tmp_path / "expected"
    folder.mkdir()
    files = {name: folder / f"{name}.tif" for name in ("map", "probabilities", "confidence")}
    outcome = segment(out=files["map"], probabilities=files["probabilities"], confidence=files["confidence"])
    assert outcome.code == 0, outcome.err
    return {name: pixels(path) for name, path in files.items()}


def test_the_map_says_what_a_user_needs(segment: Segment, tmp_path: Path) -> None:
    outcome = segment()
    assert outcome.code == 0
    assert outcome.err == []
    assert outcome.out[0] == f"Wrote {tmp_path / 'map.tif'}."
    assert [line.split()[0] for line in outcome.out[1:]] == [entry.name for entry in CLASSES]
    hectares = [float(line.split()[1]) for line in outcome.out[1:]]
    with rasterio.open(tmp_path / "map.tif") as file:
        values = file.read(1)
        assert file.shape == SHAPE
        assert file.crs == "EPSG:32631"
        assert file.nodata == 255
        assert file.colormap(1)[4] == (0, 99, 0, 255)
        assert {file.tags(1)[f"CLASS_{entry.code}"] for entry in CLASSES} == {"Water", "Forêt", "Wheat"}
        assert file.tags()["MODEL"] == "tiny"
    assert set(np.unique(values)) == {1, 4, 9, 255}  # each class occurs, so that differences could be seen
    assert (values[NEVER] == 255).all()
    assert sum(hectares) == pytest.approx((values != 255).sum() / 100, abs=0.2)
    assert (tmp_path / "map.tif.aux.xml").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_products_are_valid_and_described(segment: Segment, tmp_path: Path) -> None:
    names = {name: tmp_path / f"{name}.tif" for name in ("probabilities", "confidence")}
    assert segment(**names, quicklook=tmp_path / "map.png").code == 0
    for path in (tmp_path / "map.tif", *names.values()):
        assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(names["probabilities"]) as file:
        assert file.descriptions == tuple(entry.name for entry in CLASSES)
        assert file.scales == (1 / 250,) * 3
        shares = file.read()
    assert (shares[:, *NEVER] == 255).all()
    seen = shares[0] != 255
    np.testing.assert_allclose(shares[:, seen].sum(axis=0), 250, atol=2)
    np.testing.assert_array_equal(pixels(names["confidence"])[0][seen], shares[:, seen].max(axis=0))
    item = pystac.Item.from_file(str(tmp_path / "map.json"))
    assert set(item.assets) == {"classes", "probabilities", "confidence"}
    assert all(Path(str(asset.get_absolute_href())).exists() for asset in item.assets.values())
    assert item.properties["sitsinfer:dates"] == [str(day) for day in DATES]
    assert item.properties["sitsinfer:model"] == "tiny"
    assert len(item.properties["sitsinfer:inputs"]) == len(DATES)
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


# --- invariance


@pytest.mark.parametrize(
    "options",
    [{"tile_size": 7}, {"tile_size": 12}, {"tile_size": 33}, {"memory": "900MiB"}, {"batch_size": 5}],
    ids=str,
)
def test_how_a_run_is_cut_changes_no_pixel(
    segment: Segment, expected: dict[str, NDArray[Any]], tmp_path: Path, options: dict[str, Any]
) -> None:
    assert segment(probabilities=tmp_path / "p.tif", **options).code == 0
    np.testing.assert_array_equal(pixels(tmp_path / "map.tif"), expected["map"])
    # A batch of another shape may move the last bit of a score, and with it a rounded probability by one step.
    difference = np.abs(pixels(tmp_path / "p.tif").astype(int) - expected["probabilities"])
    assert difference.max() <= (1 if "batch_size" in options else 0)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_how_many_work_changes_no_byte(
    segment: Segment, expected: dict[str, NDArray[Any]], tmp_path: Path, workers: int
) -> None:
    names = {name: tmp_path / f"{name}.tif" for name in ("probabilities", "confidence")}
    outcome = segment(**names, workers=workers, tile_size=24)
    assert (outcome.code, outcome.err) == (0, [])
    for name in expected:
        assert (tmp_path / f"{name}.tif").read_bytes() == (tmp_path / "expected" / f"{name}.tif").read_bytes()


@pytest.mark.parametrize(("row", "col", "height", "width"), [(1, 3, 20, 31), (13, 17, 27, 9), (44, 60, 1, 1)])
def test_an_area_holds_the_pixels_of_the_whole(
    segment: Segment, expected: dict[str, NDArray[Any]], tmp_path: Path, row: int, col: int, height: int, width: int
) -> None:
    with rasterio.open(tmp_path / "expected" / "map.tif") as file:
        left, top = file.transform @ (col, row)
        right, bottom = file.transform @ (col + width, row + height)
    outcome = segment("--bounds", left, bottom, right, top, probabilities=tmp_path / "p.tif", tile_size=11)
    assert outcome.code == 0, outcome.err
    for path, name in ((tmp_path / "map.tif", "map"), (tmp_path / "p.tif", "probabilities")):
        np.testing.assert_array_equal(pixels(path), expected[name][:, row : row + height, col : col + width])


def test_an_area_may_be_drawn_in_any_crs(segment: Segment, expected: dict[str, NDArray[Any]], tmp_path: Path) -> None:
    import geopandas
    from shapely.geometry import box

    with rasterio.open(tmp_path / "expected" / "map.tif") as file:
        left, top = file.transform @ (10.5, 5.5)
        right, bottom = file.transform @ (20.5, 30.5)
    shape = geopandas.GeoSeries([box(left, bottom, right, top)], crs="EPSG:32631")
    shape.to_crs("EPSG:4326").to_file(tmp_path / "field.geojson")
    assert segment(aoi=tmp_path / "field.geojson").code == 0
    with rasterio.open(tmp_path / "map.tif") as file:
        col, row = ~file.transform @ (left, top)
        assert 0 <= col < 1.5
        assert 0 <= row < 1.5
    inner = pixels(tmp_path / "map.tif")
    height, width = inner.shape[1:]
    assert 26 <= height <= 28
    assert 11 <= width <= 13
    start = 10 - int(col), 5 - int(row)
    np.testing.assert_array_equal(inner, expected["map"][:, start[1] : start[1] + height, start[0] : start[0] + width])


def test_the_order_of_files_changes_nothing(
    segment: Segment, expected: dict[str, NDArray[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in reversed(DATES):  # created last first, and named so that names sort last first
        write_date(tmp_path / "again", day, name=f"{9999 - day.timetuple().tm_yday}_{{:%Y-%m-%d}}_S2A.tif")
    scandir = os.scandir

    class Backwards:
        """A listing in the reverse of what the system tells."""

        def __init__(self, path: Any) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> "Backwards":
            return self

        def __exit__(self, *error: object) -> None: ...

        def __iter__(self) -> Any:
            return iter(self.entries)

    monkeypatch.setattr("sitsinfer.series.rasters.os.scandir", Backwards)
    outcome = segment(ts=tmp_path / "again", probabilities=tmp_path / "p.tif")
    assert outcome.code == 0, outcome.err
    np.testing.assert_array_equal(pixels(tmp_path / "map.tif"), expected["map"])
    np.testing.assert_array_equal(pixels(tmp_path / "p.tif"), expected["probabilities"])


# --- nothing to do


def test_a_finished_map_is_left_alone(segment: Segment, tmp_path: Path) -> None:
    outputs = {name: tmp_path / f"{name}.tif" for name in ("probabilities", "confidence")}
    outputs["quicklook"] = tmp_path / "map.png"
    segment(**outputs)
    before = stats(tmp_path)
    outcome = segment(**outputs)
    assert outcome == Outcome(0, [f"{tmp_path / 'map.tif'} is up to date."], [])
    assert stats(tmp_path) == before


def test_seeing_that_there_is_nothing_to_do_loads_neither_torch_nor_the_scheduler(
    segment: Segment, year: Path, tiny_model: Path, tmp_path: Path
) -> None:
    segment()
    before = stats(tmp_path)
    arguments = ["sitsinfer", "segment", "--ts", year, "--out", tmp_path / "map.tif", "--model", tiny_model]
    script = (
        "import resource, sys\n"
        f"sys.argv = {[str(word) for word in [*arguments, '--device', 'cpu']]}\n"
        "from sitsinfer.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n"
        "    loaded = {'torch', 'distributed', 'zarr', 'matplotlib', 'xarray'} & sys.modules.keys()\n"
        "    print(ended.code, sorted(loaded))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == [f"{tmp_path / 'map.tif'} is up to date.", "0 []"]
    assert stats(tmp_path) == before


def test_overwrite_makes_it_anew(segment: Segment, tmp_path: Path) -> None:
    segment(quicklook=tmp_path / "map.png")
    before, content = stats(tmp_path), (tmp_path / "map.tif").read_bytes()
    assert segment("--overwrite", quicklook=tmp_path / "map.png").code == 0
    after = stats(tmp_path)
    for name in ("map.tif", "map.json", "map.png"):
        assert after[tmp_path / name] != before[tmp_path / name]
    assert (tmp_path / "map.tif").read_bytes() == content


def test_a_new_acquisition_makes_a_new_map(segment: Segment, series: Path, tmp_path: Path) -> None:
    segment(ts=series)
    before = pixels(tmp_path / "map.tif")
    write_date(series, date(2022, 9, 5))
    outcome = segment(ts=series)
    assert outcome.code == 0
    assert outcome.err == [f"{tmp_path / 'map.tif'} is out of date: inputs changed. Making it anew."]
    assert outcome.out[0].startswith("Wrote")
    assert (pixels(tmp_path / "map.tif") != before).any()
    assert segment(ts=series).out[0].endswith("is up to date.")


def test_a_quicklook_of_a_finished_map_is_drawn_alone(segment: Segment, tmp_path: Path) -> None:
    segment()
    before = stats(tmp_path)
    outcome = segment(quicklook=tmp_path / "map.png")
    assert outcome.code == 0
    after = stats(tmp_path)
    assert after.pop(tmp_path / "map.png")[1] > 0
    del before[tmp_path], after[tmp_path]
    assert after == before


def test_a_lost_layer_is_made_again(segment: Segment, tmp_path: Path) -> None:
    segment(confidence=tmp_path / "c.tif")
    content = (tmp_path / "c.tif").read_bytes()
    (tmp_path / "c.tif").unlink()
    assert segment(confidence=tmp_path / "c.tif").out[0].startswith("Wrote")
    assert (tmp_path / "c.tif").read_bytes() == content


# --- what is said


def test_a_log_of_json_is_json_to_the_last_line(segment: Segment, series: Path, tmp_path: Path) -> None:
    (series / "notes.txt").write_text("no raster")
    outcome = segment("--log-json", ts=series, tile_size=24)
    events = [json.loads(line) for line in outcome.err]
    assert events[0]["event"] == "left out"
    assert events[-1]["event"] == "done"
    assert events[-1]["summary"]["tiles"] == [entry["event"] for entry in events].count("tile") > 1
    assert all({"time", "level", "message"} <= entry.keys() for entry in events)
    (entry,) = [json.loads(line) for line in segment("--log-json", ts=series).err if "unchanged" in line]
    assert entry["event"] == "unchanged"


def test_errors_are_json_as_well(segment: Segment, tmp_path: Path) -> None:
    outcome = segment("--log-json", ts=tmp_path / "nowhere")
    (entry,) = [json.loads(line) for line in outcome.err]
    assert outcome.code == 1
    assert (entry["level"], entry["event"]) == ("error", "error")
    assert "does not exist" in entry["message"]


@pytest.mark.parametrize("workers", [None, 2])
def test_retries_of_workers_are_json_as_well(
    segment: Segment, series: Path, monkeypatch: pytest.MonkeyPatch, workers: int | None
) -> None:
    monkeypatch.setattr("sitsinfer.engine.RETRY_DELAYS", (0.0, 0.0))  # processes keep to theirs
    spoil_pixels(series / f"S2_{DATES[2]:%Y%m%d}.tif")
    outcome = segment("--log-json", ts=series, workers=workers)
    events = [json.loads(line)["event"] for line in outcome.err]
    assert outcome.code == 3
    assert events.count("retry") == 2
    assert events[-2:] == ["tile failed", "error"]


def test_quiet_says_nothing(segment: Segment, series: Path, tmp_path: Path) -> None:
    (series / "notes.txt").write_text("no raster")
    assert segment("--quiet", ts=series) == Outcome(0, [], [])
    assert segment("--quiet", ts=series) == Outcome(0, [], [])
    (line,) = segment("--quiet", ts=tmp_path / "nowhere").err
    assert line.startswith("Error: ")


def test_without_a_model_the_demonstrator_is_used_and_said(
    segment: Segment, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model, tmp_path / "embedded" / weights.DEFAULT_MODEL)
    monkeypatch.setattr(model_folders, "_embedded", lambda: tmp_path / "embedded")
    outcome = segment(model=None)
    assert outcome.code == 0
    (line,) = outcome.err
    assert weights.DEFAULT_MODEL in line
    assert "demonstrator" in line
    assert segment("--quiet", "--overwrite", model=None) == Outcome(0, [], [])


def test_blended_scores_do_not_depend_on_the_tile(year: Path, tiny_model: Path) -> None:
    from sitsinfer.grid import Tiles, whole
    from sitsinfer.series import open_series
    from sitsinfer.tasks.segment import Segment as Task

    card, folder = weights.load_card(str(tiny_model))
    task = Task(open_series(year), card, folder, device="cpu")
    area = whole(task.grid)
    expected = task._blend(task.read(area), area, 1)
    assert expected.std() > 0.1
    for size, shift in ((9, (0, 0)), (20, (3, 7)), (31, task.tile_shift)):
        for tile in Tiles(area.shape, size, shift):
            scores = task._blend(task.read(tile.core), tile.core, 1)
            np.testing.assert_allclose(scores, expected[:, *tile.core.slices_in(area)], rtol=0, atol=1e-5)
