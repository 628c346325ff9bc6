"""Patches to the parcels that a network finds in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sitsinfer.batches import Batches
from sitsinfer.device import check_numbers, keep
from sitsinfer.errors import WeightsError
from sitsinfer.grid import Window
from sitsinfer.models.paps import Detections, PaPs
from sitsinfer.patches import Patch
from sitsinfer.weights import Card, load_modules


@dataclass(frozen=True, eq=False)
class Sighting:
    """A parcel in a patch; places are pixels of the patch.

    Attributes:
        row: Row of its centre.
        col: Column of its centre.
        box: Where its mask lies, within the patch.
        code: Its class, of those that are not ignored.
        confidence: Of its centre, 0 to 1.
        mask: Its pixels, (height, width) of ``box``, bool; at least one.
    """

    row: int
    col: int
    box: Window
    code: int
    confidence: float
    mask: NDArray[np.bool_]


class Detector(Batches[list[Sighting]]):
    """A PaPs network that finds the parcels of patches, each patch on its own whatever else is in its batch.

    On a CPU patches are computed side by side, in one thread each: a network's last bits depend on how many threads
    share it, and where something must exceed a threshold, a last bit can be a pixel, or a parcel.
    """

    def __init__(
        self,
        card: Card,
        modules: Sequence[nn.Module],
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        abreast: int = 1,
        *,
        min_confidence: float | None = None,
        mask_threshold: float | None = None,
        border: int = 0,
    ) -> None:
        """Put a model on a device.

        Args:
            card: The model's card.
            modules: Its one network.
            device: See :class:`~sitsinfer.batches.Batches`.
            precision: Likewise.
            batch_size: Likewise.
            abreast: Likewise.
            min_confidence: Least confidence of a centre; ``None``: as the weights were tuned.
            mask_threshold: What a mask must exceed at a pixel; ``None``: as the card says.
            border: Centres nearer than this to the border of a patch are another patch's, pixels.

        Raises:
            DeviceError: If there is no such device or precision.
            WeightsError: If the network does not find parcels.
        """
        if not all(isinstance(module, PaPs) for module in modules):
            raise WeightsError(f"Model '{card.name}' is a {card.architecture}, which finds no parcels. Choose a paps.")
        super().__init__(card, modules, device, precision, batch_size, abreast)
        for module, _ in self._members:
            # Among numbers that are none there is no centre and no pixel: nothing would be found, and nobody told.
            for head in ("heatmap_conv", "saliency_conv", "size_mlp", "shape_mlp", "class_mlp"):
                module.get_submodule(head).register_forward_hook(self._check)
        self._thresholds = min_confidence, mask_threshold
        self._border = border
        self._codes = np.array([entry.code for entry in card.classes], np.uint8)
        self._ignored = np.isin(self._codes, card.ignore)

    def detect(self, patches: Iterable[Patch]) -> Iterator[list[Sighting]]:
        """Find the parcels of patches, a batch at a time.

        Args:
            patches: Patches with the bands of the card. They are taken as they are needed.

        Yields:
            For each patch, in the order given, what is found in it; overlaps are not settled.

        Raises:
            DeviceError: If not even one patch fits in the device's memory.
            WeightsError: If the network gives no numbers.
        """
        return self._look_at(patches)

    def _look(self, batch: list[Patch]) -> list[list[Sighting]]:
        values, positions = self._inputs(batch)
        ((module, normalise),) = self._members
        assert isinstance(module, PaPs)
        with self._autocast():
            found = module.detect(normalise(values, batch[0]), positions, *self._thresholds, self._border)
        return [self._sightings(detections) for detections in found]

    def _check(self, _module: nn.Module, _inputs: object, values: Tensor) -> None:
        if not values.isfinite().all():
            check_numbers(values.float().cpu().numpy(), self.card.name, self.precision)

    def _sightings(self, found: Detections) -> list[Sighting]:
        """What is found in a patch, as NumPy, less what has no pixel."""
        codes = self._codes[np.where(self._ignored, -np.inf, found.scores.numpy()).argmax(axis=1)]
        return [
            Sighting(row, col, Window(*box), int(code), confidence, mask.numpy())
            for (row, col), box, code, confidence, mask in zip(
                found.centres.tolist(),
                found.boxes.tolist(),
                codes,
                found.confidences.tolist(),
                found.masks,
                strict=True,
            )
            if mask.any()
        ]


def get_detector(
    card: Card,
    folder: Path,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    threads: int = 1,
    *,
    min_confidence: float | None = None,
    mask_threshold: float | None = None,
    border: int = 0,
) -> Detector:
    """Load a model, or take it from memory if this process has loaded it in the same way before.

    Arguments are those of :class:`Detector`, and the number of threads that this process computes with on a CPU.

    Raises:
        WeightsError: If the weights do not fit the card.
        DeviceError: If there is no such device or precision.
    """

    def load() -> Detector:
        modules = load_modules(card, folder)
        return Detector(
            card,
            modules,
            device,
            precision,
            batch_size,
            threads,
            min_confidence=min_confidence,
            mask_threshold=mask_threshold,
            border=border,
        )

    key = (Detector, card.to_json(), device, precision, batch_size, threads, min_confidence, mask_threshold, border)
    return keep(key, load, threads=1)
