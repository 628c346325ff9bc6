"""``sitsinfer classify``: the class of every parcel of a vector layer."""

import datetime
from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as opt
from sitsinfer.cli._log import chosen_model, progress, set_up


def classify(
    ts: opt.SeriesPath,
    parcels: Annotated[Path, typer.Option("--parcels", help="The layer of parcels: a vector file, in any CRS.")],
    out: Annotated[Path, typer.Option("--out", help="The table to write: a .parquet, .gpkg or .fgb file.")],
    model: opt.ModelName = None,
    pixels: Annotated[
        int | None,
        typer.Option(help="Most pixels used of a parcel; larger ones are sampled.", show_default="as the weights say"),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            help="The column with identifiers of parcels, by which pixels are sampled: of a layer that is exported "
            "anew, numbers of features may sample others.",
            show_default="numbers of features in the file",
        ),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="The layer of the file, where it has several.", show_default="the only one")
    ] = None,
    start: opt.Start = None,
    end: opt.End = None,
    reference_date: Annotated[
        datetime.date | None,
        typer.Option(
            "--reference-date",
            parser=opt.date,
            metavar="DATE",
            help="Where the year of the weights begins.",
            show_default="the anniversary that fits the dates best",
        ),
    ] = None,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    tile_size: opt.TileSize = None,
    memory: opt.Memory = None,
    workers: opt.Workers = None,
    scheduler: opt.Scheduler = None,
    strict: opt.Strict = False,
    overwrite: opt.Overwrite = False,
    log_json: opt.LogJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Tell the class of every parcel of a vector layer."""
    set_up(log_json=log_json, quiet=quiet)
    from sitsinfer import api
    from sitsinfer.weights import DEFAULT_PARCEL_MODEL

    with progress(shown=not (quiet or log_json)) as advance:
        summary = api.classify(
            ts,
            parcels,
            out,
            model=chosen_model(model, DEFAULT_PARCEL_MODEL),
            pixels=pixels,
            id_column=id_column,
            layer=layer,
            start=start,
            end=end,
            reference_date=reference_date,
            device=device,
            precision=precision,
            strict=strict,
            options=opt.spread(memory, tile_size, workers, scheduler, overwrite, advance),
        )
    if not quiet:
        typer.echo(f"{out} is up to date." if summary.unchanged else f"Wrote {out}.")
