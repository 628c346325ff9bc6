"""Options that trainings share."""

from __future__ import annotations

import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as o


class Positions(StrEnum):
    """What dates are to the network."""

    DAYS = "days"
    DAY_OF_YEAR = "day-of-year"


class Fill(StrEnum):
    """What a patch sees beyond the data."""

    REFLECT = "reflect"
    CONSTANT = "constant"


Series = Annotated[list[Path], typer.Option("--ts", help="A time series. Give one or more.", show_default=False)]
Labels = Annotated[
    list[Path], typer.Option(help="A raster of class codes for each series, in the same order.", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", help="Model folder to write.", show_default=False)]
Name = Annotated[str, typer.Option(help="Name of the model.")]
Config = Annotated[
    Path | None, typer.Option(help="JSON file with architecture and hyperparameters, instead of a preset.")
]
Bands = Annotated[str | None, typer.Option(help="Bands to use, with commas between.", show_default="all")]
PositionsOf = Annotated[
    Positions | None,
    typer.Option("--positions", help="What dates are to the network.", show_default="day-of-year"),
]
ReferenceDate = Annotated[
    datetime.date | None,
    typer.Option("--reference-date", parser=o.date, metavar="DATE", help="Day 0 of days.", show_default="2018-09-01"),
]
IgnoreLabel = Annotated[int | None, typer.Option(help="Class code that means no label.")]
PatchSize = Annotated[int, typer.Option(help="Height and width of patches in mapping, in pixels.")]
Margin = Annotated[int, typer.Option(help="Pixels on each side of a patch that are context only.")]
FillOf = Annotated[
    Fill | None, typer.Option("--fill", help="What a patch sees beyond the data.", show_default="reflect")
]
Crop = Annotated[int, typer.Option(min=8, help="Height and width of training crops, in pixels.")]
Dates = Annotated[tuple[int, int], typer.Option(help="Fewest and most dates that are shown at a time.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Crops a step.")]
Samples = Annotated[int, typer.Option("--batch-size", min=2, help="Pixels or parcels a step.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps.")]
Rate = Annotated[float, typer.Option(min=0, help="Highest learning rate.")]
Validation = Annotated[float, typer.Option(min=0.01, max=0.9, help="Share of each scene kept for validation.")]
ValidationBlocks = Annotated[
    float,
    typer.Option(
        "--validation",
        min=0.01,
        max=0.5,
        help="Share kept for validation, as one block in a whole number: 0.3 is one in 3, as 1/3 is.",
    ),
]
WeightDecay = Annotated[
    float, typer.Option(min=0, help="Shrinking of weights a step, as a share of the learning rate.")
]
ValidateEvery = Annotated[int, typer.Option(min=1, help="Steps between validations and checkpoints.")]
Patience = Annotated[int, typer.Option(min=1, help="Validations without a better score before stopping.")]
Members = Annotated[
    int, typer.Option(min=1, help="Networks whose scores are averaged, each validated on other blocks.")
]
Block = Annotated[int, typer.Option(min=1, help="Height and width of blocks kept for validation, in pixels.")]
Gap = Annotated[
    int, typer.Option(min=0, help="Pixels around validation blocks that nothing is learned from; less than a block.")
]
Balance = Annotated[
    float,
    typer.Option(min=0, max=1, help="How much more often rare classes are shown: 0 as they occur, 1 as the others."),
]
Smoothing = Annotated[float, typer.Option(min=0, max=0.9, help="Share of certainty that other classes are given.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides everything that is random.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin anew, even if OUT exists.")]
