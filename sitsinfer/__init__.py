"""Run published deep models over satellite image time series and write georeferenced maps.

``sitsinfer.segment``, ``panoptic``, ``classify``, ``clouds`` and ``fuse`` are the commands of these names as functions,
and ``sitsinfer.evaluate_panoptic`` is ``evaluate panoptic``, and so on; ``Area`` and ``Options`` go with them. They are
imported when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sitsinfer.api import (
        Accuracy,
        Area,
        CloudAccuracy,
        Fusion,
        Options,
        ParcelAccuracy,
        ParcelScores,
        Summary,
        classify,
        clouds,
        evaluate_clouds,
        evaluate_panoptic,
        evaluate_parcels,
        evaluate_segmentation,
        explain_fusion,
        fuse,
        panoptic,
        segment,
    )

__version__ = "0.1.0"

__all__ = [
    "Accuracy",
    "Area",
    "CloudAccuracy",
    "Fusion",
    "Options",
    "ParcelAccuracy",
    "ParcelScores",
    "Summary",
    "classify",
    "clouds",
    "evaluate_clouds",
    "evaluate_panoptic",
    "evaluate_parcels",
    "evaluate_segmentation",
    "explain_fusion",
    "fuse",
    "panoptic",
    "segment",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("sitsinfer.api"), name)
    raise AttributeError(f"module 'sitsinfer' has no attribute '{name}'")
