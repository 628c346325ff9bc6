"""Strategies over the dates of a series: year by year, each year predicted from itself.

Here a strategy is what it is meant to be: the 1st and the 15th are those of the year at hand, a leap year has 366 days,
no day is asked for twice, and a strategy that leaves nothing to do says so.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Protocol, runtime_checkable

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.strategies import (
    SENSORS,
    STEP,
    STRATEGIES,
    Days,
    Observed,
    StrategyOptions,
    day_since,
    for_sensors,
    half_months,
    named,
    selection_of,
    strategy_of,
)
from sitsinfer.fusion.types import Algorithm, Selection
from sitsinfer.series.types import check_span, listing
from sitsinfer.weights import FusionCard

_WIDTH, _INDENT = 100, 18  # characters of a line of text, and of what stands before the dates


@dataclass(frozen=True)
class Slice:
    """One year: the dates that go in and those that come out.

    Attributes:
        origin: Day 0.
        selection: Days since the origin, ascending, each of them once.
    """

    origin: date
    selection: Selection

    def inputs(self, sensor: str) -> frozenset[date]:
        """Dates of a sensor that go in; Landsat's panchromatic band, ``pan``, goes with Landsat."""
        return self._dates(self.selection.inputs.get("lr" if sensor == "pan" else sensor))

    def targets(self, sensor: str) -> frozenset[date]:
        """Dates of a sensor that come out."""
        return self._dates(self.selection.targets.get(sensor))

    @property
    def dates(self) -> frozenset[date]:
        """Dates of any sensor that go in or come out."""
        return frozenset().union(*(self.inputs(sensor) | self.targets(sensor) for sensor in SENSORS))

    def _dates(self, days: Days | None) -> frozenset[date]:
        return frozenset(self.origin + timedelta(days=day) for day in days or ())


@runtime_checkable
class Network(Protocol):
    """An algorithm with weights, which say what its years are."""

    @property
    def card(self) -> FusionCard:
        """What it feeds on."""


def year_start(algorithm: Algorithm) -> date | None:
    """Where the years of an algorithm begin: on anniversaries of a date; ``None``: on January 1st."""
    reference = algorithm.card.reference if isinstance(algorithm, Network) else None
    return reference if isinstance(reference, date) else None


def unknown_days(algorithm: Algorithm, chosen: Iterable[Slice]) -> Iterator[str]:
    """Say which dates that go in or come out lie on days that an algorithm was not trained on, if any do."""
    if not isinstance(algorithm, Network):
        return
    card = algorithm.card
    beyond = {day for piece in chosen for day in piece.dates if (day - piece.origin).days >= card.days}
    if beyond:
        dates = listing([str(day) for day in sorted(beyond)])
        yield (
            f"Model '{card.name}' was trained on days 0 to {card.days - 1} of a year. Beyond them: {dates}. "
            f"Choose other dates, or another reference date."
        )


def slices(
    name: str,
    dates: Mapping[str, Sequence[date]],
    options: StrategyOptions | None = None,
    *,
    reference: date | None = None,
    sensor: str | None = None,
    start: date | None = None,
    end: date | None = None,
) -> tuple[Slice, ...]:
    """Apply a strategy to each year of a series by itself. Years in which it leaves nothing to do are left out.

    Args:
        name: The strategy.
        dates: Dates of ``lr`` and ``hr``; a sensor that is missing takes no part.
        options: What the strategy leaves open.
        reference: Years begin on its anniversaries; ``None``: on January 1st.
        sensor: Which sensors come out, as :func:`for_sensors` has it.
        start: First date that goes in or comes out.
        end: Last date that goes in or comes out.

    Returns:
        The years that have acquisitions, ascending.

    Raises:
        SeriesError: If there is no such strategy, CUSTOM lacks its dates or has some outside the series, ``start`` lies
            after ``end``, or nothing is left to read or to predict in any year.
    """
    found = _plans(name, dates, options or StrategyOptions(), reference, sensor, _Span(start, end))
    kept = tuple(plan.slice for plan in found if plan.obstacle is None)
    if not kept:
        raise SeriesError(found[0].obstacle)
    return kept


@dataclass(frozen=True)
class _Span:
    """Dates from the first to the last, both included; ``None``: as far as there are any."""

    first: date | None
    last: date | None

    def __post_init__(self) -> None:
        """Check that the one does not lie after the other.

        Raises:
            SeriesError: If it does.
        """
        check_span(self.first, self.last)

    def __contains__(self, day: date) -> bool:
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


@dataclass(frozen=True)
class _Year:
    """A year between two anniversaries, and the dates in it.

    Attributes:
        origin: Its first day.
        next: The first day of the next year.
        dates: Dates of each sensor that takes part.
    """

    origin: date
    next: date
    dates: Mapping[str, tuple[date, ...]]

    @property
    def days(self) -> Observed:
        """Days since the origin."""
        lr, hr = (tuple((day - self.origin).days for day in self.dates.get(sensor, ())) for sensor in ("lr", "hr"))
        return Observed(lr, hr)

    @property
    def title(self) -> str:
        """First and last day."""
        return f"{self.origin} to {self.next - timedelta(days=1)}"

    def within(self, span: _Span) -> Callable[[int], bool]:
        """Whether a day since the origin lies in a span of dates."""
        return lambda day: self.origin + timedelta(days=day) in span

    def holds(self, day: int | date) -> bool:
        """Whether a day lies in it."""
        return 0 <= day_since(day, self.origin) < (self.next - self.origin).days


@dataclass(frozen=True)
class _Plan:
    """What a strategy makes of a year, and why that cannot be done, if so."""

    year: _Year
    slice: Slice
    obstacle: str | None


def _plans(
    name: str,
    dates: Mapping[str, Sequence[date]],
    options: StrategyOptions,
    reference: date | None,
    sensor: str | None,
    span: _Span,
) -> list[_Plan]:
    """Apply a strategy to each year that has acquisitions; there is at least one."""
    strategy_of(name, options)
    years = _years(dates, reference, span)
    if not years:
        there = sorted(day for days in dates.values() for day in days)
        told = f"the series runs from {there[0]} to {there[-1]}" if there else "the series has none"
        raise SeriesError(
            f"Strategy {name} finds no acquisition from {span.first or 'the first'} to {span.last or 'the last'}: "
            f"{told}. Choose another time."
        )
    if name == "CUSTOM":
        _check_dates(options.dates, years, span)
    plans = []
    for year in years:
        selection = _tidied(_in_year(name, year, options.since(year.origin)), year, sensor, span)
        plans.append(_Plan(year, Slice(year.origin, selection), _obstacle(name, year, selection, options)))
    return plans


def _years(dates: Mapping[str, Sequence[date]], reference: date | None, span: _Span) -> list[_Year]:
    inside = {sensor: sorted(day for day in days if day in span) for sensor, days in dates.items() if sensor in SENSORS}
    origins = sorted({_origin(day, reference) for days in inside.values() for day in days})
    years = []
    for origin in origins:
        following = _anniversary(reference, origin.year + 1)
        own = {sensor: tuple(day for day in days if origin <= day < following) for sensor, days in inside.items()}
        years.append(_Year(origin, following, own))
    return years


def _origin(day: date, reference: date | None) -> date:
    """The last anniversary up to a day."""
    own = _anniversary(reference, day.year)
    return own if own <= day else _anniversary(reference, day.year - 1)


def _anniversary(reference: date | None, year: int) -> date:
    if reference is None:
        return date(year, 1, 1)
    if (reference.month, reference.day) == (2, 29):  # the day after February 28th, in every year
        return date(year, 2, 28) + timedelta(days=1)
    return reference.replace(year=year)


def _check_dates(asked: Iterable[int | date], years: Sequence[_Year], span: _Span) -> None:
    """Refuse dates outside the series.

    Raises:
        SeriesError: If there is one.
    """
    for day in asked:
        homes = [year.origin + timedelta(days=day_since(day, year.origin)) for year in years if year.holds(day)]
        if not any(home in span for home in homes):
            told = day if isinstance(day, date) else f"day {day}"
            raise SeriesError(
                f"Strategy CUSTOM is asked for {told}, outside the series, which has acquisitions in "
                f"{_listed([year.title for year in years])}. Give dates within, and within start and end."
            )


def _in_year(name: str, year: _Year, options: StrategyOptions) -> Selection:
    """What a strategy means in a year: where that is not what was published, the calendar is right here."""
    days = year.days
    if name == "CONTEXT":
        period = _period(year, options)
        (lr, lr_all), (hr, hr_all) = (_around(series, period, options.context_images) for series in (days.lr, days.hr))
        return selection_of((lr, hr), (lr_all, hr_all))
    if name == "CUSTOM":
        options = replace(options, dates=tuple(day for day in options.dates if year.holds(day)))
    chosen = STRATEGIES[name].rule(days, options)
    if name in ("L3A", "L3A_10D"):
        return replace(chosen, targets={"lr": None, "hr": _regular_days(name, year, options)})
    return chosen


def _regular_days(name: str, year: _Year, options: StrategyOptions) -> Days:
    if name == "L3A" and options.every is None:
        return tuple((day - year.origin).days for day in half_months(year.origin, year.next))
    return tuple(range(0, (year.next - year.origin).days, options.every or STEP))


def _period(year: _Year, options: StrategyOptions) -> range:
    """The period of CONTEXT. Context ends on its first day, as published, and begins again after its last."""
    start = day_since(options.context_start, year.origin)
    return range(start, start + options.context_size)


def _around(days: Days, period: range, count: int) -> tuple[Days, Days]:
    """Days around a period, and these with those inside."""
    before = tuple(day for day in days if day <= period.start)[-count:]
    after = tuple(day for day in days if day >= period.stop)[:count]
    return before + after, before + _inside(days, period) + after


def _inside(days: Days, period: range) -> Days:
    return tuple(day for day in days if day in period[1:])


def _tidied(chosen: Selection, year: _Year, sensor: str | None, span: _Span) -> Selection:
    """Days once, in order and as far as asked for; sensors that are not there left out, and targets that are none."""
    inputs = {name: days if name in year.dates else None for name, days in chosen.inputs.items()}
    targets = {name: days if name in year.dates else None for name, days in chosen.targets.items()}
    if not any(targets.values()):  # all that is asked for is the sensor that is not there
        targets = dict(chosen.targets)
    asked = for_sensors(Selection(inputs, targets), sensor)
    return Selection(
        {name: None if days is None else _once(days) for name, days in asked.inputs.items()},
        {name: _once(filter(year.within(span), days or ())) or None for name, days in asked.targets.items()},
    )


def _once(days: Iterable[int]) -> Days:
    return tuple(sorted(set(days)))


def _obstacle(name: str, year: _Year, selection: Selection, options: StrategyOptions) -> str | None:
    """Why a strategy can do nothing in a year, with what is there and what to do; ``None`` if it can."""
    strategy, days = STRATEGIES[name], year.days
    if strategy.needs == "common" and not days.common:
        reason = "needs dates that both sensors share, and there are none"
    elif strategy.needs in SENSORS and not getattr(days, strategy.needs):
        reason = f"needs {SENSORS[strategy.needs]}"
    elif name == "CONTEXT" and not _inside(days.lr + days.hr, _period(year, options)):
        reason = "finds no date within its period"
    elif not any(selection.inputs.values()):
        reason = "leaves nothing to read"
    elif not any(selection.targets.values()):
        reason = "leaves nothing to predict"
    else:
        return None
    there = f"Dates from {year.title}: {len(days.lr)} of Landsat, {len(days.hr)} of Sentinel-2."
    return f"Strategy {name} {reason}. {there} {strategy.advice}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# --- in words


def explain(
    name: str,
    dates: Mapping[str, Sequence[date]] | None = None,
    options: StrategyOptions | None = None,
    *,
    reference: date | None = None,
    sensor: str | None = None,
    start: date | None = None,
    end: date | None = None,
) -> str:
    """Say what goes in and what comes out, as lines of text: in general, or year by year.

    Args:
        name: The strategy.
        dates: Dates of ``lr`` and ``hr``, if there is a series. All else as in :func:`slices`.
        options: See there.
        reference: See there.
        sensor: See there.
        start: See there.
        end: See there.

    Raises:
        SeriesError: If there is no such strategy; with ``dates`` also if there is no acquisition, or CUSTOM lacks its
            dates or has some outside the series. That nothing is left to do in a year is not an error but said.
    """
    lines = textwrap.wrap(f"{name}: {named(name).text}", _WIDTH)
    if dates is not None:
        for plan in _plans(name, dates, options or StrategyOptions(), reference, sensor, _Span(start, end)):
            lines += ["", f"{plan.year.title}", *_told(plan)]
        lines += ["", "* observed by that sensor on that day"]
    return "\n".join(lines)


def _told(plan: _Plan) -> Iterator[str]:
    """A year in words."""
    for sensor, called in SENSORS.items():
        days = plan.slice.selection.inputs[sensor]
        yield from _row(f"  {called} in", "takes no part" if days is None else _dated(plan.slice.inputs(sensor)))
    if plan.obstacle is not None:
        yield from _row("  Left out", plan.obstacle)
        return
    for sensor, called in SENSORS.items():
        targets = plan.slice.targets(sensor)
        yield from _row(f"  {called} out", _dated(targets, plan.year.dates.get(sensor, ())))


def _row(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"{head:{_INDENT}s}", subsequent_indent=_INDENT * " ")


def _dated(dates: Collection[date], observed: Collection[date] = ()) -> str:
    """How many dates, and which; marked where observed."""
    marked = [f"{day}*" if day in observed else f"{day}" for day in sorted(dates)]
    return f"{len(dates)}: {' '.join(marked)}" if dates else "none"
