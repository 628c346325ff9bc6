import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import geopandas
import pandas
import pystac
import pytest

from sitsinfer import api, weights
from sitsinfer.store import Store
from sitsinfer.weights import folder as model_folders
from tests.classifier_model import CLASSES
from tests.cli.conftest import DATES, SHAPE, Outcome, masked, stats, write_date
from tests.cli.test_segment_resume import DEADLY
from tests.field_layer import fields, odd, write_layer

Classify = Callable[..., Outcome]

COUNT = len(fields(SHAPE))
DAYS = f"Days are counted from 2022-01-10; acquisitions from {DATES[0]} to {DATES[-1]} are used."
TOLD = f"{COUNT} of {COUNT} parcels have a class."


@pytest.fixture(scope="module")
def year(year: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The year with a mask, of which nothing is to be told. Not to be written to."""
    return masked(year, tmp_path_factory.mktemp("masked") / "s2")


@pytest.fixture(scope="module")
def whole(year: Path, classifier: Path, layer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the classes of a run that nothing disturbed. Not to be written to."""
    folder = tmp_path_factory.mktemp("whole")
    options = {"model": str(classifier), "id_column": "name", "device": "cpu"}
    api.classify(year, layer, folder / "classes.gpkg", **options)
    return folder


@pytest.fixture
def finished(whole: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be gone on with."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def read(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_file(path, layer="parcels")


def test_a_table_says_what_a_user_needs(classify: Classify, tmp_path: Path) -> None:
    assert classify() == Outcome(0, [f"Wrote {tmp_path / 'classes.gpkg'}."], [DAYS, TOLD])
    assert {path.name for path in tmp_path.iterdir()} == {"classes.gpkg", "classes.json"}
    frame = read(tmp_path / "classes.gpkg")
    assert list(frame.columns) == [
        *("name", "class_code", "class_name", "confidence", "p_wheat", "p_ble_d_hiver", "p_maize"),
        *("pixels", "dates", "geometry"),
    ]
    assert frame.name.tolist() == [f"field {number}" for number in range(COUNT)]
    names = {entry.code: entry.name for entry in CLASSES[:3]}
    assert frame.class_name.tolist() == [names[code] for code in frame.class_code]
    assert frame.pixels.between(1, 16).all()
    assert frame.dates.between(1, len(DATES)).all()
    item = pystac.Item.from_file(str(tmp_path / "classes.json"))
    assert item.assets.keys() == {"parcels"}
    assert item.assets["parcels"].extra_fields["table:row_count"] == COUNT
    assert item.properties["sitsinfer:model"] == "tiny parcels"
    assert item.properties["sitsinfer:id_column"] == "name"
    assert item.properties["sitsinfer:pixels"] == 16
    assert {"wall", "read", "compute", "join", "publish"} <= item.properties["sitsinfer:seconds"].keys()


def test_a_log_of_json_counts_parcels_and_names_odd_ones(classify: Classify, tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "odd.gpkg", odd())
    outcome = classify("--log-json", parcels=layer)
    events = {entry["event"]: entry for entry in map(json.loads, outcome.err)}
    assert (events["parcels"]["count"], events["parcels"]["classified"]) == (len(odd()), 5)
    assert events["parcels"]["seconds"].keys() == {"join", "publish"}
    assert sum(events["layer"]["parcels"].values()) > 5
    assert list(events)[-1] == "done"


def test_finished_classes_are_left_alone(classify: Classify, finished: Path) -> None:
    before = stats(finished)
    assert classify() == Outcome(0, [f"{finished / 'classes.gpkg'} is up to date."], [])
    assert stats(finished) == before


def test_seeing_that_there_is_nothing_to_do_loads_neither_torch_nor_the_scheduler(
    finished: Path, year: Path, classifier: Path, layer: Path
) -> None:
    before = stats(finished)
    given = {"ts": year, "parcels": layer, "out": finished / "classes.gpkg", "model": classifier}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    words = ["sitsinfer", "classify", *words, "--id-column", "name", "--device", "cpu"]
    script = (
        "import sys\n"
        f"sys.argv = {words}\n"
        "from sitsinfer.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n"
        "    loaded = {'torch', 'distributed', 'zarr', 'matplotlib', 'xarray'} & sys.modules.keys()\n"
        "    print(ended.code, sorted(loaded))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{finished / 'classes.gpkg'} is up to date.", "0 []"]
    assert stats(finished) == before


def test_a_new_acquisition_makes_new_classes(classify: Classify, finished: Path, series: Path) -> None:
    before = read(finished / "classes.gpkg")
    assert classify(ts=series).out[0].endswith("is up to date.")
    write_date(series, date(2022, 5, 5))
    outcome = classify(ts=series)
    assert outcome.err == [f"{finished / 'classes.gpkg'} is out of date: inputs changed. Making it anew.", DAYS, TOLD]
    after = read(finished / "classes.gpkg")
    assert after.dates.max() == before.dates.max() + 1
    assert (after.confidence != before.confidence).any()


@pytest.mark.parametrize(
    ("module", "name", "count"),
    [
        ("sitsinfer.store", "Store.mark", 4),
        ("sitsinfer.api.classification_run", "join", 1),
        ("sitsinfer.products.stac", "_item", 1),
    ],
)
def test_a_killed_run_is_finished_by_the_same_command(
    classify: Classify,
    whole: Path,
    year: Path,
    classifier: Path,
    layer: Path,
    tmp_path: Path,
    module: str,
    name: str,
    count: int,
) -> None:
    given = {"ts": year, "parcels": layer, "out": tmp_path / "classes.gpkg", "model": classifier, "device": "cpu"}
    given |= {"id-column": "name", "tile-size": 20}
    words = [word for option, value in given.items() for word in (f"--{option}", str(value))]
    arguments = [sys.executable, "-c", DEADLY, module, name, str(count), "classify", *words]
    done = subprocess.run(arguments, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert (tmp_path / "classes.gpkg.partial" / "run.json").exists()
    marked = len(list((tmp_path / "classes.gpkg.partial" / "tiles").iterdir()))
    assert marked == (3 if name == "Store.mark" else 12)
    assert classify().out == [f"Wrote {tmp_path / 'classes.gpkg'}."]
    assert {path.name for path in tmp_path.iterdir()} == {"classes.gpkg", "classes.json"}
    found, expected = read(tmp_path / "classes.gpkg"), read(whole / "classes.gpkg")
    pandas.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-6)


def test_damage_to_what_a_tile_kept_is_told_and_mended_as_told(
    classify: Classify, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("sitsinfer.api.classification.results", stop)
        with pytest.raises(KeyError, match="a bug"):
            classify(tile_size=20)
    store = tmp_path / "classes.gpkg.partial"
    path = max((store / "found").iterdir(), key=lambda path: path.stat().st_size)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    (line,) = classify().err
    assert line.startswith("Error: What a tile found cannot be read")
    shutil.rmtree(store)
    assert classify().code == 0
    assert Store.is_begun(store) is False


def test_without_a_model_the_demonstrator_is_used_and_said(
    classify: Classify, tmp_path: Path, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(classifier, tmp_path / "embedded" / weights.DEFAULT_PARCEL_MODEL)
    monkeypatch.setattr(model_folders, "_embedded", lambda: tmp_path / "embedded")
    outcome = classify(model=None)
    assert outcome.code == 0
    assert weights.DEFAULT_PARCEL_MODEL in outcome.err[0]
    assert classify("--quiet", model=None) == Outcome(0, [], [])
