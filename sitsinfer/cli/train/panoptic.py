"""``sitsinfer train panoptic``: a network that finds parcels, from labelled series and their parcels."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as o
from sitsinfer.cli.train import _options as t
from sitsinfer.cli.train._watch import check_number, watch


def panoptic(
    ts: t.Series,
    labels: t.Labels,
    parcels: Annotated[
        list[Path],
        typer.Option(
            help="A raster of parcel ids for each series, 0 for no parcel, in the same order.", show_default=False
        ),
    ],
    out: t.Out,
    name: t.Name = "my-paps",
    preset: Annotated[str, typer.Option(help="Network: paps (as published) or paps-small.")] = "paps",
    config: t.Config = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A model for segment to begin with, by name or folder: its weights, and what it feeds on: bands and "
            "their statistics, positions, reference date and fill.",
        ),
    ] = None,
    bands: t.Bands = None,
    positions: t.PositionsOf = None,
    reference_date: t.ReferenceDate = None,
    ignore_label: Annotated[int | None, typer.Option(help="Class code of parcels that teach nothing.")] = None,
    patch: t.PatchSize = 128,
    margin: t.Margin = 16,
    fill: t.FillOf = None,
    crop: t.Crop = 128,
    dates: t.Dates = (12, 24),
    batch_size: t.BatchSize = 4,
    steps: t.Steps = 4000,
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
    rate: t.Rate = 2e-3,
    validation: t.Validation = 0.2,
    validate_every: t.ValidateEvery = 200,
    patience: t.Patience = 10,
    seed: t.Seed = 0,
    device: o.Device = "auto",
    overwrite: t.Overwrite = False,
    log_json: o.LogJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a network to find parcels.

    A parcel has the class that most of its pixels have; class 0 is for what is in no parcel. The lower part of each
    scene is kept for validation, and the weights of the best panoptic quality are written, with the confidence that it
    was reached at. A run that was stopped goes on from its last checkpoint when the same command is given again.
    """
    check_number("label rasters", labels, ts)
    check_number("parcel rasters", parcels, ts)
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
    watch(partial(train_panoptic, triples, out, options, overwrite=overwrite), steps, log_json, quiet)
