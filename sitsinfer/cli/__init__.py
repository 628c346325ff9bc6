"""The command line: one thin file a command. ``sitsinfer --help`` imports Typer and nothing heavier."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from sitsinfer import __version__
from sitsinfer.cli import evaluate, models, train
from sitsinfer.cli._log import last_word
from sitsinfer.cli.classify import classify
from sitsinfer.cli.clouds import clouds
from sitsinfer.cli.fuse import fuse
from sitsinfer.cli.inspect import inspect
from sitsinfer.cli.panoptic import panoptic
from sitsinfer.cli.segment import segment
from sitsinfer.cli.simulate import simulate
from sitsinfer.errors import SitsInferError

app = typer.Typer(
    help="Run published deep models over satellite image time series and write georeferenced maps.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(segment)
app.command()(panoptic)
app.command()(classify)
app.command()(clouds)
app.command()(fuse)
app.command()(inspect)
app.command()(simulate)
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="evaluate")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")
    ] = False,
) -> None:
    """Nothing but options that stand before the command."""


class Stopped(BaseException):
    """SIGINT or SIGTERM came; what was under way is to be left as it is."""


def main() -> None:
    """Run the command line; the exit code is 0, or that of the error, or 128 and the signal."""
    # Threads that wait for each other would spin, and keep the cores from whatever else wants them: on a machine with
    # other work that has cost six times the CPU time. Read when torch is loaded; worker processes inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        app()
    except SitsInferError as error:
        last_word(f"Error: {error}", "error")
        sys.exit(error.exit_code)
    except Stopped as stopped:
        last_word("Stopped. The same command goes on from what is done and kept.", "stopped")
        # Threads may still compute for minutes; a tile they do not finish has no marker and is made again.
        os._exit(128 + stopped.args[0])


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # asked twice, stop at once
    raise Stopped(number)
