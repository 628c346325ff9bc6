import pickle
import re
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import pytest

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.dsen2 import DSen2
from sitsinfer.fusion.naive import Naive
from sitsinfer.fusion.slices import Slice, explain, slices, unknown_days, year_start
from sitsinfer.fusion.strategies import STRATEGIES, StrategyOptions, select
from sitsinfer.weights import FIRST_OF_YEAR, FusionCard, SensorCard

LR_DAYS = (4, 20, 60, 108, 172, 205, 252, 348)
HR_DAYS = (0, 20, 45, 60, 95, 190, 205, 260, 300, 364)
ORIGIN = date(2022, 1, 1)


def dates(days: Iterable[int], origin: date = ORIGIN) -> list[date]:
    return [origin + timedelta(days=day) for day in days]


def texts(found: Iterable[date]) -> str:
    return " ".join(map(str, sorted(found)))


YEAR = {"lr": dates(LR_DAYS), "hr": dates(HR_DAYS)}
YEARS = {
    "lr": [*dates(LR_DAYS, date(2019, 1, 1)), *dates(LR_DAYS[2:], date(2020, 1, 1))],
    "hr": [*dates(HR_DAYS[:7], date(2019, 1, 1)), *dates((*HR_DAYS, 365), date(2020, 1, 1))],
}


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_calendar_year_is_as_published(name: str) -> None:
    options = StrategyOptions(dates=(60, 5))
    (piece,) = slices(name, YEAR, options)
    published = select(name, {"lr": LR_DAYS, "hr": HR_DAYS}, options)
    assert piece.origin == ORIGIN
    for sensor in ("lr", "hr"):
        assert piece.inputs(sensor) == set(dates(published.inputs[sensor] or ()))
        assert piece.targets(sensor) == set(dates(published.targets[sensor] or ()))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@pytest.mark.parametrize("reference", [None, date(2022, 4, 1), date(2020, 2, 29)])
def test_each_year_is_predicted_from_itself(name: str, reference: date | None) -> None:
    options = StrategyOptions(dates=(60, 5), context_start=10, context_size=100)
    found = slices(name, YEARS, options, reference=reference)
    ends = [piece.origin for piece in found[1:]] + [date(2021, 6, 1)]
    assert len(found) > 1
    for piece, end in zip(found, ends, strict=True):
        own = {sensor: [day for day in days if piece.origin <= day < end] for sensor, days in YEARS.items()}
        assert slices(name, own, options, reference=reference) == (piece,)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_days_are_ascending_and_once(name: str) -> None:
    options = StrategyOptions(dates=(60, 5, 60), context_start=10, context_size=350)
    for piece in slices(name, YEARS, options):
        chosen = [*piece.selection.inputs.values(), *piece.selection.targets.values()]
        assert all(list(days) == sorted(set(days)) for days in chosen if days is not None)


def test_l3a_is_the_1st_and_15th_of_each_month_of_a_leap_year() -> None:
    (piece,) = slices("L3A", {"hr": [date(2020, 5, 5)]})
    assert piece.targets("hr") == {date(2020, month, day) for month in range(1, 13) for day in (1, 15)}
    assert piece.targets("lr") == frozenset()


def test_l3a_follows_the_calendar_from_any_reference_date() -> None:
    found = slices("L3A", {"hr": [date(2019, 12, 24), date(2020, 10, 20)]}, reference=date(2000, 10, 10))
    assert [piece.origin for piece in found] == [date(2019, 10, 10), date(2020, 10, 10)]
    assert texts(found[0].targets("hr"))[:43] == "2019-10-15 2019-11-01 2019-11-15 2019-12-01"
    assert max(found[0].targets("hr")) == date(2020, 10, 1)
    assert all(len(piece.targets("hr")) == 24 for piece in found)


@pytest.mark.parametrize(("name", "every", "last"), [("L3A_10D", None, 360), ("L3A_10D", 5, 365), ("L3A", 73, 365)])
def test_regular_days_reach_the_end_of_a_leap_year(name: str, every: int | None, last: int) -> None:
    (piece,) = slices(name, {"hr": [date(2020, 5, 5)]}, StrategyOptions(every=every))
    assert piece.selection.targets["hr"] == tuple(range(0, last + 1, every or 10))


def test_a_year_may_begin_on_a_leap_day() -> None:
    days = [date(2019, 2, 28), date(2019, 3, 1), date(2020, 2, 28), date(2020, 2, 29)]
    found = slices("ALL", {"hr": days}, reference=date(2016, 2, 29))
    origins = [date(2018, 3, 1), date(2019, 3, 1), date(2020, 2, 29)]
    assert [(piece.origin, len(piece.inputs("hr"))) for piece in found] == list(zip(origins, (1, 2, 1), strict=True))


def test_context_reads_nothing_twice_where_there_is_nothing_after_the_period() -> None:
    found = slices("CONTEXT", {"lr": dates([10, 200]), "hr": dates([170, 180, 364])})
    assert found[0].selection.inputs == {"lr": (10,), "hr": (364,)}
    assert found[0].selection.targets == {"lr": (10, 200), "hr": (170, 180, 364)}


def test_a_sensor_that_is_missing_takes_no_part() -> None:
    (piece,) = slices("CUSTOM", {"hr": YEAR["hr"]}, StrategyOptions(dates=(60,)))
    assert piece.selection.inputs == {"lr": None, "hr": HR_DAYS}
    assert piece.selection.targets == {"lr": None, "hr": (60,)}


def test_a_sensor_that_is_missing_comes_out_if_asked_for() -> None:
    (piece,) = slices("ALL", {"hr": YEAR["hr"]}, sensor="lr")
    assert piece.selection.targets == {"lr": HR_DAYS, "hr": None}
    (piece,) = slices("L3A", {"lr": YEAR["lr"]})  # which asks for nothing but Sentinel-2
    assert len(piece.targets("hr")) == 24


def test_the_panchromatic_band_goes_with_landsat() -> None:
    (piece,) = slices("CONJLR2HR", YEAR)
    assert piece.inputs("pan") == piece.inputs("lr") == set(dates([20, 60, 205]))


def test_start_and_end_limit_what_goes_in_and_what_comes_out() -> None:
    (piece,) = slices("L3A", YEAR, start=date(2022, 3, 1), end=date(2022, 5, 1))
    assert texts(piece.inputs("lr")) == "2022-03-02 2022-04-19"
    assert texts(piece.targets("hr")) == "2022-03-01 2022-03-15 2022-04-01 2022-04-15 2022-05-01"


def test_a_date_parts_each_year_by_itself() -> None:
    found = slices("FORECAST", YEARS, StrategyOptions(forecast_start=date(2020, 3, 1)))
    assert [len(piece.inputs("hr")) for piece in found] == [7, 4]
    assert texts(found[1].inputs("hr")) == "2020-01-01 2020-01-21 2020-02-15 2020-03-01"


def test_years_with_nothing_to_do_are_left_out() -> None:
    found = slices("CUSTOM", YEARS, StrategyOptions(dates=(date(2020, 2, 29),)))
    assert [(piece.origin, piece.targets("hr")) for piece in found] == [(date(2020, 1, 1), {date(2020, 2, 29)})]
    assert [piece.origin.year for piece in slices("NOHR", {"lr": YEAR["lr"], "hr": YEARS["hr"]})] == [2022]


def network(reference: date | str = FIRST_OF_YEAR, days: int = 365) -> DSen2:
    """A network that is never loaded."""
    texts = dict.fromkeys(("title", "description", "licence", "citation", "source", "digest"), "")
    sensors = {"hr": SensorCard("sentinel-2", ("B02",))}
    card = FusionCard(
        name="tiny", architecture="dsen2", hyperparameters={}, task="fuse", reference=reference, days=days, ratio=3,
        sensors=sensors, **texts,
    )  # type: ignore[arg-type]  # fmt: skip
    return DSen2(card, Path())


def test_years_begin_where_a_network_counts_from() -> None:
    assert year_start(Naive(("B02",), ())) is None
    assert year_start(network()) is None
    assert year_start(network(date(2018, 9, 1))) == date(2018, 9, 1)


def test_days_that_a_network_has_not_seen_are_told() -> None:
    chosen = slices("CUSTOM", YEARS, StrategyOptions(dates=(date(2020, 12, 31),)))
    assert list(unknown_days(Naive(("B02",), ()), chosen)) == []
    assert list(unknown_days(network(days=366), chosen)) == []
    assert list(unknown_days(network(), chosen)) == [
        "Model 'tiny' was trained on days 0 to 364 of a year. Beyond them: 2020-12-31. Choose other dates, or another "
        "reference date."
    ]
    chosen = slices("ALL", YEAR)
    (line,) = unknown_days(network(days=260), chosen)
    assert "days 0 to 259 of a year. Beyond them: 2022-09-18, 2022-10-28, 2022-12-15, 2022-12-31. Choose" in line
    assert list(unknown_days(network(days=260), slices("ALL", YEAR, end=date(2022, 9, 17)))) == []


def test_a_slice_travels() -> None:
    found = slices("RANDOM", YEARS)
    assert pickle.loads(pickle.dumps(found)) == found
    assert isinstance(found[0], Slice)


@pytest.mark.parametrize(
    ("name", "series", "options", "message"),
    [
        ("ALL", {}, {}, r"Strategy ALL finds no acquisition from the first to the last: the series has none\."),
        ("ALL", {"lr": [], "hr": []}, {}, "finds no acquisition"),
        ("NOLR", {"lr": YEAR["lr"]}, {}, r"NOLR needs Sentinel-2\. Dates .*: 8 of Landsat, 0 of Sentinel-2\. Choose"),
        ("NOHR", {"hr": YEAR["hr"]}, {}, "Strategy NOHR needs Landsat"),
        ("ALLHR2ALLHR", {"lr": YEAR["lr"], "hr": []}, {}, "Strategy ALLHR2ALLHR needs Sentinel-2"),
        ("CONJLR2HR", {**YEAR, "lr": dates([3])}, {}, "needs dates that both sensors share, and there are none. Dates"),
        ("HRNOCONJ2HR", {"hr": dates([3]), "lr": dates([3])}, {}, "Strategy HRNOCONJ2HR leaves nothing to read"),
        ("RANDOM", YEAR, {"rate": 1}, r"RANDOM leaves nothing to read\. .* Choose a lower rate\."),
        ("GAPS", {"hr": dates([35])}, {}, r"nothing to read\. .* Choose another gap_size\."),
        ("FORECAST", YEAR, {"forecast_start": date(2021, 1, 1)}, r"nothing to read.* Choose a later forecast_start\."),
        ("BACKCAST", YEAR, {"forecast_start": 365}, r"nothing to read\. .* Choose an earlier forecast_start\."),
        ("CONTEXT", YEAR, {"context_start": 210, "context_size": 30}, "finds no date within its period"),
        ("CUSTOM", YEAR, {}, r"there are none\. Set dates\."),
        (
            "CUSTOM",
            YEAR,
            {"dates": (date(2023, 1, 1),)},
            r"asked for 2023-01-01, outside .* 2022-01-01 to 2022-12-31\.",
        ),
        ("CUSTOM", YEAR, {"dates": (60, 365)}, "asked for day 365, outside the series"),
        ("l3a", YEAR, {}, "There is no strategy 'l3a'"),
    ],
)
def test_what_cannot_be_done(name: str, series: dict[str, list[date]], options: dict[str, int], message: str) -> None:
    with pytest.raises(SeriesError, match=message) as error:
        slices(name, series, StrategyOptions(**options))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_nothing_to_predict_between_start_and_end() -> None:
    with pytest.raises(SeriesError, match=r"L3A leaves nothing to predict\. .* Choose a longer time\."):
        slices("L3A", YEAR, start=date(2022, 3, 2), end=date(2022, 3, 14))


def test_custom_dates_must_lie_between_start_and_end() -> None:
    with pytest.raises(SeriesError, match="outside the series"):
        slices("CUSTOM", YEAR, StrategyOptions(dates=(date(2022, 3, 1),)), start=date(2022, 3, 2))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_is_explained_without_a_series(name: str) -> None:
    lines = explain(name).splitlines()
    assert lines[0].startswith(f"{name}: ")
    assert re.search(r"comes? out", " ".join(lines))
    assert max(map(len, lines)) <= 100


def test_an_explanation_lists_what_goes_in_and_marks_what_was_observed() -> None:
    series = {"lr": dates([20, 60]), "hr": dates([14, 20])}
    lines = explain("L3A", series, end=date(2022, 2, 14)).splitlines()
    assert lines[3:] == [
        "2022-01-01 to 2022-12-31",
        "  Landsat in      1: 2022-01-21",
        "  Sentinel-2 in   2: 2022-01-15 2022-01-21",
        "  Landsat out     none",
        "  Sentinel-2 out  3: 2022-01-01 2022-01-15* 2022-02-01",
        "",
        "* observed by that sensor on that day",
    ]


def test_an_explanation_says_what_takes_no_part_and_which_years_are_left_out() -> None:
    told = " ".join(explain("ALLHR2ALLHR", {"lr": YEARS["lr"], "hr": dates(HR_DAYS, date(2020, 1, 1))}).split())
    assert "Landsat in takes no part" in told
    assert "Left out Strategy ALLHR2ALLHR needs Sentinel-2. Dates from 2019-01-01 to 2019-12-31: 8 of Landsat" in told
    assert "Sentinel-2 out 10: 2020-01-01*" in told


def test_an_unknown_strategy_cannot_be_explained() -> None:
    with pytest.raises(SeriesError, match="There is no strategy 'AL'"):
        explain("AL")
