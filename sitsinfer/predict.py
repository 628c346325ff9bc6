"""Patches to scores of every pixel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sitsinfer.batches import Batches
from sitsinfer.device import check_numbers, keep
from sitsinfer.errors import WeightsError
from sitsinfer.layers import ClassInfo
from sitsinfer.patches import Patch
from sitsinfer.weights import Card, load_modules


class Predictor(Batches[NDArray[np.float32]]):
    """A model that scores patches."""

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """What the channels of the scores stand for: the classes of the card that are not ignored."""
        return self.card.predicted

    @property
    def _is_per_pixel(self) -> bool:
        """Whether the networks take each pixel's own dates: those on which it is valid."""
        return all(getattr(module, "per_pixel", False) for module, _ in self._members)

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
        return self._look_at(patches)

    def _look(self, batch: list[Patch]) -> list[NDArray[np.float32]]:
        """Scores of each patch of a batch, averaged over the members."""
        values, positions = self._inputs(batch)
        valid = self._to_device(np.stack([patch.valid for patch in batch])) if self._is_per_pixel else None
        total: Tensor | None = None
        for module, normalise in self._members:
            x = normalise(values, batch[0])
            with self._autocast():
                scores = module(x, positions) if valid is None else module(x, positions, valid)  # (B, K, P, P)
            del x  # before the next member's
            total = scores.float() if total is None else total + scores.float()
        assert total is not None
        if total.shape[1] != len(self.card.classes):
            raise WeightsError(
                f"model.json lists {len(self.card.classes)} classes but the weights have {total.shape[1]}. "
                f"List those of the weights."
            )
        if self.card.ignore:
            total = total[:, [entry.code not in self.card.ignore for entry in self.card.classes]]
        mean: NDArray[np.float32] = (total / len(self._members)).cpu().numpy()
        check_numbers(mean, self.card.name, self.precision, "scores")
        return list(mean)


def get_predictor(
    card: Card,
    folder: Path,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    threads: int | None = None,
) -> Predictor:
    """Load a model, or take it from memory if this process has loaded it in the same way before.

    Arguments are those of :class:`Predictor`, and the number of threads that this process computes with on a CPU, if it
    is to be set.

    Raises:
        WeightsError: If the weights do not fit the card.
        DeviceError: If there is no such device or precision.
    """

    def load() -> Predictor:
        return Predictor(card, load_modules(card, folder), device, precision, batch_size)

    key = (Predictor, card.to_json(), device, precision, batch_size)  # the card names the weights by their digest
    return keep(key, load, threads)
