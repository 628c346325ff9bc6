"""Import of checkpoints as they were published: U-TAE and its competitors, trained on PASTIS.

A release is a folder with ``conf.json``, all options of the training script, and ``Fold_1`` to ``Fold_5``, each with a
``model.pth.tar``, which is a serialised dict with the key ``state_dict``. Those for parcels, which
:mod:`sitsinfer.weights.panoptic_release` imports, share all of this.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sitsinfer.errors import WeightsError
from sitsinfer.layers import ClassInfo
from sitsinfer.weights.card import Card, Member
from sitsinfer.weights.checkpoint import read_state_dict
from sitsinfer.weights.folder import build_module, save

FOLDS = (1, 2, 3, 4, 5)
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
SCALE = 1e-4
VOID = 19

CLASSES = (
    ClassInfo(0, "Background", (225, 222, 214)),
    ClassInfo(1, "Meadow", (148, 199, 106)),
    ClassInfo(2, "Soft winter wheat", (240, 200, 70)),
    ClassInfo(3, "Corn", (255, 127, 14)),
    ClassInfo(4, "Winter barley", (196, 156, 60)),
    ClassInfo(5, "Winter rapeseed", (250, 240, 60)),
    ClassInfo(6, "Spring barley", (214, 188, 132)),
    ClassInfo(7, "Sunflower", (190, 110, 20)),
    ClassInfo(8, "Grapevine", (122, 40, 120)),
    ClassInfo(9, "Beet", (206, 60, 130)),
    ClassInfo(10, "Winter triticale", (150, 140, 80)),
    ClassInfo(11, "Winter durum wheat", (224, 150, 60)),
    ClassInfo(12, "Fruits, vegetables, flowers", (220, 40, 50)),
    ClassInfo(13, "Potatoes", (160, 100, 70)),
    ClassInfo(14, "Leguminous fodder", (60, 160, 140)),
    ClassInfo(15, "Soybeans", (90, 130, 40)),
    ClassInfo(16, "Orchard", (40, 100, 60)),
    ClassInfo(17, "Mixed cereal", (190, 180, 110)),
    ClassInfo(18, "Sorghum", (110, 60, 40)),
    ClassInfo(VOID, "Void label", (120, 120, 120)),
)

_UTAE_OPTIONS = (
    "encoder_widths",
    "out_conv",
    "decoder_widths",
    "str_conv_k",
    "str_conv_s",
    "str_conv_p",
    "agg_mode",
    "encoder_norm",
    "n_head",
    "d_model",
    "d_k",
    "pad_value",
    "padding_mode",
)

_RECURRENT = {
    "encoder_widths": [64, 64, 64, 128],
    "decoder_widths": [32, 32, 64, 128],
    "out_conv": [32, 20],
    "str_conv_k": 4,
    "str_conv_s": 2,
    "str_conv_p": 1,
    "temporal": "lstm",
    "input_size": 128,
    "encoder_norm": "group",
    "padding_mode": "zeros",
}
_STATE = {"num_classes": 20, "kernel_size": [3, 3], "input_size": [128, 128]}

# What the published code builds for the value of "model" in conf.json: our architecture and, where conf.json does not
# hold them, the fixed hyper-parameters. "buconvlstm" is one-directional in spite of its name.
_COMPETITORS: dict[str, tuple[str, dict[str, Any]]] = {
    "uconvlstm": ("recunet", {"input_dim": len(BANDS), **_RECURRENT, "hidden_dim": 64}),
    "buconvlstm": ("recunet", {"input_dim": len(BANDS), **_RECURRENT, "hidden_dim": 30}),
    "unet3d": ("unet3d", {"in_channel": len(BANDS), "n_classes": 20, "feats": 8, "zero_pad": True}),
    "fpn": (
        "fpn",
        {
            "input_dim": len(BANDS),
            "num_classes": 20,
            "inconv": [32, 64],
            "n_levels": 4,
            "n_channels": 64,
            "hidden_size": 88,
            "input_shape": [128, 128],
            "mid_conv": True,
        },
    ),
    "convlstm": ("convlstm", {"input_dim": len(BANDS), **_STATE, "hidden_dim": 160}),
    "convgru": ("convgru", {"input_dim": len(BANDS), **_STATE, "hidden_dim": 180}),
}


def import_utae(
    folder: Path,
    folds: Sequence[int],
    norm: Path,
    out: Path,
    *,
    norm_folds: Literal["train", "test"] = "train",
) -> Card:
    """Turn a published release of U-TAE, or of a competitor in its paper, into a model folder.

    Args:
        folder: The release, with ``conf.json`` and ``Fold_k/model.pth.tar``.
        folds: Which folds; several make an ensemble, whose scores are averaged. None of them: all that are there.
        norm: ``NORM_S2_patch.json`` of PASTIS: means and standard deviations of each fold, in digital numbers.
        out: The model folder to write.
        norm_folds: Whose statistics normalise the input: those of the folds that a network was trained on, or, as for
            the published scores, those of the fold that it was tested on, which new data do not have.

    Returns:
        The card as written.

    Raises:
        WeightsError: If a file is missing or is not what it should be, or the weights do not fit the architecture.
        OutputError: If ``out`` cannot be written.
    """
    conf = read_json(folder / "conf.json")
    folds = list(folds) or _folds_of(folder)
    statistics = read_json(norm)
    members = tuple(
        read_member(fold, statistics, norm, norm_folds, f"Fold_{fold}" if len(folds) > 1 else "") for fold in folds
    )
    card = _card(conf, folder, folds, members, norm_folds)
    state_dicts = []
    for fold in folds:
        path = checkpoint_of(folder, fold)
        state_dict = read_state_dict(path)
        build_module(card, state_dict, path)
        state_dicts.append(state_dict)
    return save(out, card, state_dicts)


def checkpoint_of(folder: Path, fold: int) -> Path:
    """Where a release holds the network of a fold."""
    return folder / f"Fold_{fold}" / "model.pth.tar"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object as it was published.

    Raises:
        WeightsError: If there is none.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing. Check the path; see 'sitsinfer models import --help'.") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"Cannot read {path}: {error}. Expected JSON.") from error
    if not isinstance(entries, dict):
        raise WeightsError(f"{path} holds no object. Expected the file as it was published.")
    return entries


def _folds_of(folder: Path) -> list[int]:
    folds = [fold for fold in FOLDS if (folder / f"Fold_{fold}").is_dir()]
    if not folds:
        raise WeightsError(f"{folder} has no folder Fold_1 to Fold_5. Give the folder that holds them and conf.json.")
    return folds


def read_member(
    fold: int, statistics: Mapping[str, Any], path: Path, norm_folds: Literal["train", "test"], name: str = ""
) -> Member:
    """Tell what normalises the input of one fold's network: the plain mean over the folds chosen, as reflectance.

    Args:
        fold: Which, 1 to 5.
        statistics: What ``path`` holds.
        path: ``NORM_S2_patch.json``, for errors.
        norm_folds: As for :func:`import_utae`.
        name: Of the member.

    Raises:
        WeightsError: If there is no such fold, or the statistics lack it.
    """
    if fold not in FOLDS:
        raise WeightsError(f"There is no fold {fold}. Choose one from 1 to 5.")
    # Network k was trained on folds k, k+1, k+2, validated on k+3 and tested on k+4, counted in a circle.
    chosen = [f"Fold_{(fold - 1 + step) % 5 + 1}" for step in ((0, 1, 2) if norm_folds == "train" else (4,))]
    columns = {}
    for key in ("mean", "std"):
        try:
            rows = [[float(value) for value in statistics[entry][key]] for entry in chosen]
            columns[key] = tuple(sum(values) / len(rows) * SCALE for values in zip(*rows, strict=True))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{path} lacks {key} of {', '.join(chosen)}. Expected NORM_S2_patch.json as published with PASTIS."
            ) from error
    return Member(name, columns["mean"], columns["std"])


def _card(
    conf: Mapping[str, Any],
    folder: Path,
    folds: Sequence[int],
    members: tuple[Member, ...],
    norm_folds: Literal["train", "test"],
) -> Card:
    architecture, hyperparameters = _network(conf, folder / "conf.json")
    name = f"{conf['model']}-pastis-fold-{folds[0]}" if len(folds) == 1 else f"{conf['model']}-pastis"
    listed = ", ".join(str(fold) for fold in folds)
    return make_card(
        conf,
        folder,
        folds,
        name=name,
        title=f"{conf['model']} trained on PASTIS, fold {listed}" + (", scores averaged" if len(folds) > 1 else ""),
        description=(
            f"Crop types of France from a year of Sentinel-2 (September to November of the next year), 10 m. Input is "
            f"normalised by the statistics of the {norm_folds} folds. Void label (19) marks parcels cut by the border "
            f"of a training patch; it is no land cover and is never predicted."
        ),
        architecture=architecture,
        hyperparameters=hyperparameters,
        task="segment",
        margin=4,
        blend=4,
        members=members,
        ignore=(VOID,),
    )


def make_card(conf: Mapping[str, Any], folder: Path, folds: Sequence[int], **entries: Any) -> Card:
    """Make a card of what all releases share, and of what is theirs.

    Args:
        conf: What ``conf.json`` holds.
        folder: The release.
        folds: Whose networks the model holds.
        **entries: The other fields of the card.

    Raises:
        WeightsError: If the reference date is missing, or the fields do not fit each other.
    """
    return Card(
        sensor="sentinel-2",
        bands=BANDS,
        scale=SCALE,
        offset=0.0,
        positions="days",
        reference_date=_reference_date(conf, folder / "conf.json"),
        patch=128,
        fill="reflect",
        classes=CLASSES,
        licence="See the release",
        citation=(
            "V. Sainte Fare Garnot and L. Landrieu, Panoptic Segmentation of Satellite Image Time Series with "
            "Convolutional Temporal Attention Networks, ICCV 2021"
        ),
        source=f"Published checkpoint, {', '.join(f'Fold_{fold}/model.pth.tar' for fold in folds)}",
        digest="0" * 64,
        **entries,
    )


def _network(conf: Mapping[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """Our architecture and its hyper-parameters."""
    model = conf.get("model")
    if model != "utae" and model not in _COMPETITORS:
        raise WeightsError(
            f"{path} is of a model '{model}'. Expected a semantic release: utae, {', '.join(_COMPETITORS)}."
        )
    return network_options(model, conf, path)


def network_options(model: str, conf: Mapping[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """Tell what a model of the paper is here.

    Args:
        model: Its name in the published code; one that is known here.
        conf: What ``conf.json`` holds.
        path: That file, for errors.

    Returns:
        Our architecture and its hyper-parameters.

    Raises:
        WeightsError: If an option is missing, or the model was trained on other classes or on single dates.
    """
    if conf.get("num_classes") != len(CLASSES):
        raise WeightsError(f"{path} has {conf.get('num_classes')} classes. Expected the {len(CLASSES)} of PASTIS.")
    if conf.get("mono_date"):
        raise WeightsError(f"{path} is of a model trained on single dates. Choose one trained on time series.")
    if model != "utae":
        architecture, fixed = _COMPETITORS[model]
        return architecture, {**fixed, "pad_value": conf.get("pad_value", 0)}
    return "utae", {"input_dim": len(BANDS), **read_options(conf, _UTAE_OPTIONS, path)}


def read_options(conf: Mapping[str, Any], names: Sequence[str], path: Path) -> dict[str, Any]:
    """Read options of the training script.

    Raises:
        WeightsError: If one is missing.
    """
    if missing := [name for name in names if name not in conf]:
        raise WeightsError(f"{path} lacks the option '{missing[0]}'. Expected the file as it was published.")
    return {name: conf[name] for name in names}


def _reference_date(conf: Mapping[str, Any], path: Path) -> datetime.date:
    try:
        return datetime.date.fromisoformat(conf["ref_date"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has no 'ref_date' such as 2018-09-01. Expected the file as published.") from error
