"""What trainings on single samples, such as pixels or parcels, share.

That is a small ensemble, of which each member is validated on other blocks of the land.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
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

Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and columns of samples in the grid of their scene, (N,) each."""


@dataclass(frozen=True, kw_only=True)
class EnsembleOptions(loop.Options):
    """How to train on single samples, such as pixels or parcels.

    Attributes:
        members: Networks whose scores are averaged; each is validated on other blocks, as long as there are others.
        block: Height and width of the blocks that are kept for validation whole, in pixels.
        gap: Pixels around the blocks kept for a member that it does not learn from either.
        balance: How much rarer classes are shown more often than they occur: 0 not at all, 1 as often as all others.
        smoothing: Share of the certainty that the true class has in the loss and the others have a part of.
    """

    members: int = 1
    block: int = 32
    gap: int = 3  # about as far as optics and resampling mix pixels
    balance: float = 0.5
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        """Check what the command line cannot.

        Raises:
            TrainingError: If an option is impossible.
        """
        super().__post_init__()
        if not 0 < self.validation <= 0.5:
            raise TrainingError(f"{self.validation:.0%} cannot be kept for validation. Keep half or less.")
        if self.batch_size < 2:
            raise TrainingError(
                f"The batch size is {self.batch_size}. Expected 2 or more: batches are normalised by their own spread."
            )
        if not 0 <= self.gap < self.block:
            raise TrainingError(f"The gap is {self.gap} pixels. Expected 0 or more, less than a block of {self.block}.")

    @property
    def folds(self) -> int:
        """Of how many parts one is kept for validation: the number that comes nearest to the share."""
        return round(1 / self.validation)

    @property
    def kept_apart(self) -> str:
        """What is kept for validation, as a sentence for the card of a model, without its full stop."""
        each = "" if self.members == 1 else ", for each member another as far as there are others"
        return (
            f"One block of {self.block} x {self.block} pixels in {self.folds} was kept for validation{each}, with a "
            f"gap of {self.gap} pixels around it; it lies among what was learned from and may cut fields: expect less "
            f"of other places"
        )

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


def near_blocks(
    rows: NDArray[np.int64], cols: NDArray[np.int64], kept: int, *, block: int, folds: int, gap: int
) -> NDArray[np.bool_]:
    """Tell which places lie in the blocks of one fold, or near them.

    Args:
        rows: Rows of the places in a grid, (N,), at least one.
        cols: Columns, (N,).
        kept: The fold.
        block: Height and width of a block, in pixels.
        folds: How many folds.
        gap: How many pixels off is near, less than a block.

    Returns:
        Whether it is so, (N,). Blocks that lie beyond all of the places hold none, and do not count.
    """
    near = np.zeros(len(rows), bool)
    for down, across in itertools.product((-gap, 0, gap), repeat=2):
        row, col = (np.clip(at + by, at.min(), at.max()) for at, by in ((rows, down), (cols, across)))
        near |= block_folds(row, col, block, folds) == kept
    return near


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
        learned: For each member, the samples that it learns from.
        kept: For each member, the samples that it is validated on.
    """

    card: Card | ParcelCard
    options: EnsembleOptions
    measure = "OA"
    at_once = 4096
    """Samples that are validated at a time."""

    def __init__(
        self, card: Card | ParcelCard, options: EnsembleOptions, channels: NDArray[np.int64], places: Sequence[Places]
    ) -> None:
        """Build the networks, and deal the samples out to them.

        Args:
            card: The card of the ensemble.
            options: How to train.
            channels: The class of each sample, as the channel of its score, (N,).
            places: Where the samples lie, scene by scene; N in all.

        Raises:
            TrainingError: If nothing is left to learn from or to validate on.
        """
        self.card, self.options = card, options
        self.module = loop.build(card, options)
        self.device = next(self.module.parameters()).device
        self.channels = channels
        dealt = [_deal(places, options, options.kept(member)) for member in range(options.members)]
        self.learned, self.kept = [learned for learned, _ in dealt], [kept for _, kept in dealt]
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
        for network, kept in zip(self.networks, self.kept, strict=True):
            for start in range(0, len(kept), self.at_once):
                some = kept[start : start + self.at_once]
                found = self.score(network, some).argmax(dim=1).cpu().numpy()
                right += int((found == self.channels[some]).sum())
            total += len(kept)
        return right / total


def _deal(places: Sequence[Places], options: EnsembleOptions, fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which samples are learned from, and which are kept for validation, where that is a fold.

    Raises:
        TrainingError: If there are none of the one or of the other.
    """
    block, folds = options.block, options.folds
    near = [near_blocks(rows, cols, fold, block=block, folds=folds, gap=options.gap) for rows, cols in places]
    inside = [block_folds(rows, cols, block, folds) == fold for rows, cols in places]
    learned, kept = np.flatnonzero(~np.concatenate(near)), np.flatnonzero(np.concatenate(inside))
    if not (len(learned) and len(kept)):
        total = sum(map(len, near))
        raise TrainingError(
            f"Of {total} labelled samples {len(learned)} would be learned from and {len(kept)} kept for validation. "
            f"Choose smaller blocks, a smaller gap, another share for validation or fewer members."
        )
    return learned, kept
