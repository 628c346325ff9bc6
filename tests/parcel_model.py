"""A tiny network that finds parcels, of weights by chance: of no fields, but of all sorts that a run must master."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sitsinfer import models, weights
from sitsinfer.layers import ClassInfo
from sitsinfer.models.paps import PaPs
from sitsinfer.weights import Member
from tests.fakes import CARD as FAKE
from tests.fakes import TINY_UTAE

BANDS = ("B02", "B03", "B04", "B08")
CLASSES = (
    ClassInfo(0, "Background", (0, 0, 0)),
    ClassInfo(3, "Wheat", (230, 200, 60)),
    ClassInfo(7, "Blé d'hiver", (60, 200, 60)),
    ClassInfo(20, "Maize", (200, 60, 60)),
    ClassInfo(21, "Void", (90, 90, 90)),
)
HYPERPARAMETERS = {
    "input_dim": len(BANDS),
    "encoder": {**TINY_UTAE, "out_conv": [4, len(CLASSES)]},
    "num_classes": len(CLASSES),
    "shape_size": 6,
    "min_confidence": 0.1,
}
CARD = replace(
    FAKE,
    name="tiny parcels",
    title="A tiny PaPs",
    architecture="paps",
    task="panoptic",
    hyperparameters=HYPERPARAMETERS,
    bands=BANDS,
    positions="day-of-year",
    patch=32,
    margin=6,
    members=(Member("", (0.2,) * len(BANDS), (0.1,) * len(BANDS)),),
    classes=CLASSES,
    ignore=(0, 21),
)


def network() -> PaPs:
    """A network whose parcels overlap, cross the margin, are of several classes and have holes."""
    torch.manual_seed(17)
    module = models.build("paps", HYPERPARAMETERS)
    assert isinstance(module, PaPs)
    with torch.no_grad():
        for values in module.encoder.parameters():
            if values.dim() > 1:
                values *= 3  # as they come, all pixels are nearly alike
        module.heatmap_conv[0].conv[4].weight *= 2
        module.saliency_conv.conv[4].bias.fill_(2)
        module.size_mlp[6].bias.fill_(11)
        module.size_mlp[6].weight *= 8
        module.class_mlp[4].weight *= 6
        module.class_mlp[4].bias += torch.tensor([0, 0, -1, 0.7, 0])
    return module


def write_parcel_model(folder: Path, **changes: Any) -> Path:
    """Write a model folder with this network, under a card with changes."""
    weights.save(folder, replace(CARD, **changes), [network().state_dict()])
    return folder
