"""What trainings check before and say after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sitsinfer.weights import Card, ParcelCard


def check_number(what: str, given: list[Path], ts: list[Path]) -> None:
    """See that there is one for each series."""
    if len(given) != len(ts):
        raise typer.BadParameter(f"{len(given)} {what} for {len(ts)} series. Give one for each.")


def watch(train: Callable[..., Card | ParcelCard], steps: int, log_json: bool, quiet: bool) -> None:
    """Train with a bar that shows how far it is, and say what came of it."""
    from rich.console import Console
    from rich.progress import Progress

    from sitsinfer.cli import _log

    _log.set_up(log_json=log_json, quiet=quiet)
    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Training", total=steps)
        card = train(
            progress=lambda done, loss: bar.update(task, completed=done, description=f"Training, loss {loss:.3f}")
        )
    typer.echo(f"{card.name}  {card.description}")
