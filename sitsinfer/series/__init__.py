"""What goes in: time series as they lie on disk, and windows read from them.

A :class:`Series` is what headers tell: acquisitions, bands, grid. A :class:`Stack` is one window of it, read.
"""

from sitsinfer.series.layouts import open_series
from sitsinfer.series.read import read_stack
from sitsinfer.series.types import Acquisition, LeftOut, Series, Stack

__all__ = ["Acquisition", "LeftOut", "Series", "Stack", "open_series", "read_stack"]
