"""Import of checkpoints for parcels as they were published: PaPs on U-TAE or U-ConvLSTM, trained on PASTIS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from sitsinfer.errors import WeightsError
from sitsinfer.weights.card import BACKGROUND, Card, Member
from sitsinfer.weights.checkpoint import read_state_dict
from sitsinfer.weights.folder import build_module, save
from sitsinfer.weights.release import (
    BANDS,
    CLASSES,
    checkpoint_of,
    make_card,
    network_options,
    read_json,
    read_member,
    read_options,
)

_BACKBONES = ("utae", "uconvlstm")
_OPTIONS = ("num_classes", "shape_size", "mask_conv", "min_confidence", "min_remain", "mask_threshold")


def import_paps(
    folder: Path,
    fold: int,
    norm: Path,
    out: Path,
    *,
    norm_folds: Literal["train", "test"] = "train",
) -> Card:
    """Turn a published release of a panoptic network into a model folder.

    Args:
        folder: The release, with ``conf.json`` and ``Fold_k/model.pth.tar``.
        fold: Which fold. Parcels of several networks have no mean, so that there is no ensemble.
        norm: ``NORM_S2_patch.json`` of PASTIS: means and standard deviations of each fold, in digital numbers.
        out: The model folder to write.
        norm_folds: Whose statistics normalise the input, as for :func:`sitsinfer.weights.import_utae`.

    Returns:
        The card as written. Its ``min_confidence`` is that of the checkpoint, tuned on the validation fold, and not
        that of ``conf.json``.

    Raises:
        WeightsError: If a file is missing or is not what it should be, or the weights do not fit the architecture.
        OutputError: If ``out`` cannot be written.
    """
    conf = read_json(folder / "conf.json")
    member = read_member(fold, read_json(norm), norm, norm_folds)
    card = _card(conf, folder, fold, member, norm_folds)
    path = checkpoint_of(folder, fold)
    state_dict = read_state_dict(path)
    build_module(card, state_dict, path)
    tuned = float(str(state_dict["min_confidence"].float().numpy()[0]))  # the decimal that was rounded to float32
    if not 0 <= tuned <= 1:
        raise WeightsError(f"{path} has min_confidence {tuned}. Expected 0 to 1; fetch it again.")
    card = replace(card, hyperparameters={**card.hyperparameters, "min_confidence": tuned})
    return save(out, card, [state_dict])


def _card(
    conf: Mapping[str, Any], folder: Path, fold: int, member: Member, norm_folds: Literal["train", "test"]
) -> Card:
    path = folder / "conf.json"
    void = _void_label(conf, path)
    return make_card(
        conf,
        folder,
        [fold],
        name=f"{conf.get('backbone')}-paps-pastis-fold-{fold}",
        title=f"{conf.get('backbone')} with PaPs trained on PASTIS, fold {fold}",
        description=(
            f"Agricultural parcels of France and their crops from a year of Sentinel-2 (September to November of the "
            f"next year), 10 m. Input is normalised by the statistics of the {norm_folds} folds. Background (0) is "
            f"what is no parcel. Void label ({void}) marks parcels cut by the border of a training patch; it is no "
            f"land cover and is never predicted."
        ),
        architecture="paps",
        hyperparameters=_hyperparameters(conf, path),
        task="panoptic",
        margin=16,
        blend=0,
        members=(member,),
        ignore=(BACKGROUND, void),
    )


def _void_label(conf: Mapping[str, Any], path: Path) -> int:
    labels = read_options(conf, ("background_label", "void_label"), path)
    background, void = labels.values()
    if background != BACKGROUND:
        raise WeightsError(f"{path} has background_label {background}. Expected {BACKGROUND}, as in PASTIS.")
    if void not in [entry.code for entry in CLASSES if entry.code != BACKGROUND]:
        raise WeightsError(f"{path} has void_label {void}. Expected a class of PASTIS from 1 to {len(CLASSES) - 1}.")
    return int(void)


def _hyperparameters(conf: Mapping[str, Any], path: Path) -> dict[str, Any]:
    backbone = conf.get("backbone")
    if backbone not in _BACKBONES:
        raise WeightsError(
            f"{path} is of a backbone '{backbone}'. Expected a panoptic release: {', '.join(_BACKBONES)}."
        )
    architecture, encoder = network_options(backbone, conf, path)
    del encoder["input_dim"]
    return {
        "input_dim": len(BANDS),
        "backbone": architecture,
        "encoder": encoder,
        **read_options(conf, _OPTIONS, path),
    }
