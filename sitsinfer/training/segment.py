"""Train a network for semantic segmentation, from labelled series to a model folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sitsinfer.batches import Normalisation
from sitsinfer.errors import TrainingError
from sitsinfer.layers import ClassInfo
from sitsinfer.metrics.segmentation import SegmentationScores, confusion_matrix
from sitsinfer.predict import Predictor
from sitsinfer.series.labels import UNLABELLED
from sitsinfer.training import loop
from sitsinfer.training.card import draft_card
from sitsinfer.training.presets import PRESETS, check_architecture, with_classes
from sitsinfer.training.samples import (
    CropOptions,
    Scene,
    check_sizes,
    check_validation,
    collate,
    draw_batch,
    fingerprint,
    load_scenes,
    validation_samples,
)
from sitsinfer.weights import Card

_PRESET = PRESETS["segment"]["utae"]


@dataclass(frozen=True, kw_only=True)
class Options(CropOptions):
    """How to train.

    Attributes:
        blend: See :class:`~sitsinfer.weights.Card`.
        loss: Cross entropy, or focal loss, which attends more to what is still wrong.
    """

    name: str = "my-utae"
    architecture: str = _PRESET[0]
    hyperparameters: Mapping[str, Any] = field(default_factory=lambda: _PRESET[1])
    blend: int = 4
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"

    def __post_init__(self) -> None:
        """Check what the command line cannot.

        Raises:
            TrainingError: If an option is impossible.
        """
        super().__post_init__()
        check_architecture("segment", self.architecture)


def train_segment(
    pairs: Sequence[tuple[Path, Path]],
    out: Path,
    options: Options,
    *,
    overwrite: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> Card:
    """Train on labelled series and write the model of the best validation score, as :func:`~loop.train` does.

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


def _prepare(pairs: Sequence[tuple[Path, Path]], options: Options) -> tuple[list[Scene], Card]:
    """Read scenes, and write the card of what will be trained on them."""
    scenes = list(load_scenes(pairs, options.bands, options.validation))
    classes: dict[int, ClassInfo] = {}
    for scene in scenes:
        scene.labels[scene.labels == options.ignore_label] = UNLABELLED
        classes |= {entry.code: entry for entry in scene.classes if entry.code != options.ignore_label}
    if len(classes) < 2:
        raise TrainingError(f"The labels have {len(classes)} class. Expected two or more to tell apart.")
    card = draft_card(
        options,
        scenes,
        task="segment",
        classes=tuple(classes[code] for code in sorted(classes)),
        hyperparameters=_sized(options, len(scenes[0].series.bands), len(classes)),
    )
    return scenes, replace(card, blend=options.blend)


def _sized(options: Options, bands: int, classes: int) -> dict[str, Any]:
    """Hyper-parameters for a number of bands and classes, each under the name that the architecture has for it."""
    given = with_classes(options.hyperparameters, classes)
    if options.architecture == "unet3d":
        return {**given, "in_channel": bands, "n_classes": classes}
    if "out_conv" in given:
        return {**given, "input_dim": bands}
    return {**given, "input_dim": bands, "num_classes": classes}


class _Course:
    """Classes of pixels, and mIoU to score them; see :class:`~sitsinfer.training.loop.Course`."""

    measure = "mIoU"

    def __init__(self, scenes: Sequence[Scene], card: Card, options: Options) -> None:
        self.scenes, self.card, self.options = scenes, card, options
        self.fingerprint = fingerprint(scenes)
        self.module = loop.build(card, options)
        self.device = next(self.module.parameters()).device
        self.normalise = Normalisation(card.members[0].mean, card.members[0].std)
        self.index = np.full(256, UNLABELLED, np.int64)  # class code to channel
        self.index[[entry.code for entry in card.classes]] = np.arange(len(card.classes))
        check_validation(scenes, card, lambda sample: sample.labels != UNLABELLED, "there is no label")
        check_sizes(card, options, self.device, self.module.eval())

    def rates(self) -> list[tuple[list[torch.nn.Parameter], float]]:
        """All at the full rate."""
        return [(list(self.module.parameters()), 1.0)]

    def loss(self, rng: np.random.Generator, step: int) -> Tensor:
        """Compare the scores of a batch of crops with their labels."""
        samples = draw_batch(self.scenes, self.card, self.options, rng)
        x, positions = collate(samples, self.normalise, self.device)
        y = torch.from_numpy(np.stack([self.index[sample.labels] for sample in samples])).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            scores = self.module(x, positions)
        return _LOSSES[self.options.loss](scores.float(), y)

    def validate(self) -> float:
        """Mean IoU over what was kept apart, of all its dates."""
        predictor = Predictor(self.card, [self.module], str(self.device), "fp32", 1)
        confusion = np.zeros((len(self.card.classes),) * 2, np.int64)
        for sample in validation_samples(self.scenes, self.card):
            (scores,) = predictor.scores([sample.patch])
            truth = self.index[sample.labels]
            labelled = truth != UNLABELLED
            confusion += confusion_matrix(truth[labelled], scores.argmax(axis=0)[labelled], len(confusion))
        return float(np.nan_to_num(SegmentationScores(confusion).mean_iou))

    def finish(self, best: Mapping[str, Tensor]) -> Card:
        """The card as it is."""
        return self.card


def _cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(scores, labels, ignore_index=UNLABELLED)


def _focal(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, each pixel weighted by the square of what its own class lacks of certainty."""
    each = F.cross_entropy(scores, labels, ignore_index=UNLABELLED, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).sum() / (labels != UNLABELLED).sum()


_LOSSES = {"cross-entropy": _cross_entropy, "focal": _focal}
