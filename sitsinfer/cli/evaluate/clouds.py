"""``sitsinfer evaluate clouds``: how well scores of clouds agree with masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sitsinfer.cli import _options as opt
from sitsinfer.cli.evaluate import _outputs
from sitsinfer.cli.evaluate._quiet import unwarned

if TYPE_CHECKING:
    from sitsinfer.api import CloudAccuracy
    from sitsinfer.api.evaluation.clouds import CloudScores


def clouds(
    scores: Annotated[
        Path,
        typer.Argument(
            help="Scores of each date, as 'clouds' writes them: a folder, .nc or .zarr.", show_default=False
        ),
    ],
    masks: Annotated[
        Path,
        typer.Argument(
            help="Folder of masks with dates in their names: 1 to 3 or 255 where a cloud or a shadow is, else 0.",
            show_default=False,
        ),
    ],
    threshold: Annotated[
        float, typer.Option(help="Pixels that score as much or more are taken for cloud.", min=0, max=1)
    ] = 0.5,
    json: _outputs.Json = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write the scores of each date to this file.", show_default=False)
    ] = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Score scores of clouds against masks: area under the ROC curve, precision and recall of each date.

    Pixels count that have a score where the mask has a value. The area under the curve is how often a cloud scores
    higher than what is none: 0.5 is no better than chance, and where all is cloud, or none, it is not defined. The row
    of all dates has their pixels together.
    """
    from sitsinfer.api import evaluate_clouds

    _outputs.check_outputs({"the scores": csv}, [scores, masks], overwrite)
    with unwarned():
        found = evaluate_clouds(scores, masks, threshold=threshold)
    for note in _notes(found):
        typer.echo(note, err=True)
    if csv is not None:
        _outputs.write_csv(csv, [{"date": f"{day}", **_as_dict(entry)} for day, entry in found.dates.items()])
    if json:
        _outputs.print_json(
            {
                "threshold": threshold,
                "all": _as_dict(found.pooled),
                "dates": [{"date": f"{day}", **_as_dict(entry)} for day, entry in found.dates.items()],
                "without_mask": list(map(str, found.without_mask)),
                "without_scores": list(map(str, found.without_scores)),
            }
        )
    else:
        _print_table(found, threshold)


def _notes(found: CloudAccuracy) -> Iterator[str]:
    """Which dates stand alone, and whether there is anything to tell apart."""
    from sitsinfer.series.types import listing

    for dates, what in ((found.without_mask, "scores but no mask"), (found.without_scores, "a mask but no scores")):
        if dates:
            some = "1 date has" if len(dates) == 1 else f"{len(dates)} dates have"
            yield f"{some} {what}: {listing([*map(str, dates)])}."
    if found.pooled.share in (0, 1):
        some = "No pixel that has a score is" if found.pooled.share == 0 else "Every pixel that has a score is"
        yield (
            f"{some} cloud in the masks, on any date. See that scores were made without masks of the series, and that "
            "the nodata of the masks is neither 0 nor their value of clouds."
        )


def _as_dict(scores: CloudScores) -> dict[str, Any]:
    """Scores as JSON has them; ``None`` where they are not defined."""
    return {name: value if name == "pixels" else _outputs.defined(value) for name, value in asdict(scores).items()}


def _print_table(found: CloudAccuracy, threshold: float) -> None:
    """Print a row a date, and one of all."""
    table = _outputs.new_table("date", "pixels", "cloud %", "AUC", "precision %", "recall %")
    for name, scores in [*((f"{day}", scores) for day, scores in found.dates.items()), ("all", found.pooled)]:
        auc = "-" if scores.auc != scores.auc else f"{scores.auc:.3f}"
        shares = map(_outputs.percent, (scores.precision, scores.recall))
        table.add_row(name, f"{scores.pixels}", _outputs.percent(scores.share), auc, *shares)
    _outputs.print_table(table)
    typer.echo(f"\nPixels that score {threshold:g} or more are taken for cloud.")
