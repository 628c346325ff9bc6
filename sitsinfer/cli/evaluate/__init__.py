"""``sitsinfer evaluate``: how far a map agrees with a reference."""

import typer

from sitsinfer.cli.evaluate.clouds import clouds
from sitsinfer.cli.evaluate.fusion import fusion
from sitsinfer.cli.evaluate.panoptic import panoptic
from sitsinfer.cli.evaluate.parcels import parcels
from sitsinfer.cli.evaluate.segmentation import segmentation

app = typer.Typer(no_args_is_help=True, help="Compare maps with a reference.")
app.command()(segmentation)
app.command()(panoptic)
app.command()(parcels)
app.command()(fusion)
app.command()(clouds)
