"""``sitsinfer train``: from labelled series to a model folder."""

import typer

from sitsinfer.cli.train.classify import classify
from sitsinfer.cli.train.panoptic import panoptic
from sitsinfer.cli.train.pixels import pixels
from sitsinfer.cli.train.segment import segment

app = typer.Typer(no_args_is_help=True, help="Train models.")
app.command()(segment)
app.command()(panoptic)
app.command()(pixels)
app.command()(classify)
