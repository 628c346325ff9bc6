"""Networks to train: presets and configurations of them, and what fits them to a number of classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from sitsinfer.errors import TrainingError

Command = Literal["segment", "panoptic", "pixels", "classify"]
"""What follows ``sitsinfer train``."""

Preset = tuple[str, Mapping[str, Any]]
"""An architecture and its hyper-parameters; bands and classes are filled in from the data."""

ARCHITECTURES: dict[Command, tuple[str, ...]] = {
    "segment": ("utae", "recunet", "unet3d", "fpn", "convlstm", "convgru"),
    "panoptic": ("paps",),
    "pixels": ("pixel_ltae",),
    "classify": ("pse_ltae", "pse_tae", "pse_gru", "pse_tempcnn"),
}
"""What a command can train, of :data:`sitsinfer.models.ARCHITECTURES`."""

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

_PIXEL_LTAE = {
    "n_head": 8,
    "d_k": 16,
    "d_model": 256,
    "mlp3": [256, 128],
    "mlp4": [128, 64, 32],
    "dropout": 0.1,
}
_PIXEL_LTAE_SMALL = {
    "n_head": 8,
    "d_k": 8,
    "d_model": 128,
    "mlp3": [128, 128],
    "mlp4": [128, 64, 32],
    "dropout": 0.1,
}
_PSE_LTAE = {
    "mlp1": [10, 32, 64],
    "pooling": "mean_std",
    "mlp2": [132, 128],
    "with_extra": True,
    "extra_size": 4,
    "n_head": 16,
    "d_k": 8,
    "d_model": 256,
    "mlp3": [256, 128],
    "dropout": 0.2,
    "T": 1000,
    "mlp4": [128, 64, 32, 0],
}
_PSE_LTAE_SMALL = {
    **_PSE_LTAE,
    "d_model": 128,
    "mlp3": [128, 128],
}


def _paps(encoder: Mapping[str, Any]) -> Preset:
    return "paps", {"backbone": "utae", "encoder": encoder, "shape_size": 16, "mask_conv": True}


PRESETS: dict[Command, dict[str, Preset]] = {
    "segment": {"utae": ("utae", _UTAE), "utae-small": ("utae", _UTAE_SMALL)},
    "panoptic": {"paps": _paps(_UTAE), "paps-small": _paps(_UTAE_SMALL)},
    "pixels": {"pixel-ltae": ("pixel_ltae", _PIXEL_LTAE), "pixel-ltae-small": ("pixel_ltae", _PIXEL_LTAE_SMALL)},
    "classify": {"pse-ltae": ("pse_ltae", _PSE_LTAE), "pse-ltae-small": ("pse_ltae", _PSE_LTAE_SMALL)},
}
"""Presets of each command by name."""


def choose_preset(command: Command, name: str, config: Path | None = None) -> Preset:
    """Architecture and hyper-parameters, from a preset or from a JSON file that has these two fields.

    Raises:
        TrainingError: If there is no such preset, the file does not have them, or the command cannot train them.
    """
    presets = PRESETS[command]
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
    check_architecture(command, architecture, str(config))
    return architecture, hyperparameters


def check_architecture(command: Command, architecture: str, source: str = "The network") -> None:
    """See that a command can train an architecture.

    Raises:
        TrainingError: If it cannot; ``source`` tells where the architecture comes from.
    """
    known = ARCHITECTURES[command]
    if architecture not in known:
        raise TrainingError(f"{source} is of '{architecture}'. Expected {', '.join(map(repr, known))} for {command}.")


def with_classes(hyperparameters: Mapping[str, Any], classes: int, name: str = "out_conv") -> dict[str, Any]:
    """Hyper-parameters of which the widths of that name, where there are any, end with a number of classes.

    Raises:
        TrainingError: If they are no list of channels.
    """
    if name not in hyperparameters:
        return dict(hyperparameters)
    channels = hyperparameters[name]
    if not isinstance(channels, list | tuple) or not channels:
        raise TrainingError(
            f"{name} is {channels!r}. Expected a list of channels, whose last is the number of classes."
        )
    return {**hyperparameters, name: [*channels[:-1], classes]}
