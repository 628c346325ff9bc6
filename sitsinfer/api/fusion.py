"""``sitsinfer.fuse``: any day at 10 m, from two sensors."""

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sitsinfer import engine
from sitsinfer.api.checks import absolute, check_names, tell
from sitsinfer.area import Area
from sitsinfer.engine import Options, Summary
from sitsinfer.errors import OutputError, SeriesError
from sitsinfer.fusion.algorithms import Wanted, build
from sitsinfer.fusion.slices import explain, slices
from sitsinfer.fusion.strategies import SENSORS as CALLED
from sitsinfer.fusion.strategies import STRATEGIES, StrategyOptions
from sitsinfer.metrics.fusion import Comparison, DateScores, compare, to_csv
from sitsinfer.metrics.fusion.pixels import LayerPixels, ViewPixels
from sitsinfer.products import animation as pages
from sitsinfer.products import dated
from sitsinfer.products.stac import is_item, write_item
from sitsinfer.products.whole import whole_file
from sitsinfer.series import Series
from sitsinfer.series.pair import Pair, open_pair
from sitsinfer.store import Store
from sitsinfer.tasks.fuse import LAYERS, Fuse

SENSORS = {name: sensor for sensor, name in LAYERS.items()}
"""The sensor of a layer."""

REGULAR = ("L3A", "L3A_10D")
"""Strategies that predict dates at regular distances."""


@dataclass(frozen=True)
class Fusion:
    """What became of a fusion.

    Attributes:
        summary: Of the run.
        scores: Of each date that was compared with its observation; none where that was not asked for, or is there
            already.
    """

    summary: Summary
    scores: tuple[DateScores, ...] = ()


def fuse(
    ts: Path | None,
    out: Path,
    *,
    hr: Path | None = None,
    lr: Path | None = None,
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
    animation: Path | None = None,
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
        reference_date: Where years begin, each of which is predicted from itself; ``None``: January 1st.
        residual_compensation: Whether Landsat predictions of observed days are to agree with these at 30 m.
        metrics: Whether to compare with the observations, as a ``.metrics.csv`` beside the STAC item.
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
    ts, out, hr, lr, animation = map(absolute, (ts, out, hr, lr, animation))
    pair = open_pair(ts, hr, lr, strict=strict)
    wanted = Wanted(_bands(pair), model, bands, margin, device, precision)
    method = build(algorithm, wanted)
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
            "strategy options": str(chosen),
            "dates": [str(start), str(end), str(reference_date)],
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
    _tell_all(pair, strict)
    return _Run(task, out, strategy, options or Options()).go(metrics, animation)


def explain_fusion(
    strategy: str,
    ts: Path | None = None,
    *,
    hr: Path | None = None,
    lr: Path | None = None,
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
        dates = _dates(open_pair(ts, hr, lr), ("hr", "lr"))
    return explain(strategy, dates, chosen, reference=reference_date, sensor=sensor, start=start, end=end)


def _spelled(strategy: str) -> str:
    """A strategy's name as published, in whatever case it is given."""
    return next((name for name in STRATEGIES if name.upper() == strategy.upper()), strategy)


def _check_options(strategy: str, options: StrategyOptions) -> None:
    """See that a strategy has a use for what only some take.

    Raises:
        SeriesError: If it has none.
    """
    if options.dates and strategy != "CUSTOM":
        raise SeriesError(
            f"Dates are given, but strategy {strategy} chooses its own. Leave the dates out, or choose CUSTOM."
        )
    if options.every is not None and strategy not in REGULAR:
        raise SeriesError(
            f"Strategy {strategy} predicts no date every {options.every} days. "
            f"Leave every out, or choose {' or '.join(REGULAR)}."
        )


def _series(pair: Pair) -> dict[str, Series]:
    """The series that there are, by sensor."""
    found = {"hr": pair.hr, "lr": pair.lr, "pan": pair.pan}
    return {sensor: series for sensor, series in found.items() if series is not None}


def _bands(pair: Pair) -> dict[str, tuple[str, ...]]:
    return {sensor: series.bands for sensor, series in _series(pair).items()}


def _dates(pair: Pair, sensors: Collection[str]) -> dict[str, tuple[datetime.date, ...]]:
    """Dates of the sensors that an algorithm knows."""
    return {sensor: series.dates for sensor, series in _series(pair).items() if sensor in sensors}


def _tell_all(pair: Pair, strict: bool) -> None:
    """Log what a user should know of the series, and of how they lie to each other.

    Raises:
        SeriesError: If there is such a thing, and that is to be an error.
    """
    for series in _series(pair).values():
        tell(series, (), strict)
    (first, *_) = _series(pair).values()
    tell(replace(first, left_out=(), notes=()), pair.notes, strict)


@dataclass(frozen=True)
class _Run:
    """A fusion, and what comes of it."""

    task: Fuse
    out: Path
    strategy: str
    options: Options

    @property
    def files(self) -> tuple[Path, ...]:
        return dated.outputs_of(self.out, self.strategy, self.task.layers)

    @property
    def item(self) -> Path:
        return dated.item_of(self.out, self.strategy)

    @property
    def table(self) -> Path:
        """Where scores go."""
        return self.item.with_suffix(".metrics.csv")

    def go(self, metrics: bool, animation: Path | None) -> Fusion:
        """Make what is missing."""
        self._check(metrics, animation)
        is_drawn = animation is None or self._is_drawn(animation)
        outputs = engine.Outputs(self.out, self.files, self._publish, dated.read_tags)
        summary = engine.run(self.task, outputs, self.options)
        if not self.item.exists():  # somebody removed it from beside finished outputs
            self._describe(summary)
        if animation is not None and not (summary.unchanged and is_drawn):
            title = f"{self.strategy} by {self.task.algorithm.name}"
            pages.write_animation(animation, dated.read_back(self.files), title, dated.read_tags(self.files[0]))
        scores = (
            tuple(compare(self._comparisons())) if metrics and not (summary.unchanged and self._is_scored()) else ()
        )
        if scores:
            with whole_file(self.table) as draft:
                draft.write_text(to_csv(scores), encoding="utf-8")
        return Fusion(summary, scores)

    def _check(self, metrics: bool, animation: Path | None) -> None:
        """See that something comes out, and that nothing is in its way.

        Raises:
            SeriesError: If nothing comes out, or nothing that it could be compared with.
            OutputError: If something is in the way.
        """
        self._check_targets()
        if metrics:
            self._check_observed()
        extra = [*([self.table] if metrics else []), *([animation] if animation else [])]
        series = _series(self.task.pair).values()
        check_names([*self.files, self.item, *extra], *series)
        if self.out.resolve() in (one.root.resolve() for one in series):
            raise OutputError(f"{self.out} is the folder of a series, which would grow by the output. Choose another.")
        made_by_us = {self.item: is_item, **({self.table: _is_table} if metrics else {})}
        for path, is_ours in made_by_us.items():
            if not self.options.overwrite and path.exists() and not is_ours(path):
                raise engine.foreign(path)
        if animation is not None and animation.parent != self.files[0].parent:  # which is made if need be
            engine.check_places([animation])

    def _check_targets(self) -> None:
        """See that there is a date to predict, of a sensor that has bands to come out.

        Raises:
            SeriesError: If there is none.
        """
        task = self.task
        if task.targets:
            return
        asked = [sensor for sensor in LAYERS if any(piece.targets(sensor) for piece in task.slices)]
        dates, bands = (" and ".join(CALLED[sensor] for sensor in sensors) for sensors in (asked, task.writes))
        raise SeriesError(
            f"Nothing comes out: strategy {self.strategy} predicts dates of {dates}, and the bands to come out are "
            f"{bands}'s ({', '.join(band for found in task.writes.values() for band in found)}). "
            f"Set sensor to both, or choose other bands or another strategy."
        )

    def _check_observed(self) -> None:
        """See that a date to predict was observed.

        Raises:
            SeriesError: If none was.
        """
        dates = ((sensor, day) for sensor, days in self.task.targets.items() for day in days)
        if not any(self.task.observed(sensor, day) for sensor, day in dates):
            raise SeriesError(
                f"No date that {self.strategy} predicts was observed, so that there is nothing to compare with. "
                f"Leave out the metrics, or choose a strategy that predicts observed dates, such as GAPS."
            )

    def _publish(self, store: Store, tags: Mapping[str, str], summary: Summary) -> None:
        sources = [store.source(layer.name) for layer in store.layers]
        dated.write(self.out, self.strategy, sources, {**tags, "ALGORITHM": self.task.algorithm.name})
        self._describe(summary)

    def _describe(self, summary: Summary) -> None:
        write_item(self.item, dated.assets_of(self.files), self._provenance(summary))

    def _is_drawn(self, animation: Path) -> bool:
        """Whether a page of just these outputs is there.

        Raises:
            OutputError: If the file is something else.
        """
        fingerprint = engine.fingerprint_of(self.task)
        return not self.options.overwrite and engine.outdated(animation, fingerprint, pages.read_tags) == set()

    def _is_scored(self) -> bool:
        """Whether scores of just these outputs are there: written after them."""
        if not self.table.exists():
            return False
        return self.table.stat().st_mtime_ns >= max(file.stat().st_mtime_ns for file in self.files)

    def _comparisons(self) -> Iterator[Comparison]:
        """Published dates beside their observations, where there are any, each open as long as it is looked at."""
        for one in dated.read_back(self.files):
            view = self.task.observed(SENSORS[one.name], one.date)
            if view is None:
                continue
            with one.open() as source:
                yield Comparison(
                    name=f"{one.name} {one.date}",
                    sensor=SENSORS[one.name],
                    date=one.date,
                    prediction=LayerPixels(source),
                    observation=ViewPixels(view, one.date),
                    inputs=self.task.inputs_of(one.date),
                )

    def _provenance(self, summary: Summary) -> dict[str, Any]:
        """What went into the outputs, for their STAC item."""
        task = self.task
        return {
            "inputs": {sensor: [name for name, _, _ in one.inputs()] for sensor, one in _series(task.pair).items()},
            "dates": [str(day) for day in sorted(frozenset().union(*task.targets.values()))],
            "strategy": self.strategy,
            "options": task.request,
            "algorithm": task.algorithm.name,
            "algorithm_options": task.algorithm.fingerprint(),
            "bounds": task.area.bounds,
            "bounds_crs": task.area.crs,
            "aoi": None if task.area.aoi is None else task.area.aoi.name,
            "residual_compensation": task.residual_compensation,
            "device": task.device,
            "tiles": summary.tiles,
            "seconds": dict(summary.seconds),
        }


def _is_table(path: Path) -> bool:
    """Whether a file is a table of scores that a run wrote."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith("name,sensor,date,")
