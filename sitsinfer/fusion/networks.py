"""Networks that make one image of a few: on a device, and kept by the process that has loaded them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sitsinfer.device import DTYPES, check_numbers, keep, place, resolve_device, resolve_precision
from sitsinfer.errors import DeviceError, WeightsError
from sitsinfer.weights import FusionCard, load_fusion_card, load_modules

_Network = TypeVar("_Network")


class ImageNetwork:
    """A network that takes images and gives one. For one thread at a time."""

    def __init__(self, card: FusionCard, module: nn.Module, device: str = "auto", precision: str = "auto") -> None:
        """Put a network on a device.

        Args:
            card: Its card, which names it.
            module: Takes batches of images, and gives one of reflectance.
            device: See :func:`~sitsinfer.device.resolve_device`.
            precision: See :func:`~sitsinfer.device.resolve_precision`.

        Raises:
            DeviceError: If there is no such device or precision.
        """
        self._name = card.name
        self._device = torch.device(resolve_device(device))
        self._precision = resolve_precision(precision, str(self._device))
        self._module = place(module, self._device, self._precision)

    @torch.inference_mode()
    def __call__(self, *images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute one image of others, each (C, H, W) with bands and size of its own.

        Raises:
            DeviceError: If the device's memory does not suffice.
            WeightsError: If the network gives what is no number.
        """
        batches = [torch.from_numpy(np.ascontiguousarray(image))[None].to(self._device) for image in images]
        try:
            with torch.autocast(self._device.type, DTYPES[self._precision], enabled=self._precision != "fp32"):
                found: NDArray[np.float32] = self._module(*batches)[0].float().cpu().numpy()
        except torch.OutOfMemoryError:
            raise DeviceError(
                f"One sub-tile does not fit in the memory of {self._device}. Choose a smaller one, or another device."
            ) from None
        check_numbers(found, self._name, self._precision)
        return found


def get_network(
    kind: Callable[[FusionCard, Any, str, str], _Network],
    card: FusionCard,
    folder: Path,
    device: str,
    precision: str,
    threads: int | None = None,
) -> _Network:
    """Load a network, or take it from memory if this process has loaded it in the same way before.

    Args:
        kind: What to make of its card, its module, a device and a precision, such as an :class:`ImageNetwork`.
        card: Its card.
        folder: Where its weights are.
        device: See :func:`~sitsinfer.device.resolve_device`.
        precision: See :func:`~sitsinfer.device.resolve_precision`.
        threads: Threads that this process computes with on a CPU, if they are to be set.

    Raises:
        WeightsError: If the weights do not fit the card.
        DeviceError: If there is no such device or precision.
    """

    def load() -> _Network:
        (module,) = load_modules(card, folder)
        return kind(card, module, device, precision)

    key = (kind, card.to_json(), device, precision)  # the card names the weights by their digest
    return keep(key, load, threads)


def load_card(model: str, architecture: str, device: str, precision: str) -> tuple[FusionCard, Path]:
    """Find a model of one architecture, and see that the device is there.

    Raises:
        WeightsError: If there is no such model, or it is another network.
        DeviceError: If there is no such device or precision.
    """
    card, folder = load_fusion_card(model)
    if card.architecture != architecture:
        raise WeightsError(
            f"Model '{card.name}' is a '{card.architecture}', not a '{architecture}'. Choose another model."
        )
    resolve_precision(precision, resolve_device(device))
    return card, folder
