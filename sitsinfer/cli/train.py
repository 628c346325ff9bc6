"""``sitsinfer train``: from labelled series to a model folder."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sitsinfer.cli import _options as o

if TYPE_CHECKING:
    from sitsinfer.weights import Card

app = typer.Typer(no_args_is_help=True, help="Train models.")


class Positions(StrEnum):
    """What dates are to the network."""

    DAYS = "days"
    DAY_OF_YEAR = "day-of-year"


class Loss(StrEnum):
    """What training makes small."""

    CROSS_ENTROPY = "cross-entropy"
    FOCAL = "focal"


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
Dates = Annotated[tuple[int, int], typer.Option(help="Fewest and most dates of a crop.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Crops a step.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps.")]
Rate = Annotated[float, typer.Option(min=0, help="Highest learning rate.")]
Validation = Annotated[float, typer.Option(min=0.01, max=0.9, help="Share of each scene kept for validation.")]
ValidateEvery = Annotated[int, typer.Option(min=1, help="Steps between validations and checkpoints.")]
Patience = Annotated[int, typer.Option(min=1, help="Validations without a better score before stopping.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides everything that is random.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin anew, even if OUT exists.")]


@app.command()
def segment(
    ts: Series,
    labels: Labels,
    out: Out,
    name: Name = "my-utae",
    preset: Annotated[str, typer.Option(help="Network: utae (as published) or utae-small.")] = "utae",
    config: Config = None,
    bands: Bands = None,
    positions: PositionsOf = None,
    reference_date: ReferenceDate = None,
    ignore_label: IgnoreLabel = None,
    patch: PatchSize = 128,
    margin: Margin = 4,
    blend: Annotated[int, typer.Option(help="Pixels over which scores fade between patches.")] = 4,
    fill: FillOf = None,
    crop: Crop = 64,
    dates: Dates = (12, 24),
    batch_size: BatchSize = 4,
    steps: Steps = 4000,
    rate: Rate = 2e-3,
    loss: Annotated[Loss, typer.Option(help="What training makes small.")] = Loss.CROSS_ENTROPY,
    validation: Validation = 0.2,
    validate_every: ValidateEvery = 200,
    patience: Patience = 10,
    seed: Seed = 0,
    device: o.Device = "auto",
    overwrite: Overwrite = False,
    log_json: o.LogJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a network to map classes.

    The lower part of each scene is kept for validation, and the weights of the best validation score are written. A
    run that was stopped goes on from its last checkpoint when the same command is given again.
    """
    _check_number("label rasters", labels, ts)
    from sitsinfer.training.presets import choose_preset
    from sitsinfer.training.segment import Options, train_segment

    architecture, hyperparameters = choose_preset("segment", preset, config)
    options = Options(
        name=name,
        architecture=architecture,
        hyperparameters=hyperparameters,
        bands=o.names(bands or None),
        positions=positions.value if positions else None,
        reference_date=reference_date,
        ignore_label=ignore_label,
        patch=patch,
        margin=margin,
        blend=blend,
        fill=fill.value if fill else None,
        crop=crop,
        dates=dates,
        batch_size=batch_size,
        steps=steps,
        rate=rate,
        loss=loss.value,
        validation=validation,
        validate_every=validate_every,
        patience=patience,
        seed=seed,
        device=device,
    )
    pairs = list(zip(ts, labels, strict=True))
    _watch(partial(train_segment, pairs, out, options, overwrite=overwrite), steps, log_json, quiet)


@app.command()
def panoptic(
    ts: Series,
    labels: Labels,
    parcels: Annotated[
        list[Path],
        typer.Option(
            help="A raster of parcel ids for each series, 0 for no parcel, in the same order.", show_default=False
        ),
    ],
    out: Out,
    name: Name = "my-paps",
    preset: Annotated[str, typer.Option(help="Network: paps (as published) or paps-small.")] = "paps",
    config: Config = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A model for segment to begin with, by name or folder: its weights, and what it feeds on: bands and "
            "their statistics, positions, reference date and fill.",
        ),
    ] = None,
    bands: Bands = None,
    positions: PositionsOf = None,
    reference_date: ReferenceDate = None,
    ignore_label: Annotated[int | None, typer.Option(help="Class code of parcels that teach nothing.")] = None,
    patch: PatchSize = 128,
    margin: Margin = 16,
    fill: FillOf = None,
    crop: Crop = 128,
    dates: Dates = (12, 24),
    batch_size: BatchSize = 4,
    steps: Steps = 4000,
    warm_up: Annotated[
        int, typer.Option(min=0, help="Steps in which parcels are looked at where they truly are.")
    ] = 300,
    spread: Annotated[
        float | None,
        typer.Option(
            help="Width of a centre in the heatmap, as a share of the parcel's, 0.01 to 0.5.",
            show_default="0.05, the paper's",
        ),
    ] = None,
    rate: Rate = 2e-3,
    validation: Validation = 0.2,
    validate_every: ValidateEvery = 200,
    patience: Patience = 10,
    seed: Seed = 0,
    device: o.Device = "auto",
    overwrite: Overwrite = False,
    log_json: o.LogJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a network to find parcels.

    A parcel has the class that most of its pixels have; class 0 is for what is in no parcel. The lower part of each
    scene is kept for validation, and the weights of the best panoptic quality are written, with the confidence that it
    was reached at. A run that was stopped goes on from its last checkpoint when the same command is given again.
    """
    _check_number("label rasters", labels, ts)
    _check_number("parcel rasters", parcels, ts)
    from sitsinfer.training.panoptic import Options, train_panoptic
    from sitsinfer.training.presets import choose_preset
    from sitsinfer.training.targets import SPREAD

    architecture, hyperparameters = choose_preset("panoptic", preset, config)
    options = Options(
        name=name,
        architecture=architecture,
        hyperparameters=hyperparameters,
        encoder=encoder,
        bands=o.names(bands or None),
        positions=positions.value if positions else None,
        reference_date=reference_date,
        ignore_label=ignore_label,
        patch=patch,
        margin=margin,
        fill=fill.value if fill else None,
        crop=crop,
        dates=dates,
        batch_size=batch_size,
        steps=steps,
        warm_up=warm_up,
        spread=SPREAD if spread is None else spread,
        rate=rate,
        validation=validation,
        validate_every=validate_every,
        patience=patience,
        seed=seed,
        device=device,
    )
    triples = list(zip(ts, labels, parcels, strict=True))
    _watch(partial(train_panoptic, triples, out, options, overwrite=overwrite), steps, log_json, quiet)


def _check_number(what: str, given: list[Path], ts: list[Path]) -> None:
    if len(given) != len(ts):
        raise typer.BadParameter(f"{len(given)} {what} for {len(ts)} series. Give one for each.")


def _watch(train: Callable[..., Card], steps: int, log_json: bool, quiet: bool) -> None:
    """Train with a bar that shows how far it is, and say what came of it."""
    from rich.console import Console
    from rich.progress import Progress

    from sitsinfer.cli import _log

    _log.set_up(log_json=log_json, quiet=quiet)
    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Training", total=steps)
        card = train(
            progress=lambda done, loss: bar.update(task, completed=done, description=f"Training, loss {loss:.3f}")
        )
    typer.echo(f"{card.name}  {card.description}")
