import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import sitsinfer
from sitsinfer import api
from sitsinfer.engine import Options
from sitsinfer.errors import DeviceError, GridError, OutputError, SeriesError, WeightsError
from sitsinfer.fusion.strategies import STRATEGIES, StrategyOptions
from sitsinfer.weights import FIRST_OF_YEAR, import_tamrf, load_fusion_card
from tests.pairs import HR_DATES, LR_DATES, write_pair
from tests.weights.published import write_tamrf


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny pair in ``s2`` and ``l8``. Not to be written to."""
    folder = tmp_path_factory.mktemp("pair")
    write_pair(folder, (24, 30))
    return folder


def fuse(pair: Path, out: Path, **options: Any) -> api.Fusion:
    given = {"hr": pair / "s2", "lr": pair / "l8", "algorithm": "naive", "bands": ("B04", "LST"), **options}
    return sitsinfer.fuse(None, out, **given)


def test_what_became_of_it_is_told(pair: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    options = Options(tile_size=12, progress=lambda done, total: told.append((done, total)))
    done = fuse(pair, tmp_path / "out", strategy="GAPS", metrics=True, options=options)
    assert (done.summary.unchanged, done.summary.tiles, done.summary.kept) == (False, 6, 0)
    assert 0.95 * 24 * 30 < done.summary.valid < 24 * 30
    assert told == [(tiles, 6) for tiles in range(7)]
    assert [(row.sensor, row.date) for row in done.scores] == [
        *(("hr", day) for day in HR_DATES),
        *(("lr", day) for day in LR_DATES),
    ]
    assert [row.context.clear for row in done.scores if row.context and row.sensor == "hr"] == [1, 0, 0, 1, 1]
    again = fuse(pair, tmp_path / "out", strategy="GAPS", metrics=True)
    assert again.summary.unchanged
    assert again.scores == ()


def test_nothing_is_scored_unless_asked(pair: Path, tmp_path: Path) -> None:
    assert fuse(pair, tmp_path / "out", strategy="GAPS").scores == ()
    assert not list((tmp_path / "out").glob("*.csv"))


def test_scores_are_those_of_the_outputs_that_are_there(pair: Path, tmp_path: Path) -> None:
    first = fuse(pair, tmp_path / "out", strategy="GAPS", metrics=True)
    options = {"strategy": "GAPS", "strategy_options": StrategyOptions(gap_size=100)}
    fuse(pair, tmp_path / "out", **options, options=Options(overwrite=True))
    second = fuse(pair, tmp_path / "out", **options, metrics=True)
    assert second.summary.unchanged
    assert len(second.scores) == len(first.scores)
    assert [row.context for row in second.scores] != [row.context for row in first.scores]


def test_paths_may_be_relative(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuse(pair, tmp_path / "out", strategy="GAPS")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").symlink_to(pair)
    assert fuse(pair, Path("out"), strategy="GAPS").summary.unchanged
    fuse(Path("site"), Path("cube.nc"), strategy="GAPS", animation=Path("page.html"), metrics=True)
    names = {"out", "site", "cube.nc", "cube.nc.json", "cube.nc.metrics.csv", "page.html"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_options_that_a_strategy_does_not_look_at_decide_nothing(pair: Path, tmp_path: Path) -> None:
    def unchanged(strategy: str, **options: Any) -> bool:
        given = StrategyOptions(**options)
        return fuse(pair, tmp_path / strategy, strategy=strategy, strategy_options=given).summary.unchanged

    assert not unchanged("L3A")
    assert unchanged("L3A", seed=7, gap_size=10, forecast_start=date(2022, 5, 1))
    assert not unchanged("BACKCAST", forecast_start=date(2022, 2, 1))
    assert unchanged("BACKCAST", forecast_start=date(2022, 2, 1), rate=0.25)
    with pytest.raises(OutputError, match="it differs in strategy options"):
        unchanged("BACKCAST", forecast_start=date(2022, 5, 1))


def test_the_item_holds_plain_json(pair: Path, tmp_path: Path) -> None:
    asked = StrategyOptions(dates=(date(2022, 5, 1), 40))
    fuse(pair, tmp_path / "out", strategy="CUSTOM", strategy_options=asked, end=date(2022, 9, 30))
    told = json.loads((tmp_path / "out" / "CUSTOM.json").read_text())["properties"]["sitsinfer:options"]
    assert told == {
        "strategy": "CUSTOM",
        "strategy options": {"dates": ["2022-05-01", 40]},
        "dates": {"start": None, "end": "2022-09-30", "reference": None},
    }


def test_paths_may_be_text(pair: Path, tmp_path: Path) -> None:
    (tmp_path / "sentinel2").symlink_to(pair / "s2")
    (tmp_path / "landsat").symlink_to(pair / "l8")
    sitsinfer.fuse(str(tmp_path), str(tmp_path / "out"), algorithm="naive", bands=("B04",))
    assert (tmp_path / "out").is_dir()


def test_years_may_begin_at_any_date(pair: Path, tmp_path: Path) -> None:
    fuse(pair, tmp_path / "out", strategy="L3A_10D", reference_date=date(2000, 7, 1), bands=("B04",), sensor="hr")
    found = {path.stem[8:16] for path in (tmp_path / "out").glob("*.tif")}
    assert {"20210701", "20220626", "20220701", "20220711", "20230626"} <= found
    assert not {"20220101"} & found


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of a tiny network with a card of its own: ``model(**changes)``."""

    def call(**changes: Any) -> Path:
        folder = tmp_path / "model"
        if not folder.exists():
            import_tamrf(*write_tamrf(tmp_path / "release"), folder)
        (folder / "model.json").write_text(replace(load_fusion_card(str(folder))[0], **changes).to_json())
        return folder

    return call


@pytest.mark.parametrize(
    ("reference", "given", "day"),
    [
        (FIRST_OF_YEAR, None, "20220111"),
        (date(2018, 7, 1), None, "20220107"),
        (date(2018, 7, 1), date(2000, 1, 1), "20220111"),
    ],
)
def test_years_begin_where_the_network_counts_from_unless_told_otherwise(
    pair: Path, tmp_path: Path, model: Callable[..., Path], reference: Any, given: date | None, day: str
) -> None:
    options = {"strategy": "L3A_10D", "start": date(2022, 1, 2), "end": date(2022, 1, 12), "reference_date": given}
    folder = model(reference=reference)
    fuse(pair, tmp_path / "out", algorithm="tamrf", model=str(folder), device="cpu", sensor="hr", **options)
    assert [path.name for path in (tmp_path / "out").glob("*.tif")] == [f"L3A_10D_{day}_sentinel2.tif"]


def test_days_that_the_network_has_not_seen_are_told(
    pair: Path,
    tmp_path: Path,
    model: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("sitsinfer"), "propagate", True)
    options = {"algorithm": "tamrf", "model": str(model(days=264)), "device": "cpu", "bands": ("B8A",)}
    fuse(pair, tmp_path / "out", **options, end=date(2022, 9, 21))
    assert not caplog.records
    told = "Model 'tamrf-1_tiny' was trained on days 0 to 263 of a year. Beyond them: 2022-10-31."
    with pytest.raises(SeriesError, match=told):
        fuse(pair, tmp_path / "other", **options, strict=True)
    fuse(pair, tmp_path / "other", **options)
    (record,) = caplog.records
    assert record.getMessage().startswith(told)


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_are_known_in_any_case(name: str) -> None:
    expected = api.explain_fusion(name)
    assert expected.startswith(f"{name}: ")
    assert api.explain_fusion(name.lower()) == api.explain_fusion(name.upper()) == expected


def test_explaining_takes_what_fusing_does(pair: Path) -> None:
    series = {"hr": pair / "s2", "lr": pair / "l8"}
    text = api.explain_fusion("L3A", **series, sensor="lr", start=date(2022, 2, 1), end=date(2022, 3, 1))
    assert text.splitlines()[-6:-2] == [
        "  Landsat in      1: 2022-02-23",
        "  Sentinel-2 in   1: 2022-02-23",
        "  Landsat out     3: 2022-02-01 2022-02-15 2022-03-01",
        "  Sentinel-2 out  none",
    ]
    with pytest.raises(SeriesError, match="Leave the dates out, or choose CUSTOM"):
        api.explain_fusion("L3A", strategy_options=StrategyOptions(dates=(date(2022, 2, 1),)))


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"strategy": "NONE"}, SeriesError, "There is no strategy 'NONE'"),
        ({"algorithm": "magic"}, SeriesError, "There is no algorithm 'magic'"),
        ({"algorithm": "tamrf"}, WeightsError, "No weights of TAMRF"),
        ({"model": "tamrf"}, WeightsError, "takes no model"),
        ({"margin": 3}, GridError, "a margin is for tamrf"),
        ({"subtile": 4}, GridError, "does not hold whole coarse pixels"),
        ({"device": "cuda"}, DeviceError, "computes on the CPU"),
        ({"bands": ("LST",), "strategy": "L3A"}, SeriesError, "Nothing comes out"),
        ({"metrics": True, "strategy": "L3A"}, SeriesError, "was observed"),
        ({"strategy_options": StrategyOptions(every=5)}, SeriesError, "Leave every out"),
        ({"strategy_options": StrategyOptions(dates=(3,))}, SeriesError, "Leave the dates out"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_made(
    pair: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told) as raised:
        fuse(pair, tmp_path / "out", **options)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_an_output_may_not_replace_an_input(pair: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(pair / "s2")
    with pytest.raises(OutputError, match="link is the folder of a series"):
        fuse(pair, link)
    with pytest.raises(OutputError, match="page.nc.json is to hold two outputs"):
        fuse(pair, tmp_path / "page.nc", animation=tmp_path / "page.nc.json")
    with pytest.raises(OutputError, match="S2_20220104.tif is a file of the series"):
        fuse(pair, tmp_path / "out", animation=pair / "s2" / "S2_20220104.tif")


def test_files_left_out_and_other_notes_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("sitsinfer"), "propagate", True)
    write_pair(tmp_path, (24, 30), lr_bands=("B04", "B10"))
    (tmp_path / "s2" / "notes.txt").write_text("no raster")
    fuse(tmp_path, tmp_path / "out", strategy="GAPS")
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "notes.txt is left out: not a raster",
        "Landsat has no B01, B02, B03, B05, B06, B07: algorithms cannot read them.",
        "Landsat's B10 is taken for its temperature, LST.",
    ]
    with pytest.raises(SeriesError, match="notes.txt"):
        fuse(tmp_path, tmp_path / "strict", strategy="GAPS", strict=True)
    assert not (tmp_path / "strict").exists()
