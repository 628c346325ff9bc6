"""From a checkpoint as it is published to dates on disk, by the commands that a user types."""

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from sitsinfer.products import DATE_TAG
from tests.cli.conftest import Outcome
from tests.conftest import CORNER
from tests.pairs import HR_BANDS, LR_BANDS, NODATA, SHAPE, write_pair
from tests.weights.published import CONFIG, NUMBERS, TINY_TAMRF, tamrf_tensors, write_tamrf

HALF_MONTHS = [datetime.date(2022, month, day) for month in range(1, 13) for day in (1, 15)]
NEVER_SEEN = (slice(-2, None), slice(-2, None))  # under clouds of both sensors on all dates
KELVIN = 300.0
"""Mean temperature of the weights. Its deviation is 10 K, so that none of their predictions is far from it."""


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint and its configuration, as they are published, that know temperatures of the ground."""
    mean, std = [*NUMBERS["lr_mean"][:-1], KELVIN / 1000], [*NUMBERS["lr_std"][:-1], 0.01]
    tensors = tamrf_tensors(TINY_TAMRF) | {"lr_mean": torch.tensor(mean), "lr_std": torch.tensor(std)}
    config = CONFIG.replace("0.16, 0.17]\n    lr_std", f"0.16, {mean[-1]}]\n    lr_std").replace(
        "0.15, 0.15]\ndatamodule", f"0.15, {std[-1]}]\ndatamodule"
    )
    return write_tamrf(tmp_path / "release", tensors, config)


@pytest.fixture
def fused(
    command: Callable[..., Outcome], published: tuple[Path, Path], tmp_path: Path
) -> Callable[..., tuple[Outcome, Path]]:
    """Import the checkpoint, and fuse a pair of series with it."""
    checkpoint, hydra = published
    imported = command("models", "import", "tamrf", checkpoint, "--config", hydra, "--out", tmp_path / "model")
    assert (imported.code, imported.err) == (0, [])
    hr, lr = write_pair(tmp_path)

    def call(*options: str) -> tuple[Outcome, Path]:
        out = tmp_path / "dates"
        given = ("--hr", hr, "--lr", lr, "--model", tmp_path / "model", "--out", out, "--device", "cpu", "--quiet")
        return command("fuse", *given, "--strategy", "L3A", *options), out

    return call


def test_published_weights_predict_half_months_of_sentinel_2(fused: Callable[..., tuple[Outcome, Path]]) -> None:
    outcome, out = fused()
    assert (outcome.code, outcome.err) == (0, [])
    files = sorted(out.glob("*.tif"))
    assert [path.name for path in files] == [f"L3A_{day:%Y%m%d}_sentinel2.tif" for day in HALF_MONTHS]
    with rasterio.open(files[1]) as file:
        values = file.read()
        assert (file.crs.to_epsg(), file.shape, set(file.dtypes)) == (32631, SHAPE, {"int16"})
        assert file.transform[:6] == (10, 0, CORNER[0], 0, -10, CORNER[1])
        assert (set(file.scales), set(file.offsets), file.nodata) == ({1e-4}, {0.0}, NODATA)
        assert file.descriptions == HR_BANDS
        assert (file.tags()[DATE_TAG], file.tags()["ALGORITHM"]) == ("2022-01-15", "tamrf")
    with rasterio.open(files[12]) as file:
        assert not np.array_equal(file.read(), values)  # another day is another prediction
    assert (values[:, *NEVER_SEEN] == NODATA).all()
    values[:, *NEVER_SEEN] = 0
    assert (values != NODATA).all()


def test_both_sensors_come_out_on_request(fused: Callable[..., tuple[Outcome, Path]]) -> None:
    outcome, out = fused("--sensor", "both")
    assert (outcome.code, outcome.err) == (0, [])
    names = {f"L3A_{day:%Y%m%d}_{layer}.tif" for day in HALF_MONTHS for layer in ("sentinel2", "landsat")}
    assert {path.name for path in out.glob("*.tif")} == names
    with rasterio.open(out / "L3A_20220715_landsat.tif") as file:
        assert (file.shape, file.descriptions, file.nodata) == (SHAPE, LR_BANDS, NODATA)
        assert (file.scales, file.offsets) == ((*[1e-4] * 7, 0.1), (0.0,) * 8)
        assert file.units == (*[None] * 7, "K")
        temperature = file.read(8, masked=True) * file.scales[7]
    assert temperature.count() > 0.9 * temperature.size
    assert temperature.std() > 0.1  # kelvin
    np.testing.assert_allclose(temperature.compressed(), KELVIN, atol=15)
