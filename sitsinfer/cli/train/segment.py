"""``sitsinfer train segment``: a network that maps classes, from labelled series."""

from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from sitsinfer.cli import _options as o
from sitsinfer.cli.train import _options as t
from sitsinfer.cli.train._watch import check_number, watch


class Loss(StrEnum):
    """What training makes small."""

    CROSS_ENTROPY = "cross-entropy"
    FOCAL = "focal"


def segment(
    ts: t.Series,
    labels: t.Labels,
    out: t.Out,
    name: t.Name = "my-utae",
    preset: Annotated[str, typer.Option(help="Network: utae (as published) or utae-small.")] = "utae",
    config: t.Config = None,
    bands: t.Bands = None,
    positions: t.PositionsOf = None,
    reference_date: t.ReferenceDate = None,
    ignore_label: t.IgnoreLabel = None,
    patch: t.PatchSize = 128,
    margin: t.Margin = 4,
    blend: Annotated[int, typer.Option(help="Pixels over which scores fade between patches.")] = 4,
    fill: t.FillOf = None,
    crop: t.Crop = 64,
    dates: t.Dates = (12, 24),
    batch_size: t.BatchSize = 4,
    steps: t.Steps = 4000,
    rate: t.Rate = 2e-3,
    loss: Annotated[Loss, typer.Option(help="What training makes small.")] = Loss.CROSS_ENTROPY,
    validation: t.Validation = 0.2,
    validate_every: t.ValidateEvery = 200,
    patience: t.Patience = 10,
    seed: t.Seed = 0,
    device: o.Device = "auto",
    overwrite: t.Overwrite = False,
    log_json: o.LogJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a network to map classes.

    The lower part of each scene is kept for validation, and the weights of the best validation score are written. A
    run that was stopped goes on from its last checkpoint when the same command is given again.
    """
    check_number("label rasters", labels, ts)
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
    watch(partial(train_segment, pairs, out, options, overwrite=overwrite), steps, log_json, quiet)
