"""Train a classifier of single pixels, from labelled series to a model folder for ``segment``.

V. Sainte Fare Garnot and L. Landrieu, "Lightweight Temporal Self-Attention for Classifying Satellite Images Time
Series", 2020, applied to the series of every pixel. Each time a pixel is shown, it is by another choice of its own
dates, so that what is learned suits series of any dates.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sitsinfer.errors import TrainingError
from sitsinfer.grid import Window, whole
from sitsinfer.layers import ClassInfo
from sitsinfer.series import Series, Stack, open_series, read_stack
from sitsinfer.series.labels import UNLABELLED, read_labels
from sitsinfer.training import loop
from sitsinfer.training.card import DAY_ZERO, draft_entries
from sitsinfer.training.ensemble import EnsembleCourse, EnsembleOptions, make_members
from sitsinfer.training.presets import PRESETS, check_architecture
from sitsinfer.weights import Card

_PRESET = PRESETS["pixels"]["pixel-ltae"]
_STRIP = 128  # rows that are read at a time


@dataclass(frozen=True, kw_only=True)
class Options(EnsembleOptions):
    """How to train.

    Attributes:
        positions: What dates are to the network; None for days of the year.
        reference_date: Day 0 of ``days``; None for that of PASTIS.
        patch: Height and width of the patches in which pixels are mapped; nothing depends on it but speed.
        dates: Fewest and most dates of a pixel; each step draws a number between.
        pixels: Most pixels of a class that are taken of a scene, at random, of those that were ever clear.
        cloudy: Share of pixels that are shown with what masks leave out, so that the network learns not to look there.
    """

    name: str = "my-pixel-ltae"
    architecture: str = _PRESET[0]
    hyperparameters: Mapping[str, Any] = field(default_factory=lambda: _PRESET[1])
    positions: Literal["days", "day-of-year"] | None = None
    reference_date: datetime.date | None = None
    patch: int = 128
    dates: tuple[int, int] = (12, 48)
    pixels: int = 2000
    cloudy: float = 0.0
    batch_size: int = 256
    steps: int = 2000
    rate: float = 3e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        """Check what the command line cannot.

        Raises:
            TrainingError: If an option is impossible.
        """
        super().__post_init__()
        check_architecture("pixels", self.architecture)
        loop.check_dates(self.dates)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Labelled pixels of a scene that were ever clear, in memory.

    Attributes:
        series: The series, with the bands to use.
        classes: What the codes of the labels stand for.
        labels: Class codes, (N,).
        rows: Where the pixels lie in the grid of the series, (N,).
        cols: Likewise.
        reflectance: (N, T, C), 0 where nothing was observed.
        observed: Where the series has data, (N, T).
        clear: Where it does, and no mask says otherwise, (N, T); at one date at least.
    """

    series: Series
    classes: tuple[ClassInfo, ...]
    labels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    reflectance: NDArray[np.float32]
    observed: NDArray[np.bool_]
    clear: NDArray[np.bool_]

    def digest(self) -> str:
        """A sha256 over all that training and validation see."""
        content = hashlib.sha256(repr([day.isoformat() for day in self.series.dates]).encode())
        for values in (self.labels, self.rows, self.cols, self.reflectance, self.observed, self.clear):
            content.update(np.ascontiguousarray(values).data)
        return content.hexdigest()


def train_pixels(
    pairs: Sequence[tuple[Path, Path]],
    out: Path,
    options: Options,
    *,
    overwrite: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> Card:
    """Train on labelled pixels and write the model of the best validation score, as :func:`~loop.train` does.

    Args:
        pairs: Series and their rasters of class codes.
        out: Model folder to write.
        options: How to train.
        overwrite: Replace ``out`` if it is there, and begin anew.
        progress: Called after each step, with the number of steps done and the loss.

    Returns:
        The card of the model.

    Raises:
        SeriesError: If a series cannot be used.
        TrainingError: If labels, options or a checkpoint do not fit, or there is nothing to validate on.
        OutputError: If ``out`` exists, or cannot be written.
    """
    return loop.train(lambda: _Course(*_prepare(pairs, options), options), out, overwrite=overwrite, progress=progress)


def load_pixels(ts: Path, labels: Path, options: Options, bands: Sequence[str] | None) -> Pixels:
    """Read labelled pixels of a series into memory, strip by strip.

    Args:
        ts: The series.
        labels: The raster of its class codes.
        options: Says how many pixels of a class, and which code is no label.
        bands: Bands to use; None for all.

    Raises:
        SeriesError: If the series cannot be used.
        TrainingError: If the labels cannot, or none is left.
    """
    series = open_series(ts).select(bands=bands)
    truth = read_labels(labels, series.grid)
    truth.codes[truth.codes == options.ignore_label] = UNLABELLED
    if (truth.codes == UNLABELLED).all():
        raise TrainingError(f"{labels} has no label but the one that is ignored. Give other labels.")
    _, codes, rows, cols, *found = _draw(series, truth.codes, options.pixels, np.random.default_rng(options.seed))
    if not len(codes):
        raise TrainingError(f"No labelled pixel of {ts} was ever clear. Give other labels, or a longer series.")
    return Pixels(series, tuple(entry for entry in truth.classes if entry.code in codes), codes, rows, cols, *found)


def _draw(series: Series, codes: NDArray[np.uint8], most: int, rng: np.random.Generator) -> list[NDArray[Any]]:
    """Draw labelled pixels of those that were ever clear, at most so many of a class.

    Each has a lot, and those of the lowest stay: the series is read but once, and what does not stay is not kept.

    Returns:
        Lots, codes, rows, columns, and what :func:`_series_of` tells, in the order in which the pixels lie.
    """
    drawn: list[NDArray[Any]] = []
    for strip, stack in _strips(series, codes):
        rows, cols = np.nonzero((codes[strip.row : strip.stop_row] != UNLABELLED) & stack.valid.any(axis=0))
        part: list[NDArray[Any]] = [rng.random(len(rows)), codes[rows + strip.row, cols], rows + strip.row, cols]
        stay = _lowest(part[0], part[1], most)
        part = [*(values[stay] for values in part), *_series_of(stack, rows[stay], cols[stay])]
        drawn = [np.concatenate(pair) for pair in zip(drawn, part, strict=True)] if drawn else part
        stay = _lowest(drawn[0], drawn[1], most)
        drawn = [values[stay] for values in drawn]
    return drawn


def _lowest(lots: NDArray[np.float64], codes: NDArray[np.uint8], most: int) -> NDArray[np.intp]:
    """Which have the lowest lots of their class, at most so many of each, in order."""
    classes = (np.flatnonzero(codes == code) for code in np.unique(codes))
    return np.sort(np.concatenate([np.empty(0, np.intp), *(own[np.argsort(lots[own])[:most]] for own in classes)]))


def _strips(series: Series, codes: NDArray[np.uint8]) -> Iterator[tuple[Window, Stack]]:
    """Parts of a series that have labels."""
    extent = whole(series.grid)
    for row in range(0, extent.height, _STRIP):
        strip = Window(row, 0, min(_STRIP, extent.height - row), extent.width)
        if (codes[strip.row : strip.stop_row] != UNLABELLED).any():
            yield strip, read_stack(series, strip, series.grid)


def _series_of(
    stack: Stack, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Reflectance (N, T, C) of pixels of a stack, where they were observed and where they are clear, (N, T)."""
    numbers = stack.values[:, :, rows, cols].transpose(2, 0, 1)
    seen = np.isfinite(numbers) & (numbers != stack.nodata)
    reflectance = numbers.astype(np.float32) * stack.scale[:, None] + stack.offset[:, None]
    reflectance[~seen] = 0
    return reflectance, seen.any(axis=2), stack.valid[:, rows, cols].T


def _prepare(pairs: Sequence[tuple[Path, Path]], options: Options) -> tuple[list[Pixels], Card]:
    """Read pixels, and write the card of what will be trained on them."""
    scenes: list[Pixels] = []
    bands = options.bands
    for ts, labels in pairs:
        scenes.append(load_pixels(ts, labels, options, bands))
        bands = scenes[0].series.bands
    classes = {entry.code: entry for scene in scenes for entry in scene.classes}
    if len(classes) < 2:
        raise TrainingError(f"The labels have {len(classes)} class. Expected two or more to tell apart.")
    series = scenes[0].series
    legend = tuple(classes[code] for code in sorted(classes))
    sizes = {"in_channels": len(series.bands), "n_classes": len(legend)}
    told = (
        f"{sum(len(scene.labels) for scene in scenes)} pixels of {len(scenes)} labelled series, shown by "
        f"{options.dates[0]} to {options.dates[1]} dates. {options.kept_apart}"
    )
    card = Card(
        **draft_entries(options, series, told, "pixels", legend, {**options.hyperparameters, **sizes}),
        task="segment",
        positions=options.positions or "day-of-year",
        reference_date=options.reference_date or DAY_ZERO,
        patch=options.patch,
        margin=0,
        blend=0,
        fill="constant",
        members=make_members(options.members, *_statistics(scenes)),
        ignore=(),
    )
    return scenes, card


def _statistics(scenes: Sequence[Pixels]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the reflectance of each band where it is clear."""
    clear = np.concatenate([scene.reflectance[scene.clear] for scene in scenes])
    std = clear.std(axis=0, dtype=np.float64)
    if not (std > 0).all():
        raise TrainingError("A band has the same value everywhere. Leave it out.")
    return clear.mean(axis=0, dtype=np.float64), std


class _Course(EnsembleCourse):
    """Classes of pixels; scenes of fewer dates than the longest are filled up with dates without an observation."""

    card: Card
    options: Options

    def __init__(self, scenes: Sequence[Pixels], card: Card, options: Options) -> None:
        index = {entry.code: channel for channel, entry in enumerate(card.classes)}
        channels = np.array([index[code] for scene in scenes for code in scene.labels.tolist()], np.int64)
        super().__init__(card, options, channels, [(scene.rows, scene.cols) for scene in scenes])
        self.fingerprint = " ".join(scene.digest() for scene in scenes)
        self._fill(scenes)

    def _fill(self, scenes: Sequence[Pixels]) -> None:
        """Put the normalised series of all scenes together: (N, T, C), and what goes with their dates, (N, T)."""
        dates = max(len(scene.series.dates) for scene in scenes)

        def longer(values: NDArray[Any]) -> NDArray[Any]:
            return np.pad(values, [(0, 0), (0, dates - values.shape[1]), *[(0, 0)] * (values.ndim - 2)])

        mean, std = (np.array(each, np.float32) for each in (self.card.members[0].mean, self.card.members[0].std))
        self.observed = np.concatenate([longer(scene.observed) for scene in scenes])
        self.clear = np.concatenate([longer(scene.clear) for scene in scenes])
        self.values = np.concatenate([longer((scene.reflectance - mean) / std) for scene in scenes])
        self.values[~self.observed] = 0
        positions = [longer(self.card.encode_dates(scene.series.dates)[None]) for scene in scenes]
        self.positions = np.concatenate(
            [np.repeat(row, len(scene.labels), axis=0) for row, scene in zip(positions, scenes, strict=True)]
        )

    def show(self, network: nn.Module, samples: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Scores (B, K) of some pixels, by some of their dates."""
        return self._score(network, samples, *self._draw_dates(samples, rng))

    def score(self, network: nn.Module, samples: NDArray[np.int64]) -> Tensor:
        """Scores (B, K) of some pixels, by all their clear dates."""
        every = np.broadcast_to(np.arange(self.clear.shape[1]), (len(samples), self.clear.shape[1]))
        return self._score(network, samples, every, self.clear[samples])

    def _draw_dates(
        self, pixels: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Choose equally many dates of some pixels, each its own.

        Returns:
            Their dates, (B, T), and whether they can be shown, (B, T): not all where a pixel does not have as many.
        """
        dates = min(int(rng.integers(*self.options.dates, endpoint=True)), self.clear.shape[1])
        cloudy = rng.random((len(pixels), 1)) < self.options.cloudy
        shown = np.where(cloudy, self.observed[pixels], self.clear[pixels])
        order = rng.random(shown.shape) + ~shown  # those that can be shown come first
        at = np.sort(np.argpartition(order, dates - 1, axis=1)[:, :dates], axis=1)
        return at, np.take_along_axis(shown, at, axis=1)

    def _score(
        self, network: nn.Module, pixels: NDArray[np.int64], at: NDArray[np.int64], shown: NDArray[np.bool_]
    ) -> Tensor:
        """Scores (B, K) of pixels by dates (B, T), as far as these are shown."""
        x = torch.from_numpy(self.values[pixels[:, None], at]).to(self.device).permute(1, 2, 0)  # (T, C, B)
        positions = torch.from_numpy(self.positions[pixels[:, None], at]).to(self.device).T
        valid = torch.from_numpy(shown).to(self.device).T
        scores: Tensor = network(x[None, ..., None], positions[None, ..., None], valid[None, ..., None])
        return scores[0, :, :, 0].T

    def finish(self, best: Mapping[str, Tensor]) -> Card:
        """The card as it is."""
        return self.card
