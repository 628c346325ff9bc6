"""Classify parcels from Python: simulate a small scene, tell the crop of each of its fields, and score that."""

import tempfile
from pathlib import Path

import geopandas as gpd

import sitsinfer
from sitsinfer.simulate import Scene, write_scene

folder = Path(tempfile.mkdtemp())
write_scene(folder / "scene", Scene(height=200, width=240, dates=24, seed=3))
fields = folder / "scene" / "truth" / "parcels.gpkg"

sitsinfer.classify(folder / "scene" / "sentinel2", fields, folder / "classified.parquet", id_column="id")

classified = gpd.read_parquet(folder / "classified.parquet")
print(classified.groupby("class_name").agg(fields=("id", "count"), confidence=("confidence", "mean")).round(2))

accuracy = sitsinfer.evaluate_parcels(folder / "classified.parquet", fields, label_column="class_name")
scores = accuracy.accuracy.scores
print(f"{scores.overall_accuracy:.1%} of {int(scores.matrix.sum())} fields have the right class.")
