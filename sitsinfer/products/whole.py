"""Files that appear whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sitsinfer.errors import OutputError, SitsInferError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name; what the caller writes there takes the name ``path`` once it is whole.

    The temporary file has a hidden folder to itself beside ``path``, so that renaming it stays on one file system and
    whatever else a library leaves there goes with it. A folder that a killed process left behind is cleared first.

    Args:
        path: The final name. A file that has it already is replaced, in one step.

    Raises:
        OutputError: If the file cannot be written, as where the disk is full; nothing has changed then.
    """
    room = path.with_name(f".{path.name}.writing")
    try:
        with _cleared(room):
            draft = room / path.name
            yield draft
            _flush(draft)
            draft.replace(path)
    except SitsInferError:
        raise
    except OSError as error:
        raise unwritable(path, error.strerror or str(error), full=error.errno in (errno.ENOSPC, errno.EDQUOT)) from error


@contextmanager
def _cleared(room: Path) -> Iterator[None]:
    """Make a folder afresh, and remove it at the end."""
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _flush(path: Path) -> None:
    """Wait until a file is on the disk; some file systems say only now that they are full."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def unwritable(path: Path, reason: str, *, full: bool = False) -> OutputError:
    """An error that says why a file cannot be written, and what to do.

    Args:
        path: The final name.
        reason: The system's or a library's words.
        full: Whether the disk is known to be full; else the reason is searched for it.
    """
    reason = " ".join(reason.split()).rstrip(".")
    folder = path.absolute().parent
    if not folder.is_dir():
        return OutputError(f"Cannot write {path}: there is no folder {folder}. Create it, or choose another.")
    if full or os.strerror(errno.ENOSPC) in reason or free_bytes(path) < 2**20:
        return OutputError(
            f"Cannot write {path}: {reason}. {free_bytes(path) / 1e6:.1f} MB are free in {folder}, which is too "
            f"little. Make room there, or choose another folder."
        )
    return OutputError(f"Cannot write {path}: {reason}. Check that {folder} is writable, or choose another folder.")


def free_bytes(path: Path) -> int:
    """Bytes that may still be written to the folder of a file."""
    return shutil.disk_usage(path.absolute().parent).free
