import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sitsinfer import api
from sitsinfer.engine import Options
from sitsinfer.errors import OutputError
from sitsinfer.store import Store
from tests.cli.conftest import Outcome, enlarge
from tests.cli.test_segment_resume import DEADLY
from tests.parcel_files import features

Panoptic = Callable[..., Outcome]

FILES = ("parcels.gpkg", "instances.tif", "classes.tif")
MADE = {*FILES, "parcels.json", "classes.tif.aux.xml"}


@pytest.fixture(scope="module")
def undisturbed(year: Path, parcel_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with parcels and rasters of a run that nothing disturbed. Not to be written to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    parcels, raster, classes = (folder / name for name in FILES)
    api.panoptic(year, parcels, model=str(parcel_model), raster=raster, classes=classes, device="cpu")
    return folder


@pytest.fixture
def words(year: Path, parcel_model: Path, tmp_path: Path) -> list[str]:
    """What a user types after ``sitsinfer``."""
    given = {"ts": year, "model": parcel_model, "device": "cpu", "tile-size": 24}
    given |= dict(zip(("out", "raster", "classes"), (tmp_path / name for name in FILES), strict=True))
    return ["panoptic", *(word for name, value in given.items() for word in (f"--{name}", str(value)))]


@pytest.fixture
def killed(words: list[str], tmp_path: Path) -> Callable[[str, str, int], set[str]]:
    """Run until the n-th call of a function kills: ``killed(module, name, n)``; returns the names of what is left."""

    def call(module: str, name: str, count: int) -> set[str]:
        arguments = [sys.executable, "-c", DEADLY, module, name, str(count), *words]
        done = subprocess.run(arguments, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        return {path.name for path in tmp_path.iterdir()}

    return call


def stop(*arguments: object, **options: object) -> None:
    raise OutputError("Enough.")


@pytest.mark.parametrize(
    ("module", "name", "count", "published"),
    [
        ("sitsinfer.store", "Store.mark", 4, set()),
        ("sitsinfer.products.vector", "_check", 1, {"instances.tif", "classes.tif"}),
        ("sitsinfer.products.stac", "_item", 1, set(FILES)),
    ],
)
def test_a_killed_run_is_finished_by_the_same_command(
    command: Callable[..., Outcome],
    killed: Callable[[str, str, int], set[str]],
    words: list[str],
    undisturbed: Path,
    tmp_path: Path,
    module: str,
    name: str,
    count: int,
    published: set[str],
) -> None:
    left = killed(module, name, count)
    assert left & set(FILES) == published
    assert "parcels.gpkg.partial" in left
    for file in published:
        assert (tmp_path / file).read_bytes() == (undisturbed / file).read_bytes()
    outcome = command(*words)
    assert outcome.code == 0, outcome.err
    assert outcome.out == [f"Wrote {tmp_path / 'parcels.gpkg'}."]
    for file in FILES:
        assert (tmp_path / file).read_bytes() == (undisturbed / file).read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == MADE


def test_what_is_painted_twice_is_painted_alike(
    panoptic: Panoptic, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels are painted in the store anew by each try, over those of the try before."""
    paint, painted = Store.paint, []

    def paint_and_stop(store: Store, name: str, *arguments: Any) -> None:
        paint(store, name, *arguments)
        painted.append(name)
        if painted.count("labels") == 2:
            stop()

    with monkeypatch.context() as patched:
        patched.setattr(Store, "paint", paint_and_stop)
        assert panoptic(tile_size=17).err == ["Error: Enough."]
    assert {path.name for path in tmp_path.iterdir()} == {"parcels.gpkg.partial"}
    assert panoptic(classes=tmp_path / "classes.tif").code == 0  # another product of the same run
    assert features(tmp_path / "parcels.gpkg") == features(undisturbed / "parcels.gpkg")
    assert (tmp_path / "classes.tif").read_bytes() == (undisturbed / "classes.tif").read_bytes()


def test_a_disk_that_is_full_when_parcels_are_written(
    panoptic: Panoptic, disk: Callable[[str], Path], undisturbed: Path, year: Path, parcel_model: Path
) -> None:
    folder = disk("4m")

    def fill(done: int, total: int) -> None:
        """Once the last tile is stored, leave no room for parcels."""
        if done == total:
            free = shutil.disk_usage(folder).free
            (folder / "ballast").write_bytes(bytes(free - 65536))

    options = Options(progress=fill)
    with pytest.raises(OutputError, match="the disk is full|No space left") as raised:
        api.panoptic(year, folder / "parcels.gpkg", model=str(parcel_model), device="cpu", options=options)
    assert "\n" not in str(raised.value)
    assert {path.name for path in folder.iterdir()} == {"ballast", "parcels.gpkg.partial"}
    (folder / "ballast").unlink()
    enlarge(folder)
    assert panoptic(out=folder / "parcels.gpkg").code == 0
    assert features(folder / "parcels.gpkg") == features(undisturbed / "parcels.gpkg")


def test_a_tile_whose_finds_were_cut_short_is_made_again(
    panoptic: Panoptic, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "parcels.gpkg.partial"
    with monkeypatch.context() as patched:
        patched.setattr("sitsinfer.api.parcel_run.settle", stop)
        assert panoptic(tile_size=24).err == ["Error: Enough."]
    path = max((store / "found").iterdir(), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes()[:100])
    others = {marker: marker.stat().st_mtime_ns for marker in (store / "tiles").iterdir() if marker.stem != path.name}
    with monkeypatch.context() as patched:
        patched.setattr("sitsinfer.api.parcel_run.settle", stop)
        outcome = panoptic()
    told = f"Tile {path.name} is damaged and made again: {path} holds 100 bytes, not the "
    assert [line for line in outcome.err if line.startswith(told)]
    assert {marker: marker.stat().st_mtime_ns for marker in others} == others
    outcome = panoptic()
    assert (outcome.code, [line for line in outcome.err if "damaged" in line]) == (0, [])
    assert (tmp_path / "parcels.gpkg").read_bytes() == (undisturbed / "parcels.gpkg").read_bytes()


def test_damage_within_what_tiles_found_is_told_and_mended_as_told(
    panoptic: Panoptic, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "parcels.gpkg.partial"
    with monkeypatch.context() as patched:
        patched.setattr("sitsinfer.api.parcel_run.settle", stop)
        assert panoptic(tile_size=24).err == ["Error: Enough."]
    path = max((store / "found").iterdir(), key=lambda path: path.stat().st_size)
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(half))
    outcome = panoptic()
    assert (outcome.code, outcome.out) == (1, [])
    (line,) = outcome.err
    assert line.startswith("Error: What a tile found cannot be read")
    assert line.endswith("Remove the folder of the unfinished run, which ends in '.partial', to start anew.")
    assert list(tmp_path.iterdir()) == [store]
    shutil.rmtree(store)
    assert panoptic().code == 0
    assert (tmp_path / "parcels.gpkg").read_bytes() == (undisturbed / "parcels.gpkg").read_bytes()
