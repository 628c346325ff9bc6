import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sitsinfer import models, weights
from sitsinfer.layers import ClassInfo
from sitsinfer.weights import Card, FusionCard, Member, ParcelCard, SensorCard
from tests.fakes import TINY_UTAE


@pytest.fixture
def make_card() -> Callable[..., Card]:
    def make(**changes: Any) -> Card:
        entries: dict[str, Any] = {
            "name": "tiny",
            "title": "A tiny U-TAE",
            "description": "For tests.",
            "architecture": "utae",
            "hyperparameters": {"input_dim": 2, **TINY_UTAE},
            "task": "segment",
            "sensor": "sentinel-2",
            "bands": ("B04", "B08"),
            "scale": 1e-4,
            "offset": 0.0,
            "positions": "days",
            "reference_date": datetime.date(2018, 9, 1),
            "patch": 16,
            "margin": 2,
            "blend": 1,
            "fill": "reflect",
            "members": (Member("", (0.1, 0.3), (0.05, 0.1)),),
            "classes": (
                ClassInfo(1, "Water", (0, 0, 255)),
                ClassInfo(4, "Forêt", (0, 99, 0)),
                ClassInfo(19, "Void", (9, 9, 9)),
            ),
            "ignore": (19,),
            "licence": "CC0-1.0",
            "citation": "",
            "source": "",
            "digest": "0" * 64,
        }
        return Card(**{**entries, **changes})

    return make


@pytest.fixture
def make_fusion_card() -> Callable[..., FusionCard]:
    def make(**changes: Any) -> FusionCard:
        entries: dict[str, Any] = {
            "name": "sharp",
            "title": "A tiny DSen2",
            "description": "For tests.",
            "architecture": "dsen2",
            "hyperparameters": {"blocks": 1, "features": 3},
            "task": "fuse",
            "reference": "first-of-year",
            "days": 365,
            "ratio": 3,
            "sensors": {
                "hr": SensorCard("sentinel-2", ("B04", "B8A"), (0.1, 0.3), (0.05, 0.1)),
                "lr": SensorCard("landsat", ("B04", "B05", "LST")),
            },
            "licence": "CC0-1.0",
            "citation": "",
            "source": "",
            "digest": "0" * 64,
        }
        return FusionCard(**{**entries, **changes})

    return make


@pytest.fixture
def make_parcel_card() -> Callable[..., ParcelCard]:
    def make(**changes: Any) -> ParcelCard:
        entries: dict[str, Any] = {
            "name": "sets",
            "title": "A tiny PSE+L-TAE",
            "description": "For tests.",
            "architecture": "pse_ltae",
            "hyperparameters": {"input_dim": 2, "with_extra": True, "extra_size": 4, "len_max_seq": 3, "mlp4": [5, 2]},
            "task": "classify",
            "sensor": "sentinel-2",
            "bands": ("B04", "B08"),
            "scale": 1e-4,
            "offset": 0.0,
            "reference_date": datetime.date(2017, 1, 5),
            "days": (0, 40, 285),
            "pixels": 64,
            "members": (Member("", (0.1, 0.3), (0.05, 0.1)),),
            "geometry_mean": (),
            "geometry_std": (),
            "classes": (ClassInfo(1, "Meadow", (0, 255, 0)), ClassInfo(31, "Vigne", (99, 0, 0))),
            "ignore": (),
            "licence": "CC0-1.0",
            "citation": "",
            "source": "",
            "digest": "0" * 64,
        }
        return ParcelCard(**{**entries, **changes})

    return make


@pytest.fixture
def model_folder(tmp_path: Path, make_card: Callable[..., Card]) -> Path:
    card = make_card()
    torch.manual_seed(0)
    weights.save(tmp_path / "tiny", card, [models.build("utae", card.hyperparameters).state_dict()])
    return tmp_path / "tiny"


@pytest.fixture
def fusion_folder(tmp_path: Path, make_fusion_card: Callable[..., FusionCard]) -> Path:
    card = make_fusion_card()
    torch.manual_seed(0)
    weights.save(tmp_path / "sharp", card, [models.build("dsen2", card.hyperparameters).state_dict()])
    return tmp_path / "sharp"
