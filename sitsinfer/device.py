"""Where networks compute, how exactly, and the one that a process keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sitsinfer.errors import DeviceError, WeightsError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Data types by the names of precisions."""

_M = TypeVar("_M")

_kept: dict[Hashable, Any] = {}  # the one model that a process keeps
_loading = threading.Lock()


def resolve_device(name: str = "auto") -> str:
    """The device that a name stands for: ``cpu``, ``cuda:N`` or ``mps``.

    Args:
        name: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        DeviceError: If the name is none of these, or the device is not there.
    """
    count = torch.cuda.device_count()
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return "cuda:0" if count else "mps" if has_mps else "cpu"
    if name == "cpu" or (name == "mps" and has_mps):
        return name
    kind, _, number = name.partition(":")
    if kind == "cuda" and (number or "0").isdecimal() and int(number or 0) < count:
        return f"cuda:{int(number or 0)}"
    there = ["cpu", *(f"cuda:{index}" for index in range(count)), *(["mps"] if has_mps else [])]
    raise DeviceError(f"There is no device '{name}' here. Choose auto, {', '.join(there)}.")


def resolve_precision(name: str, device: str) -> str:
    """The precision that a name stands for on a device: ``fp32``, ``bf16`` or ``fp16``.

    Args:
        name: One of these, or ``auto``: bf16 on a GPU that has it, else fp32.
        device: A device as :func:`resolve_device` gives it.

    Raises:
        DeviceError: If the name is none of these.
    """
    if name == "auto":
        return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported(False) else "fp32"
    if name not in DTYPES:
        raise DeviceError(f"There is no precision '{name}'. Choose auto, {', '.join(DTYPES)}.")
    return name


def place(module: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """Put a network on a device, ready to predict; in place, its weights of the data type that they have.

    Args:
        module: The network.
        device: Where it is to compute.
        precision: As :func:`resolve_precision` gives it. With ``fp32``, this process multiplies all bits from now on.
    """
    if device.type == "cuda" and precision == "fp32":
        torch.backends.cudnn.allow_tf32 = False  # its products keep only 10 bits
        torch.backends.cuda.matmul.allow_tf32 = False
    return lay_out(module.to(device)).eval()


def lay_out(module: nn.Module) -> nn.Module:
    """Put channels last in the memory of two-dimensional convolutions, where they are faster; in place."""
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


def check_numbers(values: NDArray[np.float32], model: str, precision: str, what: str = "values") -> None:
    """See that a network gave numbers.

    Args:
        values: What it gave.
        model: What an error calls it.
        precision: What it computed in.
        what: What an error calls the values.

    Raises:
        WeightsError: If one is NaN or infinite.
    """
    if not np.isfinite(values).all():
        remedy = "Fetch the model again." if precision == "fp32" else "Choose precision fp32."
        raise WeightsError(f"Model '{model}' gives {what} that are not numbers in {precision}. {remedy}")


def keep(key: Hashable, load: Callable[[], _M], threads: int | None = None) -> _M:
    """Load a model, or take it from memory if it is the one that this process has used last.

    Args:
        key: What tells the model from every other, its type included.
        load: Loads it. The model kept before is gone by then: memory may not suffice for two.
        threads: Threads that this process computes with on a CPU, if they are to be set.
    """
    with _loading:
        if threads is not None:
            torch.set_num_threads(threads)
        if key not in _kept:
            _kept.clear()
            _kept[key] = load()
        model: _M = _kept[key]
        return model
