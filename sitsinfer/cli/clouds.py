"""``sitsinfer clouds``."""

from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as opt
from sitsinfer.cli._log import chosen_model, progress, set_up


def clouds(
    out: Annotated[Path, typer.Option("--out", help="A folder for one GeoTIFF a date, or a cube.nc or cube.zarr.")],
    ts: Annotated[
        Path | None,
        typer.Option(
            "--ts",
            help="The time series: a folder of GeoTIFFs, a NetCDF file or a Zarr cube. Needed unless "
            "there is --from-attention. Its masks play no part.",
        ),
    ] = None,
    from_attention: Annotated[
        Path | None,
        typer.Option(
            help="A cube or folder that segment --attention wrote, to score instead of running a model. Have segment "
            "write it with --no-masks: pixels that a mask hides have no attention, and get no score. Its steps of "
            "0.004 pull scores towards 0.5: they rank nearly as well, but a --threshold finds fewer clouds."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="The least score of what is cloud in a mask to write as well.", show_default="no mask"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Name of an embedded model, or a model folder; a U-TAE or a pixel L-TAE.",
            show_default="the demonstrator",
        ),
    ] = None,
    bounds: opt.Bounds = None,
    bounds_crs: opt.BoundsCrs = None,
    aoi: opt.Aoi = None,
    start: opt.Start = None,
    end: opt.End = None,
    reference_date: opt.ReferenceDate = None,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    margin: opt.Margin = None,
    batch_size: opt.BatchSize = None,
    tile_size: opt.TileSize = None,
    memory: opt.Memory = None,
    workers: opt.Workers = None,
    scheduler: opt.Scheduler = None,
    strict: opt.Strict = False,
    overwrite: opt.Overwrite = False,
    log_json: opt.LogJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Score how likely each pixel is under a cloud on each date, by what a model's attention ignores.

    The score of a date is the mean over heads of n / (a + n): a is the attention that the date gets at the pixel, n the
    mean of what the nearest observed dates get, two before and two after. 0.5: as much as they; towards 1: ignored.

    What it can: rank the dates of a pixel, and point at images to look at, without any mask to learn from. What it
    cannot: replace a cloud mask. Attention also ignores clear dates that tell no class from another, heads differ, thin
    clouds and shadows are often looked at all the same, and U-TAE sees blocks of 8 x 8 pixels. A simple threshold does
    not make a cloud mask; sitsinfer evaluate clouds tells how far scores agree with one. With a U-TAE, another
    --batch-size may change the last step of a score.
    """
    set_up(log_json=log_json, quiet=quiet)
    from sitsinfer import api
    from sitsinfer.area import Area
    from sitsinfer.weights import DEFAULT_MODEL

    with progress(shown=not (quiet or log_json)) as advance:
        summary = api.clouds(
            ts,
            out,
            from_attention=from_attention,
            threshold=threshold,
            model=model if from_attention else chosen_model(model, DEFAULT_MODEL),
            area=Area(bounds, bounds_crs, aoi),
            start=start,
            end=end,
            reference_date=reference_date,
            device=device,
            precision=precision,
            margin=margin,
            batch_size=batch_size,
            strict=strict,
            options=opt.spread(memory, tile_size, workers, scheduler, overwrite, advance),
        )
    if not quiet:
        typer.echo(f"{out} is up to date." if summary.unchanged else f"Wrote {out}.")
