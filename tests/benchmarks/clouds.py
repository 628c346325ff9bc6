"""How far what attention ignores is clouds: AUC of each head, and of their mean on each date, against masks.

Heads are scored from attention in the steps that ``segment`` stores, as ``clouds --from-attention`` does; the last row,
and the dates, are of what ``clouds`` makes of attention as it is.

``--data`` is a folder with ``s2`` (or another series, by ``--series``) and masks in ``s2_cloudmask`` (``--masks``), not
0 where there is a cloud or its shadow; ``--model`` names the models to try. The series is read without its masks. There
is no bound: the figures say what the scores are worth.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

import sitsinfer
from sitsinfer.attention import NODATA, STEP, cloud_scores
from sitsinfer.grid import whole
from sitsinfer.metrics.ranking import ScoreCounts
from sitsinfer.products.dated import DatedFiles, find
from sitsinfer.series.names import date_in_path
from tests.benchmarks import data
from tests.benchmarks.measure import table

THRESHOLDS = (0.5, 0.6, 0.7)


def main(options: list[str]) -> bool:
    """Score each model."""
    args = _arguments(options)
    if args.data is None:
        print("  not run: give a folder of a series and its masks by --data")
        return True
    masks = dict(_masks(args.data / args.masks))
    for model in args.model or ["utae-demo"]:
        steps, scores = _computed(args.data / args.series, model, args.start, args.end)
        dates = [one.date for one in steps.dates]
        heads = len(steps.layer.bands)
        print(f"\n  {model}: {heads} heads, {len(dates)} dates from {dates[0]} to {dates[-1]}")
        _tell(steps, scores, masks)
    return True


def _tell(attention: DatedFiles, scores: DatedFiles, masks: dict[date, NDArray[np.bool_]]) -> None:
    """Print what each head and each date is worth."""
    dates = [one.date for one in attention.dates]
    steps, stored = (files.read(whole(files.grid)) for files in (attention, scores))
    observed = steps[:, 0] != NODATA
    chosen = {str(head): [head] for head in range(steps.shape[1])} | {"all": [*range(steps.shape[1])]}
    heads = {
        name: _counted(dates, cloud_scores(steps[:, which], observed, 0.5), masks) for name, which in chosen.items()
    }
    heads["as it is"] = _counted(dates, np.where(stored == NODATA, np.nan, stored * STEP)[:, 0], masks)
    table(
        (
            "head",
            "AUC, all dates",
            "AUC, median date",
            *(f"{what} at {at}" for at in THRESHOLDS for what in ("P", "R")),
        ),
        [(name, *_summary(list(counts.values()))) for name, counts in heads.items()],
    )
    table(
        ("date", "cloud", "AUC"),
        [(str(day), counts.share, counts.auc) for day, counts in heads["as it is"].items() if 0 < counts.share < 1],
    )


def _summary(counts: list[ScoreCounts]) -> tuple[float, ...]:
    """AUC of all dates together and of the median one, and precision and recall at each threshold."""
    together = sum(counts, ScoreCounts.none())
    each = [one.auc for one in counts if 0 < one.share < 1]
    rates = [rate(at) for at in THRESHOLDS for rate in (together.precision, together.recall)]
    return together.auc, statistics.median(each), *rates


def _counted(
    dates: list[date], scores: NDArray[np.floating], masks: dict[date, NDArray[np.bool_]]
) -> dict[date, ScoreCounts]:
    """Count the scores of each date that has a mask."""
    return {
        day: ScoreCounts.of(here[known], masks[day][known])
        for day, here in zip(dates, scores, strict=True)
        if day in masks and (known := np.isfinite(here)).any()
    }


def _computed(ts: Path, model: str, start: date | None, end: date | None) -> tuple[DatedFiles, DatedFiles]:
    """Attention of a series as if it had no masks, and scores of clouds."""
    name = Path(model).name
    out, scores = data.scratch() / f"attention_{name}.zarr", data.scratch() / f"clouds_{name}.zarr"
    known = {"model": model, "start": start, "end": end}
    sitsinfer.segment(ts, data.scratch() / f"map_{name}.tif", attention=out, masks=False, **known)
    sitsinfer.clouds(ts, scores, **known)
    return find(out, "attention"), find(scores, "cloud_score")


def _masks(folder: Path) -> Iterator[tuple[date, NDArray[np.bool_]]]:
    for path in sorted(folder.glob("*.tif")):
        day = date_in_path(path)
        assert day is not None, path
        with rasterio.open(path) as mask:
            yield day, mask.read(1) != 0


def _arguments(options: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks clouds")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--series", default="s2")
    parser.add_argument("--masks", default="s2_cloudmask")
    parser.add_argument("--model", action="append", help="An embedded model, or a model folder; again for more.")
    parser.add_argument("--start", type=date.fromisoformat, help="First date.")
    parser.add_argument("--end", type=date.fromisoformat, help="Last date.")
    return parser.parse_args(options)


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
