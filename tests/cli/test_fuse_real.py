"""Sentinel-2 and Landsat of one place in Belgium, where they are at hand."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray

from tests.cli.conftest import Outcome

Fuse = Callable[..., Outcome]

NOTES = [
    "Landsat has no B01: algorithms cannot read it.",
    "Landsat's B10 is taken for its temperature, LST; B11 is not used.",
    "Landsat is resampled to pixels that lie 5 m east (0.17 pixels) and 5 m south (0.17 pixels) of its own.",
]


@pytest.fixture(scope="session")
def belgium(shared_data: Path) -> dict[str, Any]:
    """Options that name the two series and the strategy."""
    site = shared_data / "worldcereal_be_2018"
    return {"hr": site / "s2", "lr": site / "l8_30m", "strategy": "GAPS"}


@pytest.mark.parametrize("algorithm", ["naive", "stair", "sen2like"])
def test_gaps_of_a_year_are_filled_and_scored(
    fuse: Fuse, belgium: dict[str, Any], tmp_path: Path, algorithm: str
) -> None:
    bands = "B04,B8A,LST" if algorithm == "naive" else "B04,B8A"
    outcome = fuse("--metrics", **belgium, year=2018, algorithm=algorithm, bands=bands, out=tmp_path / "cube.nc")
    assert outcome.code == 0
    assert outcome.err[: len(NOTES)] == NOTES
    told = "sen2like has nothing to say of 5 dates, which hold no value: "
    assert [line[: len(told)] for line in outcome.err[len(NOTES) :]] == ([told] if algorithm == "sen2like" else [])
    titles = [line for line in outcome.out if line.startswith(("hr, ", "lr, "))]
    expected = ["hr, 40 masked dates", "hr, 51 clear dates"]
    if algorithm == "naive":
        expected += ["lr, 8 masked dates", "lr, 9 clear dates"]
    assert [title.partition(":")[0] for title in titles] == expected
    with (tmp_path / "cube.nc.metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if float(row["clear_pixel_rate"]) > 0.5]
    masked = [float(row["nrmse_B8A"]) for row in rows if (row["sensor"], row["clear_doy"]) == ("hr", "False")]
    assert len(masked) >= 10
    assert np.median(masked) < 0.3
    with xarray.open_dataset(tmp_path / "cube.nc", group="sentinel2" if algorithm == "naive" else None) as cube:
        values = cube.reflectance.sel(time="2018-07-01", method="nearest")
        assert values.shape == (2, 64, 64)
        assert values.notnull().mean() > 0.95
        assert 0 < values.median() < 0.6


def test_temperature_of_landsat_is_kelvin(fuse: Fuse, belgium: dict[str, Any], tmp_path: Path) -> None:
    assert fuse(**belgium, bands="LST", start="2018-05-01", end="2018-08-31").code == 0
    with rasterio.open(tmp_path / "out" / "GAPS_20180701_landsat.tif") as file:
        kelvin = file.read(1) * file.scales[0]
    assert 290 < np.median(kelvin) < 310


def test_a_network_that_reads_the_missing_band_says_so(fuse: Fuse, belgium: dict[str, Any], tiny_tamrf: Path) -> None:
    outcome = fuse(**belgium, algorithm="tamrf", model=tiny_tamrf, bands=None)
    assert outcome.code == 1
    assert "The lr series lacks B01, which tamrf reads; it has B02, B03" in outcome.err[-1]


def test_tiles_leave_no_trace_where_landsat_is_resampled(fuse: Fuse, belgium: dict[str, Any], tmp_path: Path) -> None:
    options = {**belgium, "strategy": "CUSTOM", "dates": "2018-06-01", "sensor": "both", "year": 2018}
    assert fuse(**options, out=tmp_path / "whole").code == 0
    assert fuse(**options, tile_size=33, subtile=15, out=tmp_path / "tiled").code == 0
    found = sorted(path.name for path in (tmp_path / "whole").glob("*.tif"))
    assert found == ["CUSTOM_20180601_landsat.tif", "CUSTOM_20180601_sentinel2.tif"]
    for name in found:
        with rasterio.open(tmp_path / "whole" / name) as whole, rasterio.open(tmp_path / "tiled" / name) as tiled:
            np.testing.assert_array_equal(tiled.read(), whole.read())
