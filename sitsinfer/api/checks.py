"""What commands see to before they begin: names of outputs, and what a user should know of the inputs."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sitsinfer.errors import OutputError, SeriesError
from sitsinfer.series import Series

log = logging.getLogger(__name__)


def check_names(paths: Sequence[Path], *inputs: Series) -> None:
    """See that no two outputs have one name, and none that of an input.

    Raises:
        OutputError: If one has.
    """
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise OutputError(f"{path} is to hold two outputs at once. Give each a name of its own.")
        if any(place in series.files() for series in inputs):
            raise OutputError(f"{path} is a file of the series. Choose another output.")


def tell_series(series: Series) -> None:
    """Log what a user should know about a series before it is used."""
    for entry in series.left_out:
        log.warning("%s is left out: %s", entry.path.name, entry.reason, extra={"event": "left out"})
    for note in series.notes:
        log.warning("%s", note, extra={"event": "note"})


def tell_doubts(doubts: Iterable[str], strict: bool) -> None:
    """Log what speaks against a use of series.

    Raises:
        SeriesError: If there is a doubt, and that is to be an error.
    """
    for doubt in doubts:
        if strict:
            raise SeriesError(doubt)
        log.warning("%s", doubt, extra={"event": "note"})


def absolute(path: str | Path | None) -> Any:
    """Where a path leads, wherever it is read."""
    return None if path is None else Path(path).absolute()
