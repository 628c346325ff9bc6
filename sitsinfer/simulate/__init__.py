"""Simulated scenes with known truth: a year of Sentinel-2 over an agricultural landscape.

``landscape`` says what lies where, ``phenology`` what covers it on each day, ``sensor`` how bands see the materials,
``weather`` when a satellite passes and through what it looks; ``rendering`` joins them to arrays, ``files`` and
``polygons`` write them. Ground and phenology know no bands: another sensor of the same ground is one more table.
"""

from sitsinfer.simulate.files import write_scene
from sitsinfer.simulate.legend import CLASSES, UNLABELLED
from sitsinfer.simulate.rendering import Rendering, render
from sitsinfer.simulate.scene import Scene

__all__ = ["CLASSES", "UNLABELLED", "Rendering", "Scene", "render", "write_scene"]
