"""Which days go in and which come out: the 19 strategies published with TAMRF (Michel and Inglada, 2025).

Days are those of one site-year, counted from its origin, and :func:`select` gives them to the letter. What a strategy
means for a series of calendar dates is in :mod:`sitsinfer.fusion.slices`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.types import Selection

SENSORS: Mapping[str, str] = {"lr": "Landsat", "hr": "Sentinel-2"}
"""What messages call the sensors."""

STEP = 10
"""Days between the dates of L3A_10D."""

_YEAR = 365  # days of the published year: gaps begin before its end, and no context is looked for beyond it

Days = tuple[int, ...]
_Choice = tuple[Days | None, Days | None]  # of the coarse and of the fine sensor; None: it takes no part


@dataclass(frozen=True)
class StrategyOptions:
    """What a strategy leaves open. Days count from the origin of a slice, the first being 0; a date serves as well.

    Attributes:
        rate: Share of the dates that RANDOM and RANDOM_ALL_DOYS leave out.
        seed: Decides which.
        gap_size: Days of each gap of GAPS, and between two of them.
        forecast_start: Last day that FORECAST reads, and first that BACKCAST does.
        context_start: First day of the period that CONTEXT looks at from outside.
        context_size: Its days.
        context_images: Dates that go in on either side of it.
        dates: What CUSTOM predicts.
        every: Days between two dates of L3A_10D, 10 if ``None``; given, L3A takes them as well.
    """

    rate: float = 0.5
    seed: int = 42
    gap_size: int = 30
    forecast_start: int | date = 183
    context_start: int | date = 160
    context_size: int = 60
    context_images: int = 2
    dates: tuple[int | date, ...] = ()
    every: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SeriesError: If one is out of range.
        """
        if not 0 <= self.rate <= 1:
            raise SeriesError(f"A rate of {self.rate:g} is no share of the dates. Choose 0 to 1.")
        for name in ("gap_size", "context_size", "context_images", "every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SeriesError(f"{name} is {value}. Choose 1 or more.")

    def since(self, origin: date) -> StrategyOptions:
        """The same with all dates as days since an origin."""
        return replace(
            self,
            forecast_start=day_since(self.forecast_start, origin),
            context_start=day_since(self.context_start, origin),
            dates=tuple(day_since(day, origin) for day in self.dates),
        )


def day_since(day: int | date, origin: date) -> int:
    """A date as days since an origin; days as they are."""
    return (day - origin).days if isinstance(day, date) else day


def _whole_day(day: int | date) -> int:
    """A day as it is, where there is no origin that a date could be counted from.

    Raises:
        SeriesError: If it is a date.
    """
    if isinstance(day, date):
        raise SeriesError(f"{day} is a date, but days are counted without an origin. Give days since the origin.")
    return day


@dataclass(frozen=True)
class Observed:
    """Days of both sensors, since one origin."""

    lr: Days
    hr: Days

    @property
    def common(self) -> Days:
        """Days of the fine sensor that the coarse one shares."""
        return tuple(day for day in self.hr if day in self.lr)

    @property
    def alone(self) -> Days:
        """Days of the fine sensor that the coarse one does not share."""
        return tuple(day for day in self.hr if day not in self.lr)

    def kept(self, keep: Callable[[int], bool]) -> _Choice:
        """Days of each sensor that satisfy a condition."""
        return tuple(filter(keep, self.lr)), tuple(filter(keep, self.hr))


_Rule = Callable[[Observed, StrategyOptions], Selection]


def selection_of(inputs: _Choice, targets: _Choice) -> Selection:
    """A selection from days of the coarse and of the fine sensor."""
    return Selection(dict(zip(("lr", "hr"), inputs, strict=True)), dict(zip(("lr", "hr"), targets, strict=True)))


def _all(days: Observed) -> _Choice:
    return days.lr, days.hr


# --- the rules, as published


def _random(days: Observed, options: StrategyOptions) -> _Choice:
    draw = random.Random(options.seed)  # the coarse sensor first: the fine one depends on it
    lr = _thinned(days.lr, options.rate, draw)
    return lr, _thinned(days.hr, options.rate, draw)


def _thinned(days: Days, rate: float, draw: random.Random) -> Days:
    order = list(range(len(days)))
    draw.shuffle(order)
    left_out = set(order[: math.ceil(rate * len(days))])
    return tuple(day for index, day in enumerate(days) if index not in left_out)


def _random_all_doys(days: Observed, options: StrategyOptions) -> Selection:
    every_day = days.lr + days.hr
    return selection_of(_random(days, options), (every_day, every_day))


def _gaps(days: Observed, options: StrategyOptions) -> _Choice:
    starts = range(options.gap_size, _YEAR, 2 * options.gap_size)
    return days.kept(lambda day: not any(start < day < start + options.gap_size for start in starts))


def _forecast(days: Observed, options: StrategyOptions) -> _Choice:
    start = _whole_day(options.forecast_start)
    return days.kept(lambda day: day <= start)


def _backcast(days: Observed, options: StrategyOptions) -> _Choice:
    start = _whole_day(options.forecast_start)
    return days.kept(lambda day: day >= start)


def _l3a(days: Observed, options: StrategyOptions) -> Selection:
    if options.every is not None:
        return _l3a_steps(days, options)
    origin = date(2022, 1, 1)  # whatever the year of the data
    return selection_of(_all(days), (None, tuple((day - origin).days for day in half_months(origin, date(2023, 1, 1)))))


def _l3a_steps(days: Observed, options: StrategyOptions) -> Selection:
    return selection_of(_all(days), (None, tuple(range(0, _YEAR, options.every or STEP))))


def _published_context(days: Observed, options: StrategyOptions) -> Selection:
    around = [_published_around(series, options) for series in (days.lr, days.hr)]
    (lr, lr_all), (hr, hr_all) = around
    return selection_of((lr, hr), (lr_all, hr_all))


def _published_around(days: Days, options: StrategyOptions) -> tuple[Days, Days]:
    """Days around a period, and these with those inside; odd where one lies past 365, or none on one side."""
    if not days:
        return (), ()
    start, count = _whole_day(options.context_start), options.context_images
    first = max((index for index, day in enumerate(days) if day <= start), default=0)
    ends = [day if day >= start + options.context_size else _YEAR for day in days]
    last = ends.index(min(ends))
    before, after = days[max(0, first + 1 - count) : first + 1], days[last : last + count]
    return before + after, before + days[first + 1 : last] + after


def _custom(days: Observed, options: StrategyOptions) -> Selection:
    asked = tuple(_whole_day(day) for day in options.dates)
    return selection_of(_all(days), (asked, asked))


def _reconstruct(inputs: Callable[[Observed, StrategyOptions], _Choice]) -> _Rule:
    """All dates of both sensors come out, whatever goes in."""
    return lambda days, options: selection_of(inputs(days, options), _all(days))


def _fine(inputs: Callable[[Observed], _Choice], targets: Callable[[Observed], Days]) -> _Rule:
    """Dates of the fine sensor alone come out."""
    return lambda days, _: selection_of(inputs(days), (None, targets(days)))


# --- the strategies


@dataclass(frozen=True)
class Strategy:
    """A strategy: what it does in words and in days.

    Attributes:
        text: What goes in and what comes out.
        rule: From days that are there to those chosen, as published.
        needs: What it cannot do without: ``lr``, ``hr`` or dates in ``common``.
        takes: The fields of :class:`StrategyOptions` that it looks at.
        advice: What to change where it leaves nothing.
    """

    text: str
    rule: _Rule
    needs: str = ""
    takes: tuple[str, ...] = ()
    advice: str = "Choose another strategy, such as ALL."


_BOTH = "Every date of both sensors comes out."

STRATEGIES: Mapping[str, Strategy] = {
    "ALL": Strategy(f"Every date of both sensors goes in. {_BOTH}", _reconstruct(lambda days, _: _all(days))),
    "RANDOM": Strategy(
        f"A share of the dates of each sensor, drawn at random, is left out ('rate', 'seed'). {_BOTH}",
        _reconstruct(_random),
        takes=("rate", "seed"),
        advice="Choose a lower rate.",
    ),
    "GAPS": Strategy(
        f"Every other stretch of 'gap_size' days is left out, of both sensors alike. {_BOTH}",
        _reconstruct(_gaps),
        takes=("gap_size",),
        advice="Choose another gap_size.",
    ),
    "NOHR": Strategy(f"Landsat alone goes in. {_BOTH}", _reconstruct(lambda days, _: (days.lr, ())), "lr"),
    "NOLR": Strategy(f"Sentinel-2 alone goes in. {_BOTH}", _reconstruct(lambda days, _: ((), days.hr)), "hr"),
    "FORECAST": Strategy(
        f"Dates up to 'forecast_start' go in, that day included. {_BOTH}",
        _reconstruct(_forecast),
        takes=("forecast_start",),
        advice="Choose a later forecast_start.",
    ),
    "BACKCAST": Strategy(
        f"Dates from 'forecast_start' on go in, that day included. {_BOTH}",
        _reconstruct(_backcast),
        takes=("forecast_start",),
        advice="Choose an earlier forecast_start.",
    ),
    "DEEPHARMO": Strategy(
        f"All of Landsat goes in, and dates of Sentinel-2 without Landsat on the same day. {_BOTH}",
        _reconstruct(lambda days, _: (days.lr, days.alone)),
    ),
    "ALL2CONJHR": Strategy(
        "Every date of both sensors goes in. Sentinel-2 comes out on the dates that both share.",
        _fine(_all, lambda days: days.common),
        "common",
    ),
    "CONJLRuHR2HR": Strategy(
        "Landsat goes in on the dates that both sensors share, Sentinel-2 on all others. "
        "Sentinel-2 comes out on the shared dates.",
        _fine(lambda days: (days.common, days.alone), lambda days: days.common),
        "common",
    ),
    "CONJLR2HR": Strategy(
        "Landsat goes in on the dates that both sensors share, Sentinel-2 takes no part. "
        "Sentinel-2 comes out on the shared dates.",
        _fine(lambda days: (days.common, None), lambda days: days.common),
        "common",
    ),
    "LRuHRNOCONJ2HR": Strategy(
        "All of Landsat goes in, and dates of Sentinel-2 without Landsat on the same day. "
        "Sentinel-2 comes out on the dates that both sensors share.",
        _fine(lambda days: (days.lr, days.alone), lambda days: days.common),
        "common",
    ),
    "HRNOCONJ2HR": Strategy(
        "Dates of Sentinel-2 without Landsat on the same day go in, Landsat takes no part. "
        "Sentinel-2 comes out on the dates that both sensors share.",
        _fine(lambda days: (None, days.alone), lambda days: days.common),
        "common",
    ),
    "ALLHR2ALLHR": Strategy(
        "Sentinel-2 alone goes in, and comes out on the same dates. Landsat takes no part.",
        _fine(lambda days: (None, days.hr), lambda days: days.hr),
        "hr",
    ),
    "RANDOM_ALL_DOYS": Strategy(
        "A share of the dates of each sensor, drawn at random, is left out ('rate', 'seed'). "
        "Both sensors come out on every date that either of them has.",
        _random_all_doys,
        takes=("rate", "seed"),
        advice="Choose a lower rate.",
    ),
    "L3A": Strategy(
        "Every date of both sensors goes in. Sentinel-2 comes out on the 1st and the 15th of each month, "
        "or every so many days ('every').",
        _l3a,
        takes=("every",),
        advice="Choose a longer time.",
    ),
    "L3A_10D": Strategy(
        "Every date of both sensors goes in. Sentinel-2 comes out every ten days from the start of the year on, "
        "or every so many ('every').",
        _l3a_steps,
        takes=("every",),
        advice="Choose a longer time.",
    ),
    "CONTEXT": Strategy(
        "'context_images' dates of each sensor before and after a period go in ('context_start', 'context_size'). "
        "These dates and those within the period come out.",
        _published_context,
        takes=("context_start", "context_size", "context_images"),
        advice="Choose another context_start or context_size.",
    ),
    "CUSTOM": Strategy(
        "Every date of both sensors goes in. Both come out on the dates given ('dates').",
        _custom,
        takes=("dates",),
        advice="Give other dates.",
    ),
}
"""All strategies by their published names."""


def select(name: str, days: Mapping[str, Sequence[int]], options: StrategyOptions | None = None) -> Selection:
    """Choose the days of one site-year, as published: oddities and repeated days included.

    Args:
        name: The strategy.
        days: Days of ``lr`` and ``hr`` since the origin, ascending; a sensor that is missing has none.
        options: What the strategy leaves open; dates are given as days.

    Raises:
        SeriesError: If there is no such strategy, CUSTOM lacks its days, or a date is given for a day.
    """
    options = options or StrategyOptions()
    return strategy_of(name, options).rule(Observed(tuple(days.get("lr", ())), tuple(days.get("hr", ()))), options)


def strategy_of(name: str, options: StrategyOptions) -> Strategy:
    """The strategy of a name.

    Raises:
        SeriesError: If there is none, or CUSTOM lacks its dates.
    """
    if name == "CUSTOM" and not options.dates:
        raise SeriesError("Strategy CUSTOM predicts the dates that it is given, and there are none. Set dates.")
    return named(name)


def named(name: str) -> Strategy:
    """The strategy of a name, whatever its options.

    Raises:
        SeriesError: If there is none.
    """
    if name not in STRATEGIES:
        raise SeriesError(f"There is no strategy '{name}'. Choose one of {', '.join(STRATEGIES)}.")
    return STRATEGIES[name]


def for_sensors(selection: Selection, sensor: str | None) -> Selection:
    """Say which sensors come out.

    Args:
        selection: What a strategy chose.
        sensor: ``hr``, ``lr`` or ``both``, on the other's days if it has none of its own; ``None``: as it is.

    Raises:
        SeriesError: If it is something else.
    """
    if sensor is None:
        return selection
    if sensor not in (*SENSORS, "both"):
        raise SeriesError(f"There is no sensor '{sensor}'. Choose hr for Sentinel-2, lr for Landsat, or both.")
    lr, hr = selection.targets.get("lr"), selection.targets.get("hr")
    targets = {"lr": (lr or hr) if sensor != "hr" else None, "hr": (hr or lr) if sensor != "lr" else None}
    return replace(selection, targets=targets)


def half_months(start: date, stop: date) -> Iterator[date]:
    """Every 1st and 15th from ``start`` on and before ``stop``."""
    for day in range((stop - start).days):
        candidate = start + timedelta(days=day)
        if candidate.day in (1, 15):
            yield candidate
