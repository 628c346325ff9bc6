"""Pixel sets of parcels to the probabilities of their classes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sitsinfer.device import DTYPES, check_numbers, keep, place, resolve_device, resolve_precision
from sitsinfer.errors import DeviceError, WeightsError
from sitsinfer.models.parcel_classifiers import ParcelClassifier
from sitsinfer.weights import ParcelCard, load_modules

LARGEST_BATCH = 16_384
"""Parcels that are computed at once; a GPU is busy long before."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is told of some parcels.

    Attributes:
        pixels: Reflectance of the pixels of one parcel after the other's, on the days of the card, (N, T, C), float32.
        counts: How many pixels each parcel has, (P,); at least one.
        features: Standardised geometric features, (P, F), float32; None for a card that takes none.
    """

    pixels: NDArray[np.float32]
    counts: NDArray[np.int32]
    features: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """How many parcels there are."""
        return len(self.counts)

    def split(self, size: int) -> Iterator[Inputs]:
        """Yield the parcels in their order, ``size`` at a time."""
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield Inputs(
                self.pixels[ends[start] : ends[stop]],
                self.counts[start:stop],
                None if self.features is None else self.features[start:stop],
            )


class Classifier:
    """A model on a device, ready to classify parcels, for several threads at a time.

    On a CPU each call computes in the thread that it comes from, so that a parcel's probabilities do not depend on how
    many threads there are. A GPU takes one call after the other.

    Attributes:
        card: What the model feeds on.
        device: Where it computes.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """

    def __init__(
        self, card: ParcelCard, modules: Sequence[nn.Module], device: str = "auto", precision: str = "auto"
    ) -> None:
        """Put a model on a device.

        Args:
            card: The model's card.
            modules: Its networks, one a member of the card.
            device: See :func:`~sitsinfer.device.resolve_device`.
            precision: See :func:`~sitsinfer.device.resolve_precision`.

        Raises:
            DeviceError: If there is no such device or precision.
            WeightsError: If a network does not classify parcels.
        """
        self.card = card
        self.device = torch.device(resolve_device(device))
        self.precision = resolve_precision(precision, str(self.device))
        self._members: list[tuple[ParcelClassifier, Tensor, Tensor]] = []
        for module, member in zip(modules, card.members, strict=True):
            placed = place(module, self.device, self.precision)
            if not isinstance(placed, ParcelClassifier):
                raise WeightsError(
                    f"Model '{card.name}' is a {card.architecture}, which classifies no parcels. Choose a pse_ltae."
                )
            mean, std = (torch.tensor(table, device=self.device) for table in card.statistics(member))
            self._members.append((placed, mean, std))
        self._kept = [index for index, entry in enumerate(card.classes) if entry.code not in card.ignore]
        self._limit = LARGEST_BATCH
        self._turn = nullcontext() if self.device.type == "cpu" else threading.Lock()

    def classify(self, inputs: Inputs) -> NDArray[np.float32]:
        """Tell the probability of each class that is predicted.

        The log-probabilities of the members, among the classes that are not ignored, are averaged.

        Args:
            inputs: The parcels; there may be none.

        Returns:
            (P, K), each row of which sums to 1.

        Raises:
            DeviceError: If not even one parcel fits in the device's memory.
            WeightsError: If the networks give scores of other classes than the card lists, or no numbers.
        """
        with self._turn:
            parts = list(self._in_batches(inputs))
        return np.concatenate(parts or [np.zeros((0, len(self._kept)), np.float32)])

    def _in_batches(self, inputs: Inputs) -> Iterator[NDArray[np.float32]]:
        """Classify parcels, in smaller batches where memory does not suffice."""
        for batch in inputs.split(self._limit):
            probabilities = self._try(batch)
            if probabilities is not None:
                yield probabilities
                continue
            self._halve(batch)
            yield from self._in_batches(batch)

    def _try(self, batch: Inputs) -> NDArray[np.float32] | None:
        """The probabilities of a batch, or None if the device's memory does not suffice."""
        try:
            with torch.inference_mode():
                return self._probabilities(batch)
        except torch.OutOfMemoryError:
            return None

    def _halve(self, batch: Inputs) -> None:
        if len(batch) == 1:
            raise DeviceError(
                f"One parcel of {batch.counts[0]} pixels does not fit in the memory of {self.device}. Choose another "
                f"device, or free its memory."
            )
        self._limit = min(self._limit, len(batch) // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _probabilities(self, inputs: Inputs) -> NDArray[np.float32]:
        """Classify a batch, (P, K)."""
        pixels = torch.from_numpy(inputs.pixels).to(self.device)
        counts = torch.from_numpy(inputs.counts.astype(np.int64)).to(self.device)
        features = None if inputs.features is None else torch.from_numpy(inputs.features).to(self.device)
        total: Tensor | None = None
        for module, mean, std in self._members:
            with torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32"):
                scores = module.score_sets((pixels - mean) / std, counts, features)
            self._check_width(scores)
            logarithms = scores.float()[:, self._kept].log_softmax(dim=1)
            total = logarithms if total is None else total + logarithms
        assert total is not None
        probabilities: NDArray[np.float32] = (total / len(self._members)).softmax(dim=1).cpu().numpy()
        check_numbers(probabilities, self.card.name, self.precision, "scores")
        return probabilities

    def _check_width(self, scores: Tensor) -> None:
        if scores.shape[1] != len(self.card.classes):
            raise WeightsError(
                f"model.json lists {len(self.card.classes)} classes but the weights have {scores.shape[1]}. "
                f"List those of the weights."
            )


def get_classifier(card: ParcelCard, folder: Path, device: str = "auto", precision: str = "auto") -> Classifier:
    """Load a model, or take it from memory if this process has loaded it in the same way before.

    Arguments are those of :class:`Classifier`. On a CPU torch computes each call in one thread from now on.

    Raises:
        WeightsError: If the weights do not fit the card.
        DeviceError: If there is no such device or precision.
    """

    def load() -> Classifier:
        return Classifier(card, load_modules(card, folder), device, precision)

    return keep((Classifier, card.to_json(), device, precision), load, threads=1)
