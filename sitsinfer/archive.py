"""Arrays as bytes, for what a tile keeps until all tiles are there."""

import io
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import StoreError


def pack_arrays(**arrays: NDArray[Any]) -> bytes:
    """Arrays by their names, as the bytes of a NumPy archive."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpack_arrays(content: bytes, names: Iterable[str]) -> list[NDArray[Any]]:
    """Read what :func:`pack_arrays` wrote.

    Args:
        content: The bytes.
        names: Which arrays.

    Raises:
        StoreError: If they are damaged, or an array is missing.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as parts:
            return [parts[name] for name in names]
    except (OSError, EOFError, ValueError, KeyError, IndexError, RuntimeError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"What a tile found cannot be read ({error}). Remove the folder of the unfinished run, which ends in "
            f"'.partial', to start anew."
        ) from error
