"""``sitsinfer evaluate parcels``: how far the classes of parcels agree with a reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sitsinfer.cli import _options as opt
from sitsinfer.cli.evaluate import _accuracy, _outputs

if TYPE_CHECKING:
    from sitsinfer.api import ParcelAccuracy

UNIT = "parcels"


def parcels(
    classified: Annotated[
        Path,
        typer.Argument(help="Parcels with class_code and class_name, as 'classify' writes them.", show_default=False),
    ],
    labels: Annotated[
        Path,
        typer.Argument(help="The classes that are right: a vector file, or a table such as CSV.", show_default=False),
    ],
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Its column with codes or names of classes.", metavar="NAME", show_default="class_code or class_name"
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            help="The column of both with identifiers; fid is the number of a feature.",
            metavar="NAME",
            show_default="the first one of the classified parcels",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            help="A class that does not count, in either: a code, or a name if the labels have names; may be given "
            "several times.",
            show_default=False,
        ),
    ] = None,
    json: _outputs.Json = False,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="Write scores and confusion matrix, a row a true class, to this file.",
            show_default=False,
        ),
    ] = None,
    picture: _outputs.Picture = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Score the classes of parcels: the scores of 'evaluate segmentation', by parcel and by hectare.

    Parcels are joined by identifier. Those without a class, in either file, are left out and told of, as are those that
    the other file does not have.

    Areas of classes, and accuracies weighted by them, are estimated for all classified parcels with 95 % confidence
    intervals, after Olofsson et al. 2014, each parcel weighing as much as its area. These are for labels of parcels
    drawn at random, within each mapped class or over all. Where all parcels have one there is no sampling error, and
    there are no intervals.
    """
    from sitsinfer.api import evaluate_parcels

    _outputs.check_outputs({"the scores": csv, "the picture": picture}, [classified, labels], overwrite)
    found = evaluate_parcels(
        classified, labels, label_column=label_column, id_column=id_column, ignore=tuple(ignore or ())
    )
    for note in _notes(found):
        typer.echo(note, err=True)
    if csv is not None:
        _outputs.write_csv(csv, _rows(found))
    if picture is not None:
        _accuracy.draw(picture, found.accuracy, UNIT)
    if json:
        _outputs.print_json(_as_dict(found))
    else:
        _accuracy.print_scores(found.accuracy, found.accuracy.scores, UNIT)
        typer.echo()
        _accuracy.print_scores(found.accuracy, found.by_area, "hectares")
        _accuracy.print_estimates(found.accuracy, UNIT)


def _notes(found: ParcelAccuracy) -> Iterator[str]:
    """What is left out."""
    from sitsinfer.series.types import listing

    if found.unclassified:
        yield f"{_parcels(found.unclassified)} without a class left out of the scores."
    for names, what in (
        (found.without_reference, "without a label"),
        (found.ambiguous, "with several labels, which count as none"),
        (found.without_parcel, "in the labels that were not classified"),
    ):
        if names:
            yield f"{_parcels(len(names))} {what}: {listing(names)}."


def _parcels(count: int) -> str:
    return "1 parcel" if count == 1 else f"{count} parcels"


def _as_dict(found: ParcelAccuracy) -> dict[str, Any]:
    """All that is known, as JSON has it."""
    summary = _accuracy.as_dict(found.accuracy, UNIT)
    for k, entry in zip(found.accuracy.occurring, summary["classes"], strict=True):
        entry["by_area"] = _by_area(found, k)
    return {
        **summary,
        "by_area": {
            "hectares": float(found.by_area.matrix.sum()),
            "overall_accuracy": _outputs.defined(found.by_area.overall_accuracy),
            "mean_iou": _outputs.defined(found.by_area.mean_iou),
        },
        "unclassified": found.unclassified,
        "without_reference": found.without_reference,
        "without_parcel": found.without_parcel,
        "ambiguous": found.ambiguous,
    }


def _rows(found: ParcelAccuracy) -> list[dict[str, Any]]:
    """A row a true class."""
    rows = _accuracy.as_rows(found.accuracy, UNIT)
    areas = [_by_area(found, k) for k in found.accuracy.occurring]
    return [
        {**row, **{f"{name}_by_area": value for name, value in area.items()}}
        for row, area in zip(rows, areas, strict=True)
    ]


def _by_area(found: ParcelAccuracy, k: int) -> dict[str, float | None]:
    """Scores of one class, every hectare weighing the same."""
    return {"hectares": float(found.by_area.matrix[k].sum()), **_accuracy.scores_as_dict(found.by_area, k)}
