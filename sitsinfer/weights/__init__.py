"""The model folder: a card that says what weights feed on, and the weights, which are tensors and nothing else.

Importing this package does not import torch.
"""

from sitsinfer.weights.card import Card, Fill, Member
from sitsinfer.weights.folder import DEFAULT_MODEL, list_models, load_card, load_modules, save
from sitsinfer.weights.release import import_utae

__all__ = ["DEFAULT_MODEL", "Card", "Fill", "Member", "import_utae", "list_models", "load_card", "load_modules", "save"]
