"""A tiny classifier of parcels, of weights by chance, whose classes all occur and which tells parcels apart."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sitsinfer import models, weights
from sitsinfer.layers import ClassInfo
from sitsinfer.weights import Member, ParcelCard

BANDS = ("B02", "B03", "B04", "B08")
CLASSES = (
    ClassInfo(3, "Wheat", (230, 200, 60)),
    ClassInfo(7, "Blé d'hiver", (60, 200, 60)),
    ClassInfo(20, "Maize", (200, 60, 60)),
    ClassInfo(21, "Unknown", (90, 90, 90)),
)
DAYS = (0, 40, 80, 130, 200)
HYPERPARAMETERS = {
    "input_dim": len(BANDS),
    "mlp1": [len(BANDS), 8, 8],
    "pooling": "mean_std",
    "mlp2": [20, 12],
    "with_extra": True,
    "extra_size": 4,
    "n_head": 2,
    "d_k": 3,
    "d_model": 16,
    "mlp3": [16, 8],
    "dropout": 0.2,
    "T": 1000,
    "len_max_seq": len(DAYS),
    "positions": list(DAYS),
    "mlp4": [8, 6, len(CLASSES)],
}
CARD = ParcelCard(
    name="tiny parcels",
    title="A tiny PSE and L-TAE",
    description="For tests.",
    architecture="pse_ltae",
    hyperparameters=HYPERPARAMETERS,
    task="classify",
    sensor="sentinel-2",
    bands=BANDS,
    scale=1e-4,
    offset=0.0,
    reference_date=date(2019, 1, 10),
    days=DAYS,
    pixels=16,
    members=(Member("", (0.1,) * len(BANDS), (0.05,) * len(BANDS)),),
    geometry_mean=(),
    geometry_std=(),
    classes=CLASSES,
    ignore=(21,),
    licence="CC0-1.0",
    citation="",
    source="",
    digest="0" * 64,
)


def network(seed: int = 3, card: ParcelCard = CARD) -> nn.Module:
    """A network whose scores differ between parcels by more than rounding."""
    torch.manual_seed(seed)
    module = models.build(card.architecture, card.hyperparameters)
    with torch.no_grad():
        for values in module.parameters():
            if values.dim() > 1:
                values *= 2  # as they come, all parcels are nearly alike
    return module.eval()


def write_classifier(folder: Path, **changes: Any) -> Path:
    """Write a model folder with such a network for each member, under a card with changes."""
    card = replace(CARD, **changes)
    weights.save(folder, card, [network(3 + number, card).state_dict() for number in range(len(card.members))])
    return folder
