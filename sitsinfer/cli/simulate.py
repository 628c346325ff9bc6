"""``sitsinfer simulate``: a scene with known truth."""

import datetime
from pathlib import Path
from typing import Annotated

import typer


def _truth_date(text: str) -> datetime.date | None:
    """Read a date; None for ``l3a``."""
    if text.lower() == "l3a":
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is neither a date nor l3a. Expected YYYY-MM-DD.") from None


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to make.", show_default=False)],
    size: Annotated[int, typer.Option(help="Height and width, pixels of 10 m.")] = 1024,
    height: Annotated[int | None, typer.Option(help="Height, pixels. Default: size.", show_default=False)] = None,
    width: Annotated[int | None, typer.Option(help="Width, pixels. Default: size.", show_default=False)] = None,
    dates: Annotated[int, typer.Option(help="Number of Sentinel-2 acquisitions over the year, up to 140.")] = 40,
    landsat: Annotated[
        int, typer.Option(help="Number of Landsat acquisitions over the year, up to 45; 0 for no Landsat.")
    ] = 0,
    truth: Annotated[
        list[str] | None,
        typer.Option(
            help="A day to write without clouds, too, at 10 m, in the bands of both sensors; or l3a, for the 1st and "
            "15th of each month. May be repeated.",
            metavar="DATE|l3a",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides landscape, weather and noise.")] = 0,
    year: Annotated[int, typer.Option(help="Calendar year.")] = 2022,
    epsg: Annotated[int, typer.Option(help="UTM zone, 32601 to 32660 or 32701 to 32760.")] = 32631,
    origin: Annotated[
        tuple[float, float], typer.Option(help="Easting and northing of the upper left corner, metres.")
    ] = (600_000.0, 5_000_040.0),
    cloud_cover: Annotated[float, typer.Option(help="Mean share of cloud, 0 to 1.")] = 0.25,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a simulated scene that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Simulate a year of Sentinel-2, and Landsat if asked for, over farmland, with true classes and parcels.

    Writes one GeoTIFF per date to OUT/sentinel2, cloud masks to OUT/sentinel2_mask, and classes.tif, parcels.tif and
    parcels.gpkg to OUT/truth. Landsat goes to OUT/landsat in the layout of LS2S2, at 30 m; days without clouds go to
    OUT/truth/sentinel2 and OUT/truth/landsat. The same options give the same pixels.
    """
    from rich.console import Console
    from rich.progress import Progress

    from sitsinfer.simulate import Scene, l3a_dates, write_scene

    scene = Scene(
        height=size if height is None else height,
        width=size if width is None else width,
        dates=dates,
        seed=seed,
        year=year,
        epsg=epsg,
        origin=origin,
        cloud_cover=cloud_cover,
        landsat=landsat,
    )
    asked = [_truth_date(text) for text in truth or ()]
    truth_dates = [date for one in asked for date in (l3a_dates(year) if one is None else (one,))]
    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("Simulating", total=1.0)
        write_scene(
            out,
            scene,
            truth_dates=truth_dates,
            overwrite=overwrite,
            progress=lambda share: bar.update(task, completed=share),
        )
    typer.echo(out)
