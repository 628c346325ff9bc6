from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from sitsinfer.fusion.observe import View
from sitsinfer.fusion.types import MISSING
from sitsinfer.grid import whole
from sitsinfer.series.pair import BANDS, open_pair
from tests.series.scaled import (
    COLLECTION_2,
    KELVIN,
    OLI,
    REFLECTANCE,
    TENTHS,
    UNTOLD,
    write_products,
    write_scaled,
)

DAYS = (date(2022, 4, 13), date(2022, 4, 29))
PRODUCT = "LC09_L2SP_198030_20220413_20220415_02_T1"


def observed(folder: Path, *days: date) -> NDArray[np.float32]:
    """What algorithms see of a folder of Landsat on some days, (T, C, H, W)."""
    pair = open_pair(None, None, folder)
    view = View.of(pair, "lr", BANDS["lr"], days, "zero")
    assert view is not None
    window = whole(pair.coarse)
    return view.read(window).observations(window, days, DAYS[0]).values


def numbers(path: Path) -> NDArray[np.float64]:
    """Digital numbers of a file, (C, H, W)."""
    with rasterio.open(path) as file:
        return np.asarray(file.read(), np.float64)


@pytest.mark.parametrize(
    ("bands", "dtype", "scaling", "kelvin"),
    [
        (COLLECTION_2, "uint16", REFLECTANCE, KELVIN),
        (TENTHS, "int16", (1e-4, 0.0), (0.1, 0.0)),
        (dict.fromkeys(TENTHS, UNTOLD), "int16", (1e-4, 0.0), (0.1, 0.0)),
        (dict.fromkeys(TENTHS, UNTOLD), "float32", (1.0, 0.0), (1.0, 0.0)),
    ],
)
@pytest.mark.parametrize("name", ["LC08_L2SP_20220413.tif", "x_20220413.tif"])
def test_numbers_become_reflectance_and_thousands_of_kelvin(
    tmp_path: Path,
    name: str,
    bands: Mapping[str, tuple[float, float]],
    dtype: str,
    scaling: tuple[float, float],
    kelvin: tuple[float, float],
) -> None:
    stored = numbers(write_scaled(tmp_path / name, bands, dtype))
    (values,) = observed(tmp_path, DAYS[0])
    np.testing.assert_allclose(values[:7], stored[:7] * scaling[0] + scaling[1], rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(values[7], (stored[7] * kelvin[0] + kelvin[1]) / 1000, rtol=1e-6)


def test_a_file_for_each_band_is_seen_as_one_of_all(tmp_path: Path) -> None:
    write_products(tmp_path, COLLECTION_2, PRODUCT)
    (values,) = observed(tmp_path, DAYS[0])
    stored = np.concatenate([numbers(tmp_path / f"{PRODUCT}_SR_B{band}.TIF") for band in range(1, 8)])
    np.testing.assert_allclose(values[:7], stored * REFLECTANCE[0] + REFLECTANCE[1], rtol=2e-6, atol=1e-7)
    (warm,) = numbers(tmp_path / f"{PRODUCT}_ST_B10.TIF")
    np.testing.assert_allclose(values[7], (warm * KELVIN[0] + KELVIN[1]) / 1000, rtol=1e-6)


def test_each_date_has_its_own_way_to_kelvin(tmp_path: Path) -> None:
    first = numbers(write_scaled(tmp_path / "L8_20220413.tif", {**TENTHS, "LST": KELVIN}))
    second = numbers(write_scaled(tmp_path / "L8_20220429.tif", {**TENTHS, "LST": (0.02, 0.0)}))
    values = observed(tmp_path, *DAYS)[:, 7]
    np.testing.assert_allclose(values[0], (first[7] * KELVIN[0] + KELVIN[1]) / 1000, rtol=1e-6)
    np.testing.assert_allclose(values[1], second[7] * 0.02 / 1000, rtol=1e-6)


def test_what_is_missing_stays_missing_whatever_the_offset(tmp_path: Path) -> None:
    path = write_scaled(tmp_path / "LC08_L2SP_20220413.tif", COLLECTION_2)
    with rasterio.open(path, "r+") as file:
        file.write(np.zeros((8, 2, 3), np.uint16), window=rasterio.windows.Window(4, 5, 3, 2))
    (values,) = observed(tmp_path, DAYS[0])
    expected = np.zeros(values.shape[1:], bool)
    expected[5:7, 4:7] = True
    assert np.array_equal(values == MISSING, np.broadcast_to(expected, values.shape))


def test_no_date_is_no_error(tmp_path: Path) -> None:
    write_scaled(tmp_path / "LC08_L2SP_20220413.tif", {**dict.fromkeys(OLI, REFLECTANCE), "LST": KELVIN})
    pair = open_pair(None, None, tmp_path)
    view = View.of(pair, "lr", BANDS["lr"], DAYS, "zero")
    assert view is not None
    window = whole(pair.coarse)
    assert view.read(window).observations(window, (), DAYS[0]).values.shape == (0, 8, *window.shape)
