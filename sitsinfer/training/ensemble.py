"""What trainings on single samples, such as pixels or parcels, share.

That is a small ensemble, of which each member is validated on other blocks of the land.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from sitsinfer.errors import TrainingError
from sitsinfer.training import loop
from sitsinfer.weights import Card, Member, ParcelCard


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


class EnsembleCourse(ABC):
    """Classes of samples, and overall accuracy to score them; see :class:`~sitsinfer.training.loop.Course`.

    Attributes:
        card: The card of the ensemble.
        options: How to train.
        module: The networks.
        device: Where they compute.
        channels: The class of each sample, as the channel of its score, (N,).
        folds: The part that each sample lies in, (N,).
        learned: For each member, the samples that it learns from.
    """

    card: Card | ParcelCard
    options: EnsembleOptions
    measure = "OA"
    at_once = 4096
    """Samples that are validated at a time."""

    def __init__(
        self, card: Card | ParcelCard, options: EnsembleOptions, channels: NDArray[np.int64], folds: NDArray[np.int64]
    ) -> None:
        """Build the networks, and deal the samples out to them.

        Raises:
            TrainingError: If nothing is left to learn from or to validate on.
        """
        self.card, self.options = card, options
        self.module = loop.build(card, options)
        self.device = next(self.module.parameters()).device
        self.channels, self.folds = channels, folds
        self.learned = [np.flatnonzero(folds != options.kept(member)) for member in range(options.members)]
        for learned in self.learned:
            _check_share(len(folds) - len(learned), len(folds))
        self._likely = [np.cumsum(draw_weights(channels[learned], options.balance)) for learned in self.learned]

    @abstractmethod
    def show(self, network: nn.Module, samples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Scores (B, K) of some samples, shown as they are in training."""

    @abstractmethod
    def score(self, network: nn.Module, samples: NDArray[np.int64]) -> Tensor:
        """Scores (B, K) of some samples, shown as they are in use."""

    @property
    def networks(self) -> list[nn.Module]:
        """The members, in order."""
        return list(self.module.values()) if isinstance(self.module, nn.ModuleDict) else [self.module]

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """All at the full rate."""
        return [(list(self.module.parameters()), 1.0)]

    def loss(self, rng: np.random.Generator, step: int) -> Tensor:
        """Compare the scores of each member for a batch of samples of its own with their labels."""
        losses = []
        for network, learned, likely in zip(self.networks, self.learned, self._likely, strict=True):
            drawn = np.minimum(np.searchsorted(likely, rng.random(self.options.batch_size)), len(learned) - 1)
            samples = learned[drawn]
            scores = self.show(network, samples, rng)
            truth = torch.from_numpy(self.channels[samples]).to(self.device)
            losses.append(F.cross_entropy(scores, truth, label_smoothing=self.options.smoothing))
        return torch.stack(losses).sum()

    @torch.inference_mode()
    def validate(self) -> float:
        """Overall accuracy of each member over what is kept for it, taken together."""
        self.module.eval()
        right = total = 0
        for member, network in enumerate(self.networks):
            kept = np.flatnonzero(self.folds == self.options.kept(member))
            for start in range(0, len(kept), self.at_once):
                some = kept[start : start + self.at_once]
                found = self.score(network, some).argmax(dim=1).cpu().numpy()
                right += int((found == self.channels[some]).sum())
            total += len(kept)
        return right / total


def _check_share(kept: int, total: int) -> None:
    if not 0 < kept < total:
        raise TrainingError(
            f"{kept} of {total} labelled samples would be kept for validation. Choose smaller blocks, another share "
            f"for validation or fewer members."
        )
