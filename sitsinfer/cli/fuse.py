"""``sitsinfer fuse``."""

import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sitsinfer.cli import _options as opt
from sitsinfer.cli._log import progress, set_up


class Algorithm(StrEnum):
    """Ways to predict a day, the default first."""

    TAMRF = "tamrf"
    NAIVE = "naive"
    STAIR = "stair"
    SEN2LIKE = "sen2like"
    DSTFN = "dstfn"
    DSEN2 = "dsen2"
    DEEPHARMO = "deepharmo"
    DMS = "dms"
    UTILISE = "utilise"


class Sensor(StrEnum):
    """Sensors whose bands come out."""

    HR = "hr"
    LR = "lr"
    BOTH = "both"


def _every(text: str) -> int:
    number = text.removesuffix("d")
    if not number.isdecimal() or int(number) < 1:
        raise typer.BadParameter(f"'{text}' is not a number of days. Expected one such as 10d.")
    return int(number)


def fuse(
    ts: Annotated[
        Path | None,
        typer.Option("--ts", help="The two series: a folder with sentinel2 and landsat in it.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A folder for one GeoTIFF a date, or a cube.nc or cube.zarr.", show_default=False),
    ] = None,
    hr: Annotated[
        Path | None, typer.Option("--hr", help="The Sentinel-2 series, instead of --ts.", show_default=False)
    ] = None,
    lr: Annotated[
        Path | None, typer.Option("--lr", help="The Landsat series, instead of --ts.", show_default=False)
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy",
            help="Which dates go in and come out, such as ALL, L3A, GAPS.",
            show_default="what the algorithm was made for",
        ),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="STRATEGY", help="Say which dates would go in and come out, and stop."),
    ] = None,
    algorithm: Annotated[Algorithm, typer.Option(help="How to predict.")] = Algorithm.TAMRF,
    model: Annotated[Path | None, typer.Option(help="Model folder, for algorithms with a network.")] = None,
    bands: Annotated[
        str | None,
        typer.Option(help="Bands that come out, such as B02,B03,LST.", metavar="BANDS", show_default="all"),
    ] = None,
    sensor: Annotated[
        Sensor | None, typer.Option(help="Whose bands come out.", show_default="as the strategy says")
    ] = None,
    start: opt.Start = None,
    end: opt.End = None,
    year: Annotated[
        int | None, typer.Option(min=1, max=9999, help="A calendar year, instead of start and end.")
    ] = None,
    reference_date: Annotated[
        datetime.date | None,
        typer.Option(
            "--reference-date",
            parser=opt.date,
            metavar="DATE",
            help="Where years begin, each of which is predicted from itself.",
            show_default="the model's, or January 1st",
        ),
    ] = None,
    dates: Annotated[
        str | None, typer.Option(metavar="DATES", help="Dates of CUSTOM, such as 2022-05-01,2022-06-01.")
    ] = None,
    every: Annotated[
        int | None, typer.Option(parser=_every, metavar="Nd", help="Days between dates that come out, such as 10d.")
    ] = None,
    gap_size: Annotated[int, typer.Option(help="Days of each gap of GAPS.")] = 30,
    mask_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of dates that RANDOM leaves out.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Decides which dates RANDOM leaves out.")] = 42,
    forecast_start: Annotated[
        int, typer.Option(help="Day since the reference date where FORECAST and BACKCAST part the dates.")
    ] = 183,
    context_start: Annotated[int, typer.Option(help="Day since the reference date where CONTEXT begins.")] = 160,
    context_size: Annotated[int, typer.Option(help="Days of the period of CONTEXT.")] = 60,
    context_images: Annotated[int, typer.Option(help="Dates that CONTEXT reads on either side.")] = 2,
    residual_compensation: Annotated[
        bool,
        typer.Option("--residual-compensation", help="Make Landsat predictions agree with observed days at 30 m."),
    ] = False,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Compare with the observations: a table, and a .metrics.csv.")
    ] = False,
    metrics_margin: opt.Border = None,
    animation: Annotated[Path | None, typer.Option(help="A page to write with a slider over the dates.")] = None,
    subtile: Annotated[
        int | None,
        typer.Option(
            help="Pixels along the side of what is computed at once, a multiple of 3. Tiles are best multiples of it."
        ),
    ] = None,
    margin: Annotated[
        int | None,
        typer.Option(
            help="Pixels of context around each sub-tile, as TAMRF was published with 18; results then depend on "
            "sub-tiles.",
            show_default="all that is seen, exactly",
        ),
    ] = None,
    bounds: opt.Bounds = None,
    bounds_crs: opt.BoundsCrs = None,
    aoi: opt.Aoi = None,
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
    """Predict any day at 10 m from Sentinel-2 and Landsat."""
    set_up(log_json=log_json, quiet=quiet)
    from sitsinfer import api
    from sitsinfer.area import Area
    from sitsinfer.fusion.strategies import StrategyOptions

    if year is not None and (start or end):
        raise typer.BadParameter("Give a year, or start and end.", param_hint="--year")
    if year is not None:
        start, end = datetime.date(year, 1, 1), datetime.date(year, 12, 31)
    chosen = StrategyOptions(
        rate=mask_rate,
        seed=seed,
        gap_size=gap_size,
        forecast_start=forecast_start,
        context_start=context_start,
        context_size=context_size,
        context_images=context_images,
        dates=tuple(opt.date(text.strip()) for text in dates.split(",")) if dates else (),
        every=every,
    )
    if explain is not None:
        text = api.explain_fusion(
            explain,
            ts,
            hr=hr,
            lr=lr,
            strategy_options=chosen,
            sensor=None if sensor is None else sensor.value,
            start=start,
            end=end,
            reference_date=reference_date,
        )
        typer.echo(text)
        return
    if out is None:
        raise typer.BadParameter("Missing option '--out'.", param_hint="--out")
    with progress(shown=not (quiet or log_json)) as advance:
        done = api.fuse(
            ts,
            out,
            hr=hr,
            lr=lr,
            start=start,
            end=end,
            reference_date=reference_date,
            strategy=strategy,
            strategy_options=chosen,
            algorithm=algorithm.value,
            model=None if model is None else str(model),
            bands=opt.names(bands),
            sensor=None if sensor is None else sensor.value,
            residual_compensation=residual_compensation,
            metrics=metrics,
            metrics_margin=metrics_margin,
            animation=animation,
            subtile=subtile,
            margin=margin,
            area=Area(bounds, bounds_crs, aoi),
            device=device,
            precision=precision,
            strict=strict,
            options=opt.spread(memory, tile_size, workers, scheduler, overwrite, advance),
        )
    if quiet:
        return
    typer.echo(f"{out} is up to date." if done.summary.unchanged else f"Wrote {out}.")
    if done.table is not None:
        from sitsinfer.metrics.fusion import to_table

        typer.echo(to_table(done.table.read_text(encoding="utf-8")))
