"""Tensors out of published checkpoints, whatever wrote them, and nothing that would have to be run.

Three kinds of file are read: what ``torch.save`` writes, with PyTorch's reader of nothing but tensors; safetensors; and
TorchScript archives, which are zip files. Their ``data.pkl`` pickles the tree of modules, whose tensors lie in files
``data/N``: tensors are rebuilt, and a module becomes a dict of what it holds. Its code is not read.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitsinfer.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
}


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, by name, in the order of the file.

    Args:
        path: A file that ``torch.save`` wrote, of a dict with the key ``state_dict`` or of a state dict itself; a file
            of safetensors; or a TorchScript archive.

    Returns:
        Its tensors on the CPU. They may be views of the file: copy what is to outlive it.

    Raises:
        WeightsError: If the file is missing or damaged, or holds anything but tensors and plain numbers.
    """
    import torch

    check_there(path)
    try:
        content = _read(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors and is not loaded: what else is in it could run code. Load it once where "
            f"it is trusted, and save its state_dict() alone, as safetensors or with torch.save."
        ) from error
    except (PermissionError, IsADirectoryError) as error:
        raise WeightsError(f"Cannot read {path}: {error.strerror}. Expected a published checkpoint.") from error
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is damaged, ends early or is no checkpoint. Fetch it again.") from error
    tensors = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or {isinstance(value, torch.Tensor) for value in tensors.values()} != {True}:
        raise WeightsError(
            f"{path} has no tensors under the key 'state_dict', nor is it a state dict itself. Expected a published "
            f"checkpoint."
        )
    return dict(tensors)


def check_there(path: Path) -> None:
    """See that there is a checkpoint before anything else is asked for.

    Raises:
        WeightsError: If there is none.
    """
    if not path.exists():
        raise WeightsError(f"{path} is missing. Check the path; see 'sitsinfer models import --help'.")


def _read(path: Path) -> Any:
    import torch

    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            root = next((name for name in archive.namelist() if name.endswith("/constants.pkl")), None)
            if root is not None:
                return _read_script(archive, root.removesuffix("constants.pkl"))
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    import safetensors.torch

    try:
        return safetensors.torch.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(f"it is not a whole safetensors file ({error})") from error


def _read_script(archive: zipfile.ZipFile, root: str) -> dict[str, Tensor]:
    try:
        return dict(_tensors_in(_ScriptReader(archive, root).load()))
    except (AttributeError, IndexError, TypeError) as error:  # as pickle does, where a file is not what it should be
        raise ValueError("it is not a whole TorchScript archive") from error


class _Module(dict[str, Any]):
    """A module of a TorchScript archive: what it holds, by name."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.update(state)


class _ScriptReader(pickle.Unpickler):
    """Reads the modules of a TorchScript archive as plain dicts of tensors, numbers and modules."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        """Read the archive whose files stand below ``root``."""
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """What stands for a class or function that the archive names: one of a few of our own."""
        import torch

        if module.startswith("__torch__"):
            return _Module
        if module == "torch" and name in _STORAGES:
            return lambda: getattr(torch, _STORAGES[name])
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return list
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, reference: Any) -> Tensor:
        """The numbers of a tensor, as one row."""
        import torch

        _, storage, key, *_ = reference
        return torch.frombuffer(bytearray(self._archive.read(f"{self._root}data/{key}")), dtype=storage())


def _rebuild_tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)


def _tensors_in(module: _Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a module and of those below it, named as in its state dict."""
    import torch

    for name, value in module.items():
        if isinstance(value, torch.Tensor):
            yield prefix + name, value
        elif isinstance(value, _Module):
            yield from _tensors_in(value, f"{prefix}{name}.")
