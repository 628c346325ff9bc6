"""Simulated scenes with known truth: a year of Sentinel-2 and Landsat over an agricultural landscape.

``landscape`` says what lies where, ``phenology`` what covers it on each day, ``temperature`` how warm it is, and
``surface`` joins them to pictures of the ground. ``sensor`` holds how bands see materials, ``weather`` when satellites
pass, ``atmosphere`` what is in their way. ``rendering`` and ``landsat`` make arrays of what the two sensors see,
``truth`` of what they would see without clouds; ``files``, ``ls2s2`` and ``polygons`` write them. Ground and phenology
know no bands: another sensor of the same ground is one more table.
"""

from sitsinfer.simulate.files import write_scene
from sitsinfer.simulate.landsat import LandsatRendering, render_landsat
from sitsinfer.simulate.legend import CLASSES, UNLABELLED
from sitsinfer.simulate.rendering import Rendering, render
from sitsinfer.simulate.scene import Scene
from sitsinfer.simulate.truth import Truth, l3a_dates, render_truth

__all__ = [
    "CLASSES",
    "UNLABELLED",
    "LandsatRendering",
    "Rendering",
    "Scene",
    "Truth",
    "l3a_dates",
    "render",
    "render_landsat",
    "render_truth",
    "write_scene",
]
