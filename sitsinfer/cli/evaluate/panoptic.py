"""``sitsinfer evaluate panoptic``: how far a map of parcels agrees with a reference."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sitsinfer.cli.evaluate._quiet import unwarned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sitsinfer.grid import Grid, Window
    from sitsinfer.metrics.objects import ObjectScores
    from sitsinfer.metrics.overlaps import Overlaps
    from sitsinfer.metrics.panoptic import PanopticScores
    from sitsinfer.products.raster import RasterLayer

ID_TYPES = ("uint8", "uint16", "uint32", "int16", "int32")
"""What ids of parcels may be stored as."""

NO_VALUE = 255
"""The code of pixels without a class."""


def panoptic(
    predicted_instances: Annotated[
        Path, typer.Argument(help="Ids of predicted parcels, 0 for none.", show_default=False)
    ],
    predicted_classes: Annotated[Path, typer.Argument(help="Their classes, on the same grid.", show_default=False)],
    true_instances: Annotated[Path, typer.Argument(help="Ids of true parcels, on any grid.", show_default=False)],
    true_classes: Annotated[Path, typer.Argument(help="Their classes, on any grid.", show_default=False)],
    void: Annotated[
        list[int] | None,
        typer.Option(
            help="A class code of the reference that says nothing of a pixel, as having none does; may be given "
            "several times.",
            show_default=False,
        ),
    ] = None,
    background: Annotated[int, typer.Option(help="The class code, in either map, of pixels in no parcel.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print all scores as JSON.")] = False,
) -> None:
    """Score a map of parcels: panoptic quality of each class, and over- and under-segmentation.

    A parcel is found where one of its class shares more than half of what both cover. References on other grids are
    read by nearest neighbour. What is true on void, and where the reference has no class or ends, is not known: no
    score depends on it. Where the prediction has no value it has no parcel.
    """
    from sitsinfer.metrics.objects import object_scores
    from sitsinfer.metrics.panoptic import panoptic_scores

    unknown = _checked((*(void or ()), NO_VALUE), background)
    with (
        unwarned(),
        _open_parcels(predicted_instances, predicted_classes, (background, NO_VALUE)) as predicted,
        _open_parcels(true_instances, true_classes, (background,), predicted.classes.grid) as truth,
    ):
        _check_same_grid(predicted)
        overlaps = _compare(predicted, truth, unknown)
        legends = predicted.classes.layer.classes, truth.classes.layer.classes
    _check_classes(overlaps, [info.code for info in legends[1]], unknown, true_classes)
    codes = [code for code in range(NO_VALUE) if code not in (background, *unknown)]
    scores, outlines = panoptic_scores(overlaps, codes, unknown), object_scores(overlaps, unknown)
    names = {info.code: info.name for legend in legends for info in legend}
    if json:
        _print_json(scores, outlines, names)
    else:
        _print_tables(scores, outlines, names)


@dataclass(frozen=True)
class ParcelMap:
    """Open rasters of ids and of classes, on one grid.

    Attributes:
        instances: Ids, 0 for no parcel.
        classes: Class codes.
        no_parcel: Codes of pixels that are in no parcel, whatever their id.
    """

    instances: RasterLayer
    classes: RasterLayer
    no_parcel: tuple[int, ...]

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[Any]]:
        """Read ids, 0 where there is no parcel, and codes, 255 where there is no class; (height, width) each."""
        import numpy as np

        codes = np.where(self.classes.valid(window), self.classes.read(window)[0], NO_VALUE)
        is_parcel = self.instances.valid(window) & ~np.isin(codes, self.no_parcel)
        return np.where(is_parcel, self.instances.read(window)[0], 0), codes


@contextmanager
def _open_parcels(
    instances: Path, classes: Path, no_parcel: tuple[int, ...], grid: Grid | None = None
) -> Iterator[ParcelMap]:
    """Open ids and classes.

    Raises:
        OutputError: If one cannot be opened, or holds something else.
    """
    from sitsinfer.errors import OutputError
    from sitsinfer.products.raster import open_raster

    with open_raster(instances, grid) as ids, open_raster(classes, grid) as codes:
        if ids.layer.dtype not in ID_TYPES:
            raise OutputError(f"{instances} holds {ids.layer.dtype} values; expected ids: {', '.join(ID_TYPES)}.")
        if codes.layer.dtype != "uint8":
            raise OutputError(f"{classes} holds {codes.layer.dtype} values; expected uint8 class codes.")
        yield ParcelMap(ids, codes, no_parcel)


def _checked(void: tuple[int, ...], background: int) -> tuple[int, ...]:
    """Void codes, once it is clear that codes are codes.

    Raises:
        MetricError: If one is out of range.
    """
    from sitsinfer.errors import MetricError

    for option, codes in (("void", void), ("background", (background,))):
        for code in codes:
            if not 0 <= code <= NO_VALUE:
                raise MetricError(f"Class code {code} of {option} is out of range; expected 0 to {NO_VALUE}.")
    return void


def _check_same_grid(parcels: ParcelMap) -> None:
    """Refuse ids and classes that lie on different pixels.

    Raises:
        MetricError: If they do.
    """
    from sitsinfer.errors import MetricError

    if parcels.instances.grid != parcels.classes.grid:
        raise MetricError(
            f"{parcels.instances.path} and {parcels.classes.path} lie on different grids. "
            "Expected ids and classes of the same pixels, as one run writes them."
        )


def _compare(predicted: ParcelMap, truth: ParcelMap, void: Collection[int]) -> Overlaps:
    """Count shared pixels window by window.

    Raises:
        MetricError: If nothing is known of any pixel, there is no true parcel, or an id is negative.
    """
    import numpy as np

    from sitsinfer.errors import MetricError
    from sitsinfer.metrics.overlaps import Overlaps
    from sitsinfer.products.windows import windows

    overlaps = Overlaps.merge(
        Overlaps.of(*truth.read(window), *predicted.read(window)) for window in windows(predicted.classes.grid)
    )
    is_known = ~np.isin(overlaps.true_classes, list(void))
    if not is_known.any():
        raise MetricError(
            f"{predicted.classes.path} and {truth.classes.path} share no pixel that counts. Expected maps of one area."
        )
    if not (overlaps.true_instances[is_known] > 0).any():
        raise MetricError(
            f"{truth.instances.path} has no parcel of a known class where {predicted.instances.path} lies. "
            "Expected ids from 1 for parcels, and their classes in the other reference."
        )
    return overlaps


def _check_classes(overlaps: Overlaps, known: Sequence[int], void: Collection[int], reference: Path) -> None:
    """Refuse predicted parcels of classes that the reference's legend does not have.

    Raises:
        MetricError: If it has a legend, and there are such.
    """
    from sitsinfer.errors import MetricError

    found = {int(code) for code in overlaps.pred_classes[overlaps.pred_instances > 0]}
    foreign = sorted(found - {*known, *void})
    if known and foreign:
        raise MetricError(
            f"Parcels of class {', '.join(map(str, foreign))} are predicted, but {reference} has classes "
            f"{', '.join(map(str, known))}. Compare maps with the same class codes."
        )


def _print_json(scores: PanopticScores, outlines: ObjectScores, names: Mapping[int, str]) -> None:
    """Print all scores, as fractions; null for means over no parcel."""
    import json

    summary = {
        "mean_sq": scores.mean_sq,
        "mean_rq": scores.mean_rq,
        "mean_pq": scores.mean_pq,
        "classes": [
            {
                "code": scores.classes[k],
                "name": names.get(scores.classes[k], str(scores.classes[k])),
                "true": int(scores.true[k]),
                "predicted": int(scores.predicted[k]),
                "matched": int(scores.matched[k]),
                "sq": float(scores.sq[k]),
                "rq": float(scores.rq[k]),
                "pq": float(scores.pq[k]),
            }
            for k in _occurring(scores)
        ],
        "outlines": {
            "parcels": outlines.parcels,
            "touched": outlines.touched,
            "found": outlines.found,
            "oversegmentation": {name: _defined(mean) for name, mean in asdict(outlines.oversegmentation).items()},
            "undersegmentation": {name: _defined(mean) for name, mean in asdict(outlines.undersegmentation).items()},
        },
    }
    typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))


def _print_tables(scores: PanopticScores, outlines: ObjectScores, names: Mapping[int, str]) -> None:
    """Print the scores as tables, in percent."""
    from rich.console import Console
    from rich.table import Column, Table

    titles = "true", "predicted", "matched", "SQ %", "RQ %", "PQ %"
    table = Table("class", *(Column(title, justify="right") for title in titles), box=None, pad_edge=False)
    for k in _occurring(scores):
        parcels = (scores.true[k], scores.predicted[k], scores.matched[k])
        shares = (scores.sq[k], scores.rq[k], scores.pq[k])
        name = names.get(scores.classes[k], str(scores.classes[k]))
        table.add_row(name, *(f"{count:d}" for count in parcels), *(f"{100 * share:.1f}" for share in shares))
    means = [f"{100 * mean:.1f}" for mean in (scores.mean_sq, scores.mean_rq, scores.mean_pq)]
    table.add_row("mean of classes", "", "", "", *means)
    Console().print(table)
    typer.echo(f"\nWhatever their class, {outlines.found} of {outlines.parcels} true parcels are found.")
    if not outlines.touched:
        return
    over, under = outlines.oversegmentation, outlines.undersegmentation
    typer.echo(
        f"Of the {outlines.touched} that a predicted one touches: "
        f"over-segmentation {100 * over.by_parcel:.1f} % ({100 * over.by_area:.1f} % by area), "
        f"under-segmentation {100 * under.by_parcel:.1f} % ({100 * under.by_area:.1f} % by area)."
    )


def _occurring(scores: PanopticScores) -> list[int]:
    """Where among the classes those are that are in either map."""
    return [k for k, pq in enumerate(scores.pq) if not math.isnan(pq)]


def _defined(score: float) -> float | None:
    return None if math.isnan(score) else score
