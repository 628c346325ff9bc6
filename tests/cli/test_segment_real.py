"""Real Sentinel-2 series, where they are at hand."""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sitsinfer.weights import DEFAULT_MODEL, import_utae
from tests.cli.conftest import Outcome

Segment = Callable[..., Outcome]

SPRING = {"start": "2018-03-01", "end": "2018-05-31"}


@pytest.fixture(scope="module")
def published(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model imported from a release in the layout of the published one, with its ten bands."""
    release = shared_data.parent / "golden" / "checkpoint_utae_tiny" / "weights"
    norm = shared_data / "pastis" / "NORM_S2_patch.json"
    if not release.is_dir() or not norm.is_file():
        pytest.skip(f"needs a release in {release} and the statistics {norm}")
    out = tmp_path_factory.mktemp("published") / "model"
    import_utae(release, [1], norm, out)
    return out


@pytest.fixture(params=["published", "default"])
def model(request: pytest.FixtureRequest) -> Path | str:
    """An imported model, and the embedded one."""
    return DEFAULT_MODEL if request.param == "default" else request.getfixturevalue("published")


def write_cube(files: Iterable[Path], path: Path) -> None:
    """Make a NetCDF cube of GeoTIFFs with dates in their names, as openEO writes it: a variable a band."""
    import xarray

    days, images = [], []
    for file in sorted(files):
        with rasterio.open(file) as image:
            days.append(np.datetime64(datetime.strptime(file.stem[-8:], "%Y%m%d"), "ns"))
            images.append(image.read())
            bands, transform, crs = image.descriptions, image.transform, image.crs
    values = np.stack(images, axis=1)  # (C, T, H, W)
    x = transform.c + transform.a * (np.arange(values.shape[3]) + 0.5)
    y = transform.f + transform.e * (np.arange(values.shape[2]) + 0.5)
    attributes = {"grid_mapping": "crs", "_FillValue": 0}
    variables = {name: (("t", "y", "x"), band, attributes) for name, band in zip(bands, values, strict=True)}
    cube = xarray.Dataset(variables, {"t": days, "y": y, "x": x})
    cube["crs"] = ((), 0, {"crs_wkt": crs.to_wkt()})
    cube.to_netcdf(path, engine="h5netcdf")


def test_a_folder_and_a_cube_made_of_it_give_the_same_map(
    segment: Segment, shared_data: Path, model: Path | str, tmp_path: Path
) -> None:
    folder = shared_data / "worldcereal_be_2018" / "s2"
    (tmp_path / "plain").mkdir()
    for file in folder.glob("*2018*.tif"):  # without the masks beside the folder, which a cube has not
        if SPRING["start"] <= f"{file.stem[-8:-4]}-{file.stem[-4:-2]}-{file.stem[-2:]}" <= SPRING["end"]:
            (tmp_path / "plain" / file.name).symlink_to(file)
    write_cube((tmp_path / "plain").iterdir(), tmp_path / "cube.nc")
    options = {"model": model, **SPRING}
    maps = []
    for ts in (tmp_path / "plain", tmp_path / "cube.nc"):
        out, shares = tmp_path / f"{ts.stem}.tif", tmp_path / f"{ts.stem}_p.tif"
        outcome = segment(ts=ts, out=out, probabilities=shares, **options)
        assert (outcome.code, outcome.err) == (0, [])
        with rasterio.open(out) as file, rasterio.open(shares) as probabilities:
            maps.append((file.read(), probabilities.read(), file.transform, file.crs))
    for one, other in zip(*maps, strict=True):
        np.testing.assert_array_equal(one, other)
    assert maps[0][0].shape == (1, 64, 64)
    assert len(np.unique(maps[0][0])) > 1
    masked = segment(ts=folder, out=tmp_path / "masked.tif", **options)
    assert masked.code == 0, masked.err


@pytest.mark.parametrize("kind", ["folder", "cube"])
def test_a_series_without_the_bands_says_which_and_what_to_do(
    segment: Segment, shared_data: Path, model: Path | str, kind: str, tmp_path: Path
) -> None:
    ts = shared_data / "nrt_romania_s2" / "s2"
    if kind == "cube":
        write_cube(ts.glob("*_2020*.tif"), tmp_path / "cube.nc")
        ts = tmp_path / "cube.nc"
    (tmp_path / "out").mkdir()
    outcome = segment(ts=ts, model=model, out=tmp_path / "out" / "map.tif")
    assert outcome.code == 1
    (line,) = outcome.err
    for band in ("B05", "B06", "B07", "B12"):
        assert f"'{band}'" in line
    assert "'B04'" not in line
    assert "Use weights trained on these" in line
    assert not list((tmp_path / "out").iterdir())
