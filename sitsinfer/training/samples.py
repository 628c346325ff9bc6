"""Training samples: random crops of series with their labels, from stacks held in memory."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sitsinfer.batches import Normalisation
from sitsinfer.errors import ModelError, TrainingError
from sitsinfer.grid import Window, whole
from sitsinfer.layers import ClassInfo
from sitsinfer.patches import Patch, cut_patch
from sitsinfer.series import Series, Stack, open_series, read_stack
from sitsinfer.series.labels import UNLABELLED, read_labels
from sitsinfer.training import loop
from sitsinfer.weights import Card, Fill

_GAP = 32  # pixels between what is trained on and what is validated on: parcels should not lie in both
_TRIES = 1000

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class CropOptions(loop.Options):
    """How to train on crops of series.

    Attributes:
        positions: What dates are to the network; None for days of the year.
        reference_date: Day 0 of ``days``; None for that of PASTIS.
        patch: Height and width of patches in validation and mapping, in pixels.
        margin: See :class:`~sitsinfer.weights.Card`.
        fill: Likewise; None for ``reflect``.
        crop: Height and width of training crops, in pixels.
        dates: Fewest and most dates of a crop; each step draws a number between.
    """

    positions: Literal["days", "day-of-year"] | None = None
    reference_date: datetime.date | None = None
    patch: int = 128
    margin: int = 4
    fill: Fill | None = None
    crop: int = 64
    dates: tuple[int, int] = (12, 24)

    def __post_init__(self) -> None:
        """Check what the command line cannot.

        Raises:
            TrainingError: If an option is impossible.
        """
        super().__post_init__()
        loop.check_dates(self.dates)


@dataclass(frozen=True, eq=False)
class Scene:
    """A labelled series in memory.

    Attributes:
        series: The series, with the bands to use.
        stack: All of the series, (T, C, H, W).
        labels: Class codes, (H, W), ``UNLABELLED`` where there is none.
        classes: What the codes that occur stand for.
        parcels: Parcel ids, (H, W), 0 where there is none; 0 all over where parcels do not matter.
        training: Where crops for training are drawn.
        validation: What is kept for validation, apart from that; the lower part of the scene.
    """

    series: Series
    stack: Stack
    labels: NDArray[np.uint8]
    classes: tuple[ClassInfo, ...]
    parcels: NDArray[np.uint32]
    training: Window
    validation: Window


@dataclass(frozen=True, eq=False)
class Sample:
    """A patch, and the class codes and parcel ids of its pixels, (P, P)."""

    patch: Patch
    labels: NDArray[np.uint8]
    parcels: NDArray[np.uint32]


def load_scenes(pairs: Iterable[tuple[Path, Path]], bands: Sequence[str] | None, validation: float) -> Iterator[Scene]:
    """Read series and their labels into memory, as :func:`load_scene` does; the bands are those of the first."""
    for ts, labels in pairs:
        scene = load_scene(ts, labels, bands, validation)
        bands = scene.series.bands
        yield scene


def load_scene(ts: Path, labels: Path, bands: Sequence[str] | None, validation: float) -> Scene:
    """Read a series and its labels into memory.

    Args:
        ts: The series.
        labels: The raster of its class codes.
        bands: Bands to use; None for all.
        validation: Share of the scene that is kept for validation.

    Raises:
        SeriesError: If the series cannot be used.
        TrainingError: If the labels cannot, or the scene is too small to be divided.
    """
    series = open_series(ts).select(bands=bands)
    truth = read_labels(labels, series.grid)
    extent = whole(series.grid)
    kept = round(validation * extent.height)
    training = Window(0, 0, extent.height - kept - _GAP, extent.width)
    if training.is_empty or not kept:
        raise TrainingError(
            f"{ts} has {extent.height} rows, too few to keep {validation:.0%} and {_GAP} rows between for validation. "
            f"Give a larger scene."
        )
    stack = read_stack(series, extent, series.grid)
    parcels = np.zeros(extent.shape, np.uint32)
    kept_apart = Window(extent.height - kept, 0, kept, extent.width)
    return Scene(series, stack, truth.codes, truth.classes, parcels, training, kept_apart)


def fingerprint(scenes: Sequence[Scene]) -> str:
    """A sha256 for each scene, over all that training and validation see of it."""
    return " ".join(_digest(scene) for scene in scenes)


def _digest(scene: Scene) -> str:
    stack = scene.stack
    dates = [day.isoformat() for day in stack.dates]
    windows = scene.training, scene.validation
    content = hashlib.sha256(repr((stack.values.shape, dates, stack.nodata, windows)).encode())
    for values in (scene.labels, scene.parcels, stack.scale, stack.offset, stack.valid, *stack.values):
        content.update(np.ascontiguousarray(values).data)
    return content.hexdigest()


def statistics(scenes: Sequence[Scene], step: int = 3) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the reflectance of each band, over every ``step``-th row and column.

    Clouds are taken in: the network sees them too.

    Raises:
        TrainingError: If a band is the same everywhere.
    """
    bands = scenes[0].stack.values.shape[1]
    count, total, squares = np.zeros((3, bands))
    for scene in scenes:
        rows, cols = scene.training.slices_in(Window(0, 0, *scene.labels.shape))
        thinned = scene.stack.values[:, :, rows, cols][:, :, ::step, ::step]
        for values, scale, offset in zip(thinned, scene.stack.scale, scene.stack.offset, strict=True):
            seen = np.isfinite(values) & (values != scene.stack.nodata)
            reflectance = np.where(seen, values * np.float64(scale) + offset, 0)
            count += seen.sum(axis=(1, 2))
            total += reflectance.sum(axis=(1, 2))
            squares += (reflectance**2).sum(axis=(1, 2))
    mean = total / np.maximum(count, 1)
    std = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
    if not (std > 0).all():
        raise TrainingError("A band has the same value everywhere. Leave it out.")
    return tuple(mean.tolist()), tuple(std.tolist())


def draw(scenes: Sequence[Scene], card: Card, rng: np.random.Generator, size: int, dates: int) -> Sample:
    """Draw a random crop, which may reach over the border of the data, with a random choice of its dates.

    Args:
        scenes: Where from.
        card: Says what dates mean and how to fill beyond the data.
        rng: What is random about it.
        size: Height and width of the crop.
        dates: How many dates; each has a valid pixel in the crop.

    Raises:
        TrainingError: If no crop with a label and that many dates is found.
    """
    for _ in range(_TRIES):
        scene = scenes[int(rng.integers(len(scenes)))]
        window = _random_window(scene.training, rng, size)
        labels = _truth(scene.labels, window, scene.training, UNLABELLED)
        patch = _cut(scene, card, window, scene.training) if (labels != UNLABELLED).any() else None
        if patch is not None and len(patch.positions) >= dates:
            patch = _choose(patch, np.sort(rng.choice(len(patch.positions), dates, replace=False)))
            return Sample(patch, labels, _truth(scene.parcels, window, scene.training, 0))
    raise TrainingError(f"No crop of {size} pixels with a label and {dates} dates was found. Ask for fewer dates.")


def _random_window(area: Window, rng: np.random.Generator, size: int) -> Window:
    """A window that has three quarters of its height and width, or all of the area's, within the area."""
    reach = size // 4
    row, col = (
        first + int(rng.integers(-reach, max(length - size + reach, 1 - reach), endpoint=True))
        for first, length in ((area.row, area.height), (area.col, area.width))
    )
    return Window(row, col, size, size)


def _truth(values: NDArray[_T], window: Window, area: Window, beyond: int) -> NDArray[_T]:
    """Labels or parcels of a window; what is mirrored beyond the area has none."""
    truth = np.full(window.shape, beyond, values.dtype)
    inside = window.intersection(area)
    truth[inside.slices_in(window)] = values[inside.slices_in(Window(0, 0, *values.shape))]
    return truth


def _cut(scene: Scene, card: Card, window: Window, area: Window) -> Patch | None:
    positions = card.encode_dates(scene.stack.dates)
    return cut_patch(scene.stack, Window(0, 0, *scene.labels.shape), window, area, card.fill, positions)


def _choose(patch: Patch, chosen: NDArray[np.intp]) -> Patch:
    return replace(
        patch,
        values=patch.values[chosen],
        valid=patch.valid[chosen],
        scale=patch.scale[chosen],
        offset=patch.offset[chosen],
        positions=patch.positions[chosen],
    )


def turn(sample: Sample, turns: int, flip: bool) -> Sample:
    """Rotate a sample by quarter turns, and mirror it, with all that lies on its pixels."""

    def turned(values: NDArray[_T]) -> NDArray[_T]:
        rotated = np.rot90(values, turns, (-2, -1))
        return rotated[..., ::-1] if flip else rotated

    patch = replace(sample.patch, values=turned(sample.patch.values), valid=turned(sample.patch.valid))
    return Sample(patch, turned(sample.labels), turned(sample.parcels))


def draw_batch(scenes: Sequence[Scene], card: Card, options: CropOptions, rng: np.random.Generator) -> list[Sample]:
    """Draw crops with equally many dates, each turned at random.

    Raises:
        TrainingError: If no crop with a label and as many dates is found.
    """
    dates = int(rng.integers(*options.dates, endpoint=True))
    samples = [draw(scenes, card, rng, options.crop, dates) for _ in range(options.batch_size)]
    return [turn(sample, int(rng.integers(4)), bool(rng.integers(2))) for sample in samples]


def collate(samples: Sequence[Sample], normalise: Normalisation, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Normalised series (B, T, C, P, P) and positions (B, T) of samples with equally many dates."""
    images = []
    for sample in samples:
        values = torch.from_numpy(np.ascontiguousarray(sample.patch.values)).to(device)
        images.append(normalise(values[None], sample.patch)[0])
    positions = torch.from_numpy(np.stack([sample.patch.positions for sample in samples]))
    return torch.stack(images), positions.to(device)


def validation_samples(scenes: Sequence[Scene], card: Card) -> Iterator[Sample]:
    """Patches side by side over what is kept for validation, with all their dates, as they are mapped."""
    for scene in scenes:
        area = scene.validation
        for row in range(area.row, area.stop_row, card.patch):
            for col in range(area.col, area.stop_col, card.patch):
                window = Window(row, col, card.patch, card.patch)
                patch = _cut(scene, card, window, area)
                if patch is not None:
                    labels = _truth(scene.labels, window, area, UNLABELLED)
                    yield Sample(patch, labels, _truth(scene.parcels, window, area, 0))


def check_validation(
    scenes: Sequence[Scene], card: Card, has_truth: Callable[[Sample], NDArray[np.bool_]], what: str
) -> None:
    """See that there is something to validate on.

    Args:
        scenes: Where from.
        card: Says how patches are cut.
        has_truth: Which pixels of a patch are compared with what is predicted, (P, P).
        what: What such pixels are, for people.

    Raises:
        TrainingError: If there are none.
    """
    if not any(has_truth(sample).any() for sample in validation_samples(scenes, card)):
        raise TrainingError(
            f"Nothing to validate on: {what} in what is kept of each scene, its lower part, where something was "
            f"observed. Keep a larger share for validation, or give scenes that have some there."
        )


@torch.inference_mode()
def check_sizes(
    card: Card, options: CropOptions, device: torch.device, network: Callable[[Tensor, Tensor], object]
) -> None:
    """See that a network takes crops and patches of the sizes asked for, by showing it empty ones.

    Args:
        card: Of the network.
        options: How it will be trained.
        device: Where it lies.
        network: Takes a series (B, T, C, H, W) and positions (B, T); in evaluation mode, or its statistics would learn.

    Raises:
        TrainingError: If it does not.
    """
    dates = options.dates[0]
    for what, size in (("Crops", options.crop), ("Patches", options.patch)):
        empty = torch.zeros(1, dates, len(card.bands), size, size, device=device)
        try:
            network(empty, torch.zeros(1, dates, dtype=torch.int64, device=device))
        except ModelError as error:
            raise TrainingError(
                f"{what} of {size} pixels and {dates} dates do not suit the network. {error}"
            ) from error
