"""Patches through a model in batches, on any device: the one place where NumPy meets torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sitsinfer.device import DTYPES, place, resolve_device, resolve_precision
from sitsinfer.errors import DeviceError
from sitsinfer.patches import Patch
from sitsinfer.weights import Card

Found = TypeVar("Found")

_LARGEST_BATCH = 64  # patches; a GPU is busy long before
_SHARE_OF_FREE_MEMORY = 0.8


class Normalisation:
    """From digital numbers to what a network takes: zero mean and unit variance in each band."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Normalise by the mean and standard deviation of the reflectance of each band, (C,)."""
        self._mean = np.asarray(mean, np.float64)
        self._std = np.asarray(std, np.float64)

    def __call__(self, values: Tensor, patch: Patch) -> Tensor:
        """Normalise on the device of ``values``.

        Args:
            values: Digital numbers, (B, T, C, P, P), of any data type.
            patch: One of the batch; tells scale, offset and nodata.

        Returns:
            (reflectance - mean) / std, float32, of the same shape; 0 where there is nodata, NaN or infinity.
        """
        x = values.to(torch.float32, copy=True)
        seen = torch.ne(x, patch.nodata, out=torch.empty_like(x))  # 1 or 0: a product is faster than a mask on a CPU
        if values.is_floating_point():
            finite = torch.isfinite(x)
            seen.mul_(finite)
            x.masked_fill_(~finite, 0)
        # In the numbers' own units, where the statistics that were published are round: (number - shift) * gain.
        scale, offset = _decimal(patch.scale)[:, None], _decimal(patch.offset)[:, None]
        x -= self._on(values, (self._mean - offset) / scale)
        x *= self._on(values, scale / self._std)
        return x.mul_(seen)

    @staticmethod
    def _on(values: Tensor, table: NDArray[np.float64]) -> Tensor:
        """A table (T, C) as float32 on the device of ``values``, to go with its axes."""
        return torch.from_numpy(table.astype(np.float32)).to(values.device)[:, :, None, None]


def _decimal(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Float32 numbers as the decimal numbers they were written as: 0.0001, not 0.0000999999974738."""
    return np.array([float(str(value)) for value in values], np.float64)


class Batches(ABC, Generic[Found]):
    """A model on a device, ready to look at patches, whatever it finds in one. For one thread at a time.

    Attributes:
        card: What the model feeds on.
        device: Where it computes.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """

    def __init__(
        self,
        card: Card,
        modules: Sequence[nn.Module],
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        abreast: int = 1,
    ) -> None:
        """Put a model on a device.

        Args:
            card: The model's card.
            modules: Its networks, one a member of the card.
            device: See :func:`~sitsinfer.device.resolve_device`.
            precision: See :func:`~sitsinfer.device.resolve_precision`.
            batch_size: Most patches computed at once. By default one on a CPU, whose caches hold no more, and what
                free memory allows on a GPU. Whatever it is, it is halved when a GPU's memory does not suffice.
            abreast: Batches that a CPU computes side by side, each in a thread of its own.

        Raises:
            DeviceError: If there is no such device or precision.
        """
        self.card = card
        self.device = torch.device(resolve_device(device))
        self.precision = resolve_precision(precision, str(self.device))
        self._members: list[tuple[nn.Module, Normalisation]] = [
            (place(module, self.device, self.precision), Normalisation(member.mean, member.std))
            for module, member in zip(modules, card.members, strict=True)
        ]
        self._batch_size = batch_size
        self._limit = batch_size or _LARGEST_BATCH
        self._abreast = abreast if self.device.type == "cpu" else 1
        self._bytes_per_date: float | None = None

    @abstractmethod
    def _look(self, batch: list[Patch]) -> Sequence[Found]:
        """Compute a batch of patches of equal dates: what is found in each."""

    def _look_at(self, patches: Iterable[Patch]) -> Iterator[Found]:
        """Look at patches, a batch at a time. Patches share a batch only if their dates are equal.

        Args:
            patches: Patches with the bands of the card. They are taken as they are needed.

        Yields:
            What is found in each patch, in the order given.

        Raises:
            DeviceError: If not even one patch fits in the device's memory.
        """
        batches = self._batched(patches)
        if self._abreast == 1:
            for batch in batches:
                yield from self._look_at_all(batch)
            return
        with ThreadPoolExecutor(self._abreast) as pool:
            under_way: deque[Future[list[Found]]] = deque()
            for batch in batches:
                under_way.append(pool.submit(lambda patches: list(self._look_at_all(patches)), batch))
                if len(under_way) > self._abreast:
                    yield from under_way.popleft().result()
            for future in under_way:
                yield from future.result()

    def _batched(self, patches: Iterable[Patch]) -> Iterator[list[Patch]]:
        """Put patches together, in their order, as they are needed."""
        batch: list[Patch] = []
        for patch in patches:
            if batch and (not batch[0].has_dates_of(patch) or len(batch) >= self._room(batch[0])):
                yield batch
                batch = []
            batch.append(patch)
        if batch:
            yield batch

    def _room(self, patch: Patch) -> int:
        """How many patches like this one go into a batch."""
        if self._batch_size is not None or self.device.type != "cuda":
            return min(self._limit, self._batch_size or 1)
        if self._bytes_per_date is None:
            return 1  # the first patch is measured
        free = torch.cuda.mem_get_info(self.device)[0]
        free += torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return max(1, min(self._limit, int(_SHARE_OF_FREE_MEMORY * free / (self._bytes_per_date * len(patch.values)))))

    def _look_at_all(self, patches: list[Patch]) -> Iterator[Found]:
        """Look at patches of equal dates, in smaller batches where memory does not suffice."""
        while patches:
            batch = patches[: self._limit]
            found = self._try(batch)
            if found is None:
                self._halve(len(batch))
                continue
            yield from found
            patches = patches[len(batch) :]

    def _try(self, batch: list[Patch]) -> Sequence[Found] | None:
        """What is found in a batch, or None if the device's memory does not suffice."""
        before = torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            with torch.inference_mode():
                found = self._look(batch)
        except torch.OutOfMemoryError:
            return None
        if self.device.type == "cuda" and self._bytes_per_date is None:
            peak = torch.cuda.max_memory_allocated(self.device) - before
            self._bytes_per_date = max(1, peak) / (len(batch) * len(batch[0].values))
        return found

    def _halve(self, size: int) -> None:
        if size == 1:
            raise DeviceError(
                f"One patch of {self.card.patch} x {self.card.patch} pixels does not fit in the memory of "
                f"{self.device}. Choose another device, or free its memory."
            )
        self._limit = size // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _inputs(self, batch: list[Patch]) -> tuple[Tensor, Tensor]:
        """A batch on the device: values (B, T, C, P, P) as they were stored, and positions (B, T)."""
        values = self._to_device(np.stack([patch.values for patch in batch]))
        return values, self._to_device(np.stack([patch.positions for patch in batch]))

    def _to_device(self, array: NDArray[np.generic]) -> Tensor:
        if array.dtype == np.float64:
            array = array.astype(np.float32)  # not every device has float64
        tensor = torch.from_numpy(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False))
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def _autocast(self) -> torch.autocast:
        """Within it, networks compute in the precision asked for."""
        return torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32")
