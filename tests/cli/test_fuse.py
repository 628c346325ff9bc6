import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import xarray
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate
from typer.testing import CliRunner

from sitsinfer import cli
from tests.cli.conftest import Outcome, stats
from tests.pairs import HR_DATES, LR_DATES, NODATA, write_pair

Fuse = Callable[..., Outcome]

SHAPE = (24, 30)
NEVER = (slice(-2, None), slice(-2, None))
"""Pixels that neither sensor ever saw clear."""
QUARTERS = ("20220101", "20220401", "20220630", "20220928", "20221227")
"""Every ninety days of the year."""


def pixels(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as file:
        values: NDArray[Any] = file.read()
        return values


def rasters(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tif"))}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what comes out


def test_a_date_and_sensor_is_a_file(fuse: Fuse, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert fuse(strategy="ALL") == Outcome(0, [f"Wrote {out}."], [])
    expected = [f"ALL_{day:%Y%m%d}_sentinel2.tif" for day in HR_DATES]
    expected += [f"ALL_{day:%Y%m%d}_landsat.tif" for day in LR_DATES]
    assert names(out) == sorted([*expected, "ALL.json"])
    assert names(tmp_path) == ["out"]
    for name in expected:
        assert cog_validate(out / name, strict=True) == (True, [], [])
    with rasterio.open(out / "ALL_20220703_sentinel2.tif") as file:
        assert (file.shape, file.crs, file.nodata, file.dtypes) == (SHAPE, "EPSG:32631", NODATA, ("int16",) * 2)
        assert (file.descriptions, file.scales) == (("B04", "B8A"), (1e-4,) * 2)
        assert file.tags()["ALGORITHM"] == "naive"
        values = file.read()
    assert (values[:, *NEVER] == NODATA).all()
    assert 0.9 < (values > 0).mean() < 1


def test_temperature_is_kelvin(fuse: Fuse, tmp_path: Path) -> None:
    assert fuse(strategy="ALL", bands="LST").code == 0
    assert "ALL_20220703_sentinel2.tif" not in names(tmp_path / "out")
    with rasterio.open(tmp_path / "out" / "ALL_20220703_landsat.tif") as file:
        assert (file.descriptions, file.scales, file.units) == (("LST",), (0.1,), ("K",))
        values = file.read(1)
    kelvin = values[values != NODATA] * 0.1
    assert 260 < kelvin.min() < kelvin.max() < 330
    assert 290 < np.median(kelvin) < 300


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_a_cube_holds_what_the_files_do(fuse: Fuse, tmp_path: Path, ending: str) -> None:
    assert fuse(strategy="ALL").code == 0
    assert fuse(strategy="ALL", out=tmp_path / f"cube.{ending}").code == 0
    assert names(tmp_path) == [f"cube.{ending}", f"cube.{ending}.json", "out"]
    engine = {"nc": "h5netcdf", "zarr": "zarr"}[ending]
    for name, dates, own in (("sentinel2", HR_DATES, ()), ("landsat", LR_DATES, ("LST",))):
        with xarray.open_dataset(tmp_path / f"cube.{ending}", engine=engine, group=name, mask_and_scale=False) as cube:
            assert cube.reflectance.dims == ("time", "band", "y", "x")
            assert [str(day)[:10] for day in cube.time.to_numpy()] == [str(day) for day in dates]
            planes = [*(cube.reflectance.sel(band=band) for band in cube.band), *(cube[band] for band in own)]
            found = np.stack([plane.to_numpy() for plane in planes], axis=1)
        for index, day in enumerate(dates):
            expected = pixels(tmp_path / "out" / f"ALL_{day:%Y%m%d}_{name}.tif")
            np.testing.assert_array_equal(found[index], expected)


@pytest.mark.parametrize(
    ("algorithm", "bands", "found"),
    [
        ("stair", None, {"sentinel2": ("B02", "B03", "B04", "B8A", "B11", "B12")}),
        ("sen2like", "B04", {"sentinel2": ("B04",)}),
        ("tamrf", "B03,B8A,LST", {"sentinel2": ("B03", "B8A"), "landsat": ("B03", "LST")}),
    ],
)
def test_every_algorithm_that_can_run_does(
    fuse: Fuse,
    spoilt: Path,
    tmp_path: Path,
    tiny_tamrf: Path,
    algorithm: str,
    bands: str | None,
    found: dict[str, tuple[str, ...]],
) -> None:
    shutil.rmtree(spoilt / "s2_mask")  # these algorithms need much that is clear
    shutil.rmtree(spoilt / "l8_mask")
    outcome = fuse(
        hr=spoilt / "s2",
        lr=spoilt / "l8",
        algorithm=algorithm,
        bands=bands,
        strategy="CUSTOM",
        dates="2022-02-23,2022-07-03",
        model=tiny_tamrf if algorithm == "tamrf" else None,
    )
    assert (outcome.code, outcome.err) == (0, [])
    expected = [f"CUSTOM_{day}_{name}.tif" for day in ("20220223", "20220703") for name in found]
    assert names(tmp_path / "out") == sorted([*expected, "CUSTOM.json"])
    for name, listed in found.items():
        with rasterio.open(tmp_path / "out" / f"CUSTOM_20220703_{name}.tif") as file:
            values = file.read()
            assert file.descriptions == listed
            assert file.tags()["ALGORITHM"] == algorithm
        assert (values != NODATA).mean() > 0.5
        assert values[values != NODATA].std() > 10


def test_temperature_is_sharpened(fuse: Fuse, tmp_path: Path) -> None:
    hr, lr = write_pair(tmp_path / "wide", (90, 99), hr_dates=HR_DATES[1:4:2], lr_dates=LR_DATES[1:3])
    shutil.rmtree(tmp_path / "wide" / "s2_mask")
    shutil.rmtree(tmp_path / "wide" / "l8_mask")
    outcome = fuse(hr=hr, lr=lr, algorithm="dms", bands=None, strategy="CUSTOM", dates="2022-07-03")
    assert outcome == Outcome(0, [f"Wrote {tmp_path / 'out'}."], [])
    assert names(tmp_path / "out") == ["CUSTOM.json", "CUSTOM_20220703_landsat.tif"]
    values = pixels(tmp_path / "out" / "CUSTOM_20220703_landsat.tif")
    assert values.shape == (1, 90, 99)
    assert (values != NODATA).mean() > 0.5
    assert 2700 < np.median(values[values != NODATA]) < 3200


def test_one_folder_may_hold_both_series(fuse: Fuse, pair: Path, tmp_path: Path) -> None:
    for ours, theirs in (("s2", "sentinel2"), ("l8", "landsat")):
        for part in ("", "_mask"):
            shutil.copytree(pair / f"{ours}{part}", tmp_path / "site" / f"{theirs}{part}")
    options = {"strategy": "CUSTOM", "dates": "2022-05-05"}
    assert fuse(**options).code == 0
    assert fuse(**options, hr=None, lr=None, ts=tmp_path / "site", out=tmp_path / "of_ts").code == 0
    for name in rasters(tmp_path / "out"):
        np.testing.assert_array_equal(pixels(tmp_path / "of_ts" / name), pixels(tmp_path / "out" / name))


@pytest.mark.parametrize(("left_out", "name"), [("lr", "sentinel2"), ("hr", "landsat")])
def test_one_sensor_does(fuse: Fuse, tmp_path: Path, left_out: str, name: str) -> None:
    assert fuse(strategy="ALL").code == 0
    assert fuse(**{left_out: None}, strategy="ALL", bands=None, out=tmp_path / "alone").code == 0
    found = {path.name.rpartition("_")[2] for path in (tmp_path / "alone").glob("*.tif")}
    assert found == {f"{name}.tif"}
    with rasterio.open(tmp_path / "alone" / f"ALL_20220703_{name}.tif") as file:
        values, bands = file.read(), file.descriptions
    with rasterio.open(tmp_path / "out" / f"ALL_20220703_{name}.tif") as file:
        chosen = [bands.index(band) for band in file.descriptions]
        both = file.read()
    seen = (values[chosen] != NODATA) & (both != NODATA)  # a pixel is nodata where no sensor that goes in saw it
    assert seen.mean() > 0.4
    np.testing.assert_array_equal(values[chosen][seen], both[seen])


@pytest.mark.parametrize(
    ("algorithm", "strategy"), [("naive", "NOLR"), ("naive", "HRNOCONJ2HR"), ("tamrf", "NOHR"), ("tamrf", "CONJLR2HR")]
)
def test_a_sensor_may_be_left_without_dates(
    fuse: Fuse, tiny_tamrf: Path, tmp_path: Path, algorithm: str, strategy: str
) -> None:
    model = tiny_tamrf if algorithm == "tamrf" else None
    outcome = fuse(algorithm=algorithm, model=model, strategy=strategy, bands="B04")
    empty = ["naive has nothing to say of 4 dates, which hold no value: landsat"] if strategy == "NOLR" else []
    assert (outcome.code, [line[: len(empty[0])] for line in outcome.err]) == (0, empty)
    for path in (tmp_path / "out").glob("*_sentinel2.tif"):
        assert (pixels(path) != NODATA).mean() > 0.8


def test_an_area_holds_the_pixels_of_the_whole(fuse: Fuse, tmp_path: Path) -> None:
    options = {"strategy": "CUSTOM", "dates": "2022-05-05"}
    assert fuse(**options).code == 0
    with rasterio.open(tmp_path / "out" / "CUSTOM_20220505_landsat.tif") as file:
        left, top = file.transform @ (4, 5)
        right, bottom = file.transform @ (27, 21)
    assert fuse("--bounds", left, bottom, right, top, **options, out=tmp_path / "part", tile_size=11).code == 0
    for name in rasters(tmp_path / "out"):
        np.testing.assert_array_equal(pixels(tmp_path / "part" / name), pixels(tmp_path / "out" / name)[:, 5:21, 4:27])


def test_the_item_says_what_went_in(fuse: Fuse, tmp_path: Path) -> None:
    assert fuse(strategy="GAPS", gap_size=40).code == 0
    item = pystac.Item.from_file(str(tmp_path / "out" / "GAPS.json"))
    assert len(item.assets) == len(HR_DATES) + len(LR_DATES)
    assert all(Path(str(asset.get_absolute_href())).exists() for asset in item.assets.values())
    assert item.properties["sitsinfer:strategy"] == "GAPS"
    assert item.properties["sitsinfer:algorithm"] == "naive"
    assert {sensor: len(files) for sensor, files in item.properties["sitsinfer:inputs"].items()} == {
        "hr": 2 * len(HR_DATES),  # images and masks
        "lr": 2 * len(LR_DATES),
    }
    assert item.properties["sitsinfer:dates"] == [str(day) for day in sorted({*HR_DATES, *LR_DATES})]


# --- which dates and bands


def test_a_run_that_can_predict_nothing_says_so(fuse: Fuse, tmp_path: Path) -> None:
    outcome = fuse(algorithm="stair", strategy="NOLR", bands="B04")
    assert outcome.code == 1
    assert outcome.err[-1].startswith("Error: Nothing that goes in was observed in this area, or too little")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"strategy": "L3A"}, [f"2022{month:02}{day}_sentinel2" for month in range(1, 13) for day in ("01", "15")]),
        ({"strategy": "L3A", "every": "90d"}, [f"{day}_sentinel2" for day in QUARTERS]),
        ({"strategy": "l3a_10d", "every": "90", "sensor": "lr"}, [f"{day}_landsat" for day in QUARTERS]),
        ({"strategy": "L3A", "every": "90d", "start": "2022-03-01", "end": "2022-07-03"},
         ["20220401_sentinel2", "20220630_sentinel2"]),
        ({"strategy": "CUSTOM", "dates": "2022-05-05, 2022-06-06", "sensor": "hr"},
         ["20220505_sentinel2", "20220606_sentinel2"]),
        ({"strategy": "CUSTOM", "dates": "2022-05-05", "sensor": "both"}, ["20220505_landsat", "20220505_sentinel2"]),
        ({"strategy": "ALL", "bands": "B8A"}, [f"{day:%Y%m%d}_sentinel2" for day in HR_DATES]),
        ({"strategy": "ALL", "year": 2022, "sensor": "lr"}, [f"{day:%Y%m%d}_landsat" for day in LR_DATES]),
        ({"strategy": "ALL", "end": "2022-02-23"},
         ["20220104_sentinel2", "20220120_landsat", "20220223_landsat", "20220223_sentinel2"]),
        ({"strategy": "conjlruhr2hr"}, ["20220223_sentinel2", "20220703_sentinel2"]),
        ({"bands": "LST"}, [f"{day:%Y%m%d}_landsat" for day in LR_DATES]),
    ],
    ids=lambda value: " ".join(f"{key}={text}" for key, text in value.items()) if isinstance(value, dict) else "",
)  # fmt: skip
def test_dates_come_out_as_asked(fuse: Fuse, tmp_path: Path, options: dict[str, Any], expected: list[str]) -> None:
    assert fuse(**options).code == 0
    found = sorted(path.stem.partition("_2022")[2] for path in (tmp_path / "out").glob("*.tif"))
    assert [f"2022{name}" for name in found] == expected


def test_years_are_predicted_one_by_one(fuse: Fuse, tmp_path: Path) -> None:
    dates = tuple(day.replace(year=year) for year in (2021, 2022) for day in HR_DATES)
    hr, lr = write_pair(tmp_path / "years", (24, 30), hr_dates=dates)
    options = {"hr": hr, "lr": lr, "strategy": "L3A", "bands": "B04"}
    assert fuse(**options, every="180d").code == 0
    found = [path.stem for path in sorted((tmp_path / "out").glob("*.tif"))]
    assert [name[4:12] for name in found] == ["20210101", "20210630", "20211227", "20220101", "20220630", "20221227"]
    assert fuse(**options, every="180d", year=2021, out=tmp_path / "2021").code == 0
    for name, content in rasters(tmp_path / "2021").items():
        with rasterio.io.MemoryFile(content) as memory, memory.open() as file:
            np.testing.assert_array_equal(file.read(), pixels(tmp_path / "out" / name))
    assert len(rasters(tmp_path / "2021")) == 3


@pytest.mark.parametrize(
    ("strategy", "options", "clear", "masked"),
    [
        ("GAPS", {}, (0, 3, 4), (1, 2)),
        ("GAPS", {"gap_size": 100}, (0, 1, 4), (2, 3)),
        ("FORECAST", {"forecast_start": 103}, (0, 1, 2), (3, 4)),
        ("BACKCAST", {"forecast_start": 103}, (2, 3, 4), (0, 1)),
        ("CONTEXT", {"context_start": 60, "context_size": 60, "context_images": 1}, (1, 3), (2,)),
        ("CONTEXT", {"context_start": 60, "context_size": 60}, (0, 1, 3, 4), (2,)),
        ("RANDOM", {"mask_rate": 0.2, "seed": 1}, (0, 1, 2, 4), (3,)),
        ("RANDOM", {"mask_rate": 0.2, "seed": 2}, (1, 2, 3, 4), (0,)),
        ("CONJLRuHR2HR", {}, (), (1, 3)),
    ],
)
def test_options_decide_which_dates_go_in(
    fuse: Fuse,
    tmp_path: Path,
    strategy: str,
    options: dict[str, Any],
    clear: tuple[int, ...],
    masked: tuple[int, ...],
) -> None:
    outcome = fuse("--metrics", strategy=strategy, bands="B04", sensor="hr", **options)
    assert outcome.code == 0, outcome.err
    with (tmp_path / "out" / f"{strategy}.metrics.csv").open() as file:
        found = {row["date"]: row["clear_doy"] for row in csv.DictReader(file)}
    expected = {str(HR_DATES[index]): str(index in clear) for index in sorted((*clear, *masked))}
    assert found == expected


def test_compensation_makes_landsat_agree_with_what_it_saw(fuse: Fuse, tmp_path: Path) -> None:
    errors = []
    for name in ("plain", "compensated"):
        words = ["--residual-compensation"] if name == "compensated" else []
        assert fuse("--metrics", *words, strategy="ALL", out=tmp_path / name, metrics_margin=0).code == 0
        with (tmp_path / name / "ALL.metrics.csv").open() as file:
            errors.append(np.mean([float(row["rmse_B04"]) for row in csv.DictReader(file) if row["sensor"] == "lr"]))
    assert errors[1] < 0.9 * errors[0]
    for path in (tmp_path / "plain").glob("*.tif"):
        same = np.array_equal(pixels(path), pixels(tmp_path / "compensated" / path.name))
        assert same == path.stem.endswith("sentinel2")


# --- invariance


@pytest.mark.parametrize("algorithm", ["naive", "tamrf"])
def test_how_a_run_is_spread_changes_no_byte(fuse: Fuse, tiny_tamrf: Path, tmp_path: Path, algorithm: str) -> None:
    model = {"model": tiny_tamrf, "device": "cpu"} if algorithm == "tamrf" else {}
    options = {"algorithm": algorithm, "strategy": "L3A", "every": "150d", "sensor": "both", "subtile": 9, **model}
    assert fuse(**options).code == 0
    days = ("20220101", "20220531", "20221028")
    expected = [f"L3A_{day}_{name}.tif" for day in days for name in ("landsat", "sentinel2")]
    assert names(tmp_path / "out") == sorted([*expected, "L3A.json"])
    for number, spread in enumerate(
        ({"tile_size": 12}, {"tile_size": 33}, {"memory": "900MiB"}, {"tile_size": 18, "workers": 2})
    ):
        outcome = fuse(**options, **spread, out=tmp_path / f"{number}")
        assert (outcome.code, outcome.err) == (0, [])
        assert rasters(tmp_path / f"{number}") == rasters(tmp_path / "out")


@pytest.mark.parametrize("algorithm", ["stair", "sen2like"])
def test_tiles_leave_no_trace_in_other_algorithms(fuse: Fuse, tmp_path: Path, algorithm: str) -> None:
    options = {"algorithm": algorithm, "strategy": "L3A", "every": "180d", "subtile": 9, "bands": "B04"}
    assert fuse(**options, out=tmp_path / "expected").code == 0
    assert fuse(**options, tile_size=12).code == 0
    assert rasters(tmp_path / "out") == rasters(tmp_path / "expected")


def test_published_tiling_is_there_to_compare_with(fuse: Fuse, tiny_tamrf: Path, tmp_path: Path) -> None:
    options = {"algorithm": "tamrf", "model": tiny_tamrf, "device": "cpu", "strategy": "L3A", "every": "180d"}
    assert fuse(**options).code == 0
    assert fuse(**options, margin=18, subtile=12, out=tmp_path / "18").code == 0  # this one sees no further
    assert fuse(**options, margin=3, subtile=12, out=tmp_path / "3").code == 0
    assert fuse(**options, margin=3, subtile=12, tile_size=13, out=tmp_path / "tiled").code == 0
    for name in rasters(tmp_path / "out"):
        expected = pixels(tmp_path / "out" / name)
        np.testing.assert_allclose(pixels(tmp_path / "18" / name), expected, atol=1)
        assert np.abs(pixels(tmp_path / "3" / name).astype(int) - expected).max() > 10
    assert rasters(tmp_path / "tiled") == rasters(tmp_path / "3")


# --- nothing to do


@pytest.mark.parametrize("out", ["out", "cube.nc", "cube.zarr"])
def test_finished_outputs_are_left_alone(fuse: Fuse, tmp_path: Path, out: str) -> None:
    options = {"strategy": "GAPS", "out": tmp_path / out, "animation": tmp_path / "page.html"}
    first = fuse("--metrics", **options)
    assert first.code == 0
    before = stats(tmp_path)
    told = [f"{tmp_path / out} is up to date.", *first.out[1:]]
    assert fuse("--metrics", **options) == Outcome(0, told, [])
    assert stats(tmp_path) == before


def test_seeing_that_there_is_nothing_to_do_loads_neither_torch_nor_the_scheduler(
    fuse: Fuse, pair: Path, tmp_path: Path
) -> None:
    assert fuse(strategy="GAPS").code == 0
    words = ["--hr", pair / "s2", "--lr", pair / "l8", "--out", tmp_path / "out", "--bands", "B04,B8A,LST"]
    arguments = ["sitsinfer", "fuse", "--algorithm", "naive", "--strategy", "GAPS", *words]
    script = (
        f"import sys\nsys.argv = {[str(word) for word in arguments]}\n"
        "from sitsinfer.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n"
        "    print(ended.code, sorted({'torch', 'distributed', 'zarr', 'matplotlib', 'xarray'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{tmp_path / 'out'} is up to date.", "0 []"]


def test_overwrite_makes_it_anew(fuse: Fuse, tmp_path: Path) -> None:
    options = {"strategy": "GAPS", "animation": tmp_path / "page.html"}
    assert fuse("--metrics", **options).code == 0
    before, content = stats(tmp_path / "out"), rasters(tmp_path / "out")
    page = (tmp_path / "page.html").stat()
    assert fuse("--metrics", "--overwrite", **options).out[0] == f"Wrote {tmp_path / 'out'}."
    after = stats(tmp_path / "out")
    assert not {path for path in before if after[path] == before[path]}
    assert (tmp_path / "page.html").stat().st_mtime_ns > page.st_mtime_ns
    assert rasters(tmp_path / "out") == content


def test_a_new_acquisition_makes_them_anew(fuse: Fuse, pair: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    shutil.copytree(pair, few)
    for folder, name in (("l8", "L8_20220703.tif"), ("l8_mask", "L8_20220703_mask.tif")):
        (few / folder / name).unlink()
    series = {"hr": few / "s2", "lr": few / "l8"}
    assert fuse(**series, strategy="ALL").code == 0
    before = rasters(tmp_path / "out")
    for folder, name in (("l8", "L8_20220703.tif"), ("l8_mask", "L8_20220703_mask.tif")):
        shutil.copy2(pair / folder / name, few / folder / name)
    outcome = fuse(**series, strategy="ALL")
    out = tmp_path / "out"
    assert outcome == Outcome(0, [f"Wrote {out}."], [f"{out} is out of date: inputs changed. Making it anew."])
    assert rasters(out).keys() - before.keys() == {"ALL_20220703_landsat.tif"}
    assert not {name for name in before if rasters(out)[name] == before[name]}  # each says what it was made from
    assert fuse(**series, strategy="ALL").out == [f"{out} is up to date."]


def test_a_lost_file_is_made_again(fuse: Fuse, tmp_path: Path) -> None:
    assert fuse(strategy="ALL").code == 0
    content = rasters(tmp_path / "out")
    (tmp_path / "out" / "ALL_20220703_landsat.tif").unlink()
    assert fuse(strategy="ALL").out == [f"Wrote {tmp_path / 'out'}."]
    assert rasters(tmp_path / "out") == content
    (tmp_path / "out" / "ALL.json").unlink()
    assert fuse(strategy="ALL").out == [f"{tmp_path / 'out'} is up to date."]
    assert (tmp_path / "out" / "ALL.json").exists()


@pytest.mark.parametrize("extra", ["metrics", "animation"])
def test_what_is_asked_for_later_is_made_alone(fuse: Fuse, tmp_path: Path, extra: str) -> None:
    assert fuse(strategy="GAPS").code == 0
    before = rasters(tmp_path / "out"), stats(tmp_path / "out")
    words = ["--metrics"] if extra == "metrics" else ["--animation", tmp_path / "page.html"]
    outcome = fuse(*words, strategy="GAPS")
    assert outcome.out[0] == f"{tmp_path / 'out'} is up to date."
    made = tmp_path / "out" / "GAPS.metrics.csv" if extra == "metrics" else tmp_path / "page.html"
    assert made.stat().st_size > 0
    after = stats(tmp_path / "out")
    assert {path: after[path] for path in before[1] if path.is_file()} == {
        path: entry for path, entry in before[1].items() if path.is_file()
    }


def test_strategies_share_a_folder(fuse: Fuse, tmp_path: Path) -> None:
    assert fuse("--metrics", strategy="GAPS").code == 0
    before = {path: entry for path, entry in stats(tmp_path / "out").items() if path.is_file()}
    assert fuse("--metrics", strategy="NOHR").code == 0
    after = stats(tmp_path / "out")
    assert {path: after[path] for path in before} == before
    assert {"NOHR.json", "NOHR.metrics.csv"} <= set(names(tmp_path / "out"))


def test_dates_of_an_earlier_run_are_told_of(fuse: Fuse, tmp_path: Path) -> None:
    assert fuse(strategy="CUSTOM", dates="2022-05-05,2022-06-06", sensor="hr").code == 0
    outcome = fuse("--overwrite", strategy="CUSTOM", dates="2022-05-05", sensor="hr")
    assert outcome.code == 0
    (line,) = outcome.err
    assert "holds files of another run: CUSTOM_20220606_sentinel2.tif. Remove them" in line
    assert "CUSTOM_20220606_sentinel2.tif" in names(tmp_path / "out")


# --- what is said


def test_metrics_are_a_table_and_a_file(fuse: Fuse, tmp_path: Path) -> None:
    outcome = fuse("--metrics", strategy="GAPS")
    assert outcome.code == 0
    titles = [line.partition(":")[0] for line in outcome.out if line.startswith(("hr, ", "lr, "))]
    assert titles == ["hr, 2 masked dates", "hr, 3 clear dates", "lr, 1 masked date", "lr, 3 clear dates"]
    bands = [line.split()[0] for line in outcome.out if line.startswith(("B", "LST"))]
    assert bands == ["B04", "B8A"] * 2 + ["B04", "LST"] * 2
    with (tmp_path / "out" / "GAPS.metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["sensor"], date.fromisoformat(row["date"])) for row in rows] == [
        *(("hr", day) for day in HR_DATES),
        *(("lr", day) for day in LR_DATES),
    ]
    for row in rows:
        assert 0.4 < float(row["clear_pixel_rate"]) < 0.9
        assert (float(row["rmse_B04"]) == 0) == (row["sensor"] == "hr" and row["clear_doy"] == "True")


def test_metrics_of_a_cube_lie_beside_it(fuse: Fuse, tmp_path: Path) -> None:
    of_files, of_cube = fuse("--metrics", strategy="GAPS"), fuse("--metrics", strategy="GAPS", out=tmp_path / "cube.nc")
    assert of_cube.out[1:] == of_files.out[1:]
    assert names(tmp_path) == ["cube.nc", "cube.nc.json", "cube.nc.metrics.csv", "out"]
    assert (tmp_path / "cube.nc.metrics.csv").read_text() == (tmp_path / "out" / "GAPS.metrics.csv").read_text()


def test_the_animation_is_one_page(fuse: Fuse, tmp_path: Path) -> None:
    assert fuse(strategy="ALL", bands="B02,B03,B04", animation=tmp_path / "out" / "page.html").code == 0
    page = (tmp_path / "out" / "page.html").read_text()
    assert all(f"{day}" in page for day in (*HR_DATES, *LR_DATES))
    assert page.count("data:image/webp;base64,") == len(HR_DATES) + len(LR_DATES)
    assert "ALL by naive" in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "https:" not in page


def test_a_strategy_is_explained_without_a_series(fuse: Fuse, tmp_path: Path) -> None:
    outcome = fuse(explain="gaps", hr=None, lr=None, out=None)
    assert (outcome.code, outcome.err) == (0, [])
    text = " ".join(outcome.out)
    assert text.startswith("GAPS: Every other stretch of 'gap_size' days is left out")
    assert "2022" not in text
    assert not list(tmp_path.iterdir())


def test_a_strategy_is_explained_by_the_dates_of_a_series(fuse: Fuse, tmp_path: Path) -> None:
    outcome = fuse(explain="GAPS", gap_size=100, end="2022-10-01", sensor="hr", out=None)
    assert (outcome.code, outcome.err) == (0, [])
    assert outcome.out[-7:] == [
        "2022-01-01 to 2022-12-31",
        "  Landsat in      2: 2022-01-20 2022-02-23",
        "  Sentinel-2 in   3: 2022-01-04 2022-02-23 2022-09-21",
        "  Landsat out     none",
        "  Sentinel-2 out  5: 2022-01-04* 2022-02-23* 2022-04-14* 2022-07-03* 2022-09-21*",
        "",
        "* observed by that sensor on that day",
    ]
    assert not list(tmp_path.iterdir())


def test_a_log_of_json_is_json_to_the_last_line(fuse: Fuse, spoilt: Path, tmp_path: Path) -> None:
    (spoilt / "l8" / "notes.txt").write_text("no raster")
    series = {"hr": spoilt / "s2", "lr": spoilt / "l8", "strategy": "GAPS"}
    outcome = fuse("--log-json", **series, tile_size=12)
    events = [json.loads(line) for line in outcome.err]
    assert [entry["event"] for entry in events] == ["left out", *["tile"] * 6, "done"]
    assert all({"time", "level", "message"} <= entry.keys() for entry in events)
    assert [json.loads(line)["event"] for line in fuse("--log-json", **series).err] == ["left out", "unchanged"]
    (line,) = fuse("--log-json", hr=tmp_path / "nowhere").err
    assert (json.loads(line)["level"], json.loads(line)["event"]) == ("error", "error")


def test_quiet_says_nothing_but_errors(fuse: Fuse, spoilt: Path, tmp_path: Path) -> None:
    (spoilt / "l8" / "notes.txt").write_text("no raster")
    for _ in range(2):
        options = {"hr": spoilt / "s2", "lr": spoilt / "l8", "strategy": "GAPS"}
        assert fuse("--quiet", "--metrics", **options) == Outcome(0, [], [])
    (line,) = fuse("--quiet", hr=tmp_path / "nowhere").err
    assert line.startswith("Error: ")


def test_help_tells_of_every_option() -> None:
    text = CliRunner().invoke(cli.app, ["fuse", "--help"], env={"COLUMNS": "200"}).output
    told = (
        "ts out hr lr strategy explain algorithm model bands sensor start end year reference-date dates every gap-size "
        "mask-rate seed forecast-start context-start context-size context-images residual-compensation metrics "
        "metrics-margin animation subtile margin bounds bounds-crs aoi device precision tile-size memory workers "
        "scheduler strict overwrite log-json quiet"
    )
    assert not [name for name in told.split() if f"--{name} " not in text]
    for name in ("tamrf", "naive", "stair", "sen2like", "dstfn", "dsen2", "deepharmo", "dms", "utilise"):
        assert name in text
