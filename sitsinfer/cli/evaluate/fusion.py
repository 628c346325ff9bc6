"""``sitsinfer evaluate fusion``: how far predicted dates agree with observed ones, or with the truth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as opt
from sitsinfer.cli.evaluate._outputs import check_outputs
from sitsinfer.cli.evaluate._quiet import unwarned


class Sensor(StrEnum):
    """Sensors whose point spread functions are known."""

    HR = "hr"
    LR = "lr"


def fusion(
    prediction: Annotated[
        Path,
        typer.Argument(help="A raster, or a folder or cube of dates such as 'fuse' writes.", show_default=False),
    ],
    reference: Annotated[
        Path, typer.Argument(help="What was observed, or is true: likewise, or any time series.", show_default=False)
    ],
    sensor: Annotated[
        Sensor | None,
        typer.Option(help="Sentinel-2 (hr) or Landsat (lr).", show_default="as names and pixels of the reference say"),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(help="Bands to compare, such as B02,LST.", metavar="BANDS", show_default="all in both"),
    ] = None,
    truth: Annotated[
        bool,
        typer.Option(
            "--truth",
            help="The reference is true at 10 m, as of 'simulate --truth': compare the prediction as it is, unblurred.",
        ),
    ] = False,
    margin: opt.Border = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write the scores of each date to this file.", show_default=False)
    ] = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Score predicted dates: RMSE, normalised RMSE, spectral angle and frequency restoration of each band.

    Images are matched by date and bands by name; clear pixels count. A reference of 30 m is compared with the
    prediction as Landsat would have seen it, one of Sentinel-2 with bands blurred to the 20 m that it has, and one that
    is --truth with the prediction as it is. One on other pixels is resampled.
    """
    from sitsinfer.metrics.fusion import compare, to_csv, to_table
    from sitsinfer.metrics.fusion.matching import match
    from sitsinfer.products.whole import whole_file

    check_outputs({"the scores": csv}, [prediction, reference], overwrite)
    with unwarned():
        matched = match(prediction, reference, None if sensor is None else sensor.value, opt.names(bands))
    for note in matched.notes:
        typer.echo(note, err=True)
    table = to_csv(list(compare(matched.comparisons(), margin, truth=truth)))
    if csv is not None:
        with whole_file(csv) as draft:
            draft.write_text(table, encoding="utf-8")
    typer.echo(to_table(table))
