"""Options that commands share: an option reads the same wherever it is met."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sitsinfer.engine import Options


def date(text: str) -> datetime.date:
    """Parse a date as users type it."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a date. Expected YYYY-MM-DD.") from None


def names(text: str | None) -> tuple[str, ...] | None:
    """Parse names with commas between; ``None`` where nothing is given."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def spread(
    memory: str | None,
    tile_size: int | None,
    workers: int | None,
    scheduler: str | None,
    overwrite: bool,
    advance: Callable[[int, int], None],
) -> Options:
    """How a run is spread, from the options of that name and what is to be told of its progress."""
    from sitsinfer.engine import Options
    from sitsinfer.plan import parse_memory

    held = None if memory is None else parse_memory(memory)
    return Options(held, tile_size, workers, scheduler, overwrite, advance)


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"'{text}' is not a batch size. Expected auto, or 1 or more patches.")
    return int(text)


SeriesPath = Annotated[
    Path, typer.Option("--ts", help="The time series: a folder of GeoTIFFs, a NetCDF file or a Zarr cube.")
]
OutputPath = Annotated[Path, typer.Option("--out", help="The file to write.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="Name of an embedded model, or a model folder.", show_default="the demonstrator"),
]

Bounds = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(
        "--bounds", metavar="L B R T", help="Left, bottom, right and top of the area.", show_default="all the data"
    ),
]
BoundsCrs = Annotated[
    str | None, typer.Option("--bounds-crs", help="CRS of the bounds.", show_default="that of the series")
]
Aoi = Annotated[Path | None, typer.Option("--aoi", help="A vector file whose extent is the area.")]
Start = Annotated[datetime.date | None, typer.Option("--start", parser=date, metavar="DATE", help="First date to use.")]
End = Annotated[datetime.date | None, typer.Option("--end", parser=date, metavar="DATE", help="Last date to use.")]
ReferenceDate = Annotated[
    datetime.date | None,
    typer.Option(
        "--reference-date",
        parser=date,
        metavar="DATE",
        help="What days are counted from.",
        show_default="as the weights say",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Take files left out and other notes as errors.")]

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")]
Margin = Annotated[
    int | None,
    typer.Option(
        "--margin", help="Pixels on each side of a patch that are context only.", show_default="as the weights say"
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", parser=_batch_size, metavar="auto|N", help="Patches computed at once.", show_default="auto"
    ),
]

TileSize = Annotated[
    int | None,
    typer.Option("--tile-size", help="Height and width of a tile, in pixels.", show_default="what memory allows"),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", help="Memory for the whole run, such as 4GiB.", show_default="half of what is free"),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default="threads of this process")
]
Scheduler = Annotated[str | None, typer.Option("--scheduler", help="Address of a Dask scheduler to run on instead.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make the output anew even if it exists.")]

Border = Annotated[
    int | None,
    typer.Option(
        help="Pixels along the border that are not compared.",
        min=0,
        show_default="30, or a quarter of the shorter side where that is less",
    ),
]

LogJson = Annotated[bool, typer.Option("--log-json", help="Log to stderr as one JSON object a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
