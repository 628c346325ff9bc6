"""Import of networks that TAMRF is compared with: DSTFN and DSen2.

No configuration was published with them: their sizes are read off the shapes of their tensors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sitsinfer.errors import WeightsError
from sitsinfer.weights.checkpoint import read_state_dict
from sitsinfer.weights.folder import build_module, save
from sitsinfer.weights.fusion_card import FIRST_OF_YEAR, RATIO, FusionCard, SensorCard

_DSTFN_PART = "_net2"
"""Ends the name of each part of DSTFN that predicts; other parts served its training."""


def import_dstfn(file: Path, out: Path) -> FusionCard:
    """Turn the weights of DSTFN into a model folder.

    Args:
        file: The state dict of the published network, as safetensors or as ``torch.save`` writes it. The file that was
            published is a pickled object, which is not loaded.
        out: The model folder to write.

    Returns:
        The card as written.

    Raises:
        WeightsError: If the file is missing, holds more than tensors, or is not of this network.
        OutputError: If ``out`` cannot be written.
    """
    entries = {name.removeprefix("module."): value for name, value in read_state_dict(file).items()}
    tensors = {name: value for name, value in entries.items() if name.partition(".")[0].endswith(_DSTFN_PART)}
    try:
        features, s2_bands = tensors["conv1_net2.0.weight"].shape[:2]
        hyperparameters = {
            "features": features,
            "dense_layers": sum(bool(re.fullmatch(r"RDB1_net2\.dense_layers\.\d+\..*", name)) for name in tensors),
            "growth_rate": len(tensors["RDB1_net2.dense_layers.0.conv_dense.0.weight"]),
            "s2_bands": s2_bands,
            "landsat_bands": tensors["conv2_net2.0.weight"].shape[1],
            "pan_bands": tensors["conv3_net2.0.weight"].shape[1],
            "attention_ratio": features // len(tensors["CSA1_net2.csa_cal.cal_fc1.0.weight"]),
        }
    except (KeyError, ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else "its tensors have other shapes"
        raise WeightsError(
            f"{file} is not the state dict of DSTFN: {reason}. Save that of the network that was published."
        ) from error
    card = _card(
        "dstfn",
        hyperparameters,
        file,
        title="DSTFN: Sentinel-2 on a day of Landsat",
        description=(
            "Six bands of Sentinel-2 at 10 m on a day of Landsat, from Landsat with its panchromatic band and the "
            "closest clear day of Sentinel-2."
        ),
        sensors={
            "hr": SensorCard("sentinel-2", ("B02", "B03", "B04", "B8A", "B11", "B12")),
            "lr": SensorCard("landsat", ("B02", "B03", "B04", "B05", "B06", "B07")),
            "pan": SensorCard("landsat", ("B08",)),
        },
        citation=(
            "J. Wu et al., Fusing Landsat 8 and Sentinel-2 data for 10-m dense time-series imagery using a "
            "degradation-term constrained deep network, 2022"
        ),
    )
    build_module(card, tensors, file)
    return save(out, card, [tensors])


def import_dsen2(file: Path, out: Path) -> FusionCard:
    """Turn the weights of DSen2 into a model folder.

    Args:
        file: The published TorchScript archive, whose code is not run. Its convolutions stand in the order in which
            they compute, which is all that their names are taken to say.
        out: The model folder to write.

    Returns:
        The card as written.

    Raises:
        WeightsError: If the file is missing or damaged, or is not of this network.
        OutputError: If ``out`` cannot be written.
    """
    from sitsinfer import models

    tensors = list(read_state_dict(file).values())
    blocks, rest = divmod(len(tensors) - 4, 4)
    if rest or blocks < 0 or not tensors[0].ndim:
        raise WeightsError(
            f"{file} holds {len(tensors)} tensors. Expected weights and biases of DSen2: of its first and last "
            f"convolution, and of two in each residual block."
        )
    hyperparameters = {"blocks": blocks, "features": len(tensors[0]), "bands_10m": 4, "bands_20m": 6}
    card = _card(
        "dsen2",
        hyperparameters,
        file,
        title="DSen2: all bands of Sentinel-2 at 10 m",
        description="The bands of 20 m of each day of Sentinel-2 at 10 m, from those of 10 m on the same day.",
        sensors={
            "hr": SensorCard("sentinel-2", ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"))
        },
        citation=(
            "C. Lanaras et al., Super-resolution of Sentinel-2 images: Learning a globally applicable deep neural "
            "network, ISPRS Journal of Photogrammetry and Remote Sensing, 2018"
        ),
    )
    names = models.build("dsen2", hyperparameters).state_dict()
    state_dict = dict(zip(names, tensors, strict=True))
    build_module(card, state_dict, file)
    return save(out, card, [state_dict])


def _card(architecture: str, hyperparameters: dict[str, Any], file: Path, **described: Any) -> FusionCard:
    """The card of a network that takes reflectance as it is, of any day."""
    return FusionCard(
        name=architecture,
        architecture=architecture,
        hyperparameters=hyperparameters,
        task="fuse",
        reference=FIRST_OF_YEAR,
        days=366,
        ratio=RATIO,
        licence="See the release",
        source=f"Published weights {file.name}",
        digest="0" * 64,
        **described,
    )
