"""The classes of a simulated scene: codes, names and colours.

Codes run from 0 without a gap, so that they are also the channels of a model trained on the scenes. Every pixel of a
scene has a class; 255 is kept as nodata of label rasters and as the label that training ignores.
"""

from __future__ import annotations

from sitsinfer.layers import ClassInfo

UNLABELLED = 255

WATER, BUILT_UP, DECIDUOUS, CONIFEROUS, MEADOW, WHEAT, BARLEY = range(7)
RAPESEED, MAIZE, BEET, POTATO, SUNFLOWER, SOYBEAN, ORCHARD = range(7, 14)

CLASSES: tuple[ClassInfo, ...] = (
    ClassInfo(WATER, "Water", (58, 124, 196)),
    ClassInfo(BUILT_UP, "Built-up", (130, 120, 120)),
    ClassInfo(DECIDUOUS, "Deciduous forest", (74, 140, 66)),
    ClassInfo(CONIFEROUS, "Coniferous forest", (22, 84, 60)),
    ClassInfo(MEADOW, "Meadow", (166, 208, 120)),
    ClassInfo(WHEAT, "Winter wheat", (236, 196, 72)),
    ClassInfo(BARLEY, "Winter barley", (246, 226, 158)),
    ClassInfo(RAPESEED, "Winter rapeseed", (250, 240, 20)),
    ClassInfo(MAIZE, "Maize", (232, 120, 32)),
    ClassInfo(BEET, "Sugar beet", (186, 60, 130)),
    ClassInfo(POTATO, "Potato", (150, 92, 50)),
    ClassInfo(SUNFLOWER, "Sunflower", (214, 60, 44)),
    ClassInfo(SOYBEAN, "Soybean", (120, 196, 186)),
    ClassInfo(ORCHARD, "Orchard and vineyard", (118, 78, 160)),
)
