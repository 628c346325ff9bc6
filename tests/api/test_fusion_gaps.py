"""Single bands that lack values where others of the same sensor and date have them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

import sitsinfer
from sitsinfer import api
from tests.pairs import HR_BANDS, HR_DATES, LR_BANDS, LR_DATES, NODATA, write_pair

NEVER = np.s_[12:21, 15:27]  # fine pixels of the gap
AWAY = np.s_[30:, :]  # farther from it than any algorithm sees
FOLDERS = {"sentinel2": ("s2", "S2", HR_BANDS, 1), "landsat": ("l8", "L8", LR_BANDS, 3)}


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    write_pair(tmp_path)
    return tmp_path


def hide(pair: Path, layer: str, band: str) -> None:
    """Let a band lack values in a block of every date."""
    folder, _, bands, size = FOLDERS[layer]
    rows, cols = (slice(part.start // size, part.stop // size) for part in NEVER)
    for path in sorted((pair / folder).glob("*.tif")):
        with rasterio.open(path, "r+") as file:
            values = file.read()
            values[bands.index(band), rows, cols] = NODATA
            file.write(values)


def fuse(pair: Path, out: Path, algorithm: str, bands: tuple[str, ...], metrics: bool = False) -> api.Fusion:
    given: dict[str, Any] = {
        "hr": pair / "s2",
        "lr": pair / "l8",
        "algorithm": algorithm,
        "strategy": "ALL",
        "bands": bands,
    }
    return sitsinfer.fuse(None, out, **given, metrics=metrics, metrics_margin=0 if metrics else None)


def read(out: Path, layer: str) -> NDArray[np.int16]:
    """All dates of a layer, (T, C, H, W)."""
    dates = []
    for path in sorted(out.glob(f"*_{layer}.tif")):
        with rasterio.open(path) as file:
            dates.append(file.read())
    return np.stack(dates)


@pytest.mark.parametrize(
    ("algorithm", "layer", "lacking", "other"),
    [
        ("naive", "landsat", "LST", "B04"),
        ("naive", "sentinel2", "B11", "B04"),
        ("stair", "sentinel2", "B11", "B04"),
        ("sen2like", "sentinel2", "B11", "B04"),
    ],
)
def test_a_band_that_was_never_observed_is_nodata(
    pair: Path, algorithm: str, layer: str, lacking: str, other: str
) -> None:
    fuse(pair, pair / "full", algorithm, (other, lacking))
    hide(pair, layer, lacking)
    fuse(pair, pair / "holed", algorithm, (other, lacking))
    holed, full = read(pair / "holed", layer), read(pair / "full", layer)
    assert len(holed) == len(LR_DATES if layer == "landsat" else HR_DATES)
    assert (holed[:, 1, *NEVER] == NODATA).all()
    np.testing.assert_array_equal(holed[:, 0], full[:, 0])
    np.testing.assert_array_equal(holed[:, 1, *AWAY], full[:, 1, *AWAY])
    assert (full[:, 1, *NEVER] != NODATA).any()
    if algorithm == "naive":  # others sharpen noise, which may come out below 0
        assert (holed[holed != NODATA] > -3000).all()


def test_where_landsat_lacks_its_band_stair_has_nothing_to_add_to(pair: Path) -> None:
    hide(pair, "landsat", "B06")
    fuse(pair, pair / "out", "stair", ("B04", "B11"))
    predicted = read(pair / "out", "sentinel2")
    assert (predicted[:, 1, *NEVER] == NODATA).all()
    assert (predicted[:, 0, *NEVER] != NODATA).any()


def test_scores_leave_out_what_was_not_observed(pair: Path) -> None:
    hide(pair, "landsat", "LST")
    scores = [
        row for row in fuse(pair, pair / "out", "naive", ("B04", "LST"), metrics=True).scores if row.sensor == "lr"
    ]
    assert len(scores) == len(LR_DATES)
    for row in scores:
        compared = dict(zip(row.bands, row.sums.compared, strict=True))
        assert 0 < compared["LST"] < compared["B04"]
        assert dict(zip(row.bands, row.rmse, strict=True))["LST"] < 40


def test_a_band_is_taken_from_dates_on_which_it_was_observed(pair: Path) -> None:
    first = pair / "s2" / f"S2_{HR_DATES[2]:%Y%m%d}.tif"
    with rasterio.open(first, "r+") as file:
        values = file.read()
        values[HR_BANDS.index("B11"), *NEVER] = NODATA
        file.write(values)
    fuse(pair, pair / "out", "naive", ("B04", "B11"))
    predicted = read(pair / "out", "sentinel2")[2, 1, *NEVER]
    known = predicted != NODATA
    assert known.mean() > 0.9
    assert predicted[known].min() >= 100
