"""``sitsinfer panoptic``: every parcel of a time series as one object."""

from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as opt
from sitsinfer.cli._log import chosen_model, progress, set_up

AS_TUNED, AS_SAID = "as the weights were tuned", "as the weights say"


def panoptic(
    ts: opt.SeriesPath,
    out: Annotated[Path, typer.Option("--out", help="The parcels to write: a .gpkg, .parquet or .fgb file.")],
    raster: Annotated[
        Path | None, typer.Option(help="A GeoTIFF to write with the number of each pixel's parcel, 0 for none.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="A GeoTIFF to write with the class of each pixel's parcel.")
    ] = None,
    model: opt.ModelName = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="Least confidence of a parcel, 0 to 1.", show_default=AS_TUNED)
    ] = None,
    min_remain: Annotated[
        float | None,
        typer.Option(help="Share of a parcel that more confident ones must leave, 0 to 1.", show_default=AS_SAID),
    ] = None,
    mask_threshold: Annotated[
        float | None,
        typer.Option(help="What the mask of a parcel must exceed at a pixel, 0 to 1.", show_default=AS_SAID),
    ] = None,
    void: Annotated[
        list[int] | None,
        typer.Option(
            help="A class code whose parcels are left out of what is written, once they have taken their pixels. (In "
            "'evaluate panoptic' void means not known.) May be given several times."
        ),
    ] = None,
    min_area: Annotated[float, typer.Option(help="Leave out parcels smaller than so many hectares.")] = 0.0,
    simplify: Annotated[
        float | None,
        typer.Option(
            help="How far outlines may be moved, in units of the CRS.", show_default="outlines follow the pixels"
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
    """Find every parcel of a time series, as one polygon each."""
    set_up(log_json=log_json, quiet=quiet)
    from sitsinfer import api
    from sitsinfer.area import Area
    from sitsinfer.weights import DEFAULT_PANOPTIC_MODEL

    with progress(shown=not (quiet or log_json)) as advance:
        summary = api.panoptic(
            ts,
            out,
            model=chosen_model(model, DEFAULT_PANOPTIC_MODEL),
            raster=raster,
            classes=classes,
            area=Area(bounds, bounds_crs, aoi),
            start=start,
            end=end,
            reference_date=reference_date,
            min_confidence=min_confidence,
            min_remain=min_remain,
            mask_threshold=mask_threshold,
            void=tuple(void or ()),
            min_area=min_area,
            simplify=simplify,
            device=device,
            precision=precision,
            margin=margin,
            batch_size=batch_size,
            strict=strict,
            options=opt.spread(memory, tile_size, workers, scheduler, overwrite, advance),
        )
    if not quiet:
        typer.echo(f"{out} is up to date." if summary.unchanged else f"Wrote {out}.")
