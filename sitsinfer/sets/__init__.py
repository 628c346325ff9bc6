"""Pixel sets of parcels: which pixels a parcel has, which of them are sampled, and where they lie."""

from sitsinfer.sets.dates import on_days
from sitsinfer.sets.index import ParcelIndex
from sitsinfer.sets.types import Facts, Samples, Trouble

__all__ = ["Facts", "ParcelIndex", "Samples", "Trouble", "on_days"]
