"""What commands see to before they begin: names of outputs, and what a user should know of the inputs."""

import datetime
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sitsinfer.engine import Options, foreign
from sitsinfer.errors import OutputError, SeriesError
from sitsinfer.products.stac import describes, is_item, item_path
from sitsinfer.series import Series
from sitsinfer.weights import Card

log = logging.getLogger(__name__)

LONGEST_SPAN = 730
"""Days from a reference date; published weights have seen less, so that beyond it the date is likely wrong."""

LONGEST_YEAR = 366
"""Days from the first date to the last, for weights that know days of the year."""


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


def check_item(product: Path, options: Options) -> None:
    """See that the STAC item of a product may be written.

    Raises:
        OutputError: If a file of that name is not an item, unless it is to be overwritten, or describes other outputs.
    """
    item = item_path(product)
    if not item.exists():
        return
    if is_item(item) and not describes(item, product):
        raise OutputError(
            f"{item} describes other outputs than {product.name}. Choose another name, or another folder."
        )
    if not is_item(item) and not options.overwrite:
        raise foreign(item)


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


def doubts(series: Series, card: Card, reference_date: datetime.date | None) -> Iterator[str]:
    """Say where a series is not what weights were trained on."""
    if series.sensor not in (card.sensor, "unknown"):
        yield f"The series is of {series.sensor}, the weights of {card.sensor}."
    if card.positions == "day-of-year" and reference_date is not None:
        yield f"Weights {card.name} know days of the year: the reference date {reference_date} plays no part."
    first, last = series.dates[0], series.dates[-1]
    days = card.encode_dates(series.dates, reference_date)
    if card.positions == "day-of-year" and (last - first).days > LONGEST_YEAR:
        yield f"Dates run from {first} to {last}, but the weights know one year. Choose one with start and end."
    elif card.positions == "days" and abs(days).max() > LONGEST_SPAN:
        yield (
            f"Days run from {days.min()} to {days.max()} since {reference_date or card.reference_date}, more than "
            f"weights have seen. Set the reference date to where the year begins."
        )


def absolute(path: str | Path | None) -> Any:
    """Where a path leads, wherever it is read."""
    return None if path is None else Path(path).absolute()
