"""``sitsinfer train``: from labelled series to a model folder."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sitsinfer.cli import _options as o

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


@app.callback()
def _root() -> None:
    """Keep the name of the one command there is."""


@app.command()
def segment(
    ts: Annotated[list[Path], typer.Option("--ts", help="A time series. Give one or more.", show_default=False)],
    labels: Annotated[
        list[Path], typer.Option(help="A raster of class codes for each series, in the same order.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Model folder to write.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the model.")] = "my-utae",
    preset: Annotated[str, typer.Option(help="Network: utae (as published) or utae-small.")] = "utae",
    config: Annotated[
        Path | None, typer.Option(help="JSON file with architecture and hyperparameters, instead of a preset.")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Bands to use, with commas between.", show_default="all")] = None,
    positions: Annotated[Positions, typer.Option(help="What dates are to the network.")] = Positions.DAY_OF_YEAR,
    reference_date: o.ReferenceDate = None,
    ignore_label: Annotated[int | None, typer.Option(help="Class code that means no label.")] = None,
    patch: Annotated[int, typer.Option(help="Height and width of patches in mapping, in pixels.")] = 128,
    margin: Annotated[int, typer.Option(help="Pixels on each side of a patch that are context only.")] = 4,
    blend: Annotated[int, typer.Option(help="Pixels over which scores fade between patches.")] = 4,
    fill: Annotated[Fill, typer.Option(help="What a patch sees beyond the data.")] = Fill.REFLECT,
    crop: Annotated[int, typer.Option(min=8, help="Height and width of training crops, in pixels.")] = 64,
    dates: Annotated[tuple[int, int], typer.Option(help="Fewest and most dates of a crop.")] = (12, 24),
    batch_size: Annotated[int, typer.Option(min=1, help="Crops a step.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Steps.")] = 4000,
    rate: Annotated[float, typer.Option(min=0, help="Highest learning rate.")] = 2e-3,
    loss: Annotated[Loss, typer.Option(help="What training makes small.")] = Loss.CROSS_ENTROPY,
    validation: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of each scene kept for validation.")
    ] = 0.2,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between validations and checkpoints.")] = 200,
    patience: Annotated[int, typer.Option(min=1, help="Validations without a better score before stopping.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Decides everything that is random.")] = 0,
    device: o.Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew, even if OUT exists.")] = False,
    log_json: o.LogJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a network to map classes.

    The lower part of each scene is kept for validation, and the weights of the best validation score are written. A
    run that was stopped goes on from its last checkpoint when the same command is given again.
    """
    if len(ts) != len(labels):
        raise typer.BadParameter(f"{len(labels)} label rasters for {len(ts)} series. Give one for each.")
    from rich.console import Console
    from rich.progress import Progress

    from sitsinfer.cli import _log
    from sitsinfer.training.segment import Options, network, train_segment

    _log.set_up(log_json=log_json, quiet=quiet)
    architecture, hyperparameters = network(preset, config)
    given: dict[str, Any] = {} if reference_date is None else {"reference_date": reference_date}
    options = Options(
        name=name,
        architecture=architecture,
        hyperparameters=hyperparameters,
        bands=o.names(bands or None),
        positions=positions.value,
        ignore_label=ignore_label,
        patch=patch,
        margin=margin,
        blend=blend,
        fill=fill.value,
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
        **given,
    )
    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Training", total=steps)
        card = train_segment(
            list(zip(ts, labels, strict=True)),
            out,
            options,
            overwrite=overwrite,
            progress=lambda done, loss: bar.update(task, completed=done, description=f"Training, loss {loss:.3f}"),
        )
    typer.echo(f"{out}  {card.description}")
