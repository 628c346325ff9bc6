"""Model folders on disk: ``model.json`` and ``model.safetensors``; find, check, load and save them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from sitsinfer.errors import OutputError, WeightsError
from sitsinfer.weights.card import Card

if TYPE_CHECKING:
    from torch import Tensor, nn

DEFAULT_MODEL = "utae-demo"

CARD_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"


def list_models() -> list[str]:
    """Names of the models that come with sitsinfer, sorted."""
    return sorted(path.parent.name for path in _embedded().glob(f"*/{CARD_FILE}"))


def _embedded() -> Path:
    return Path(str(resources.files("sitsinfer.weights"))) / "embedded"


def load_card(name_or_folder: str) -> tuple[Card, Path]:
    """Find a model, read its card and verify the digest of its weights. Does not import torch.

    Args:
        name_or_folder: Name of an embedded model, or path of a model folder. A name wins over a folder of that name.

    Returns:
        The card, and the folder it lies in.

    Raises:
        WeightsError: If there is no such model, or its files are missing, wrong or do not belong together.
    """
    folder = _find(name_or_folder)
    card = Card.from_json(_read(folder / CARD_FILE).decode(errors="replace"), folder / CARD_FILE)
    _verify(card, _read(folder / WEIGHTS_FILE), folder)
    return card, folder


def _find(name_or_folder: str) -> Path:
    names = list_models()
    if name_or_folder in names:
        return _embedded() / name_or_folder
    folder = Path(name_or_folder)
    if not folder.is_dir():
        raise WeightsError(
            f"There is no model '{name_or_folder}'. Give the folder of a model, or one of these names: "
            f"{', '.join(names) or '(none)'}."
        )
    return folder


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(
            f"{path} is missing. Expected a model folder with {CARD_FILE} and {WEIGHTS_FILE}; "
            f"'sitsinfer models import' makes one of a published checkpoint."
        ) from None
    except OSError as error:
        raise WeightsError(f"Cannot read {path}: {error.strerror}.") from error


def _verify(card: Card, weights: bytes, folder: Path) -> None:
    found = hashlib.sha256(weights).hexdigest()
    if found != card.digest:
        raise WeightsError(
            f"{folder / WEIGHTS_FILE} has SHA-256 {found[:12]}... but {CARD_FILE} says {card.digest[:12]}...: one of "
            f"them was changed or damaged. Fetch or import the model again."
        )


def load_modules(card: Card, folder: Path) -> list[nn.Module]:
    """Build the networks of a model and fill them with its weights.

    Returns:
        One network a member of the card, in evaluation mode, on the CPU.

    Raises:
        WeightsError: If the weights are damaged, or are not exactly those of the card's architecture and members.
    """
    path = folder / WEIGHTS_FILE
    tensors = _tensors(card, folder)
    strange = [key for key in tensors if not any(key.startswith(member.prefix) for member in card.members)]
    if strange:
        raise WeightsError(f"{path} holds {_few(strange)}, of no member that {CARD_FILE} lists. List all members.")
    return [
        build_module(
            card, {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}, path
        )
        for prefix in (member.prefix for member in card.members)
    ]


def _tensors(card: Card, folder: Path) -> dict[str, Tensor]:
    import safetensors.torch

    weights = _read(folder / WEIGHTS_FILE)
    _verify(card, weights, folder)
    try:
        return safetensors.torch.load(weights)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{folder / WEIGHTS_FILE} is not a whole safetensors file: {error}. Fetch it again."
        ) from error


def build_module(card: Card, state_dict: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Build one network and fill it.

    Args:
        card: Says which architecture.
        state_dict: Every parameter and buffer of the network, and nothing else.
        path: Where they come from, for errors.

    Returns:
        The network in evaluation mode.

    Raises:
        WeightsError: If names or shapes differ from the network's.
    """
    from sitsinfer import models

    module = models.build(card.architecture, card.hyperparameters)
    own = module.state_dict()
    name = f"{path} does not hold a network '{card.architecture}' of these hyper-parameters"
    if missing := [key for key in own if key not in state_dict]:
        raise WeightsError(f"{name}: it lacks {_few(missing)}. Check architecture and hyper-parameters.")
    if unexpected := sorted(set(state_dict) - set(own)):
        raise WeightsError(f"{name}: it has also {_few(unexpected)}. Check architecture and hyper-parameters.")
    for key, value in own.items():
        if value.shape != state_dict[key].shape:
            found, expected = tuple(state_dict[key].shape), tuple(value.shape)
            raise WeightsError(f"{name}: {key} has shape {found}, not {expected}. Check the hyper-parameters.")
    module.load_state_dict(state_dict)
    return module.eval()


def _few(keys: Sequence[str]) -> str:
    """The first keys, and how many more."""
    shown = ", ".join(f"'{key}'" for key in keys[:2])
    return shown if len(keys) <= 2 else f"{shown} and {len(keys) - 2} more"


def save(folder: Path, card: Card, state_dicts: Sequence[Mapping[str, Tensor]]) -> Card:
    """Write a model folder.

    Args:
        folder: Where to; made if need be. Files of a model that are there are replaced.
        card: The card; its digest is set here.
        state_dicts: One a member, in the order of the card, in any place of memory.

    Returns:
        The card as written, with its digest.

    Raises:
        OutputError: If the folder cannot be written.
    """
    import safetensors.torch

    tensors = {
        member.prefix + key: value.detach().cpu().contiguous().clone()  # cloned: safetensors refuses shared memory
        for member, state_dict in zip(card.members, state_dicts, strict=True)
        for key, value in state_dict.items()
    }
    weights = safetensors.torch.save(tensors)
    card = replace(card, digest=hashlib.sha256(weights).hexdigest())
    try:
        _write_whole(folder, {WEIGHTS_FILE: weights, CARD_FILE: card.to_json().encode()})
    except OSError as error:
        raise OutputError(f"Cannot write the model to {folder}: {error.strerror}. Choose another folder.") from error
    return card


def _write_whole(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files that belong together; none takes its name before all are on the disk."""
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    drafts = {name: folder / f".{name}.writing" for name in files}
    try:
        for name, content in files.items():
            drafts[name].write_bytes(content)
        for name, draft in drafts.items():
            draft.replace(folder / name)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
        if not existed and not any(folder.iterdir()):
            folder.rmdir()
