"""What tests of the command line share: a tiny model, a tiny year of images, and the command as a user calls it."""

import datetime
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from sitsinfer import cli, models, weights
from sitsinfer.layers import ClassInfo
from sitsinfer.weights import Card, Member
from tests.classifier_model import write_classifier
from tests.conftest import write_raster
from tests.fakes import TINY_UTAE
from tests.field_layer import fields, write_layer
from tests.pairs import write_pair
from tests.parcel_model import write_parcel_model
from tests.weights.published import write_tamrf

BANDS = ("B02", "B03", "B04", "B08")
DATES = tuple(datetime.date(2022, 1, 8) + datetime.timedelta(days) for days in (0, 23, 71, 96, 170, 203))
SHAPE = (45, 61)
NEVER = (slice(20, 27), slice(30, 41))
"""Pixels that no acquisition observed."""
CLASSES = (ClassInfo(1, "Water", (0, 0, 255)), ClassInfo(4, "Forêt", (0, 99, 0)), ClassInfo(9, "Wheat", (230, 200, 60)))
HYPERPARAMETERS = {"input_dim": len(BANDS), **TINY_UTAE, "out_conv": [4, len(CLASSES)]}
CARD = Card(
    name="tiny",
    title="A tiny U-TAE",
    description="For tests.",
    architecture="utae",
    hyperparameters=HYPERPARAMETERS,
    task="segment",
    sensor="sentinel-2",
    bands=BANDS,
    scale=1e-4,
    offset=0.0,
    positions="day-of-year",
    reference_date=datetime.date(2022, 1, 1),
    patch=16,
    margin=2,
    blend=2,
    fill="reflect",
    members=(Member("", (0.2,) * len(BANDS), (0.1,) * len(BANDS)),),
    classes=CLASSES,
    ignore=(),
    licence="CC0-1.0",
    citation="",
    source="",
    digest="0" * 64,
)


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, lines on stdout, lines on stderr."""

    code: int
    out: list[str]
    err: list[str]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a U-TAE of random but fixed weights whose classes all occur. Not to be written to."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(2)
    state_dict = models.build("utae", HYPERPARAMETERS).state_dict()
    for values in state_dict.values():
        if values.dim() > 1:
            values *= 3  # as they come, nearly all pixels are of one class
    weights.save(folder, CARD, [state_dict])
    return folder


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def write_date(folder: Path, day: datetime.date, *, name: str = "S2_{:%Y%m%d}.tif", **options: Any) -> Path:
    """Write one acquisition: noise over a gradient, without data in a corner that is another one each date."""
    rng = np.random.default_rng(day.toordinal())
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    season = 1 + np.sin(day.timetuple().tm_yday / 58)
    values = np.stack([500 + 30 * rows * band + 20 * cols * season for band in range(len(BANDS))])
    values = (values + rng.integers(0, 900, values.shape)).astype(options.pop("dtype", np.uint16))
    values[:, *NEVER] = 0
    values[:, : day.day, : day.month * 3] = 0
    return write_raster(folder / name.format(day), values, BANDS, **options)


def masked(series: Path, folder: Path) -> Path:
    """A copy of a series, with a mask of its first date that says all is clear."""
    shutil.copytree(series, folder)
    write_raster(folder / f"S2_{DATES[0]:%Y%m%d}_MASK.tif", np.zeros((1, *SHAPE), np.uint8), ("mask",))
    return folder


def spoil_pixels(path: Path) -> None:
    """Break pixels of a raster in a way that its header tells nothing of."""
    with rasterio.open(path) as file:
        values = file.read()
    write_raster(path, values, BANDS, compress="deflate")
    content = bytearray(path.read_bytes())
    size = len(content)
    content[size // 3 : size // 2] = bytes(size // 2 - size // 3)
    path.write_bytes(content)


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six dates of Sentinel-2. Not to be written to."""
    folder = tmp_path_factory.mktemp("year") / "s2"
    for day in DATES:
        write_date(folder, day)
    return folder


@pytest.fixture
def series(year: Path, tmp_path: Path) -> Path:
    """A copy of the year, to be spoilt."""
    return Path(shutil.copytree(year, tmp_path / "s2"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """Call sitsinfer in this process, as a shell would: ``command("segment", "--ts", folder, ...)``."""
    logger = logging.getLogger("sitsinfer")
    state = logger.handlers, logger.propagate, logger.level
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # patches are tiny: more threads would only wait for each other
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*arguments: Any) -> Outcome:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["sitsinfer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Outcome(code, out.splitlines(), err.splitlines())

    yield call
    logger.handlers, logger.propagate, logger.level = state
    for number, handler in handlers.items():
        signal.signal(number, handler)


def refusal(command: Callable[..., Outcome], folder: Path) -> Callable[..., str]:
    """A command that fails as it should, and leaves nothing in a folder; its call returns the line that says why."""

    def call(*arguments: Any, **options: Any) -> str:
        before = set(folder.iterdir())
        outcome = command(*arguments, **options)
        assert outcome.code == 1
        assert outcome.out == []
        (line,) = outcome.err
        assert line.startswith("Error: ")
        assert line.endswith(".")
        assert set(folder.iterdir()) == before
        return line

    return call


@pytest.fixture
def segment(command: Callable[..., Outcome], year: Path, tiny_model: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Call segment on the year with the tiny model, to ``tmp_path / "map.tif"``, unless told otherwise."""

    def call(*arguments: Any, **options: Any) -> Outcome:
        given = {"ts": year, "out": tmp_path / "map.tif", "model": tiny_model, "device": "cpu", **options}
        spelled = [(f"--{name.replace('_', '-')}", value) for name, value in given.items() if value is not None]
        return command("segment", *(word for pair in spelled for word in pair), *arguments)

    return call


@pytest.fixture(scope="session")
def parcel_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a PaPs of random but fixed weights. Not to be written to."""
    return write_parcel_model(tmp_path_factory.mktemp("models") / "parcels")


@pytest.fixture
def panoptic(command: Callable[..., Outcome], year: Path, parcel_model: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Call panoptic on the year with the tiny model, to ``tmp_path / "parcels.gpkg"``, unless told otherwise."""

    def call(*arguments: Any, **options: Any) -> Outcome:
        given = {"ts": year, "out": tmp_path / "parcels.gpkg", "model": parcel_model, "device": "cpu", **options}
        spelled = [(f"--{name.replace('_', '-')}", value) for name, value in given.items() if value is not None]
        return command("panoptic", *(word for pair in spelled for word in pair), *arguments)

    return call


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a classifier of parcels, of random but fixed weights. Not to be written to."""
    return write_classifier(tmp_path_factory.mktemp("models") / "classifier")


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer of fields over the year. Not to be written to."""
    return write_layer(tmp_path_factory.mktemp("layers") / "fields.gpkg", fields(SHAPE))


@pytest.fixture
def classify(
    command: Callable[..., Outcome], year: Path, classifier: Path, layer: Path, tmp_path: Path
) -> Callable[..., Outcome]:
    """Classify the fields of the year, to ``tmp_path / "classes.gpkg"``, unless told otherwise."""

    def call(*arguments: Any, **options: Any) -> Outcome:
        given = {"ts": year, "parcels": layer, "out": tmp_path / "classes.gpkg", "model": classifier}
        given = {**given, "id_column": "name", "device": "cpu", **options}
        spelled = [(f"--{name.replace('_', '-')}", value) for name, value in given.items() if value is not None]
        return command("classify", *(word for pair in spelled for word in pair), *arguments)

    return call


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Sentinel-2 in ``s2`` and Landsat in ``l8``, and masks beside them. Not to be written to."""
    folder = tmp_path_factory.mktemp("pair")
    write_pair(folder, (24, 30))
    return folder


@pytest.fixture
def spoilt(pair: Path, tmp_path: Path) -> Path:
    """A copy of the pair, to be spoilt."""
    return Path(shutil.copytree(pair, tmp_path / "pair"))


@pytest.fixture(scope="session")
def tiny_tamrf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a TAMRF of fixed weights, imported from the published layout. Not to be written to."""
    folder = tmp_path_factory.mktemp("models")
    weights.import_tamrf(*write_tamrf(folder), folder / "tamrf")
    return folder / "tamrf"


@pytest.fixture
def fuse(command: Callable[..., Outcome], pair: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Call fuse on the pair with three bands and algorithm naive, to ``tmp_path / "out"``, unless told otherwise."""

    def call(*arguments: Any, **options: Any) -> Outcome:
        given = {"hr": pair / "s2", "lr": pair / "l8", "out": tmp_path / "out", "algorithm": "naive"}
        given = {**given, "bands": "B04,B8A,LST", **options}
        spelled = [(f"--{name.replace('_', '-')}", value) for name, value in given.items() if value is not None]
        return command("fuse", *(word for option in spelled for word in option), *arguments)

    return call


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system, as ``disk("64k")``; returns its folder."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        folder = tmp_path_factory.mktemp("disk")
        words = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if shutil.which("mount") is None or subprocess.run(words, check=False, capture_output=True).returncode:
            pytest.skip("mounting a small file system is not permitted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def enlarge(folder: Path) -> None:
    """Give a small file system room."""
    subprocess.run(["mount", "-o", "remount,size=16m", folder], check=True)


def stats(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """What any writing to a folder would change."""
    entries = [folder, *folder.rglob("*")]
    return {path: ((stat := path.stat()).st_ino, stat.st_size, stat.st_mtime_ns) for path in entries}
