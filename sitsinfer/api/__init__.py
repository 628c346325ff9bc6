"""The commands as functions, for Python users and for the command line alike."""

from sitsinfer.api.fusion import explain_fusion, fuse
from sitsinfer.api.fusion_run import Fusion
from sitsinfer.api.parcels import panoptic
from sitsinfer.api.segmentation import segment
from sitsinfer.area import Area
from sitsinfer.engine import Options, Summary

__all__ = ["Area", "Fusion", "Options", "Summary", "explain_fusion", "fuse", "panoptic", "segment"]
