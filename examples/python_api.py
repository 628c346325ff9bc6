"""Map classes from Python: simulate a small scene, map it, and count what is right."""

import tempfile
from pathlib import Path

import numpy as np
import rasterio

import sitsinfer
from sitsinfer.simulate import Scene, write_scene

folder = Path(tempfile.mkdtemp())
write_scene(folder / "scene", Scene(height=160, width=192, dates=24, seed=3))

summary = sitsinfer.segment(folder / "scene" / "sentinel2", folder / "map.tif", confidence=folder / "confidence.tif")

with rasterio.open(folder / "map.tif") as found, rasterio.open(folder / "scene" / "truth" / "classes.tif") as truth:
    right = found.read(1) == truth.read(1)
print(f"{folder / 'map.tif'}: {np.mean(right):.1%} of {summary.valid} pixels are right.")
