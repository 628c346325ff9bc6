"""``sitsinfer evaluate segmentation``: how far a map of classes agrees with a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as opt
from sitsinfer.cli.evaluate import _accuracy, _outputs
from sitsinfer.cli.evaluate._quiet import unwarned

UNIT = "pixels"


def segmentation(
    prediction: Annotated[Path, typer.Argument(help="A map of classes.", show_default=False)],
    reference: Annotated[Path, typer.Argument(help="The classes that are right, on any grid.", show_default=False)],
    ignore: Annotated[
        list[int] | None,
        typer.Option(
            help="A class code that does not count, in either map; may be given several times.", max=255, min=0
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
    """Score a map of classes: overall accuracy, mean IoU, and IoU, precision, recall and F1 of each class.

    Pixels count that have a value in both maps. A reference on another grid is read by nearest neighbour.

    Areas of classes, and accuracies weighted by them, are estimated for the whole map with 95 % confidence intervals,
    after Olofsson et al. 2014. These are for a reference that is a sample of pixels drawn at random, within each mapped
    class or over all of the map. They are too narrow for one of whole fields, or of places that were easy to reach. One
    that covers the whole map has no sampling error, and gets no intervals.
    """
    from sitsinfer.api import evaluate_segmentation

    _outputs.check_outputs({"the scores": csv, "the picture": picture}, [prediction, reference], overwrite)
    with unwarned():
        found = evaluate_segmentation(prediction, reference, ignore=ignore or ())
    if csv is not None:
        _outputs.write_csv(csv, _accuracy.as_rows(found, UNIT))
    if picture is not None:
        _accuracy.draw(picture, found, UNIT)
    if json:
        _outputs.print_json(_accuracy.as_dict(found, UNIT))
    else:
        _accuracy.print_scores(found, found.scores, UNIT)
        _accuracy.print_estimates(found, UNIT)
