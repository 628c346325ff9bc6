"""Train a network for panoptic segmentation, from labelled series and their parcels to a model folder.

V. Sainte Fare Garnot and L. Landrieu, "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal
Attention Networks", ICCV 2021, section 3.3.

Where this differs from the training code that was published with the paper:

- Warm-up: there, only the heatmap is taught for five epochs. Here all heads are taught from the first step, at true
  centres and in true boxes until the warm-up is over.
- Matching: there, a parcel is described at the highest value of the heatmap in its zone. Here that must also be a local
  maximum above the mean, as centres are found later; a parcel without one teaches only the heatmap.
- Shapes: there, their loss is the mean over the pixels of all boxes. Here it is the mean over parcels, so that a large
  one weighs no more than a small one.
- Void parcels: there, they are left out of the loss of classes alone. Here they are left out of all losses.
- Slivers: a parcel of which a crop shows fewer than 9 pixels is void there as well.
- Start: heatmap and sizes begin with biases that suit few parcels of a common size, not with those drawn at random.
- Rate: what encodes dates learns more slowly than the rest if it begins with the weights of another model.
"""

from __future__ import annotations

import functools
import logging
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sitsinfer import weights
from sitsinfer.batches import Normalisation
from sitsinfer.errors import TrainingError
from sitsinfer.layers import ClassInfo
from sitsinfer.metrics.overlaps import Overlaps
from sitsinfer.metrics.panoptic import PanopticScores, panoptic_scores
from sitsinfer.models.paps import PaPs
from sitsinfer.series.labels import UNLABELLED, read_parcels
from sitsinfer.training import loop
from sitsinfer.training.card import draft_card
from sitsinfer.training.paps_loss import FEWEST, Losses, compare
from sitsinfer.training.presets import PRESETS, check_architecture, with_classes
from sitsinfer.training.samples import (
    CropOptions,
    Sample,
    Scene,
    check_sizes,
    check_validation,
    collate,
    draw_batch,
    fingerprint,
    load_scenes,
    validation_samples,
)
from sitsinfer.training.targets import SPREAD, Targets, find_targets, find_void
from sitsinfer.weights import BACKGROUND, Card

_LOG = logging.getLogger(__name__)

THRESHOLDS = (0.02, 0.03, 0.04, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
"""Values of ``min_confidence`` that validation chooses from."""

_PRESET = PRESETS["panoptic"]["paps"]
_TRIES = 100
_FED = ("bands", "positions", "reference_date", "fill")  # options that come with an encoder
_ENCODING = ("encoder.in_conv.", "encoder.down_blocks.", "encoder.temporal_encoder.")
_LEARNED_RATE = 0.25  # share of the learning rate for an encoder that has learned elsewhere
_RARE = -4.0  # log odds of a pixel to be a centre, about, before anything is learned


@dataclass(frozen=True, kw_only=True)
class Options(CropOptions):
    """How to train.

    Attributes:
        encoder: A model for ``segment`` whose weights to begin with, by name or folder. What it feeds on is taken over
            and cannot be given: its bands and their statistics, what dates are to it, and its fill.
        warm_up: Steps in which parcels are described at their true centres and drawn in their true boxes; from then
            on, at the centres and in the boxes that are predicted.
        spread: Standard deviation of a centre in the heatmap, as a share of the parcel's height and width. More than
            the paper's forgives more of what lies beside a centre, and is learned sooner.
    """

    name: str = "my-paps"
    architecture: str = _PRESET[0]
    hyperparameters: Mapping[str, Any] = field(default_factory=lambda: _PRESET[1])
    margin: int = 16
    crop: int = 128
    encoder: str | None = None
    warm_up: int = 300
    spread: float = SPREAD

    def __post_init__(self) -> None:
        """Check what the command line cannot.

        Raises:
            TrainingError: If an option is impossible.
        """
        super().__post_init__()
        check_architecture("panoptic", self.architecture)
        if not 0.01 <= self.spread <= 0.5:
            raise TrainingError(f"The spread of centres is {self.spread}. Expected 0.01 to 0.5, such as {SPREAD}.")


def train_panoptic(
    triples: Sequence[tuple[Path, Path, Path]],
    out: Path,
    options: Options,
    *,
    overwrite: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> Card:
    """Train on series with parcels and write the model of the best validation score, as :func:`~loop.train` does.

    A parcel has the class that most of its pixels have. What is labelled and in no parcel is background.

    Args:
        triples: Series, their rasters of class codes, and their rasters of parcel ids.
        out: Model folder to write.
        options: How to train. Parcels of the ignored label are void: they teach nothing.
        overwrite: Replace ``out`` if it is there, and begin anew.
        progress: Called after each step, with the number of steps done and the loss.

    Returns:
        The card of the model, with the ``min_confidence`` of the best validation score.

    Raises:
        SeriesError: If a series cannot be used.
        WeightsError: If there is no such encoder.
        TrainingError: If labels, parcels, options or a checkpoint do not fit, or there is nothing to validate on.
        OutputError: If ``out`` exists, or cannot be written.
    """
    return loop.train(lambda: _start(triples, options), out, overwrite=overwrite, progress=progress)


def _start(triples: Sequence[tuple[Path, Path, Path]], options: Options) -> _Course:
    if options.encoder is None:
        return _Course(*_prepare(triples, options), options)
    teacher, folder = weights.load_card(options.encoder)
    if given := [name for name in _FED if getattr(options, name) is not None]:
        raise TrainingError(
            f"What {options.encoder} feeds on comes with its encoder. Do not give {' and '.join(given)}."
        )
    scenes, card = _prepare(triples, replace(options, **{name: getattr(teacher, name) for name in _FED}))
    if "unknown" not in (card.sensor, teacher.sensor) and card.sensor != teacher.sensor:
        raise TrainingError(
            f"The series are of {card.sensor} and {options.encoder} was trained on {teacher.sensor}. Choose series of "
            f"its sensor, or another encoder."
        )
    card = replace(
        card,
        members=(replace(teacher.members[0], name=""),),
        description=f"{card.description} Its encoder began as that of {teacher.name} ({teacher.digest[:12]}).",
    )
    course = _Course(scenes, card, options)
    (module, *_) = weights.load_modules(teacher, folder)
    _copy(module.state_dict(), course.module.encoder, options.encoder)
    return course


def _copy(learned: Mapping[str, Tensor], encoder: torch.nn.Module, name: str) -> None:
    """Copy the weights whose names and shapes fit."""
    own = encoder.state_dict()
    fitting = {key: value for key, value in learned.items() if key in own and own[key].shape == value.shape}
    if not any(key.startswith("in_conv.") for key in fitting):
        raise TrainingError(f"The weights of {name} do not fit the encoder. Choose the preset of its architecture.")
    encoder.load_state_dict({**own, **fitting})
    _LOG.info("%d of %d tensors of the encoder are those of %s", len(fitting), len(own), name)


def _prepare(triples: Sequence[tuple[Path, Path, Path]], options: Options) -> tuple[list[Scene], Card]:
    """Read scenes, and write the card of what will be trained on them."""
    scenes: list[Scene] = []
    classes: dict[int, ClassInfo] = {}
    loaded = load_scenes([(ts, labels) for ts, labels, _ in triples], options.bands, options.validation)
    for labelled, (_, _, path) in zip(loaded, triples, strict=True):
        scene = _with_parcels(labelled, read_parcels(path, labelled.series.grid), options.ignore_label, path)
        found = np.unique(scene.labels)
        classes |= {entry.code: entry for entry in scene.classes if entry.code in found}
        scenes.append(scene)
    classes[BACKGROUND] = ClassInfo(BACKGROUND, "Background", (128, 128, 128))
    if len(classes) < 2:
        raise TrainingError("All parcels are void. Give parcels of a class that is not ignored.")
    card = draft_card(
        options,
        scenes,
        task="panoptic",
        classes=tuple(classes[code] for code in sorted(classes)),
        ignore=(BACKGROUND,),
        hyperparameters=_sized(options.hyperparameters, len(scenes[0].series.bands), len(classes)),
    )
    return scenes, card


def _with_parcels(scene: Scene, parcels: NDArray[np.uint32], ignored: int | None, path: Path) -> Scene:
    """Give a scene its parcels, and each of their pixels the class that most of them have."""
    ids, dense = np.unique(parcels, return_inverse=True)
    counts = np.bincount(dense.ravel() * 256 + scene.labels.ravel(), minlength=256 * len(ids)).reshape(-1, 256)
    counts[:, UNLABELLED] = 0
    codes = np.where(counts.any(axis=1), counts.argmax(axis=1), UNLABELLED).astype(np.uint8)
    if wrong := ids[(ids > 0) & (codes == BACKGROUND) & (codes != ignored)].tolist():
        raise TrainingError(
            f"Parcel {wrong[0]} of {path} has class {BACKGROUND}, which is background here. Give it another code, or "
            f"ignore it."
        )
    codes[codes == ignored] = UNLABELLED
    unknown = (scene.labels == UNLABELLED) | (scene.labels == ignored)
    outside = np.where(unknown, UNLABELLED, BACKGROUND).astype(np.uint8)
    labels = np.where(parcels > 0, codes[dense.reshape(parcels.shape)], outside)
    return replace(scene, labels=labels, parcels=parcels)


def _sized(hyperparameters: Mapping[str, Any], bands: int, classes: int) -> dict[str, Any]:
    encoder = hyperparameters.get("encoder")
    if not isinstance(encoder, Mapping | None):
        raise TrainingError(f"The encoder of the network is {encoder!r}. Expected hyper-parameters by name.")
    sized = with_classes(encoder or {}, classes)
    return {**hyperparameters, "encoder": sized, "input_dim": bands, "num_classes": classes}


def _begin(module: PaPs, scenes: Sequence[Scene]) -> None:
    """Begin with few centres and boxes of a common size: steps that find these out are steps lost.

    With a heatmap of a half all over, the pixels beside centres would outweigh all else for long.
    """
    pixels = [np.unique(scene.parcels[scene.parcels > 0], return_counts=True)[1] for scene in scenes]
    common = float(np.sqrt(np.median(np.concatenate(pixels))))
    last = [layer for layer in module.heatmap_conv.modules() if isinstance(layer, torch.nn.BatchNorm2d)][-1]
    torch.nn.init.constant_(last.bias, _RARE)
    torch.nn.init.constant_(cast(torch.nn.Linear, module.size_mlp[-2]).bias, common)


def _has_parcel(sample: Sample) -> NDArray[np.bool_]:
    """Where a patch has parcels that are not void."""
    known: NDArray[np.bool_] = (sample.parcels > 0) & (sample.labels != UNLABELLED)
    return known


class _Course:
    """Parcels, and PQ to score them; see :class:`~sitsinfer.training.loop.Course`."""

    measure = "PQ"

    def __init__(self, scenes: Sequence[Scene], card: Card, options: Options) -> None:
        self.scenes, self.card, self.options = scenes, card, options
        self.fingerprint = fingerprint(scenes)
        self.module = cast(PaPs, loop.build(card, options))
        _begin(self.module, scenes)
        self.device = next(self.module.parameters()).device
        self.normalise = Normalisation(card.members[0].mean, card.members[0].std)
        self.codes = np.array([entry.code for entry in card.classes], np.uint8)  # of channels
        self.channels = np.zeros(256, np.int64)  # of codes
        self.channels[self.codes] = np.arange(len(self.codes))
        self._losses: list[Tensor] = []  # since the last validation
        check_validation(scenes, card, _has_parcel, "there is no parcel of a class")
        self.module.eval()
        check_sizes(card, options, self.device, self.module.maps)

    def rates(self) -> list[tuple[list[torch.nn.Parameter], float]]:
        """All at the full rate, but what encodes dates more slowly where it has learned that elsewhere, to keep it.

        What decodes them has learned to tell classes, not centres, and has to learn anew.
        """
        is_learned = self.options.encoder is not None
        learned: list[torch.nn.Parameter] = []
        new: list[torch.nn.Parameter] = []
        for name, each in self.module.named_parameters():
            (learned if is_learned and name.startswith(_ENCODING) else new).append(each)
        return [(learned, _LEARNED_RATE), (new, 1.0)] if is_learned else [(new, 1.0)]

    def loss(self, rng: np.random.Generator, step: int) -> Tensor:
        """Compare the parcels predicted in a batch of crops with the true ones."""
        samples, targets = self._draw(rng)
        x, positions = collate(samples, self.normalise, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            maps = self.module.maps(x, positions)
        channels = [self.channels[target.codes] for target in targets]
        losses = compare(self.module, [level.float() for level in maps], targets, channels, step < self.options.warm_up)
        parts = torch.stack(losses)
        self._losses.append(parts.detach())  # read no sooner than needed: that waits for the device
        return parts.sum()

    def _draw(self, rng: np.random.Generator) -> tuple[list[Sample], list[Targets]]:
        for _ in range(_TRIES):
            samples = draw_batch(self.scenes, self.card, self.options, rng)
            targets = [find_targets(sample.labels, sample.parcels, self.options.spread) for sample in samples]
            if sum(len(target) for target in targets) >= FEWEST:
                return samples, targets
        raise TrainingError(
            f"No {self.options.batch_size} crops of {self.options.crop} pixels with {FEWEST} parcels were found. "
            f"Give larger crops, or more of them."
        )

    def validate(self) -> float:
        """Mean PQ over what was kept apart, of all its dates, with the best of :data:`THRESHOLDS`."""
        self.module.eval()
        images = [self._examine(sample) for sample in validation_samples(self.scenes, self.card)]
        scores = [functools.reduce(operator.add, column) for column in zip(*images, strict=True)]
        pq = np.nan_to_num([score.mean_pq for score in scores])
        best = int(pq.argmax())
        self.module.min_confidence.fill_(THRESHOLDS[best])
        _LOG.info(
            "validation SQ %.3f and RQ %.3f above a confidence of %.2f; losses: %s",
            *(scores[best].mean_sq, scores[best].mean_rq, THRESHOLDS[best], self._mean_losses()),
        )
        return float(pq[best])

    def _mean_losses(self) -> str:
        """Mean losses since this was asked for last, as text."""
        parts = torch.stack(self._losses) if self._losses else torch.full((1, len(Losses._fields)), torch.nan)
        self._losses.clear()
        means = parts.mean(dim=0).tolist()
        return ", ".join(f"{name} {mean:.3f}" for name, mean in zip(Losses._fields, means, strict=True))

    @torch.inference_mode()
    def _examine(self, sample: Sample) -> list[PanopticScores]:
        """Scores of a patch above each of :data:`THRESHOLDS`."""
        x, positions = collate([sample], self.normalise, self.device)
        (found,) = self.module.detect(x, positions, THRESHOLDS[0])
        ranks, _ = self.module.assemble(found, sample.labels.shape)
        order = found.confidences.argsort(descending=True, stable=True)
        channels = found.scores[order, 1:].argmax(dim=1) + 1  # the first channel is the background
        codes = np.concatenate([[BACKGROUND], self.codes[channels.numpy()]])[ranks.numpy()]
        truth = np.where(find_void(sample.labels, sample.parcels), UNLABELLED, sample.labels)
        scores = []
        for threshold in THRESHOLDS:
            # A parcel takes its pixels before any that is less confident: without those, the others stay as they are.
            kept = ranks.numpy() <= int((found.confidences >= threshold).sum())
            overlaps = Overlaps.of(sample.parcels, truth, ranks.numpy() * kept, codes * kept)
            scores.append(panoptic_scores(overlaps, self.codes[1:].tolist(), {UNLABELLED}))
        return scores

    def finish(self, best: Mapping[str, Tensor]) -> Card:
        """The card, with the least confidence that goes with the weights."""
        tuned = round(best["min_confidence"].item(), 4)
        return replace(self.card, hyperparameters={**self.card.hyperparameters, "min_confidence": tuned})
