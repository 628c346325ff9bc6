"""What comes out: one file per kind of output.

A writer takes a layer from any :class:`LayerSource` and publishes it whole under its final name, or not at all.
``WRITERS`` says which writer serves which file ending; a new kind of output is one module and one entry. Layers of
several dates, a :class:`DatedSource` each, are published by :mod:`sitsinfer.products.dated`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sitsinfer.errors import OutputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sitsinfer.grid import Grid, Window
    from sitsinfer.layers import Layer


DATE_TAG, SENSOR_TAG = "ACQUISITION_DATE", "SENSOR"
"""Tags by which what was published of a date is read again as an acquisition of a series."""
GEOMETRY = "geometry"
"""The column of a table that holds polygons, as WKB."""


class LayerSource(Protocol):
    """A layer on a grid, read by windows: a run's store, or a published file."""

    @property
    def layer(self) -> Layer:
        """What the values are."""

    @property
    def grid(self) -> Grid:
        """Where they lie."""

    def read(self, window: Window) -> NDArray[Any]:
        """Read a window that lies within the grid, as (bands, height, width) in the layer's dtype."""


class DatedSource(LayerSource, Protocol):
    """A layer of several dates."""

    def on(self, date: datetime.date, /) -> LayerSource:
        """One of its dates, as a layer."""


class ViewableSource(LayerSource, Protocol):
    """A published layer, which can be looked at without reading all of it."""

    def thumbnail(self, size: int, bands: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Bands at a glance, at most ``size`` pixels a side.

        Returns:
            Stored values (bands, h, w), and where all these bands have one, (h, w).
        """


Writer = Callable[[LayerSource, Path, Mapping[str, str]], None]


def _cog() -> Writer:
    from sitsinfer.products.cog import write_cog

    return write_cog


WRITERS: Mapping[str, Callable[[], Writer]] = {".tif": _cog, ".tiff": _cog}
"""How to get the writer of a file ending; its libraries are imported only then."""


def writer_for(path: Path) -> Writer:
    """Choose a writer by the ending of an output's name.

    Raises:
        OutputError: If no product has this ending.
    """
    try:
        return WRITERS[path.suffix.lower()]()
    except KeyError:
        known = ", ".join(WRITERS)
        raise OutputError(f"{path} ends in '{path.suffix}', which names no product. Known endings: {known}.") from None
