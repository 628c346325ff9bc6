"""Import of TAMRF as published: a checkpoint of PyTorch Lightning, and the Hydra configuration of its training.

The checkpoint holds the network under ``the_modules.``, statistics of bands as buffers, and a network that served the
loss, which is left out. What shapes do not tell, such as the number of heads, stands in the configuration alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sitsinfer.errors import WeightsError
from sitsinfer.weights.checkpoint import read_state_dict
from sitsinfer.weights.folder import build_module, save
from sitsinfer.weights.fusion_card import FIRST_OF_YEAR, RATIO, FusionCard, SensorCard
from sitsinfer.weights.hydra import Configuration

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

HR_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
LR_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "LST")
DAYS = 365

_PREFIX = "the_modules."
_COMPILED = "._orig_mod"
_NETWORK = "training_module.training_module"
_PARAMETERS = "training_module.parameters"

_STATISTICS = ("hr_mean", "hr_std", "lr_mean", "lr_std")
"""Numbers a band that a network feeds on: buffers of the checkpoint, and entries of the configuration."""

_OPTICS = ("hr_mtf", "hr_resolution", "lr_mtf", "lr_resolution")
"""Numbers a band that served its training, likewise."""

_OPTIONS = {
    "hr_bands": "encoder.hr_encoder.model.in_nb_bands",
    "lr_bands": "encoder.lr_encoder.model.in_nb_bands",
    "latent_size": "encoder.token_size",
    "hr_basic_blocks": "encoder.hr_encoder.model.num_basic_blocks",
    "lr_basic_blocks": "encoder.lr_encoder.model.num_basic_blocks",
    "growth_channels": "encoder.hr_encoder.model.growth_channels",
    "positional_features": "encoder.temporal_positional_encoder.nb_features",
    "sensor_token_size": "encoder.sensor_token_size",
    "heads": "encoder.nb_heads",
    "layers": "encoder.nb_layers",
    "feed_forward": "encoder.dim_feedforward",
    "decoder_heads": "decoder.nb_heads",
}
"""Our hyper-parameters, and what the configuration calls them."""

_DECODER_FEED_FORWARD = 256  # no option of the published code

_KINDS = {
    "encoder.hr_encoder.model": ("num_basic_blocks", "encoder.blocks.0.weight", "dense blocks"),
    "encoder.lr_encoder.model": ("num_basic_blocks", "encoder.blocks.0.weight", "dense blocks"),
    "encoder.temporal_positional_encoder": ("div", "", "sines and cosines"),
    "decoder.decoder.model": ("out_nb_bands", "decoder.0.weight", "two convolutions"),
}
"""Parts that come in several kinds: an option and a tensor that the published kind has, and what that kind is."""


@dataclass(frozen=True)
class _Settings:
    """What goes with the tensors of a network.

    Attributes:
        hyperparameters: What it is built with.
        statistics: The statistics of bands, by name.
    """

    hyperparameters: dict[str, Any]
    statistics: dict[str, tuple[float, ...]]


def import_tamrf(checkpoint: Path, config: Path | None, out: Path) -> FusionCard:
    """Turn a published checkpoint of TAMRF into a model folder.

    Args:
        checkpoint: The checkpoint of PyTorch Lightning.
        config: The folder that holds ``config.yaml``, or the one around its ``hydra_config``. ``None``: take heads and
            positional encoding to be those of the release, and the statistics of bands from the checkpoint.
        out: The model folder to write.

    Returns:
        The card as written.

    Raises:
        WeightsError: If a file is missing or is not what it should be, a part of the network is of a kind that is not
            built here, or checkpoint and configuration do not belong together.
        OutputError: If ``out`` cannot be written.
    """
    entries = {name.replace(_COMPILED, ""): value for name, value in read_state_dict(checkpoint).items()}
    # A network without sensor tokens may have been saved with empty ones.
    below = {name: value for name, value in entries.items() if name.startswith(_PREFIX) and value.numel()}
    tensors = {name.removeprefix(_PREFIX): value for name, value in below.items()}
    if not tensors:
        raise WeightsError(f"{checkpoint} has no tensors below '{_PREFIX}'. Expected a checkpoint of TAMRF.")
    if config is None:
        settings = _settings_of_release(entries, tensors, checkpoint)
    else:
        configuration = Configuration.read(config)
        _check_kinds(configuration, tensors, checkpoint)
        settings = _settings(configuration)
        _compare(entries, checkpoint, configuration)
    card = _card(settings, checkpoint)
    build_module(card, tensors, checkpoint)
    return save(out, card, [tensors])


def _check_kinds(configuration: Configuration, tensors: Mapping[str, Tensor], checkpoint: Path) -> None:
    """See that each part is of the kind that was published.

    Raises:
        WeightsError: If one is not, or the configuration is of something else.
    """
    configuration.get(_NETWORK)
    for part, (option, tensor, kind) in _KINDS.items():
        if configuration.has(f"{_NETWORK}.{part}.{option}") and (not tensor or f"{part}.{tensor}" in tensors):
            continue
        target = f"{_NETWORK}.{part}._target_"
        label = f" ({configuration.get(target)})" if configuration.has(target) else ""
        raise WeightsError(
            f"Part '{part}' of {checkpoint} is of a kind that sitsinfer does not have{label}. Expected {kind}, as in "
            f"the published weights."
        )


def _settings(configuration: Configuration) -> _Settings:
    hyperparameters = {name: configuration.integer(f"{_NETWORK}.{option}") for name, option in _OPTIONS.items()}
    _check_options(configuration, hyperparameters)
    return _Settings(
        {
            **hyperparameters,
            "ratio": RATIO,
            "positional_div": configuration.number(f"{_NETWORK}.encoder.temporal_positional_encoder.div"),
            "decoder_feed_forward": _DECODER_FEED_FORWARD,
        },
        {name: configuration.numbers(_entry(name)) for name in _STATISTICS},
    )


def _entry(name: str) -> str:
    """Where the configuration has numbers a band."""
    return f"{_PARAMETERS}.{'mtfs' if name in _OPTICS else 'standardization'}.{name}"


def _check_options(configuration: Configuration, found: Mapping[str, int]) -> None:
    """See that options which the others decide, or which only the published value is built for, have that value.

    Raises:
        WeightsError: If one has not.
    """
    expected = {
        "encoder.hr_encoder.model.latent_size": found["latent_size"],
        "encoder.hr_encoder.model.upsampling_factor": 1,
        "encoder.lr_encoder.model.latent_size": found["latent_size"],
        "encoder.lr_encoder.model.growth_channels": found["growth_channels"],
        "encoder.lr_encoder.model.upsampling_factor": RATIO,
        "encoder.lr_encoder.model.upsampling_base": RATIO,
        "encoder.lr_encoder.model.upsampling_mode": "bicubic",
        "encoder.temporal_positional_encoder.mode": "CONCAT",
        "decoder.token_size": found["latent_size"],
        "decoder.sensor_token_size": found["sensor_token_size"],
        "decoder.decoder.model.latent_size": found["latent_size"]
        + found["positional_features"]
        + found["sensor_token_size"],
        "decoder.decoder.model.out_nb_bands": found["hr_bands"] + found["lr_bands"],
    }
    for option, value in expected.items():
        name = f"{_NETWORK}.{option}"
        if configuration.has(name) and configuration.get(name) != value:
            raise WeightsError(
                f"'{name}' in {configuration.path} is {configuration.get(name)}. Expected {value}, as in the "
                f"published networks."
            )


def _settings_of_release(entries: Mapping[str, Tensor], tensors: Mapping[str, Tensor], checkpoint: Path) -> _Settings:
    """Read off the checkpoint what shapes tell, and take the rest as in the release."""
    hr, lr = (f"encoder.{sensor}_encoder.model.encoder.blocks" for sensor in ("hr", "lr"))
    layers = "encoder.transformer_encoder.transformer_encoder.layers"
    try:
        hyperparameters = {
            "hr_bands": tensors[f"{hr}.0.weight"].shape[1],
            "lr_bands": tensors[f"{lr}.0.weight"].shape[1],
            "latent_size": tensors[f"{hr}.0.weight"].shape[0],
            "hr_basic_blocks": _count(tensors, f"{hr}.#.scale"),
            "lr_basic_blocks": _count(tensors, f"{lr}.#.scale"),
            "growth_channels": tensors[f"{hr}.1.module.block_0.module.module.0.conv.weight"].shape[0],
            "ratio": RATIO,
            "positional_features": 64,
            "positional_div": 365.0,
            "sensor_token_size": tensors["decoder.query_sensor_token"].shape[0],  # one without needs its configuration
            "heads": 4,
            "layers": _count(tensors, f"{layers}.#.norm1.weight"),
            "feed_forward": tensors[f"{layers}.0.linear1.weight"].shape[0],
            "decoder_heads": 4,
            "decoder_feed_forward": tensors["decoder.attention.linear1.weight"].shape[0],
        }
        statistics = {name: tuple(entries[name].flatten().tolist()) for name in _STATISTICS}
    except (KeyError, IndexError) as error:
        raise WeightsError(
            f"{checkpoint} has no {error}, as the release has. Give the configuration published with it."
        ) from error
    return _Settings(hyperparameters, statistics)


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many tensors there are of a name with a number in it, written ``#``."""
    expression = re.compile(re.escape(pattern).replace(r"\#", r"\d+"))
    return sum(expression.fullmatch(name) is not None for name in tensors)


def _compare(entries: Mapping[str, Tensor], checkpoint: Path, configuration: Configuration) -> None:
    """Warn of numbers that differ in checkpoint and configuration: the published code uses the latter."""
    both = [name for name in (*_STATISTICS, *_OPTICS) if name in entries and configuration.has(_entry(name))]
    pairs = {name: (entries[name].flatten().tolist(), configuration.numbers(_entry(name))) for name in both}
    differing = [name for name, (a, b) in pairs.items() if not (len(a) == len(b) and np.allclose(a, b))]
    if differing:
        log.warning(
            "%s differ between %s and %s; the latter is used, as in the published code.",
            ", ".join(differing),
            checkpoint,
            configuration.path,
            extra={"event": "note"},
        )


def _card(settings: _Settings, checkpoint: Path) -> FusionCard:
    options = settings.hyperparameters
    return FusionCard(
        name=f"tamrf-{checkpoint.stem}",
        title=f"TAMRF s{options['hr_basic_blocks']}t{options['layers']}: Landsat and Sentinel-2, all bands at 10 m",
        description=(
            "All bands of Landsat 8/9 and Sentinel-2 on any day of a year at 10 m, clouds and gaps filled. Trained on "
            "series of one year with at most 50 dates; clouds go in as they are."
        ),
        architecture="tamrf",
        hyperparameters=options,
        task="fuse",
        reference=FIRST_OF_YEAR,
        days=DAYS,
        ratio=RATIO,
        sensors={
            "hr": _sensor("sentinel-2", "hr", HR_BANDS, settings.statistics),
            "lr": _sensor("landsat", "lr", LR_BANDS, settings.statistics),
        },
        licence="See the release",
        citation=(
            "J. Michel and J. Inglada, Temporal attention multi-resolution fusion of satellite image time-series, "
            "applied to Landsat-8/9 and Sentinel-2: all bands, any time, at best spatial resolution, Remote Sensing of "
            "Environment, 2025, doi:10.1016/j.rse.2025.115159"
        ),
        source=f"Published checkpoint {checkpoint.name}",
        digest="0" * 64,
    )


def _sensor(sensor: str, key: str, bands: tuple[str, ...], statistics: Mapping[str, tuple[float, ...]]) -> SensorCard:
    return SensorCard(sensor, bands, statistics[f"{key}_mean"], statistics[f"{key}_std"])
