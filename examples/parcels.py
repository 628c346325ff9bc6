"""Find parcels from Python: simulate a small scene, outline its parcels, and see how many are found."""

import tempfile
from pathlib import Path

import geopandas as gpd

import sitsinfer
from sitsinfer.simulate import Scene, write_scene

folder = Path(tempfile.mkdtemp())
write_scene(folder / "scene", Scene(height=200, width=240, dates=24, seed=3))

ids, classes = folder / "ids.tif", folder / "classes.tif"
sitsinfer.panoptic(folder / "scene" / "sentinel2", folder / "parcels.gpkg", raster=ids, classes=classes, min_area=0.05)

parcels = gpd.read_file(folder / "parcels.gpkg", layer="parcels")
print(parcels.groupby("class_name").agg(parcels=("id", "count"), hectares=("area_ha", "sum")).round(1))

truth = folder / "scene" / "truth"
scores = sitsinfer.evaluate_panoptic(ids, classes, truth / "parcels.tif", truth / "classes.tif")
print(f"{scores.outlines.found} of {scores.outlines.parcels} true parcels are found; PQ {scores.panoptic.mean_pq:.1%}.")
