"""Published architectures, by name: torch and nothing geospatial.

Adding one is a file here and one entry in :data:`ARCHITECTURES`. Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sitsinfer.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ARCHITECTURES", "Architecture", "attention_heads", "build"]


@dataclass(frozen=True)
class Architecture:
    """Where a model's class lives, and how the published code calls its options.

    Attributes:
        target: ``module:Class``, imported when the model is built.
        ignored: Published options that do not make the network: what a call returns (here methods choose that), and
            sizes of patches that no weight depends on.
        options: ``module:Class`` of the dataclass that holds the options, where the class takes them as one.
        heads: The option that says how many heads its attention over dates has, where its ``attend`` tells that.
    """

    target: str
    ignored: frozenset[str] = frozenset()
    options: str | None = None
    heads: str | None = None


ARCHITECTURES: dict[str, Architecture] = {
    "utae": Architecture("sitsinfer.models.utae:UTAE", frozenset({"encoder", "return_maps"}), heads="n_head"),
    "ltae2d": Architecture("sitsinfer.models.ltae:LTAE2d", frozenset({"return_att"})),
    "unet3d": Architecture("sitsinfer.models.unet3d:UNet3D"),
    "fpn": Architecture("sitsinfer.models.fpn:FPNConvLSTM", frozenset({"input_shape"})),
    "convlstm": Architecture("sitsinfer.models.convlstm:ConvLSTMSegmenter", frozenset({"input_size"})),
    "convgru": Architecture("sitsinfer.models.convgru:ConvGRUSegmenter", frozenset({"input_size"})),
    "dstfn": Architecture("sitsinfer.models.dstfn:DSTFN"),
    "dsen2": Architecture("sitsinfer.models.dsen2:DSen2"),
    "recunet": Architecture("sitsinfer.models.recunet:RecUNet", frozenset({"encoder", "input_size"})),
    "ltae1d": Architecture("sitsinfer.models.ltae:LTAE", frozenset({"return_att"})),
    "pse_ltae": Architecture("sitsinfer.models.parcel_classifiers:PseLTae", frozenset({"return_att"})),
    "pse_tae": Architecture("sitsinfer.models.parcel_classifiers:PseTae", frozenset({"return_att"})),
    "pse_gru": Architecture("sitsinfer.models.parcel_classifiers:PseGru"),
    "pse_tempcnn": Architecture("sitsinfer.models.parcel_classifiers:PseTempCNN"),
    "pixel_ltae": Architecture(
        "sitsinfer.models.pixel_ltae:PixelLTAE", frozenset({"len_max_seq", "return_att"}), heads="n_head"
    ),
    "paps": Architecture("sitsinfer.models.paps:PaPs"),
    "tamrf": Architecture("sitsinfer.models.tamrf:TAMRF", options="sitsinfer.models.tamrf:Hyperparameters"),
}


def build(architecture: str, hyperparameters: Mapping[str, Any]) -> nn.Module:
    """Build a model with fresh weights.

    Args:
        architecture: A key of :data:`ARCHITECTURES`.
        hyperparameters: Arguments of the model's constructor, by their published names where they have one.

    Returns:
        The model, in training mode, on the CPU.

    Raises:
        ModelError: If the architecture is unknown, or a hyper-parameter is unknown, missing or impossible.
    """
    entry = ARCHITECTURES.get(architecture)
    if entry is None:
        raise ModelError(f"Unknown architecture '{architecture}'. Choose one of {', '.join(sorted(ARCHITECTURES))}.")
    options = {name: value for name, value in hyperparameters.items() if name not in entry.ignored}
    constructor = _load(entry.options or entry.target)
    _check_names(architecture, constructor, options)
    try:
        built = constructor(**options)
        module: nn.Module = built if entry.options is None else _load(entry.target)(built)
        return module
    except ModelError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:  # as torch and Python tell of such options
        words = str(error).partition("\n")[0]
        raise ModelError(f"Architecture '{architecture}' cannot be built: {words}. Correct its options.") from error


def attention_heads(architecture: str, hyperparameters: Mapping[str, Any]) -> int | None:
    """How many heads the attention over dates has that a model's ``attend`` tells; None if it has no such method.

    Args:
        architecture: Its name, of :data:`ARCHITECTURES`.
        hyperparameters: What the model is built with.
    """
    entry = ARCHITECTURES.get(architecture)
    if entry is None or entry.heads is None:
        return None
    if entry.heads not in hyperparameters:
        return int(inspect.signature(_load(entry.target)).parameters[entry.heads].default)
    return int(hyperparameters[entry.heads])


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return loaded


def _check_names(architecture: str, constructor: Callable[..., Any], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(constructor).parameters
    unknown = sorted(set(options) - set(parameters))
    if unknown:
        raise ModelError(
            f"Architecture '{architecture}' has no hyper-parameter {_quoted(unknown)}. "
            f"It takes {', '.join(parameters)}."
        )
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in options]
    if missing:
        raise ModelError(
            f"Architecture '{architecture}' needs hyper-parameter {_quoted(missing)}. Give a value for it."
        )


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
