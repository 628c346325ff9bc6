from datetime import date

import pytest

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.strategies import STRATEGIES, StrategyOptions, for_sensors, select
from sitsinfer.fusion.types import Selection

LR = (4, 20, 60, 108, 205, 348)
HR = (0, 20, 45, 60, 95, 205, 260, 364)
DAYS = {"lr": LR, "hr": HR}
COMMON, ALONE = (20, 60, 205), (0, 45, 95, 260, 364)
HALF_MONTHS = "0 14 31 45 59 73 90 104 120 134 151 165 181 195 212 226 243 257 273 287 304 318 334 348"

# strategy: what goes in of lr and hr, what comes out of lr and hr
CHOICES = {
    "ALL": (LR, HR, LR, HR),
    "NOHR": (LR, (), LR, HR),
    "NOLR": ((), HR, LR, HR),
    "GAPS": ((4, 20, 60, 205), (0, 20, 60, 205, 260, 364), LR, HR),  # without 31 to 59, 91 to 119, and so on
    "FORECAST": (LR[:4], HR[:5], LR, HR),
    "BACKCAST": (LR[4:], HR[5:], LR, HR),
    "DEEPHARMO": (LR, ALONE, LR, HR),
    "ALL2CONJHR": (LR, HR, None, COMMON),
    "CONJLRuHR2HR": (COMMON, ALONE, None, COMMON),
    "CONJLR2HR": (COMMON, None, None, COMMON),
    "LRuHRNOCONJ2HR": (LR, ALONE, None, COMMON),
    "HRNOCONJ2HR": (None, ALONE, None, COMMON),
    "ALLHR2ALLHR": (None, HR, None, HR),
    "L3A": (LR, HR, None, tuple(map(int, HALF_MONTHS.split()))),
    "L3A_10D": (LR, HR, None, tuple(range(0, 361, 10))),
    "CONTEXT": ((60, 108, 348), (60, 95, 260, 364), (60, 108, 205, 348), (60, 95, 205, 260, 364)),
    "CUSTOM": (LR, HR, (60, 5), (60, 5)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_days_are_chosen_as_published(name: str) -> None:
    selection = select(name, DAYS, StrategyOptions(dates=(60, 5)))
    lr_in, hr_in, lr_out, hr_out = CHOICES[name]
    assert selection == Selection({"lr": lr_in, "hr": hr_in}, {"lr": lr_out, "hr": hr_out})


def test_there_are_19_strategies() -> None:
    assert STRATEGIES.keys() == {*CHOICES, "RANDOM", "RANDOM_ALL_DOYS"}
    assert len(STRATEGIES) == 19


@pytest.mark.parametrize(("rate", "lr_left", "hr_left"), [(0.5, 3, 4), (0.3, 4, 5), (0, 6, 8), (1, 0, 0)])
def test_random_leaves_out_a_share_rounded_up(rate: float, lr_left: int, hr_left: int) -> None:
    inputs = select("RANDOM", DAYS, StrategyOptions(rate=rate)).inputs
    assert (len(inputs["lr"] or ()), len(inputs["hr"] or ())) == (lr_left, hr_left)
    assert list(inputs["hr"] or ()) == sorted(set(inputs["hr"] or ()) & set(HR))


def test_the_seed_decides_what_random_leaves_out() -> None:
    chosen = {str(select("RANDOM", DAYS, StrategyOptions(seed=seed)).inputs) for seed in (*range(20), *range(20))}
    assert 10 < len(chosen) <= 20


def test_random_all_doys_asks_both_sensors_for_every_day() -> None:
    selection = select("RANDOM_ALL_DOYS", DAYS)
    assert selection.inputs == select("RANDOM", DAYS).inputs
    assert selection.targets == {"lr": LR + HR, "hr": LR + HR}  # shared days twice, as published


def test_gaps_are_as_long_as_asked() -> None:
    inputs = select("GAPS", {"hr": range(365)}, StrategyOptions(gap_size=45)).inputs["hr"] or ()
    missing = set(range(365)) - set(inputs)
    assert missing == {*range(46, 90), *range(136, 180), *range(226, 270), *range(316, 360)}


def test_days_past_the_year_confuse_the_published_context() -> None:
    days = {"lr": (10, 300, 380, 500), "hr": (10, 200, 380, 420)}
    assert select("CONTEXT", days).inputs == {"lr": (10, 300, 380), "hr": (10, 10, 200)}


def test_context_of_other_periods() -> None:
    options = StrategyOptions(context_start=45, context_size=160, context_images=1)
    selection = select("CONTEXT", DAYS, options)
    assert selection.inputs == {"lr": (20, 205), "hr": (45, 205)}
    assert selection.targets == {"lr": (20, 60, 108, 205), "hr": (45, 60, 95, 205)}


def test_a_sensor_without_days_is_there_but_empty() -> None:
    assert select("ALL", {"hr": HR}).inputs == {"lr": (), "hr": HR}
    assert select("CONTEXT", {"hr": HR}).inputs["lr"] == ()


def test_every_replaces_ten_days_and_half_months() -> None:
    options = StrategyOptions(every=100)
    assert select("L3A_10D", DAYS, options).targets["hr"] == (0, 100, 200, 300)
    assert select("L3A", DAYS, options).targets["hr"] == (0, 100, 200, 300)


def test_dates_become_days_since_an_origin() -> None:
    options = StrategyOptions(forecast_start=date(2023, 7, 9), dates=(date(2023, 3, 2), 7))
    assert options.since(date(2023, 3, 1)) == StrategyOptions(forecast_start=130, dates=(1, 7))


@pytest.mark.parametrize(
    ("sensor", "targets"),
    [
        (None, {"lr": None, "hr": COMMON}),
        ("hr", {"lr": None, "hr": COMMON}),
        ("lr", {"lr": COMMON, "hr": None}),
        ("both", {"lr": COMMON, "hr": COMMON}),
    ],
)
def test_a_sensor_without_targets_takes_those_of_the_other(sensor: str | None, targets: dict[str, object]) -> None:
    selection = select("ALL2CONJHR", DAYS)
    assert for_sensors(selection, sensor) == Selection(selection.inputs, targets)  # type: ignore[arg-type]


def test_sensors_with_targets_of_their_own_keep_them() -> None:
    selection = select("ALL", DAYS)
    assert for_sensors(selection, "both") == selection
    assert for_sensors(selection, "lr").targets == {"lr": LR, "hr": None}


@pytest.mark.parametrize("sensor", ["sentinel2", "HR", ""])
def test_an_unknown_sensor_is_refused(sensor: str) -> None:
    with pytest.raises(SeriesError, match=f"^There is no sensor '{sensor}'. Choose hr .*, lr .*, or both.$"):
        for_sensors(select("ALL", DAYS), sensor)


def test_an_unknown_strategy_names_all_there_are() -> None:
    with pytest.raises(SeriesError, match=r"no strategy 'L3B'\. Choose one of ALL, RANDOM, .*, CONTEXT, CUSTOM\.$"):
        select("L3B", DAYS)


def test_custom_without_dates() -> None:
    with pytest.raises(SeriesError, match=r"Strategy CUSTOM predicts the dates that it is given, and there are none\."):
        select("CUSTOM", DAYS)


@pytest.mark.parametrize("name", ["FORECAST", "CONTEXT", "CUSTOM"])
def test_a_date_among_days_without_an_origin(name: str) -> None:
    day = date(2022, 5, 1)
    with pytest.raises(SeriesError, match="2022-05-01 is a date, but days are counted without an origin"):
        select(name, DAYS, StrategyOptions(forecast_start=day, context_start=day, dates=(day,)))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"rate": 1.5}, r"A rate of 1\.5 is no share of the dates\. Choose 0 to 1\."),
        ({"rate": float("nan")}, "A rate of nan"),
        ({"gap_size": 0}, r"gap_size is 0\. Choose 1 or more\."),
        ({"context_size": -3}, "context_size is -3"),
        ({"context_images": 0}, "context_images is 0"),
        ({"every": 0}, "every is 0"),
    ],
)
def test_options_out_of_range(option: dict[str, int], message: str) -> None:
    with pytest.raises(SeriesError, match=message):
        StrategyOptions(**option)  # type: ignore[arg-type]
