"""Parcels of a run against fields that are known: a detector that is never wrong stands in for the network."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

import sitsinfer
from sitsinfer.area import Area
from sitsinfer.detect import Sighting
from sitsinfer.engine import Options
from sitsinfer.errors import OutputError
from sitsinfer.grid import Window
from sitsinfer.patches import Patch
from sitsinfer.products.trace import trace
from tests.conftest import write_raster
from tests.parcel_files import features, pixels
from tests.parcel_model import BANDS, write_parcel_model

PATCH, MARGIN = 28, 7
SHAPE = (65, 87)
CODES = (3, 7, 20)


def fields(size: int, seed: int = 0) -> NDArray[np.uint16]:
    """Numbers of fields that are no larger than ``size`` pixels each way, 0 between some of them, (H, W).

    Pixels go to the nearest of points scattered over a mesh, so that neighbours touch along crooked borders.
    """
    rng = np.random.default_rng(seed)
    step = 0.65 * size
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    mesh = np.mgrid[: SHAPE[0] / step, : SHAPE[1] / step].reshape(2, -1)
    points = step * (mesh + rng.uniform(0.2, 0.8, mesh.shape))
    distance = np.hypot(rows - points[0][:, None, None], cols - points[1][:, None, None])
    numbers = (1 + distance.argmin(axis=0)).astype(np.uint16)
    return np.where(numbers % 6 == 0, 0, numbers).astype(np.uint16)


def bounds(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns in which a mask lies."""
    rows, cols = np.nonzero(mask)
    return slice(int(rows.min()), int(rows.max()) + 1), slice(int(cols.min()), int(cols.max()) + 1)


class Seer:
    """A detector that sees every field in a patch as it is, for the number of a field is what all bands show."""

    def detect(self, patches: Iterable[Patch]) -> Iterator[list[Sighting]]:
        for patch in patches:
            numbers = patch.values[0, 0]
            yield [self._sight(numbers == number, number) for number in np.unique(numbers[numbers > 0]).tolist()]

    def _sight(self, seen: NDArray[np.bool_], number: int) -> Sighting:
        """One field, as sure as a number that differs between patches that see other parts of it."""
        rows, cols = bounds(seen)
        box = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        confidence = (number * 37 + np.count_nonzero(seen) * 11) % 89 / 100 + 0.1
        centre = box.row + box.height // 2, box.col + box.width // 2
        return Sighting(*centre, box, CODES[number % 3], confidence, seen[rows, cols])


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[NDArray[np.uint32], Path]]:
    """Find fields: ``found(numbers, tile_size)`` gives the instance raster and the parcels that came out."""
    monkeypatch.setattr("sitsinfer.detect.get_detector", lambda *arguments, **options: Seer())
    model = write_parcel_model(tmp_path / "model", patch=PATCH, margin=MARGIN, fill="constant")

    def call(numbers: NDArray[np.uint16], tile_size: int, **profile: object) -> tuple[NDArray[np.uint32], Path]:
        write_raster(tmp_path / "s2" / "S2_20220413.tif", np.stack([numbers] * len(BANDS)), BANDS, **profile)
        out, raster = tmp_path / f"parcels{tile_size}.parquet", tmp_path / f"instances{tile_size}.tif"
        options = Options(tile_size=tile_size, overwrite=True)
        sitsinfer.panoptic(tmp_path / "s2", out, model=str(model), raster=raster, device="cpu", options=options)
        return pixels(raster), out

    return call


def widths(numbers: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The longer side of each field's box, in pixels."""
    boxes = [bounds(numbers == number) for number in np.unique(numbers[numbers > 0])]
    return np.array([max(part.stop - part.start for part in box) for box in boxes])


@pytest.mark.parametrize(("size", "least"), [(2 * MARGIN, MARGIN), (5 * MARGIN, 2 * MARGIN)])
def test_no_field_is_split_or_merged_wherever_tiles_lie(found, size: int, least: int) -> None:
    numbers = fields(size)
    assert (widths(numbers) > least).sum() > 5
    if least == MARGIN:
        assert widths(numbers).max() <= 2 * MARGIN
    results = [found(numbers, tile_size) for tile_size in (1000, 23, 40)]
    instances, parcels = results[0]
    for other, path in results[1:]:
        np.testing.assert_array_equal(other, instances)
        assert features(path) == features(parcels)
    pairs = np.unique(np.stack([numbers.ravel(), instances.ravel()]), axis=1).T
    assert len(pairs) == len(np.unique(numbers)) == len(np.unique(instances))  # one parcel a field, one field a parcel
    transform = Affine(10, 0, 600_000, 0, -10, 5_200_000)
    for feature in features(parcels):
        inside = instances == feature.id
        rows, cols = bounds(inside)
        corner = transform @ Affine.translation(cols.start, rows.start)
        assert feature.wkb == shapely.to_wkb(trace(inside[rows, cols], corner), byte_order=1)
        assert feature.code == CODES[numbers[inside][0] % 3]
        assert feature.area_ha == inside.sum() / 100


def test_an_area_cuts_the_parcels_that_it_meets(found, tmp_path: Path) -> None:
    numbers = fields(2 * MARGIN)
    everywhere, _ = found(numbers, 1000)
    left, top = 600_000 + 10 * 13, 5_200_000 - 10 * 9
    sitsinfer.panoptic(
        tmp_path / "s2",
        tmp_path / "area.parquet",
        model=str(tmp_path / "model"),
        raster=tmp_path / "area.tif",
        area=Area((left, top - 10 * 31, left + 10 * 44, top)),
        device="cpu",
        options=Options(tile_size=17),
    )
    inside, outside = pixels(tmp_path / "area.tif"), everywhere[9:40, 13:57]
    pairs = np.unique(np.stack([inside.ravel(), outside.ravel()]), axis=1).T
    assert len(pairs) == len(np.unique(inside)) == len(np.unique(outside))


def test_areas_are_those_of_the_ellipsoid_where_coordinates_are_degrees(found) -> None:
    step = 1e-4
    profile = {"crs": "EPSG:4326", "transform": Affine(step, 0, 4.6, 0, -step, 50.8)}
    _, parcels = found(fields(2 * MARGIN), 23, **profile)
    geod = pyproj.Geod(ellps="WGS84")
    for feature in features(parcels):
        area, _ = geod.geometry_area_perimeter(shapely.from_wkb(feature.wkb))
        assert feature.area_ha == pytest.approx(area / 10_000, rel=1e-4)


def test_a_parcels_file_that_cannot_be_written_leaves_the_old_one_and_the_work(
    found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = fields(2 * MARGIN)
    _, parcels = found(numbers, 23)
    before, content = features(parcels), parcels.read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError("the table burnt")

    with monkeypatch.context() as patched:
        patched.setattr("sitsinfer.products.geoparquet._explained", fail)
        with pytest.raises(OutputError, match="the table burnt"):
            found(np.roll(numbers, 9, axis=1), 23)
    assert parcels.read_bytes() == content
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()
    assert (tmp_path / "parcels23.parquet.partial" / "run.json").exists()
    monkeypatch.setattr(Seer, "detect", fail)  # all tiles are there: nothing is looked at again
    sitsinfer.panoptic(
        tmp_path / "s2",
        parcels,
        model=str(tmp_path / "model"),
        raster=tmp_path / "instances23.tif",
        device="cpu",
    )
    assert features(parcels) != before
    assert not (tmp_path / "parcels23.parquet.partial").exists()


def test_parcels_are_drawn_by_the_classes_of_the_card(found, tmp_path: Path) -> None:
    found(fields(2 * MARGIN), 1000)
    out = tmp_path / "parcels.gpkg"
    sitsinfer.panoptic(tmp_path / "s2", str(out), model=str(tmp_path / "model"), device="cpu")
    with closing(sqlite3.connect(out)) as file:
        ((style,),) = file.execute("SELECT styleQML FROM layer_styles").fetchall()
    assert 'value="20"' in style
    assert 'label="Maize"' in style
    assert 'label="Background"' not in style
    with rasterio.open(tmp_path / "instances1000.tif") as file:
        assert file.tags()["MODEL"] == "tiny parcels"
