"""Errors a user can mend.

Each is also the built-in error that Python users expect::

    SitsInferError
    ├── GridError          (ValueError)    areas, tiles, margins
    ├── SeriesError        (ValueError)    what goes in: files, dates, bands, masks
    │   └── ReadError      (OSError)       a file of the series cannot be read at some place
    ├── ModelError         (ValueError)    an architecture and its hyper-parameters
    ├── WeightsError       (ValueError)    model folders and published checkpoints
    ├── DeviceError        (RuntimeError)  the device asked for is not there, or too small
    ├── OutputError        (OSError)       what comes out: cannot be written, exists already
    │   └── StoreError                     the store of an unfinished run does not fit this one
    ├── SimulationError    (ValueError)    a scene that cannot be simulated
    ├── TrainingError      (ValueError)    samples and labels that cannot be trained on
    ├── MetricError        (ValueError)    maps that cannot be compared
    └── TilesFailed        (RuntimeError)  a run ended with tiles missing

A message says what was found, what was expected and what to do, on one line.
"""


class SitsInferError(Exception):
    """An error that the user can mend; its text is one line."""

    exit_code = 1


class GridError(SitsInferError, ValueError):
    """An area, a tile size or a margin that does not fit."""


class SeriesError(SitsInferError, ValueError):
    """A time series that cannot be used as it is."""


class ReadError(SeriesError, OSError):
    """A file of a series cannot be read at some place."""


class ModelError(SitsInferError, ValueError):
    """An unknown architecture, or hyper-parameters it does not take."""


class WeightsError(SitsInferError, ValueError):
    """A model folder or a checkpoint that cannot be used."""


class DeviceError(SitsInferError, RuntimeError):
    """A device that is not there, or too small for one patch."""


class OutputError(SitsInferError, OSError):
    """An output that cannot be written, or that exists already."""


class StoreError(OutputError):
    """The store of an unfinished run does not fit this run."""


class SimulationError(SitsInferError, ValueError):
    """A scene that cannot be simulated."""


class TrainingError(SitsInferError, ValueError):
    """Samples or labels that cannot be trained on."""


class MetricError(SitsInferError, ValueError):
    """Maps that cannot be compared."""


class TilesFailed(SitsInferError, RuntimeError):  # noqa: N818 - it says what happened
    """A run ended with tiles missing; the same command tries just those again."""

    exit_code = 3
