"""``sitsinfer.fuse``: any day at 10 m, from two sensors."""

import datetime
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from sitsinfer.api.checks import absolute, tell_doubts, tell_series
from sitsinfer.api.fusion_run import Fusion, FusionRun, series_of
from sitsinfer.area import Area
from sitsinfer.engine import Options
from sitsinfer.errors import SeriesError
from sitsinfer.fusion.algorithms import Wanted, build
from sitsinfer.fusion.slices import explain, slices, unknown_days, year_start
from sitsinfer.fusion.strategies import STRATEGIES, StrategyOptions, named
from sitsinfer.series.pair import Pair, open_pair
from sitsinfer.tasks.fuse import Fuse


def fuse(
    ts: str | Path | None,
    out: str | Path,
    *,
    hr: str | Path | None = None,
    lr: str | Path | None = None,
    strategy: str | None = None,
    strategy_options: StrategyOptions | None = None,
    algorithm: str = "tamrf",
    model: str | None = None,
    bands: Sequence[str] | None = None,
    sensor: str | None = None,
    start: datetime.date | None = None,
    end: datetime.date | None = None,
    reference_date: datetime.date | None = None,
    residual_compensation: bool = False,
    metrics: bool = False,
    metrics_margin: int | None = None,
    animation: str | Path | None = None,
    subtile: int | None = None,
    margin: int | None = None,
    area: Area | None = None,
    device: str = "auto",
    precision: str = "auto",
    strict: bool = False,
    options: Options | None = None,
) -> Fusion:
    """Predict days of Sentinel-2 and Landsat at 10 m from the days that were observed.

    Args:
        ts: A folder that holds both series, ``sentinel2`` and ``landsat``.
        out: What to write: a folder for one GeoTIFF a date and sensor, a NetCDF file or a Zarr cube.
        hr: The Sentinel-2 series, where ``ts`` is not given.
        lr: The Landsat series, likewise.
        strategy: Which dates go in and come out; ``None``: what the algorithm was published with, else ``ALL``.
        strategy_options: What the strategy leaves open.
        algorithm: How to predict; see :data:`sitsinfer.fusion.algorithms.ALGORITHMS`.
        model: A model folder, for algorithms with a network.
        bands: Bands that come out; ``None``: all that the algorithm predicts.
        sensor: Whose bands come out: ``hr``, ``lr`` or ``both``; ``None``: as the strategy says.
        start: First date to use and to predict.
        end: Last date to use and to predict.
        reference_date: Where years begin, each of which is predicted from itself; ``None``: as the model says, else on
            January 1st.
        residual_compensation: Whether Landsat predictions of observed days are to agree with these at 30 m.
        metrics: Whether to compare with the observations, as a ``.metrics.csv`` beside the STAC item.
        metrics_margin: Fine pixels along the border that are not compared; ``None``: 30, or a quarter of the shorter
            side where that is less.
        animation: A page to write with a slider over the dates.
        subtile: Fine pixels along the side of what is computed at once.
        margin: Fine pixels of context around each sub-tile, as published; ``None``: all that is seen.
        area: What to limit the output to.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        strict: Whether files left out, and anything else worth a note, are errors.
        options: How to spread the run.

    Raises:
        SitsInferError: What stands in the way, on one line.
    """
    pair = open_pair(*map(absolute, (ts, hr, lr)), strict=strict)
    wanted = Wanted(_bands(pair), model, bands, margin, device, precision)
    method = build(algorithm, wanted)
    reference_date = reference_date or year_start(method)
    strategy = _spelled(strategy or method.strategy or "ALL")
    chosen = strategy_options or StrategyOptions()
    _check_options(strategy, chosen)
    dates = _dates(pair, method.reads)
    task = Fuse(
        pair=pair,
        algorithm=method,
        slices=slices(strategy, dates, chosen, reference=reference_date, sensor=sensor, start=start, end=end),
        request={
            "strategy": strategy,
            "strategy options": _told(strategy, chosen),
            "dates": {"start": _iso(start), "end": _iso(end), "reference": _iso(reference_date)},
        },
        area=area or Area(),
        bands=None if bands is None else tuple(bands),
        residual_compensation=residual_compensation,
        subtile=subtile,
        published_tiling=margin is not None,
        device=method.device,
    )
    if residual_compensation and "lr" not in task.targets:
        raise SeriesError("Residual compensation is for Landsat, which does not come out. Set sensor to lr or both.")
    for series in series_of(pair).values():
        tell_series(series)
    tell_doubts([*pair.notes, *unknown_days(method, task.slices)], strict)
    run = FusionRun(task, absolute(out), strategy, options or Options())
    return run.go(metrics, absolute(animation), metrics_margin)


def explain_fusion(
    strategy: str,
    ts: str | Path | None = None,
    *,
    hr: str | Path | None = None,
    lr: str | Path | None = None,
    strategy_options: StrategyOptions | None = None,
    sensor: str | None = None,
    start: datetime.date | None = None,
    end: datetime.date | None = None,
    reference_date: datetime.date | None = None,
) -> str:
    """Say which dates a strategy takes and asks for, year by year; without a series, what it does in general.

    Arguments are those of :func:`fuse`.

    Raises:
        SitsInferError: What stands in the way, on one line.
    """
    strategy, chosen = _spelled(strategy), strategy_options or StrategyOptions()
    _check_options(strategy, chosen)
    dates = None
    if any(path is not None for path in (ts, hr, lr)):
        dates = _dates(open_pair(*map(absolute, (ts, hr, lr))), ("hr", "lr"))
    return explain(strategy, dates, chosen, reference=reference_date, sensor=sensor, start=start, end=end)


def _spelled(strategy: str) -> str:
    """A strategy's name as published, in whatever case it is given."""
    return next((name for name in STRATEGIES if name.upper() == strategy.upper()), strategy)


def _check_options(strategy: str, options: StrategyOptions) -> None:
    """See that a strategy has a use for what only some take.

    Raises:
        SeriesError: If it has none.
    """
    takes = named(strategy).takes
    if options.dates and "dates" not in takes:
        raise SeriesError(
            f"Dates are given, but strategy {strategy} chooses its own. Leave the dates out, or choose CUSTOM."
        )
    if options.every is not None and "every" not in takes:
        regular = [name for name, other in STRATEGIES.items() if "every" in other.takes]
        raise SeriesError(
            f"Strategy {strategy} predicts no date every {options.every} days. "
            f"Leave every out, or choose {' or '.join(regular)}."
        )


def _told(strategy: str, options: StrategyOptions) -> dict[str, Any]:
    """The options that a strategy looks at, as plain JSON: others decide nothing."""
    given = {name: getattr(options, name) for name in named(strategy).takes}
    return {name: [_iso(day) for day in value] if name == "dates" else _iso(value) for name, value in given.items()}


def _iso(value: Any) -> Any:
    """A date as ISO 8601 has it; anything else as it is."""
    return value.isoformat() if isinstance(value, datetime.date) else value


def _bands(pair: Pair) -> dict[str, tuple[str, ...]]:
    return {sensor: series.bands for sensor, series in series_of(pair).items()}


def _dates(pair: Pair, sensors: Collection[str]) -> dict[str, tuple[datetime.date, ...]]:
    """Dates of the sensors that an algorithm knows."""
    return {sensor: series.dates for sensor, series in series_of(pair).items() if sensor in sensors}
