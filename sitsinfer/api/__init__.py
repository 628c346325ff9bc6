"""The commands as functions, for Python users and for the command line alike.

Each is imported with what it needs when it is first used: a command that has nothing to do should not wait for others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sitsinfer.api.classification import classify
    from sitsinfer.api.cloud_scores import clouds
    from sitsinfer.api.evaluation.accuracy import Accuracy
    from sitsinfer.api.evaluation.clouds import CloudAccuracy, evaluate_clouds
    from sitsinfer.api.evaluation.panoptic import ParcelScores, evaluate_panoptic
    from sitsinfer.api.evaluation.parcels import ParcelAccuracy, evaluate_parcels
    from sitsinfer.api.evaluation.segmentation import evaluate_segmentation
    from sitsinfer.api.fusion import explain_fusion, fuse
    from sitsinfer.api.fusion_run import Fusion
    from sitsinfer.api.parcels import panoptic
    from sitsinfer.api.segmentation import segment
    from sitsinfer.area import Area
    from sitsinfer.engine import Options, Summary

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

_HOMES = {
    "Accuracy": "sitsinfer.api.evaluation.accuracy",
    "Area": "sitsinfer.area",
    "CloudAccuracy": "sitsinfer.api.evaluation.clouds",
    "Fusion": "sitsinfer.api.fusion_run",
    "Options": "sitsinfer.engine",
    "ParcelAccuracy": "sitsinfer.api.evaluation.parcels",
    "ParcelScores": "sitsinfer.api.evaluation.panoptic",
    "Summary": "sitsinfer.engine",
    "classify": "sitsinfer.api.classification",
    "clouds": "sitsinfer.api.cloud_scores",
    "evaluate_clouds": "sitsinfer.api.evaluation.clouds",
    "evaluate_panoptic": "sitsinfer.api.evaluation.panoptic",
    "evaluate_parcels": "sitsinfer.api.evaluation.parcels",
    "evaluate_segmentation": "sitsinfer.api.evaluation.segmentation",
    "explain_fusion": "sitsinfer.api.fusion",
    "fuse": "sitsinfer.api.fusion",
    "panoptic": "sitsinfer.api.parcels",
    "segment": "sitsinfer.api.segmentation",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sitsinfer.api' has no attribute '{name}'")
