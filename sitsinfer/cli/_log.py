"""What a command tells while it runs, on stderr: lines for people or for machines, and a progress bar."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and whatever ``extra`` a record brings."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        extra = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": time, "level": record.levelname.lower(), **extra, "message": record.getMessage()}
        return json.dumps(entry, default=str)


def set_up(*, log_json: bool, quiet: bool) -> None:
    """Send what sitsinfer logs to stderr.

    Args:
        log_json: As JSON, tiles included, instead of lines for people.
        quiet: Only errors.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_json else logging.Formatter("%(message)s"))
    logger = logging.getLogger("sitsinfer")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else logging.DEBUG if log_json else logging.INFO)


def chosen_model(given: str | None, default: str) -> str:
    """The model that is given, or the one that comes with sitsinfer; then the user is told."""
    if given is not None:
        return given
    logging.getLogger(__name__).warning(
        "No model is given: %s is used, a demonstrator trained on simulated scenes. "
        "Give a model of your own for real mapping.",
        default,
        extra={"event": "note"},
    )
    return default


def last_word(text: str, event: str) -> None:
    """Say on stderr how a command ended: as JSON if its log is."""
    logger = logging.getLogger("sitsinfer")
    if any(isinstance(handler.formatter, JsonLines) for handler in logger.handlers):
        logger.error("%s", text, extra={"event": event})
    else:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over tiles, where someone watches."""
    if not (shown and sys.stderr.isatty()):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("tiles"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("tiles", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
