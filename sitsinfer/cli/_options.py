"""Options that commands share: an option reads the same wherever it is met."""

import datetime
from pathlib import Path
from typing import Annotated

import typer


def date(text: str) -> datetime.date:
    """Parse a date as users type it."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a date. Expected YYYY-MM-DD.") from None


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

LogJson = Annotated[bool, typer.Option("--log-json", help="Log to stderr as one JSON object a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
