"""``sitsinfer simulate``: a scene with known truth."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to make.", show_default=False)],
    size: Annotated[int, typer.Option(help="Height and width, pixels of 10 m.")] = 1024,
    height: Annotated[int | None, typer.Option(help="Height, pixels. Default: size.", show_default=False)] = None,
    width: Annotated[int | None, typer.Option(help="Width, pixels. Default: size.", show_default=False)] = None,
    dates: Annotated[int, typer.Option(help="Number of acquisitions over the year, up to 140.")] = 40,
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
    """Simulate a year of Sentinel-2 over farmland, with true classes and parcels.

    Writes one GeoTIFF per date to OUT/sentinel2, cloud masks to OUT/sentinel2_mask, and classes.tif, parcels.tif and
    parcels.gpkg to OUT/truth. The same options give the same pixels.
    """
    from rich.console import Console
    from rich.progress import Progress

    from sitsinfer.simulate import Scene, write_scene

    scene = Scene(
        height=size if height is None else height,
        width=size if width is None else width,
        dates=dates,
        seed=seed,
        year=year,
        epsg=epsg,
        origin=origin,
        cloud_cover=cloud_cover,
    )
    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("Simulating", total=1.0)
        write_scene(out, scene, overwrite=overwrite, progress=lambda share: bar.update(task, completed=share))
    typer.echo(out)
