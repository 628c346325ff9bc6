"""Import of classifiers of parcels as they were published: a pixel-set encoder with L-TAE, TAE, GRU or TempCNN.

A release is a folder with ``Fold_k/model.pth.tar``, each a serialised dict with the key ``state_dict``, and at best
``conf.json``, all options of the training script. Both that were published were trained on parcels of the Sentinel-2
tile T31TFM in 2017. What is not in them is known as follows.

- Bands: the ten of 10 m and 20 m, in the order of their numbers. The first batch norm of the published folds bears this
  out: the correlations between bands that follow from it (see :func:`sitsinfer.weights.pse_tensors.spread_seen`) are
  those of farmland in this order, within 0.05; to exchange any two bands fits worse, but for B07, B08 and B8A among
  themselves, which are too alike to tell.
- Classes: 20 labels of the nomenclature ``label_44class``, in rising order. Their names are those that M. Schneider
  and M. Körner, [Re] Satellite Image Time Series Classification with Pixel-Set Encoders and Temporal Self-Attention,
  ReScience C 2021, had from the authors.
- Dates: days since the first date, from the table of positions in the weights. The first date is not in them.
- Statistics that normalised the data: only how far the result spread (see :func:`as_trained`).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sitsinfer.errors import WeightsError
from sitsinfer.layers import ClassInfo
from sitsinfer.weights import pse_tensors
from sitsinfer.weights.card import Member
from sitsinfer.weights.checkpoint import read_state_dict
from sitsinfer.weights.folder import build_module, save
from sitsinfer.weights.parcel_card import ParcelCard
from sitsinfer.weights.release import BANDS, SCALE, checkpoint_of, read_json
from sitsinfer.weights.statistics import Statistics

if TYPE_CHECKING:
    from torch import Tensor

FIRST_DATE = datetime.date(2017, 1, 5)
"""Day 0 of the published data, as far as is known: their dates run from January to October 2017."""

CLASSES = (
    ClassInfo(1, "Meadow", (148, 199, 106)),
    ClassInfo(3, "Winter durum wheat", (224, 150, 60)),
    ClassInfo(4, "Spring cereal", (214, 188, 132)),
    ClassInfo(5, "Summer cereal", (255, 127, 14)),
    ClassInfo(6, "Winter cereal", (240, 200, 70)),
    ClassInfo(8, "Sorghum, millet, moha", (110, 60, 40)),
    ClassInfo(9, "Cereal", (190, 180, 110)),
    ClassInfo(12, "Leguminous fodder", (60, 160, 140)),
    ClassInfo(13, "Other fodder", (120, 190, 170)),
    ClassInfo(14, "Winter rapeseed", (250, 240, 60)),
    ClassInfo(16, "Sunflower", (190, 110, 20)),
    ClassInfo(18, "Soy", (90, 130, 40)),
    ClassInfo(19, "Protein crop", (150, 140, 80)),
    ClassInfo(23, "Potato", (160, 100, 70)),
    ClassInfo(28, "Fruits, vegetables, flowers", (220, 40, 50)),
    ClassInfo(31, "Ligneous", (70, 120, 80)),
    ClassInfo(33, "Orchards", (40, 100, 60)),
    ClassInfo(34, "Grapevine", (122, 40, 120)),
    ClassInfo(36, "Non-agricultural surface", (150, 150, 150)),
    ClassInfo(39, "Wood", (20, 70, 30)),
)

_PIXELS = 64

_TITLES = {"pse_ltae": "PSE+L-TAE", "pse_tae": "PSE+TAE", "pse_gru": "PSE+GRU", "pse_tempcnn": "PSE+TempCNN"}

_LTAE = (
    "V. Sainte Fare Garnot and L. Landrieu, Lightweight Temporal Self-Attention for Classifying Satellite Images Time "
    "Series, AALTD 2020"
)
_TAE = (
    "V. Sainte Fare Garnot, L. Landrieu, S. Giordano and N. Chehata, Satellite Image Time Series Classification with "
    "Pixel-Set Encoders and Temporal Self-Attention, CVPR 2020"
)

_FLAGS = {"tae": "pse_tae", "gru": "pse_gru", "tcnn": "pse_tempcnn"}
"""Switches in ``conf.json`` that choose another encoder than L-TAE."""

_NOT_IN_TENSORS = ("pooling", "T", "dropout")
"""Options that no shape tells."""

_RENAMED = {"len_max_seq": "lms", "with_extra": "geomfeat"}
"""Hyper-parameters that ``conf.json`` has under another name."""


@dataclass(frozen=True)
class PixelSetRelease:
    """A published release of classifiers of parcels, read and understood.

    Attributes:
        folder: Where it lies.
        folds: Whose networks are taken, in order.
        state_dicts: Their tensors, in the same order.
        architecture: A name that :func:`sitsinfer.models.build` knows.
        hyperparameters: What the networks are built with, in full.
        days: The dates that they take, as days since the first, (T,).
        pixels: How many pixels of a parcel they saw at most.
        spread: How far the normalised values of each band spread in training, (C,), where the weights tell it.
    """

    folder: Path
    folds: tuple[int, ...]
    state_dicts: tuple[Mapping[str, Tensor], ...]
    architecture: str
    hyperparameters: dict[str, Any]
    days: tuple[int, ...]
    pixels: int
    spread: tuple[float, ...] | None

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that go in, in order."""
        return BANDS


def read_pse(folder: Path, folds: Sequence[int] = (), days: Sequence[int] = ()) -> PixelSetRelease:
    """Read a published release of classifiers of parcels.

    Args:
        folder: The release, with ``Fold_k/model.pth.tar`` and, where it is there, ``conf.json``.
        folds: Which folds; none: all that are there.
        days: Days since the first date, where the weights do not tell them.

    Raises:
        WeightsError: If a file is missing or is not what it should be, options and weights contradict each other, or
            days are neither told by the weights nor given.
    """
    there = _folds_of(folder)
    folds = tuple(folds) or there
    read = {fold: read_state_dict(checkpoint_of(folder, fold)) for fold in {*there, *folds}}
    path = checkpoint_of(folder, folds[0])
    architecture = pse_tensors.architecture_of(read[folds[0]], path)
    conf_path = folder / "conf.json"
    conf = read_json(conf_path) if conf_path.exists() else {}
    hyperparameters = pse_tensors.hyperparameters_of(
        read[folds[0]], architecture, path, {name: conf[name] for name in _NOT_IN_TENSORS if name in conf}
    )
    _check_options(conf, architecture, hyperparameters, conf_path)
    _check_sizes(hyperparameters, path)
    return PixelSetRelease(
        folder,
        folds,
        tuple(read[fold] for fold in folds),
        architecture,
        hyperparameters,
        _days(hyperparameters, days, path),
        conf.get("npixel", _PIXELS),
        _spread(list(read.values())),
    )


def _folds_of(folder: Path) -> tuple[int, ...]:
    names = [path.parent.name.removeprefix("Fold_") for path in folder.glob("Fold_*/model.pth.tar")]
    if not (folds := sorted(int(name) for name in names if name.isdecimal())):
        raise WeightsError(f"{folder} has no Fold_1/model.pth.tar or the like. Give the folder that holds Fold_1.")
    return tuple(folds)


def _check_options(conf: Mapping[str, Any], architecture: str, hyperparameters: Mapping[str, Any], path: Path) -> None:
    """See that options say what the weights say.

    Raises:
        WeightsError: If one does not.
    """
    told = next((encoder for flag, encoder in _FLAGS.items() if conf.get(flag)), "pse_ltae")
    if any(flag in conf for flag in _FLAGS) and told != architecture:
        raise WeightsError(
            f"{path} is of {_TITLES[told]} but the weights are of {_TITLES[architecture]}. Put together what belongs "
            f"together."
        )
    for name, found in hyperparameters.items():
        option = _RENAMED.get(name, name)
        if name == "positions" or option not in conf:  # conf.json has no positions, but how they were made
            continue
        if conf[option] != found:
            raise WeightsError(
                f"{path} has {option} {conf[option]} but the weights have {found}. Put together what belongs together."
            )


def _check_sizes(hyperparameters: Mapping[str, Any], path: Path) -> None:
    for expected, found, what in (
        (len(BANDS), hyperparameters["input_dim"], "bands"),
        (len(CLASSES), hyperparameters["mlp4"][-1], "classes"),
    ):
        if expected != found:
            raise WeightsError(f"{path} has {found} {what}. Expected the {expected} of the published data.")


def _days(hyperparameters: Mapping[str, Any], given: Sequence[int], path: Path) -> tuple[int, ...]:
    """The dates that the network takes: what its table of positions holds, or what is given."""
    told = hyperparameters["positions"]
    if told is not None and "len_max_seq" not in hyperparameters:
        told = told[1:]  # encoders other than by attention skip the first row of their table
    if told is not None and given and list(given) != told:
        raise WeightsError(f"{path} was trained on days {', '.join(map(str, told))}. Leave days out, or give these.")
    if told is None and not given:
        raise WeightsError(
            f"{path} does not tell the days that it was trained on. Set days to them, counted from the first, such as "
            f"0,10,40."
        )
    taken = hyperparameters.get("len_max_seq", hyperparameters.get("seq_len", len(given)))
    if told is None and len(given) != taken:
        raise WeightsError(f"days has {len(given)} days but {path} takes {taken} dates. Give one day a date.")
    return tuple(given if told is None else told)


def _spread(folds: Sequence[Mapping[str, Tensor]]) -> tuple[float, ...] | None:
    """The spread that all folds of a release tell together, imported or not."""
    try:
        spread = pse_tensors.spread_seen(folds)
    except (KeyError, ValueError):  # folds that do not fit each other, of which those not imported may be anything
        return None
    return None if spread is None else tuple(spread.tolist())


def import_pse(
    release: PixelSetRelease, statistics: Statistics, out: Path, *, reference_date: datetime.date = FIRST_DATE
) -> ParcelCard:
    """Turn a published release of classifiers of parcels into a model folder.

    Args:
        release: As :func:`read_pse` gives it.
        statistics: What normalises the input; no release holds it.
        out: The model folder to write.
        reference_date: Day 0 of the release's days.

    Returns:
        The card as written. Geometric features are standardised over the layer that is classified, as published.

    Raises:
        WeightsError: If the weights do not fit the architecture.
        OutputError: If ``out`` cannot be written.
    """
    card = _card(release, statistics, reference_date)
    for fold, state_dict in zip(release.folds, release.state_dicts, strict=True):
        build_module(card, state_dict, checkpoint_of(release.folder, fold))
    return save(out, card, release.state_dicts)


def as_trained(release: PixelSetRelease, statistics: Statistics) -> Statistics:
    """Make values that are normalised by statistics of their own spread as far as those that networks were trained on.

    Published networks were not trained on values of unit variance. What these were divided by is not published, but how
    far they spread is in the weights.

    Args:
        release: Where the weights tell it; where they do not, statistics stay as they are.
        statistics: Of the series that the networks are to be used on.
    """
    if release.spread is None:
        return statistics
    return Statistics(
        statistics.mean, statistics.std / np.array(release.spread), f"{statistics.origin}, spread as in training"
    )


def _card(release: PixelSetRelease, statistics: Statistics, reference_date: datetime.date) -> ParcelCard:
    folds, title = release.folds, _TITLES[release.architecture]
    listed = ", ".join(str(fold) for fold in folds)
    suffix = f"-fold-{listed}" if len(folds) == 1 else ""
    mean, std = (tuple(values.ravel().tolist()) for values in (statistics.mean, statistics.std))
    return ParcelCard(
        name=f"{release.architecture.replace('_', '-')}-t31tfm{suffix}",
        title=f"{title} trained on parcels of 2017, fold {listed}"
        + (", log-probabilities averaged" * (len(folds) > 1)),
        description=(
            f"Crops of parcels in the east of France (Sentinel-2 tile T31TFM), January to October 2017, 10 m. Input is "
            f"normalised by {statistics.origin}. The published weights do not tell the first date, nor the names of "
            f"bands and classes: these are as far as is known."
        ),
        architecture=release.architecture,
        hyperparameters=release.hyperparameters,
        task="classify",
        sensor="sentinel-2",
        bands=release.bands,
        scale=SCALE,
        offset=0.0,
        reference_date=reference_date,
        days=release.days,
        pixels=release.pixels,
        members=tuple(Member(f"Fold_{fold}" if len(folds) > 1 else "", mean, std) for fold in folds),
        geometry_mean=(),
        geometry_std=(),
        classes=CLASSES,
        ignore=(),
        licence="See the release",
        citation=_TAE if release.architecture == "pse_tae" else _LTAE,
        source=f"Published checkpoint, {', '.join(f'Fold_{fold}/model.pth.tar' for fold in folds)}",
        digest="0" * 64,
    )
