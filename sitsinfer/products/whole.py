"""Files and folders that appear whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sitsinfer.errors import OutputError, SitsInferError

NEXT_TO_NOTHING = 2**20
"""Free bytes below which a failure to write is put down to a full disk: libraries often do not say."""


@contextmanager
def whole_file(path: Path, companions: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield a temporary name; what the caller writes there takes the name ``path`` once it is whole.

    The temporary file has a hidden folder to itself beside ``path``, so that renaming it stays on one file system and
    whatever else a library leaves there goes with it. A folder that a killed process left behind is cleared first.

    Args:
        path: The final name. A file that has it already is replaced, in one step.
        companions: Files that would change what the new one holds, such as a journal of the old one. Those that exist
            are removed just before the new one takes its name.

    Raises:
        OutputError: If the file cannot be written, as where the disk is full; nothing has changed then.
    """
    with _room_for(path) as room:
        draft = room / path.name
        yield draft
        _flush(draft)
        for companion in companions:
            companion.unlink(missing_ok=True)
        draft.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield the temporary name of a folder, which takes the name ``path`` once it is whole; see :func:`whole_file`.

    Args:
        path: The final name. A folder that has it already is replaced: moved aside, and removed once the new one has
            its name.

    Raises:
        OutputError: If the folder cannot be written; nothing has changed then.
    """
    with _room_for(path) as room:
        draft, old = room / path.name, room / "old"
        draft.mkdir()
        yield draft
        for part in draft.rglob("*"):
            if part.is_file():
                _flush(part)
        if path.is_dir():
            path.rename(old)
        try:
            draft.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise


def make_folder(path: Path) -> None:
    """Make a folder, if there is none.

    Raises:
        OutputError: If that cannot be.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error, full=error.errno in (errno.ENOSPC, errno.EDQUOT)) from error


@contextmanager
def _room_for(path: Path) -> Iterator[Path]:
    """A hidden folder beside an output to prepare it in, and one line where that fails.

    Raises:
        OutputError: For any :class:`OSError` within.
    """
    room = path.with_name(f".{path.name}.writing")
    full = False
    try:
        with _cleared(room):
            try:
                yield room
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT) or free_bytes(path) < NEXT_TO_NOTHING
                raise
    except SitsInferError:
        raise
    except OSError as error:
        raise _unwritable(path, error, full) from error


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


def _unwritable(path: Path, error: OSError, full: bool) -> OutputError:
    """Say why a file cannot be written, and what to do."""
    reason = " ".join((error.strerror or str(error)).split()).rstrip(".")
    folder = path.absolute().parent
    if not folder.is_dir():
        return OutputError(f"Cannot write {path}: there is no folder {folder}. Create it, or choose another.")
    if full:
        return OutputError(
            f"Cannot write {path}: the disk is full ({reason}). {free_bytes(path) / 1e6:.1f} MB are free in {folder} "
            f"without it. Make room there, or choose another folder."
        )
    return OutputError(f"Cannot write {path}: {reason}. Check that {folder} is writable, or choose another folder.")


def free_bytes(path: Path) -> int:
    """Bytes that may still be written to the folder of a file."""
    return shutil.disk_usage(path.absolute().parent).free


def check_room(path: Path, size: int) -> None:
    """Notice a full disk before a library does, which would speak of its own inside.

    Raises:
        OSError: If fewer than ``size`` bytes are free.
    """
    if free_bytes(path) < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
