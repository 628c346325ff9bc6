"""What commands that score share: where scores go beside the terminal, and how they look there."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 120
"""Columns of tables that go to a file or another command."""

Json = Annotated[bool, typer.Option("--json", help="Print all scores as JSON.")]
Picture = Annotated[
    Path | None,
    typer.Option("--picture", help="Draw the confusion matrix to this PNG file.", show_default=False),
]


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path], overwrite: bool) -> None:
    """See that files may be written, before anything is computed.

    Args:
        outputs: Where each goes, by what it holds in words for people; ``None`` where it is not asked for.
        inputs: What is read.
        overwrite: Whether files that exist may be replaced.

    Raises:
        OutputError: If one is a folder, lies in none, exists already, or has the name of an input or of another one.
    """
    from sitsinfer.errors import OutputError

    read = {path.resolve() for path in inputs if path.is_file()}
    written: dict[Path, str] = {}
    for what, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in read:
            raise OutputError(f"{path} is what is read. Choose another file for {what}.")
        if place in written:
            raise OutputError(f"{path} is to hold {written[place]} and {what}. Give each a name of its own.")
        _check_place(path, what, overwrite)
        written[place] = what


def _check_place(path: Path, what: str, overwrite: bool) -> None:
    """See that a file can be where it is to be.

    Raises:
        OutputError: If it cannot.
    """
    from sitsinfer.errors import OutputError

    if path.is_dir():
        raise OutputError(f"{path} is a folder. Choose a file for {what}.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists. Set overwrite to replace it.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"Cannot write {path}: there is no folder {folder}. Create it, or choose another.")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with one set of columns; empty where something is not defined.

    Raises:
        OutputError: If the file cannot be written.
    """
    from sitsinfer.products.whole import whole_file

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    with whole_file(path) as draft:
        draft.write_text(text.getvalue(), encoding="utf-8")


def print_json(summary: Mapping[str, Any]) -> None:
    """Print scores as JSON."""
    import json

    typer.echo(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False))


def new_table(first: str, *numbers: str) -> Table:
    """A table of names, and of numbers under these titles."""
    from rich.table import Column, Table

    return Table(first, *(Column(title, justify="right") for title in numbers), box=None, pad_edge=False)


def print_table(table: Table) -> None:
    """Print a table, as wide as the terminal is."""
    from rich.console import Console

    Console(width=None if Console().is_terminal else WIDTH).print(table)


def defined(score: float) -> float | None:
    """A score that JSON and CSV can hold: ``None`` for NaN."""
    return None if math.isnan(score) else float(score)


def percent(score: float) -> str:
    """A fraction to read."""
    return "-" if math.isnan(score) else f"{100 * score:.1f}"
