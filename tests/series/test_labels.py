from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.errors import ReadError, TrainingError
from sitsinfer.series.labels import UNLABELLED, read_labels, read_legend, read_parcels

GRID = GeoBox((6, 9), Affine(10, 0, 600_000, 0, -10, 5_000_000), "EPSG:32631")


def write(path: Path, values: np.ndarray, grid: GeoBox = GRID, nodata: float | None = None) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype=values.dtype,
        crs=None if grid.crs is None else str(grid.crs),
        transform=grid.affine,
        nodata=nodata,
    ) as raster:
        raster.write(values, 1)
    return path


def test_labels_on_the_same_grid_are_read_as_they_are(tmp_path: Path) -> None:
    values = np.arange(54, dtype=np.int16).reshape(6, 9)
    values[2, 3] = -1
    labels = read_labels(write(tmp_path / "a.tif", values, nodata=-1), GRID)
    assert labels.codes.dtype == np.uint8
    assert labels.codes[2, 3] == UNLABELLED
    values[2, 3] = UNLABELLED
    np.testing.assert_array_equal(labels.codes, values)
    assert len(labels.classes) == 53
    assert len({entry.color for entry in labels.classes}) == 53
    assert labels.classes[1].name == "Class 1"


def test_a_legend_is_what_a_raster_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((6, 9), np.uint8))
    with pytest.raises(TrainingError, match="names no class"):
        read_legend(path)
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(1, CLASS_1="Meadow", class_7="Maize")
        raster.write_colormap(1, {1: (10, 200, 30, 255)})
    legend = read_legend(path)
    assert {code: entry.name for code, entry in legend.items()} == {1: "Meadow", 7: "Maize"}
    assert legend[1].color == (10, 200, 30)
    with pytest.raises(ReadError, match="Cannot read a legend from"):
        read_legend(tmp_path / "nowhere.tif")


def test_labels_beside_the_grid_are_none(tmp_path: Path) -> None:
    small = GeoBox((2, 4), Affine(20, 0, 600_040, 0, -20, 4_999_980), "EPSG:32631")
    values = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.uint8)
    codes = read_labels(write(tmp_path / "a.tif", values, small), GRID).codes
    expected = np.full((6, 9), UNLABELLED)
    expected[2:6, 4:9] = np.kron(values, np.ones((2, 2), int))[:, :5]
    np.testing.assert_array_equal(codes, expected)


def test_what_are_no_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds 0 to 300. Expected class codes"):
        read_labels(write(tmp_path / "a.tif", np.array([[0, 300]], np.int16)), GRID)
    with pytest.raises(TrainingError, match="Expected class codes"):
        read_labels(write(tmp_path / "b.tif", np.array([[0.5, 1]], np.float32)), GRID)
    away = GeoBox((2, 2), Affine(10, 0, 700_000, 0, -10, 5_000_000), "EPSG:32631")
    with pytest.raises(TrainingError, match="no label where the series lies"):
        read_labels(write(tmp_path / "c.tif", np.ones((2, 2), np.uint8), away), GRID)
    (tmp_path / "d.tif").write_text("no raster")
    with pytest.raises(ReadError, match="Cannot read labels"):
        read_labels(tmp_path / "d.tif", GRID)


def test_255_is_no_label_where_nothing_says_what_is_none(tmp_path: Path) -> None:
    values = np.arange(200, 254, dtype=np.uint8).reshape(6, 9)
    values[2, 3] = 255
    labels = read_labels(write(tmp_path / "a.tif", values), GRID)
    np.testing.assert_array_equal(labels.codes, values)
    assert [entry.code for entry in labels.classes] == sorted(set(values.ravel().tolist()) - {255})


@pytest.mark.parametrize("nodata", [None, 0, 7])
def test_parcels_are_read_as_they_are(tmp_path: Path, nodata: int | None) -> None:
    values = np.zeros((6, 9), np.uint32)
    values[1:3, 2:7], values[4, :], values[5, 5:] = 70_000, 4_000_000_000, 1
    if nodata == 7:
        values[0] = 7
    ids = read_parcels(write(tmp_path / "a.tif", values, nodata=nodata), GRID)
    assert ids.dtype == np.uint32
    np.testing.assert_array_equal(ids, np.where(values == 7, 0, values))


def test_beside_the_raster_there_is_no_parcel(tmp_path: Path) -> None:
    small = GeoBox((2, 4), Affine(20, 0, 600_040, 0, -20, 4_999_980), "EPSG:32631")
    values = np.array([[1, 2, 3, 4], [5, 0, 7, 8]], np.int32)
    ids = read_parcels(write(tmp_path / "a.tif", values, small), GRID)
    expected = np.zeros((6, 9))
    expected[2:6, 4:9] = np.kron(values, np.ones((2, 2), int))[:, :5]
    np.testing.assert_array_equal(ids, expected)


def test_what_are_no_parcels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds -3 to 5. Expected parcel ids"):
        read_parcels(write(tmp_path / "a.tif", np.array([[-3, 5]], np.int16)), GRID)
    with pytest.raises(TrainingError, match="Expected parcel ids"):
        read_parcels(write(tmp_path / "b.tif", np.array([[0.5, 1]], np.float32)), GRID)
    with pytest.raises(TrainingError, match="no parcel where the series lies"):
        read_parcels(write(tmp_path / "c.tif", np.zeros((2, 2), np.uint8)), GRID)
    (tmp_path / "d.tif").write_text("no raster")
    with pytest.raises(ReadError, match="Cannot read parcels"):
        read_parcels(tmp_path / "d.tif", GRID)


@pytest.mark.parametrize("nodata", [np.nan, None])
def test_nan_is_neither_a_label_nor_a_parcel(tmp_path: Path, nodata: float | None) -> None:
    values = np.arange(1, 55, dtype=np.float32).reshape(6, 9)
    values[2, 3:5] = np.nan
    path = write(tmp_path / "a.tif", values, nodata=nodata)
    missing = np.isnan(values)
    labels = read_labels(path, GRID)
    np.testing.assert_array_equal(labels.codes, np.where(missing, UNLABELLED, values))
    assert len(labels.classes) == 52
    np.testing.assert_array_equal(read_parcels(path, GRID), np.where(missing, 0, values))


def test_a_raster_without_a_crs_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((6, 9), np.uint8), GeoBox((6, 9), GRID.affine, None))
    for read in (read_labels, read_parcels):
        with pytest.raises(TrainingError, match=r"a\.tif has no CRS\. Expected a georeferenced raster"):
            read(path, GRID)
