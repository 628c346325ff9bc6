"""Model folders on disk: ``model.json`` and ``model.safetensors``; find, check, load and save them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from sitsinfer.errors import OutputError, WeightsError
from sitsinfer.weights import fields
from sitsinfer.weights.card import Card
from sitsinfer.weights.fusion_card import FusionCard
from sitsinfer.weights.parcel_card import ParcelCard

if TYPE_CHECKING:
    from torch import Tensor, nn

DEFAULT_MODEL = "utae-demo"
DEFAULT_PANOPTIC_MODEL = "paps-demo"
DEFAULT_PARCEL_MODEL = "pse-ltae-demo"

CARD_FILE = "model.json"
WEIGHTS_FILE = "model.safetensors"

CONFIDENCE_TOLERANCE = 1e-4
"""How far cards may round ``min_confidence``: to 4 decimals, of float32."""

AnyCard = Card | FusionCard | ParcelCard
_C = TypeVar("_C", Card, FusionCard, ParcelCard)

_CARDS: dict[str, type[AnyCard]] = {"segment": Card, "panoptic": Card, "fuse": FusionCard, "classify": ParcelCard}
"""What describes the models of a task; a task has the name of the command that does it."""


def list_models() -> list[str]:
    """Names of the models that come with sitsinfer, sorted."""
    return sorted(path.parent.name for path in _embedded().glob(f"*/{CARD_FILE}"))


def _embedded() -> Path:
    return Path(str(resources.files("sitsinfer.weights"))) / "embedded"


def load_card(name_or_folder: str, task: Literal["segment", "panoptic"] = "segment") -> tuple[Card, Path]:
    """Find a model for a task, read its card and verify the digest of its weights. Does not import torch.

    Args:
        name_or_folder: Name of an embedded model, or path of a model folder. A name wins over a folder of that name.
        task: What it is to be for.

    Returns:
        The card, and the folder it lies in.

    Raises:
        WeightsError: If there is no such model, it is for another task, or its files are missing, wrong or do not
            belong together.
    """
    return _load(name_or_folder, Card, task)


def load_fusion_card(name_or_folder: str) -> tuple[FusionCard, Path]:
    """Find a model for ``fuse``, read its card and verify the digest of its weights, as :func:`load_card` does."""
    return _load(name_or_folder, FusionCard, "fuse")


def load_parcel_card(name_or_folder: str) -> tuple[ParcelCard, Path]:
    """Find a model for ``classify``, read its card and verify the digest of its weights, as :func:`load_card` does."""
    return _load(name_or_folder, ParcelCard, "classify")


def load_any_card(name_or_folder: str) -> tuple[AnyCard, Path]:
    """Find a model for any task, read its card and verify the digest of its weights, as :func:`load_card` does."""
    folder = _find(name_or_folder)
    card = _read_card(folder)
    _verify(card, folder)
    return card, folder


def _load(name_or_folder: str, kind: type[_C], task: str) -> tuple[_C, Path]:
    folder = _find(name_or_folder)
    card = _read_card(folder)
    if not isinstance(card, kind) or card.task != task:
        raise WeightsError(
            f"{name_or_folder} is a model for {card.task}, not for {task}. Use 'sitsinfer {card.task}', or choose "
            f"another model."
        )
    _verify(card, folder)
    return card, folder


def _read_card(folder: Path) -> AnyCard:
    """Read the card of whatever task it names."""
    path = folder / CARD_FILE
    text = _read(path).decode(errors="replace")
    task = fields.read_field(fields.one_of(*_CARDS), "task", fields.parse(text, path).get("task"), path)
    return _CARDS[task].from_json(text, path)


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
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> WeightsError:
    if isinstance(error, FileNotFoundError):
        return WeightsError(
            f"{path} is missing. Expected a model folder with {CARD_FILE} and {WEIGHTS_FILE}; "
            f"'sitsinfer models import' makes one of a published checkpoint."
        )
    return WeightsError(f"Cannot read {path}: {error.strerror}.")


def _verify(card: AnyCard, folder: Path) -> None:
    path = folder / WEIGHTS_FILE
    try:
        status = path.stat()
        found = _digest(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise _unreadable(path, error) from error
    if found != card.digest:
        raise WeightsError(
            f"{path} has SHA-256 {found[:12]}... but {CARD_FILE} says {card.digest[:12]}...: one of them was changed "
            f"or damaged. Fetch or import the model again."
        )


@functools.lru_cache(maxsize=16)
def _digest(path: Path, size: int, modified: int) -> str:
    """SHA-256 of a file; one that has not changed since is not read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_modules(card: AnyCard, folder: Path) -> list[nn.Module]:
    """Build the networks of a model and fill them with its weights.

    Returns:
        The networks in evaluation mode, on the CPU: one a member of a card that has members, else the only one.

    Raises:
        WeightsError: If the weights are damaged, are not exactly those of the card's architecture and members, or were
            tuned to another ``min_confidence`` than the card says.
    """
    path = folder / WEIGHTS_FILE
    tensors = _tensors(card, folder)
    strange = [key for key in tensors if not key.startswith(card.prefixes)]
    if strange:
        raise WeightsError(f"{path} holds {_few(strange)}, of no member that {CARD_FILE} lists. List all members.")
    modules = [
        build_module(
            card, {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}, path
        )
        for prefix in card.prefixes
    ]
    _check_confidence(card, tensors, path)
    return modules


def _check_confidence(card: AnyCard, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a card that says another least confidence of parcels than its weights, which silently prevail."""
    said, tuned = card.hyperparameters.get("min_confidence"), tensors.get(f"{card.prefixes[0]}min_confidence")
    if said is not None and tuned is not None and abs(said - tuned.item()) > CONFIDENCE_TOLERANCE:
        raise WeightsError(
            f"{path} was tuned to a min_confidence of {tuned.item():.4g} but {CARD_FILE} says {said:.4g}. Correct the "
            f"card; option min_confidence sets another one for a run."
        )


def _tensors(card: AnyCard, folder: Path) -> dict[str, Tensor]:
    import safetensors.torch

    _verify(card, folder)
    try:
        return safetensors.torch.load(_read(folder / WEIGHTS_FILE))
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{folder / WEIGHTS_FILE} is not a whole safetensors file: {error}. Fetch it again."
        ) from error


def build_module(card: AnyCard, state_dict: Mapping[str, Tensor], path: Path) -> nn.Module:
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
    name = f"{path} holds weights of another configuration than this '{card.architecture}'"
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


def save(folder: Path, card: _C, state_dicts: Sequence[Mapping[str, Tensor]]) -> _C:
    """Write a model folder.

    Args:
        folder: Where to; made if need be. Files of a model that are there are replaced.
        card: The card; its digest is set here.
        state_dicts: One a network, in the order of the card, in any place of memory.

    Returns:
        The card as written, with its digest.

    Raises:
        OutputError: If the folder cannot be written.
    """
    import safetensors.torch

    tensors = {
        prefix + key: value.detach().cpu().contiguous().clone()  # cloned: safetensors refuses shared memory
        for prefix, state_dict in zip(card.prefixes, state_dicts, strict=True)
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
