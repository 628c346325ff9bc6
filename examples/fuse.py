"""Predict a day that no satellite saw, from Python: simulate two sensors, fuse them, and compare with the truth."""

import datetime
import tempfile
from pathlib import Path

import numpy as np
import rasterio

import sitsinfer
from sitsinfer.fusion.strategies import StrategyOptions
from sitsinfer.simulate import Scene, write_scene

folder, day = Path(tempfile.mkdtemp()), datetime.date(2022, 6, 24)
write_scene(folder / "scene", Scene(height=150, width=180, dates=30, landsat=20, seed=3), truth_dates=[day])

sitsinfer.fuse(
    folder / "scene",
    folder / "fused",
    strategy="CUSTOM",
    strategy_options=StrategyOptions(dates=(day,)),
    sensor="hr",
    algorithm="naive",  # for the published TAMRF: model="folder that 'sitsinfer models import tamrf' made"
)

name = folder / "fused" / f"CUSTOM_{day:%Y%m%d}_sentinel2.tif"
truth_name = folder / "scene" / "truth" / "sentinel2" / f"sentinel2_{day:%Y%m%d}.tif"
with rasterio.open(name) as found, rasterio.open(truth_name) as truth:
    errors = (found.read(masked=True).astype(float) - truth.read()) * found.scales[0]
    for band, error in zip(found.descriptions, errors, strict=True):
        print(f"{band}: RMSE {np.sqrt((error**2).mean()):.4f}")
