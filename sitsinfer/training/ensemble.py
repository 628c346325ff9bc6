"""What trainings on single samples share: a small ensemble, and blocks of the land to validate each member on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from sitsinfer.errors import TrainingError
from sitsinfer.training import loop
from sitsinfer.weights import Member


@dataclass(frozen=True, kw_only=True)
class EnsembleOptions(loop.Options):
    """How to train on single samples, such as pixels or parcels.

    Attributes:
        members: Networks whose scores are averaged; each is validated on other blocks, as long as there are others.
        block: Height and width of the blocks that are kept for validation whole, in pixels.
        balance: How much rarer classes are shown more often than they occur: 0 not at all, 1 as often as all others.
        smoothing: Share of the certainty that the true class has in the loss and the others have a part of.
    """

    members: int = 1
    block: int = 32
    balance: float = 0.5
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        """Check what the command line cannot.

        Raises:
            TrainingError: If an option is impossible.
        """
        super().__post_init__()
        if self.folds < 2:
            raise TrainingError(f"{self.validation:.0%} for validation leave nothing to learn from. Keep half or less.")

    @property
    def folds(self) -> int:
        """Of how many parts one is kept for validation."""
        return round(1 / self.validation)

    def kept(self, member: int) -> int:
        """Which part a member is validated on, from 0."""
        return member % self.folds


def block_folds(rows: ArrayLike, cols: ArrayLike, block: int, folds: int) -> NDArray[np.int64]:
    """Deal square blocks of the land out to folds, so that those of a fold lie scattered and far from each other.

    Args:
        rows: Rows of places in a grid, of any shape.
        cols: Columns, alike.
        block: Height and width of a block, in pixels.
        folds: How many folds.

    Returns:
        The fold of each place, from 0.
    """
    step = round(math.sqrt(folds))  # from one row of blocks to the next
    down, across = np.asarray(rows, np.int64) // block, np.asarray(cols, np.int64) // block
    return np.asarray((down * step + across) % folds)


def draw_weights(channels: NDArray[np.int64], balance: float) -> NDArray[np.float64]:
    """How likely each sample is to be drawn, from its class: (N,), which adds up to 1."""
    counts = np.bincount(channels)
    weights = counts[channels] ** -float(balance)
    return np.asarray(weights / weights.sum())


def make_members(number: int, mean: NDArray[np.floating[Any]], std: NDArray[np.floating[Any]]) -> tuple[Member, ...]:
    """The members of an ensemble, all with the same statistics; the only one has no name."""
    names = [""] if number == 1 else [f"member-{member}" for member in range(1, number + 1)]
    return tuple(Member(name, tuple(mean.tolist()), tuple(std.tolist())) for name in names)


def networks(module: nn.Module) -> list[nn.Module]:
    """The members of what :func:`~sitsinfer.training.loop.build` built, in order."""
    return list(module.values()) if isinstance(module, nn.ModuleDict) else [module]


def check_folds(held: Mapping[int, int], total: int) -> None:
    """See that there is something to learn from and something to validate on.

    Args:
        held: How many labelled samples each part that is used holds.
        total: How many there are.

    Raises:
        TrainingError: If a part has none, or all.
    """
    for count in held.values():
        if not 0 < count < total:
            raise TrainingError(
                f"{count} of {total} labelled samples would be kept for validation. Choose smaller blocks, another "
                f"share for validation or fewer members."
            )
