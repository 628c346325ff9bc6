"""``sitsinfer evaluate panoptic``: how far a map of parcels agrees with a reference."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sitsinfer.cli.evaluate._outputs import Json, defined, new_table, percent, print_json, print_table
from sitsinfer.cli.evaluate._quiet import unwarned

if TYPE_CHECKING:
    from sitsinfer.api import ParcelScores
    from sitsinfer.metrics.panoptic import PanopticScores


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
            help="A class code of the reference that means not known: what is true there does not count. (In "
            "'panoptic' void parcels are left out of the map.) May be given several times.",
            show_default=False,
        ),
    ] = None,
    background: Annotated[int, typer.Option(help="The class code, in either map, of pixels in no parcel.")] = 0,
    json: Json = False,
) -> None:
    """Score a map of parcels: panoptic quality of each class, and over- and under-segmentation.

    A parcel is found where one of its class shares more than half of what both cover. Rasters are of any integer type,
    and references on other grids are read by nearest neighbour. Void is handled as published. What lies beyond the
    reference, where it has no class or ends, is not counted against the prediction. Where the prediction has no value
    it has no parcel.
    """
    from sitsinfer.api import evaluate_panoptic

    with unwarned():
        found = evaluate_panoptic(
            predicted_instances,
            predicted_classes,
            true_instances,
            true_classes,
            void=void or (),
            background=background,
        )
    if json:
        _print_json(found)
    else:
        _print_tables(found)


def _print_json(found: ParcelScores) -> None:
    """Print all scores, as fractions; null for means over no parcel."""
    scores, outlines = found.panoptic, found.outlines
    summary = {
        "mean_sq": defined(scores.mean_sq),
        "mean_rq": defined(scores.mean_rq),
        "mean_pq": defined(scores.mean_pq),
        "classes": [
            {
                "code": scores.classes[k],
                "name": _name(found, k),
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
            "oversegmentation": {name: defined(mean) for name, mean in asdict(outlines.oversegmentation).items()},
            "undersegmentation": {name: defined(mean) for name, mean in asdict(outlines.undersegmentation).items()},
        },
    }
    print_json(summary)


def _print_tables(found: ParcelScores) -> None:
    """Print the scores as tables, in percent."""
    scores, outlines = found.panoptic, found.outlines
    titles = "true", "predicted", "matched", "SQ %", "RQ %", "PQ %"
    table = new_table("class", *titles)
    for k in _occurring(scores):
        parcels = (scores.true[k], scores.predicted[k], scores.matched[k])
        shares = (scores.sq[k], scores.rq[k], scores.pq[k])
        name = _name(found, k)
        table.add_row(name, *(f"{count:d}" for count in parcels), *(f"{100 * share:.1f}" for share in shares))
    means = [percent(mean) for mean in (scores.mean_sq, scores.mean_rq, scores.mean_pq)]
    table.add_row("mean of classes", "", "", "", *means)
    print_table(table)
    typer.echo(f"\nWhatever their class, {outlines.found} of {outlines.parcels} true parcels are found.")
    if not outlines.touched:
        return
    over, under = outlines.oversegmentation, outlines.undersegmentation
    typer.echo(
        f"Of the {outlines.touched} that a predicted one touches: "
        f"over-segmentation {100 * over.by_parcel:.1f} % ({100 * over.by_area:.1f} % by area), "
        f"under-segmentation {100 * under.by_parcel:.1f} % ({100 * under.by_area:.1f} % by area)."
    )


def _name(found: ParcelScores, k: int) -> str:
    code = found.panoptic.classes[k]
    return found.names.get(code, str(code))


def _occurring(scores: PanopticScores) -> list[int]:
    """Where among the classes those are that are in either map."""
    return [k for k, pq in enumerate(scores.pq) if not math.isnan(pq)]
