"""``sitsinfer segment``."""

from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as opt
from sitsinfer.cli._log import chosen_model, progress, set_up


def segment(
    ts: opt.SeriesPath,
    out: opt.OutputPath,
    model: opt.ModelName = None,
    bounds: opt.Bounds = None,
    bounds_crs: opt.BoundsCrs = None,
    aoi: opt.Aoi = None,
    start: opt.Start = None,
    end: opt.End = None,
    reference_date: opt.ReferenceDate = None,
    probabilities: Annotated[
        Path | None, typer.Option(help="A GeoTIFF to write with the probability of each class.")
    ] = None,
    confidence: Annotated[
        Path | None, typer.Option(help="A GeoTIFF to write with the probability of the class decided for.")
    ] = None,
    attention: Annotated[
        Path | None,
        typer.Option(
            help="A cube.nc, a cube.zarr or a folder to write with what each head of the model's attention gives each "
            "date, for models that have it: U-TAE and pixel L-TAE. In steps of 0.004; another --batch-size may "
            "change the last one."
        ),
    ] = None,
    quicklook: Annotated[Path | None, typer.Option(help="A PNG to write.")] = None,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    margin: opt.Margin = None,
    batch_size: opt.BatchSize = None,
    no_masks: Annotated[
        bool,
        typer.Option(
            "--no-masks",
            help="Leave the masks of the series out: take all that has data for seen, clouds too. For attention that "
            "clouds is to score.",
        ),
    ] = False,
    tile_size: opt.TileSize = None,
    memory: opt.Memory = None,
    workers: opt.Workers = None,
    scheduler: opt.Scheduler = None,
    strict: opt.Strict = False,
    overwrite: opt.Overwrite = False,
    log_json: opt.LogJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Map the class of every pixel of a time series."""
    set_up(log_json=log_json, quiet=quiet)
    from sitsinfer import api
    from sitsinfer.area import Area
    from sitsinfer.weights import DEFAULT_MODEL

    with progress(shown=not (quiet or log_json)) as advance:
        summary = api.segment(
            ts,
            out,
            model=chosen_model(model, DEFAULT_MODEL),
            area=Area(bounds, bounds_crs, aoi),
            start=start,
            end=end,
            reference_date=reference_date,
            probabilities=probabilities,
            confidence=confidence,
            attention=attention,
            quicklook=quicklook,
            device=device,
            precision=precision,
            margin=margin,
            batch_size=batch_size,
            masks=not no_masks,
            strict=strict,
            options=opt.spread(memory, tile_size, workers, scheduler, overwrite, advance),
        )
    if quiet:
        return
    if summary.unchanged:
        typer.echo(f"{out} is up to date.")
        return
    typer.echo(f"Wrote {out}.")
    _print_areas(out)


def _print_areas(path: Path) -> None:
    """Print the area of each class of a map, in hectares."""
    from sitsinfer.products.areas import class_areas
    from sitsinfer.products.raster import open_raster

    with open_raster(path) as raster:
        areas = class_areas(raster)
    total = sum(entry.hectares for entry in areas)
    for entry in areas:
        typer.echo(f"{entry.info.name:<28} {entry.hectares:12.1f} ha {100 * entry.hectares / total:6.1f} %")
