"""Patches to scores of every pixel."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sitsinfer.batches import Batches
from sitsinfer.device import check_numbers, keep
from sitsinfer.errors import WeightsError
from sitsinfer.layers import ClassInfo
from sitsinfer.patches import Patch
from sitsinfer.weights import Card, load_modules


class Attentive(Protocol):
    """A network that tells its attention over dates; :func:`sitsinfer.models.attention_heads` knows which do."""

    def attend(self, x: Tensor, *dates: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, K, P, P) and attention (N, B, T, h, h), of what the network itself takes."""


@dataclass(frozen=True, eq=False)
class Scored:
    """What a model says of a patch.

    Attributes:
        scores: Of the classes of the card that are not ignored, (K, P, P).
        attention: Attention over the T dates of the patch, of each head of each network, at the resolution that the
            model has it, (T, N, h, h); None where it was not asked for.
    """

    scores: NDArray[np.float32]
    attention: NDArray[np.float32] | None = None


class Predictor(Batches[Scored]):
    """A model that scores patches."""

    def __init__(
        self,
        card: Card,
        modules: Sequence[nn.Module],
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        attends: bool = False,
    ) -> None:
        """Put a model on a device.

        Args:
            card: The model's card.
            modules: Its networks, one a member of the card.
            device: See :class:`~sitsinfer.batches.Batches`.
            precision: Likewise.
            batch_size: Likewise.
            attends: Whether to tell the attention too. The networks must have a method ``attend`` for it.

        Raises:
            DeviceError: If there is no such device or precision.
        """
        super().__init__(card, modules, device, precision, batch_size)
        self._attends = attends
        self._is_per_pixel = all(getattr(module, "per_pixel", False) for module in modules)

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """What the channels of the scores stand for: the classes of the card that are not ignored."""
        return self.card.predicted

    def scores(self, patches: Iterable[Patch]) -> Iterator[NDArray[np.float32]]:
        """Score patches, a batch at a time. Patches share a batch only if their dates are equal.

        Args:
            patches: Patches with the bands of the card. They are taken as they are needed.

        Yields:
            For each patch, in the order given, the scores of :attr:`classes`, (K, P, P).

        Raises:
            DeviceError: If not even one patch fits in the device's memory.
            WeightsError: If the network gives scores of other classes than the card lists, or none at all.
        """
        return (found.scores for found in self.look_at(patches))

    def look_at(self, patches: Iterable[Patch]) -> Iterator[Scored]:
        """Score patches as :meth:`scores` does, and tell the attention where this predictor does.

        Of several members it has the heads of all, one member's after the other's: heads of different networks do not
        correspond.
        """
        return self._look_at(patches)

    def _look(self, batch: list[Patch]) -> list[Scored]:
        """Scores of each patch of a batch, averaged over the members, and the attention of all heads."""
        values, positions = self._inputs(batch)
        dates = [positions]
        if self._is_per_pixel:
            dates.append(self._to_device(np.stack([patch.valid for patch in batch])))
        found = [self._told(module, normalise(values, batch[0]), dates) for module, normalise in self._members]
        total = functools.reduce(torch.add, (scores for scores, *_ in found))
        mean = self._predicted(total / len(found)).cpu().numpy()
        check_numbers(mean, self.card.name, self.precision, "scores")
        if not self._attends:
            return [Scored(scores) for scores in mean]
        heads = torch.cat([attention for _, attention in found]).permute(1, 2, 0, 3, 4).cpu().numpy()
        return [Scored(scores, maps) for scores, maps in zip(mean, heads, strict=True)]

    def _told(self, module: nn.Module, x: Tensor, dates: Sequence[Tensor]) -> list[Tensor]:
        """What a network tells of a batch: scores (B, K, P, P), and where it is asked for attention (N, B, T, h, h)."""
        with self._autocast():
            told = cast(Attentive, module).attend(x, *dates) if self._attends else (module(x, *dates),)
        return [part.float() for part in told]

    def _predicted(self, scores: Tensor) -> Tensor:
        """Scores of all classes (B, K, P, P) without those that are ignored.

        Raises:
            WeightsError: If these are not the classes of the card.
        """
        if scores.shape[1] != len(self.card.classes):
            raise WeightsError(
                f"model.json lists {len(self.card.classes)} classes but the weights have {scores.shape[1]}. "
                f"List those of the weights."
            )
        if not self.card.ignore:
            return scores
        return scores[:, [entry.code not in self.card.ignore for entry in self.card.classes]]


def get_predictor(
    card: Card,
    folder: Path,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    threads: int | None = None,
    attends: bool = False,
) -> Predictor:
    """Load a model, or take it from memory if this process has loaded it in the same way before.

    Arguments are those of :class:`Predictor`, and the number of threads that this process computes with on a CPU, if it
    is to be set.

    Raises:
        WeightsError: If the weights do not fit the card.
        DeviceError: If there is no such device or precision.
    """

    def load() -> Predictor:
        return Predictor(card, load_modules(card, folder), device, precision, batch_size, attends)

    # The card names the weights by their digest.
    key = (Predictor, card.to_json(), device, precision, batch_size, attends)
    return keep(key, load, threads)
