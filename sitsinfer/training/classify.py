"""Train a classifier of parcels, from series and layers of labelled parcels to a model folder for ``classify``.

V. Sainte Fare Garnot, L. Landrieu, S. Giordano and N. Chehata, "Satellite Image Time Series Classification with
Pixel-Set Encoders and Temporal Self-Attention", CVPR 2020. As there, the pixels of a parcel are put on fixed days by
interpolation, and shown with a little noise. Each time a parcel is shown, it is by another half of its pixels.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sitsinfer.errors import TrainingError
from sitsinfer.grid import Window, whole
from sitsinfer.layers import ClassInfo
from sitsinfer.models.parcel_classifiers import ParcelClassifier
from sitsinfer.series import Series, open_series, read_stack
from sitsinfer.series.labels import UNLABELLED, make_class, read_legend
from sitsinfer.series.parcels import open_parcels
from sitsinfer.series.types import listing
from sitsinfer.sets import ParcelIndex
from sitsinfer.sets.cut import cut_sets
from sitsinfer.sets.gather import PixelSets, join
from sitsinfer.training import loop
from sitsinfer.training.card import draft_entries
from sitsinfer.training.ensemble import EnsembleCourse, EnsembleOptions, make_members
from sitsinfer.training.presets import PRESETS, check_architecture, with_classes
from sitsinfer.weights import ParcelCard

_PRESET = PRESETS["classify"]["pse-ltae"]
LABEL_COLUMNS = ("class_code", "class_name")
"""Where classes are looked for if nothing else is said."""
_STRIP = 256  # rows that are read at a time
_JITTER, _MOST_JITTER = 0.01, 0.05  # standard deviation of the noise and its bound, of normalised values; as published


@dataclass(frozen=True, kw_only=True)
class Options(EnsembleOptions):
    """How to train.

    Attributes:
        label_column: The column of the layers that holds the classes: codes, or names. If None it is the first of
            :data:`LABEL_COLUMNS` that a layer has.
        legend: A raster whose tags and colour table say what the codes stand for; None: names and colours are made up.
        reference_date: Day 0 of the days that the model takes; None for the first date of the first series.
        days: How many days the model takes, spread evenly over the first series.
        pixels: Most pixels of a parcel that are used; those of larger parcels are sampled.
    """

    name: str = "my-pse-ltae"
    architecture: str = _PRESET[0]
    hyperparameters: Mapping[str, Any] = field(default_factory=lambda: _PRESET[1])
    label_column: str | None = None
    legend: Path | None = None
    reference_date: datetime.date | None = None
    days: int = 24
    pixels: int = 64
    batch_size: int = 128
    steps: int = 3000
    rate: float = 2e-3
    weight_decay: float = 0.01
    block: int = 64

    def __post_init__(self) -> None:
        """Check what the command line cannot.

        Raises:
            TrainingError: If an option is impossible.
        """
        super().__post_init__()
        check_architecture("classify", self.architecture)


@dataclass(frozen=True, eq=False)
class Parcels:
    """Labelled parcels of a scene, in memory.

    Attributes:
        series: The series, with the bands to use.
        labels: Their classes, codes or names, (P,).
        sets: Their pixels, as reflectance on the days of the model.
        features: Their geometric features, (P, 4).
        rows: Where they lie in the grid of the series: the mean of their pixels, (P,).
        cols: Likewise.
    """

    series: Series
    labels: list[int | str]
    sets: PixelSets
    features: NDArray[np.float64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]

    def digest(self) -> str:
        """A sha256 over all that training and validation see."""
        content = hashlib.sha256(repr((self.labels, self.sets.counts.tolist())).encode())
        for values in (self.sets.values, self.features, self.rows, self.cols):
            content.update(np.ascontiguousarray(values).data)
        return content.hexdigest()


def train_classify(
    pairs: Sequence[tuple[Path, Path]],
    out: Path,
    options: Options,
    *,
    overwrite: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> ParcelCard:
    """Train on labelled parcels and write the model of the best validation score, as :func:`~loop.train` does.

    Args:
        pairs: Series and their layers of parcels.
        out: Model folder to write.
        options: How to train. Parcels of the ignored label, or without any, teach nothing.
        overwrite: Replace ``out`` if it is there, and begin anew.
        progress: Called after each step, with the number of steps done and the loss.

    Returns:
        The card of the model.

    Raises:
        SeriesError: If a series or a layer cannot be used.
        TrainingError: If labels, options or a checkpoint do not fit, or there is nothing to validate on.
        OutputError: If ``out`` exists, or cannot be written.
    """
    return loop.train(lambda: _Course(*_prepare(pairs, options), options), out, overwrite=overwrite, progress=progress)


def _prepare(pairs: Sequence[tuple[Path, Path]], options: Options) -> tuple[list[Parcels], ParcelCard]:
    """Read parcels, and write the card of what will be trained on them."""
    first = open_series(pairs[0][0]).select(bands=options.bands)
    card = _draft_card(options, first)
    scenes = [load_parcels(ts, layer, options, card) for ts, layer in pairs]
    legend = _legend({label for scene in scenes for label in scene.labels}, options)
    features = np.concatenate([scene.features for scene in scenes])
    parcels = sum(len(scene.labels) for scene in scenes)
    told = (
        f"{parcels} parcels of {len(scenes)} series, on {options.days} days, by at most {options.pixels} pixels each. "
        f"{options.kept_apart}"
    )
    card = replace(
        card,
        **draft_entries(options, first, told, "classify", legend, _sized(options, card, len(legend))),
        members=make_members(options.members, *_statistics(scenes)),
        geometry_mean=tuple(features.mean(axis=0).tolist()),
        geometry_std=tuple(_spread(features).tolist()),
    )
    return scenes, card


def _draft_card(options: Options, series: Series) -> ParcelCard:
    """A card that says which days and bands are wanted, before anything of parcels is known."""
    reference = options.reference_date or series.dates[0]
    first, last = (max(0, (date - reference).days) for date in (series.dates[0], series.dates[-1]))
    days = np.linspace(first, last, options.days).round().astype(int)
    if (np.diff(days) <= 0).any():
        raise TrainingError(
            f"From {reference} on there are {last - first + 1} days of {series.root}, too few for {options.days}. Ask "
            f"for fewer days, or give another reference date."
        )
    nothing = (ClassInfo(0, "", (0, 0, 0)),)
    return ParcelCard(
        **draft_entries(options, series, "", "classify", nothing, {}),
        task="classify",
        reference_date=reference,
        days=tuple(days.tolist()),
        pixels=options.pixels,
        members=make_members(1, np.zeros(len(series.bands)), np.ones(len(series.bands))),
        geometry_mean=(),
        geometry_std=(),
        ignore=(),
    )


def _sized(options: Options, card: ParcelCard, classes: int) -> dict[str, Any]:
    """Hyper-parameters for the bands and days of a card and a number of classes."""
    sized = with_classes(options.hyperparameters, classes, "mlp4")
    widths = sized.get("mlp1", [0, 32, 64])
    dates: dict[str, Any] = {
        "pse_tempcnn": {"seq_len": len(card.days)},
        "pse_gru": {},
    }.get(  # these two know dates by their order alone
        options.architecture, {"len_max_seq": len(card.days), "positions": list(card.days)}
    )
    return {
        **sized,
        **dates,
        "input_dim": len(card.bands),
        "mlp1": [len(card.bands), *widths[1:]],
        "with_extra": sized.get("with_extra", True),  # said, for the card
    }


def load_parcels(ts: Path, path: Path, options: Options, card: ParcelCard) -> Parcels:
    """Read the pixels of labelled parcels into memory, strip by strip.

    Args:
        ts: The series.
        path: The layer of parcels.
        options: Says which column holds classes, and which code is no label.
        card: Says which bands and days are wanted, and of how many pixels.

    Raises:
        SeriesError: If the series or the layer cannot be used.
        TrainingError: If no parcel has a label and a pixel that was ever clear.
    """
    series = open_series(ts)
    origin = card.origin(series.dates)
    start, end = card.reach(origin)
    series = series.select(bands=card.bands, start=start, end=end)
    labels = _read_labels(path, options)
    layer = open_parcels(path)
    with TemporaryDirectory() as folder:
        index = ParcelIndex.build(Path(folder) / "parcels.sqlite", layer, series.grid, options.pixels)
        sets = _read_sets(series, index, origin, card)
        sets = sets.select(np.array([labels[number] is not None for number in sets.parcels]) & (sets.counts > 0))
        if not len(sets):
            raise TrainingError(f"{path} has no parcel with a label that the series saw. Give parcels of its place.")
        rows, cols = _places(index, whole(series.grid), sets.parcels)
        features = index.facts(sets.parcels).features
    known = [label for number in sets.parcels if (label := labels[number]) is not None]
    return Parcels(series, known, sets, features, rows, cols)


def _read_labels(path: Path, options: Options) -> list[int | str | None]:
    """The class of every parcel of a layer, in its order; None where it teaches nothing."""
    column = options.label_column or _label_column(path)
    layer = open_parcels(path, column)
    found: list[int | str | None] = []
    for batch in layer.batches():
        for value in batch.identifiers.to_pylist():
            code = int(value) if isinstance(value, float) and value.is_integer() else value
            if code is not None and not (isinstance(code, str) or (isinstance(code, int) and 0 <= code < UNLABELLED)):
                raise TrainingError(
                    f"Column '{column}' of {path} holds {value!r}. Expected class codes from 0 to 254, or names."
                )
            found.append(None if code in ("", options.ignore_label) else code)
    return found


def _label_column(path: Path) -> str:
    """The column that holds the classes of a layer, where none is given."""
    columns = open_parcels(path).columns
    for name in LABEL_COLUMNS:
        if name in columns:
            return name
    raise TrainingError(
        f"{path} has no column {' or '.join(LABEL_COLUMNS)}, but {listing(columns, 14) if columns else 'none'}. Set "
        f"label_column to the one of classes."
    )


def _read_sets(series: Series, index: ParcelIndex, origin: datetime.date, card: ParcelCard) -> PixelSets:
    """Pixels of all parcels on the days of the card."""
    extent = whole(series.grid)
    days = np.array([(date - origin).days for date in series.dates], np.int64)
    pieces = []
    for row in range(0, extent.height, _STRIP):
        strip = Window(row, 0, min(_STRIP, extent.height - row), extent.width)
        samples = index.within(strip)
        if len(samples):
            stack = read_stack(series, strip, series.grid)
            pieces.append(cut_sets(samples, stack, strip, days, np.array(card.days)))
    if not pieces:
        raise TrainingError(f"No parcel covers a pixel of {series.root}. Give parcels of its place.")
    return join(pieces)


def _places(
    index: ParcelIndex, extent: Window, parcels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the mean of the sampled pixels of each of some parcels, (P,)."""
    samples = index.within(extent)
    counts = np.bincount(samples.parcels, minlength=index.count)[parcels]
    rows, cols = (
        np.bincount(samples.parcels, weights=places, minlength=index.count)[parcels] // counts
        for places in (samples.rows, samples.cols)
    )
    return rows.astype(np.int64), cols.astype(np.int64)


def _legend(labels: set[int | str], options: Options) -> tuple[ClassInfo, ...]:
    """What the classes are called and look like, in the order of their codes."""
    known = {} if options.legend is None else read_legend(options.legend)
    if len(labels) < 2:
        raise TrainingError(f"The parcels have {len(labels)} class. Expected two or more to tell apart.")
    codes = sorted(label for label in labels if isinstance(label, int))
    names = sorted(label for label in labels if isinstance(label, str))
    if codes and names:
        raise TrainingError("Some layers have codes of classes and others names. Give one or the other.")
    by_name = {entry.name: entry for entry in known.values()}
    unknown = [name for name in names if name not in by_name]
    free = [code for code in range(UNLABELLED) if code not in known]
    if len(unknown) > len(free):
        raise TrainingError(
            f"The parcels have {len(names)} names of classes, such as {listing(names[:3])}, and codes suffice for "
            f"{len(names) - len(unknown) + len(free)}. Set label_column to the one of classes."
        )
    by_name |= {name: replace(make_class(code), name=name) for name, code in zip(unknown, free, strict=False)}
    return (*(known.get(code) or make_class(code) for code in codes), *(by_name[name] for name in names))


def _statistics(scenes: Sequence[Parcels]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the reflectance of each band, on the days of the model."""
    pixels = [scene.sets.values.reshape(-1, scene.sets.values.shape[2]) for scene in scenes]
    count = sum(len(values) for values in pixels)
    mean = np.sum([values.sum(axis=0, dtype=np.float64) for values in pixels], axis=0) / count
    std = np.sqrt(np.sum([((values - mean) ** 2).sum(axis=0) for values in pixels], axis=0) / count)
    if not (std > 0).all():
        raise TrainingError("A band has the same value everywhere. Leave it out.")
    return mean, std


def _spread(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation (n - 1) of features (P, 4); 1 where there are not two different values."""
    std = features.std(axis=0, ddof=1) if len(features) > 1 else np.zeros(features.shape[1])
    return np.where(std > 0, std, 1.0)


class _Course(EnsembleCourse):
    """Classes of parcels."""

    at_once = 1024
    card: ParcelCard
    options: Options

    def __init__(self, scenes: Sequence[Parcels], card: ParcelCard, options: Options) -> None:
        index: dict[int | str, int] = {}
        for channel, entry in enumerate(card.classes):
            index |= {entry.code: channel, entry.name: channel}
        channels = np.array([index[label] for scene in scenes for label in scene.labels], np.int64)
        super().__init__(card, options, channels, [(scene.rows, scene.cols) for scene in scenes])
        self.fingerprint = " ".join(scene.digest() for scene in scenes)
        self._fill(scenes)

    def _fill(self, scenes: Sequence[Parcels]) -> None:
        """Put the normalised pixels, (N, T, C), and features, (P, 4), of all scenes together."""
        member = self.card.members[0]
        self.values = np.concatenate([scene.sets.values for scene in scenes])
        self.values -= np.array(member.mean, np.float32)
        self.values /= np.array(member.std, np.float32)
        self.counts = np.concatenate([scene.sets.counts for scene in scenes]).astype(np.int64)
        self.starts = np.cumsum(self.counts) - self.counts
        features = np.concatenate([scene.features for scene in scenes]) - np.array(self.card.geometry_mean)
        self.features = (features / np.array(self.card.geometry_std)).astype(np.float32)

    def show(self, network: nn.Module, samples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Scores (B, K) of some parcels, by half of their pixels and with noise."""
        pixels, mask = self._draw_pixels(samples, rng)
        features = self._features_of(samples)
        extra = None if features is None else features[:, None].expand(-1, pixels.shape[1], -1)  # (B, T, F)
        scores: Tensor = network(pixels, mask, extra)
        return scores

    def score(self, network: nn.Module, samples: NDArray[np.int64]) -> Tensor:
        """Scores (B, K) of some parcels, by all pixels that are used."""
        ends = self.starts + self.counts
        pixels = np.concatenate([self.values[self.starts[parcel] : ends[parcel]] for parcel in samples])
        counts = torch.from_numpy(self.counts[samples]).to(self.device)
        sets = torch.from_numpy(pixels).to(self.device)
        return cast(ParcelClassifier, network).score_sets(sets, counts, self._features_of(samples))

    def _draw_pixels(self, parcels: NDArray[np.int64], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Choose pixels of some parcels, as many as half of those that are used at most, and add noise.

        Returns:
            Values (B, T, C, S), and 1 where a pixel is one of the set, 0 where it fills up, (B, T, S).
        """
        counts, shown = self.counts[parcels, None], -(-self.options.pixels // 2)
        order = rng.random((len(parcels), self.options.pixels))
        order[np.arange(self.options.pixels) >= counts] = 2  # beyond the pixels of the parcel
        at = np.argsort(order, axis=1)[:, :shown]
        mask = np.arange(at.shape[1]) < counts
        at = np.where(mask, at, at[:, :1])
        x = torch.from_numpy(self.values[self.starts[parcels, None] + at]).to(self.device)  # (B, S, T, C)
        x = x + (torch.randn_like(x) * _JITTER).clamp(-_MOST_JITTER, _MOST_JITTER)
        valid = torch.from_numpy(mask.astype(np.float32)).to(self.device)
        return x.permute(0, 2, 3, 1), valid[:, None].expand(-1, x.shape[2], -1)

    def _features_of(self, parcels: NDArray[np.int64]) -> Tensor | None:
        return torch.from_numpy(self.features[parcels]).to(self.device) if self.card.takes_geometry else None

    def finish(self, best: Mapping[str, Tensor]) -> ParcelCard:
        """The card as it is."""
        return self.card
