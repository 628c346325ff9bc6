"""The model folder: a card that says what weights feed on, and the weights, which are tensors and nothing else.

Importing this package does not import torch.
"""

from sitsinfer.weights.baselines import import_dsen2, import_dstfn
from sitsinfer.weights.card import BACKGROUND, Card, Fill, Member
from sitsinfer.weights.folder import (
    DEFAULT_MODEL,
    DEFAULT_PANOPTIC_MODEL,
    DEFAULT_PARCEL_MODEL,
    AnyCard,
    list_models,
    load_any_card,
    load_card,
    load_fusion_card,
    load_modules,
    load_parcel_card,
    save,
)
from sitsinfer.weights.fusion_card import FIRST_OF_YEAR, SENSORS, FusionCard, SensorCard
from sitsinfer.weights.panoptic_release import import_paps
from sitsinfer.weights.parcel_card import GEOMETRIC_FEATURES, ParcelCard
from sitsinfer.weights.pse_release import FIRST_DATE, PixelSetRelease, as_trained, import_pse, read_pse
from sitsinfer.weights.release import import_utae
from sitsinfer.weights.statistics import Statistics, read_statistics
from sitsinfer.weights.tamrf import import_tamrf

__all__ = [
    "BACKGROUND",
    "DEFAULT_MODEL",
    "DEFAULT_PANOPTIC_MODEL",
    "DEFAULT_PARCEL_MODEL",
    "FIRST_DATE",
    "FIRST_OF_YEAR",
    "GEOMETRIC_FEATURES",
    "SENSORS",
    "AnyCard",
    "Card",
    "Fill",
    "FusionCard",
    "Member",
    "ParcelCard",
    "PixelSetRelease",
    "SensorCard",
    "Statistics",
    "as_trained",
    "import_dsen2",
    "import_dstfn",
    "import_paps",
    "import_pse",
    "import_tamrf",
    "import_utae",
    "list_models",
    "load_any_card",
    "load_card",
    "load_fusion_card",
    "load_modules",
    "load_parcel_card",
    "read_pse",
    "read_statistics",
    "save",
]
