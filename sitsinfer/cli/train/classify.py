"""``sitsinfer train classify``: a network that tells the class of parcels, from series and labelled parcels."""

import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as o
from sitsinfer.cli.train import _options as t
from sitsinfer.cli.train._watch import check_number, watch


def classify(
    ts: t.Series,
    parcels: Annotated[
        list[Path],
        typer.Option(help="A vector layer of labelled parcels for each series, in the same order.", show_default=False),
    ],
    out: t.Out,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the layers that holds the classes: codes from 0 to 254, or names.",
            show_default="class_code or class_name",
        ),
    ] = None,
    legend: Annotated[
        Path | None, typer.Option(help="Raster whose tags and colour table say what the codes stand for.")
    ] = None,
    name: t.Name = "my-pse-ltae",
    preset: Annotated[str, typer.Option(help="Network: pse-ltae (as published) or pse-ltae-small.")] = "pse-ltae",
    config: t.Config = None,
    bands: t.Bands = None,
    reference_date: Annotated[
        datetime.date | None,
        typer.Option(
            "--reference-date",
            parser=o.date,
            metavar="DATE",
            help="Day 0 of the days that the network takes.",
            show_default="first date of the first series",
        ),
    ] = None,
    ignore_label: t.IgnoreLabel = None,
    days: Annotated[
        int, typer.Option(min=2, help="How many days the network takes, spread evenly over the first series.")
    ] = 24,
    pixels: Annotated[int, typer.Option(min=1, help="Most pixels of a parcel that are used.")] = 64,
    members: t.Members = 1,
    balance: t.Balance = 0.5,
    smoothing: t.Smoothing = 0.1,
    batch_size: t.Samples = 128,
    steps: t.Steps = 3000,
    rate: t.Rate = 2e-3,
    weight_decay: t.WeightDecay = 0.01,
    validation: t.ValidationBlocks = 0.2,
    block: t.Block = 64,
    gap: t.Gap = 3,
    validate_every: t.ValidateEvery = 200,
    patience: t.Patience = 10,
    seed: t.Seed = 0,
    device: o.Device = "auto",
    overwrite: t.Overwrite = False,
    log_json: o.LogJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a network to tell the class of parcels.

    The model is for 'sitsinfer classify'. The parcels of square blocks scattered over each scene, by the mean of their
    pixels, are kept for validation, and the weights of the best overall accuracy there are written. These blocks lie
    among what is learned from: of other places expect less. A run that was stopped goes on from its last checkpoint
    when the same command is given again.
    """
    check_number("layers of parcels", parcels, ts)
    from sitsinfer.training.classify import Options, train_classify
    from sitsinfer.training.presets import choose_preset

    architecture, hyperparameters = choose_preset("classify", preset, config)
    options = Options(
        name=name,
        architecture=architecture,
        hyperparameters=hyperparameters,
        label_column=label_column,
        legend=legend,
        bands=o.names(bands or None),
        reference_date=reference_date,
        ignore_label=ignore_label,
        days=days,
        pixels=pixels,
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
    pairs = list(zip(ts, parcels, strict=True))
    watch(partial(train_classify, pairs, out, options, overwrite=overwrite), steps, log_json, quiet)
