"""Networks to train: presets and configurations of them, and what fits them to a number of classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from sitsinfer.errors import TrainingError

Task = Literal["segment", "panoptic"]

Preset = tuple[str, Mapping[str, Any]]
"""An architecture and its hyper-parameters; bands and classes are filled in from the data."""

ARCHITECTURES: dict[Task, tuple[str, ...]] = {
    "segment": ("utae", "recunet", "unet3d", "fpn", "convlstm", "convgru"),
    "panoptic": ("paps",),
}
"""What a task can train, of :data:`sitsinfer.models.ARCHITECTURES`."""

_UTAE = {
    "encoder_widths": [64, 64, 64, 128],
    "decoder_widths": [32, 32, 64, 128],
    "out_conv": [32, 0],
    "n_head": 16,
    "d_model": 256,
    "d_k": 4,
}
_UTAE_SMALL = {
    "encoder_widths": [16, 32, 32, 64],
    "decoder_widths": [16, 16, 32, 64],
    "out_conv": [16, 0],
    "n_head": 8,
    "d_model": 128,
    "d_k": 4,
}


def _paps(encoder: Mapping[str, Any]) -> Preset:
    return "paps", {"backbone": "utae", "encoder": encoder, "shape_size": 16, "mask_conv": True}


PRESETS: dict[Task, dict[str, Preset]] = {
    "segment": {"utae": ("utae", _UTAE), "utae-small": ("utae", _UTAE_SMALL)},
    "panoptic": {"paps": _paps(_UTAE), "paps-small": _paps(_UTAE_SMALL)},
}
"""Presets of each task by name."""


def choose_preset(task: Task, name: str, config: Path | None = None) -> Preset:
    """Architecture and hyper-parameters, from a preset or from a JSON file that has these two fields.

    Raises:
        TrainingError: If there is no such preset, the file does not have them, or the task cannot train them.
    """
    presets = PRESETS[task]
    if config is None:
        if name not in presets:
            raise TrainingError(f"There is no preset '{name}'. Choose {', '.join(presets)}, or give a config.")
        return presets[name]
    try:
        entries = json.loads(config.read_text(encoding="utf-8"))
        architecture, hyperparameters = str(entries["architecture"]), dict(entries["hyperparameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"Cannot use {config}: {error}. Expected JSON with architecture and hyperparameters, such as a model.json."
        ) from error
    check_architecture(task, architecture, str(config))
    return architecture, hyperparameters


def check_architecture(task: Task, architecture: str, source: str = "The network") -> None:
    """See that a task can train an architecture.

    Raises:
        TrainingError: If it cannot; ``source`` tells where the architecture comes from.
    """
    known = ARCHITECTURES[task]
    if architecture not in known:
        raise TrainingError(f"{source} is of '{architecture}'. Expected {', '.join(map(repr, known))} for {task}.")


def with_classes(hyperparameters: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """Hyper-parameters of which ``out_conv``, where there is one, ends with a number of classes.

    Raises:
        TrainingError: If it is no list of channels.
    """
    if "out_conv" not in hyperparameters:
        return dict(hyperparameters)
    channels = hyperparameters["out_conv"]
    if not isinstance(channels, list | tuple) or not channels:
        raise TrainingError(
            f"out_conv is {channels!r}. Expected a list of channels, whose last is the number of classes."
        )
    return {**hyperparameters, "out_conv": [*channels[:-1], classes]}
