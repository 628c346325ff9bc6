"""A fusion as a run: what it makes, what it checks before, and what it tells of the outputs."""

import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sitsinfer import engine
from sitsinfer.api.checks import check_names
from sitsinfer.engine import Options, Summary
from sitsinfer.errors import MetricError, OutputError, SeriesError
from sitsinfer.fusion.strategies import SENSORS as CALLED
from sitsinfer.metrics.fusion import Comparison, DateScores, compare, to_csv
from sitsinfer.metrics.fusion.compare import border, margin_of
from sitsinfer.metrics.fusion.pixels import LayerPixels, ViewPixels
from sitsinfer.products import animation as pages
from sitsinfer.products import dated
from sitsinfer.products.stac import is_item, write_item
from sitsinfer.products.whole import whole_file
from sitsinfer.series import Series
from sitsinfer.series.pair import Pair
from sitsinfer.store import Store, StoredLayer
from sitsinfer.tasks.fuse import LAYERS, Fuse

log = logging.getLogger(__name__)

SENSORS = {name: sensor for sensor, name in LAYERS.items()}
"""The sensor of a layer."""


@dataclass(frozen=True)
class Fusion:
    """What became of a fusion.

    Attributes:
        summary: Of the run.
        scores: Of each date that was compared with its observation; none where that was not asked for, or is there
            already.
        table: Where the scores of all dates lie, written now or before; ``None`` where they were not asked for.
    """

    summary: Summary
    scores: tuple[DateScores, ...] = ()
    table: Path | None = None


def series_of(pair: Pair) -> dict[str, Series]:
    """The series that there are, by sensor."""
    found = {"hr": pair.hr, "lr": pair.lr, "pan": pair.pan}
    return {sensor: series for sensor, series in found.items() if series is not None}


@dataclass(frozen=True)
class FusionRun:
    """A fusion, and what comes of it: rasters or a cube, their STAC item, scores, an animation.

    Attributes:
        task: What is predicted.
        out: What was asked for: a folder or a cube.
        strategy: Its name, which those of outputs begin with.
        options: How to spread the run.
    """

    task: Fuse
    out: Path
    strategy: str
    options: Options

    @property
    def files(self) -> tuple[Path, ...]:
        """The rasters, or the cube."""
        return dated.outputs_of(self.out, self.strategy, self.task.layers)

    @property
    def item(self) -> Path:
        """Their STAC item."""
        return dated.item_of(self.out, self.strategy)

    @property
    def table(self) -> Path:
        """Where scores go."""
        return self.item.with_suffix(".metrics.csv")

    def go(self, metrics: bool, animation: Path | None, metrics_margin: int | None = None) -> Fusion:
        """Make what is missing.

        Args:
            metrics: Whether to compare with the observations.
            animation: A page to write, if any.
            metrics_margin: Fine pixels along the border that are not compared; ``None``: as published.
        """
        self._check(metrics, animation, metrics_margin)
        is_drawn = animation is None or self._is_drawn(animation)
        outputs = engine.Outputs(self.out, self.files, self._publish, dated.read_tags)
        summary = engine.run(self.task, outputs, self.options)
        if not self.item.exists():  # somebody removed it from beside finished outputs
            self._describe(summary)
        if animation is not None and not (summary.unchanged and is_drawn):
            title = f"{self.strategy} by {self.task.algorithm.name}"
            pages.write_animation(animation, dated.read_back(self.files), title, dated.read_tags(self.files[0]))
        if not metrics:
            return Fusion(summary)
        if self._is_scored(metrics_margin):
            return Fusion(summary, table=self.table)
        scores = tuple(compare(self._comparisons(), metrics_margin))
        with whole_file(self.table) as draft:
            draft.write_text(to_csv(scores), encoding="utf-8")
        return Fusion(summary, scores, self.table)

    def _check(self, metrics: bool, animation: Path | None, metrics_margin: int | None) -> None:
        """See that something comes out, and that nothing is in its way.

        Raises:
            SeriesError: If nothing comes out, or nothing that it could be compared with.
            MetricError: If nothing is left to compare, or nothing is compared and yet a margin is given.
            OutputError: If something is in the way.
        """
        self._check_targets()
        if metrics:
            self._check_observed()
            border(metrics_margin, self.task.grid.shape.yx)
        elif metrics_margin is not None:
            raise MetricError(f"A margin of {metrics_margin} pixels is for metrics. Set metrics, or leave it out.")
        extra = [*([self.table] if metrics else []), *([animation] if animation else [])]
        series = series_of(self.task.pair).values()
        check_names([*self.files, self.item, *extra], *series)
        if self.out.resolve() in (one.root.resolve() for one in series):
            raise OutputError(f"{self.out} is the folder of a series, which would grow by the output. Choose another.")
        made_by_us = {self.item: is_item, **({self.table: _is_table} if metrics else {})}
        for path, is_ours in made_by_us.items():
            if not self.options.overwrite and path.exists() and not is_ours(path):
                raise engine.foreign(path)
        if animation is not None:
            pages.check_name(animation)
            if animation.parent != self.files[0].parent:  # which is made if need be
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
        if _is_table(self.table):  # of what is replaced now
            self.table.unlink()
        sources = [store.source(layer.name) for layer in store.layers]
        dated.write(self.out, self.strategy, sources, {**tags, "ALGORITHM": self.task.algorithm.name})
        self._describe(summary)
        self._tell_empty(sources)

    def _tell_empty(self, sources: Sequence[StoredLayer]) -> None:
        """Warn of dates that nothing could be told of: their files hold no value at all."""
        empty = [
            f"{source.layer.name} {day}"
            for source in sources
            for day in source.layer.dates
            if source.on(day).is_empty()
        ]
        if empty:
            more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
            log.warning(
                "%s has nothing to say of %d dates, which hold no value: %s%s. It was given too little of their year.",
                self.task.algorithm.name,
                len(empty),
                ", ".join(empty[:3]),
                more,
                extra={"event": "note"},
            )

    def _describe(self, summary: Summary) -> None:
        write_item(self.item, dated.assets_of(self.files), self._provenance(summary))

    def _is_drawn(self, animation: Path) -> bool:
        """Whether a page of just these outputs is there.

        Raises:
            OutputError: If the file is something else.
        """
        fingerprint = engine.fingerprint_of(self.task)
        return not self.options.overwrite and engine.outdated(animation, fingerprint, pages.read_tags) == set()

    def _is_scored(self, margin: int | None) -> bool:
        """Whether scores of just these outputs are there, which go when the outputs do, without so much of the border.

        The margin of the first image tells: all are of one size.
        """
        if not _is_table(self.table):
            return False
        with self.table.open(encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file), {})
        for comparison in self._comparisons():
            return row.get("margin") == str(margin_of(comparison, margin))
        return False

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
            "inputs": {sensor: [name for name, _, _ in one.inputs()] for sensor, one in series_of(task.pair).items()},
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
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith("name,sensor,date,")
