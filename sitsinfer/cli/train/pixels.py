"""``sitsinfer train pixels``: a network that maps classes pixel by pixel, from labelled series."""

from functools import partial
from typing import Annotated

import typer

from sitsinfer.cli import _options as o
from sitsinfer.cli.train import _options as t
from sitsinfer.cli.train._watch import check_number, watch


def pixels(
    ts: t.Series,
    labels: t.Labels,
    out: t.Out,
    name: t.Name = "my-pixel-ltae",
    preset: Annotated[str, typer.Option(help="Network: pixel-ltae (as published) or pixel-ltae-small.")] = "pixel-ltae",
    config: t.Config = None,
    bands: t.Bands = None,
    positions: t.PositionsOf = None,
    reference_date: t.ReferenceDate = None,
    ignore_label: t.IgnoreLabel = None,
    pixels: Annotated[
        int,
        typer.Option(min=1, help="Most pixels of a class that are taken of a scene, of those that were ever clear."),
    ] = 2000,
    dates: t.Dates = (12, 48),
    cloudy: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of pixels that are shown with what masks leave out, to learn not to look there."
        ),
    ] = 0.0,
    members: t.Members = 1,
    balance: t.Balance = 0.5,
    smoothing: t.Smoothing = 0.1,
    batch_size: t.Samples = 256,
    steps: t.Steps = 2000,
    rate: t.Rate = 3e-3,
    weight_decay: t.WeightDecay = 0.01,
    validation: t.ValidationBlocks = 0.2,
    block: t.Block = 32,
    gap: t.Gap = 3,
    validate_every: t.ValidateEvery = 200,
    patience: t.Patience = 10,
    seed: t.Seed = 0,
    device: o.Device = "auto",
    overwrite: t.Overwrite = False,
    log_json: o.LogJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a network to map classes, each pixel by its own series alone.

    The model is for 'sitsinfer segment'. Square blocks scattered over each scene are kept for validation, and the
    weights of the best overall accuracy there are written. These blocks lie among what is learned from, and cut fields:
    of other places expect less. A run that was stopped goes on from its last checkpoint when the same command is given
    again.
    """
    check_number("label rasters", labels, ts)
    from sitsinfer.training.pixels import Options, train_pixels
    from sitsinfer.training.presets import choose_preset

    architecture, hyperparameters = choose_preset("pixels", preset, config)
    options = Options(
        name=name,
        architecture=architecture,
        hyperparameters=hyperparameters,
        bands=o.names(bands or None),
        positions=positions.value if positions else None,
        reference_date=reference_date,
        ignore_label=ignore_label,
        pixels=pixels,
        dates=dates,
        cloudy=cloudy,
        members=members,
        balance=balance,
        smoothing=smoothing,
        batch_size=batch_size,
        steps=steps,
        rate=rate,
        weight_decay=weight_decay,
        validation=validation,
        block=block,
        gap=gap,
        validate_every=validate_every,
        patience=patience,
        seed=seed,
        device=device,
    )
    pairs = list(zip(ts, labels, strict=True))
    watch(partial(train_pixels, pairs, out, options, overwrite=overwrite), steps, log_json, quiet)
