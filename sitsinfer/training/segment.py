"""Train a network for semantic segmentation, from labelled series to a model folder."""

from __future__ import annotations

import datetime
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import sitsinfer
from sitsinfer import models, weights
from sitsinfer.device import lay_out, resolve_device
from sitsinfer.errors import OutputError, TrainingError
from sitsinfer.layers import ClassInfo
from sitsinfer.metrics.segmentation import SegmentationScores, confusion_matrix
from sitsinfer.predict import Normalisation, Predictor
from sitsinfer.series.labels import UNLABELLED
from sitsinfer.training.samples import Sample, Scene, draw, load_scene, statistics, validation_samples
from sitsinfer.weights import Card, Member

_LOG = logging.getLogger(__name__)

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "utae": (
        "utae",
        {
            "encoder_widths": [64, 64, 64, 128],
            "decoder_widths": [32, 32, 64, 128],
            "out_conv": [32, 0],
            "n_head": 16,
            "d_model": 256,
            "d_k": 4,
        },
    ),
    "utae-small": (
        "utae",
        {
            "encoder_widths": [16, 32, 32, 64],
            "decoder_widths": [16, 16, 32, 64],
            "out_conv": [16, 0],
            "n_head": 8,
            "d_model": 128,
            "d_k": 4,
        },
    ),
}
"""Architectures and hyper-parameters by name; bands and classes are filled in from the data."""


@dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        name: Name of the model.
        architecture: See :data:`PRESETS`.
        hyperparameters: See :data:`PRESETS`.
        bands: Bands to use; None for all.
        positions: What dates are to the network.
        reference_date: Day 0 of ``days``.
        ignore_label: A class code that means no label, besides the nodata of the labels.
        patch: Height and width of patches in validation and mapping, in pixels.
        margin: See :class:`~sitsinfer.weights.Card`.
        blend: Likewise.
        fill: Likewise.
        crop: Height and width of training crops, in pixels.
        dates: Fewest and most dates of a crop; each step draws a number between.
        batch_size: Crops a step.
        steps: How many steps.
        rate: Highest learning rate; it rises over the first steps and falls to 0 along a cosine.
        loss: Cross entropy, or focal loss, which attends more to what is still wrong.
        validation: Share of each scene that is kept for validation.
        validate_every: Steps from one validation, and checkpoint, to the next.
        patience: Validations without a better score after which training stops.
        seed: Decides everything that is random.
        device: See :func:`~sitsinfer.device.resolve_device`.
    """

    name: str = "my-utae"
    architecture: str = PRESETS["utae"][0]
    hyperparameters: Mapping[str, Any] = field(default_factory=lambda: PRESETS["utae"][1])
    bands: tuple[str, ...] | None = None
    positions: Literal["days", "day-of-year"] = "day-of-year"
    reference_date: datetime.date = datetime.date(2018, 9, 1)
    ignore_label: int | None = None
    patch: int = 128
    margin: int = 4
    blend: int = 4
    fill: weights.Fill = "reflect"
    crop: int = 64
    dates: tuple[int, int] = (12, 24)
    batch_size: int = 4
    steps: int = 4000
    rate: float = 2e-3
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    validation: float = 0.2
    validate_every: int = 200
    patience: int = 10
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check what the command line cannot.

        Raises:
            TrainingError: If the numbers of dates do not fit each other.
        """
        fewest, most = self.dates
        if not 1 <= fewest <= most:
            raise TrainingError(
                f"Crops cannot have {fewest} to {most} dates. Give the fewest, 1 or more, and the most."
            )


def network(preset: str, config: Path | None = None) -> tuple[str, dict[str, Any]]:
    """Architecture and hyper-parameters, from a preset or from a JSON file that has these two fields.

    Raises:
        TrainingError: If there is no such preset, or the file does not have them.
    """
    if config is None:
        if preset not in PRESETS:
            raise TrainingError(f"There is no preset '{preset}'. Choose {', '.join(PRESETS)}, or give a config.")
        return PRESETS[preset]
    try:
        entries = json.loads(config.read_text(encoding="utf-8"))
        return str(entries["architecture"]), dict(entries["hyperparameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"Cannot use {config}: {error}. Expected JSON with architecture and hyperparameters, such as a model.json."
        ) from error


def train_segment(
    pairs: Sequence[tuple[Path, Path]],
    out: Path,
    options: Options,
    *,
    overwrite: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> Card:
    """Train on labelled series and write the model of the best validation score.

    Until it is done, checkpoints lie in a folder beside ``out``, with ``.partial`` added to its name. The same call
    goes on from the last one, to the same result.

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
        TrainingError: If labels, options or a checkpoint do not fit.
        OutputError: If ``out`` exists, or cannot be written.
    """
    partial = out.with_name(out.name + ".partial")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} already exists. Set overwrite to replace it.")
    if overwrite:
        shutil.rmtree(partial, ignore_errors=True)
    scenes, card = _prepare(pairs, options)
    run = _Run(scenes, card, options)
    run.load(partial)
    while not run.is_done:
        loss = run.step()
        if progress:
            progress(run.steps, loss)
        if run.steps % options.validate_every == 0 or run.steps == options.steps:
            run.validate()
            run.save(partial)
    card = replace(card, description=f"{card.description} Validation mIoU {run.best_score:.3f}.")
    card = weights.save(out, card, [run.best])
    shutil.rmtree(partial, ignore_errors=True)
    return card


def _prepare(pairs: Sequence[tuple[Path, Path]], options: Options) -> tuple[list[Scene], Card]:
    """Read scenes, and write the card of what will be trained on them."""
    scenes: list[Scene] = []
    classes: dict[int, ClassInfo] = {}
    bands, sensor = options.bands, "unknown"
    for ts, labels in pairs:
        scene, series, truth = load_scene(ts, labels, bands, options.validation)
        bands, sensor = series.bands, series.sensor  # the first series decides for all
        scene.labels[scene.labels == options.ignore_label] = UNLABELLED
        classes |= {entry.code: entry for entry in truth.classes if entry.code != options.ignore_label}
        scenes.append(scene)
    if len(classes) < 2:
        raise TrainingError(f"The labels have {len(classes)} class. Expected two or more to tell apart.")
    assert bands is not None
    legend = tuple(classes[code] for code in sorted(classes))
    mean, std = statistics(scenes)
    low, high = options.dates
    card = Card(
        name=options.name,
        title=f"{options.architecture} trained by sitsinfer",
        description=(
            f"Trained by sitsinfer {sitsinfer.__version__} on {len(scenes)} labelled series, in crops of "
            f"{options.crop} pixels with {low} to {high} dates."
        ),
        architecture=options.architecture,
        hyperparameters=_sized(options, len(bands), len(legend)),
        task="segment",
        sensor=sensor,
        bands=bands,
        scale=float(str(scenes[0].stack.scale[0])),
        offset=float(str(scenes[0].stack.offset[0])),
        positions=options.positions,
        reference_date=options.reference_date,
        patch=options.patch,
        margin=options.margin,
        blend=options.blend,
        fill=options.fill,
        members=(Member("", mean, std),),
        classes=legend,
        ignore=(),
        licence="",
        citation="",
        source="sitsinfer train segment",
        digest="0" * 64,
    )
    return scenes, card


def _sized(options: Options, bands: int, classes: int) -> dict[str, Any]:
    """Hyper-parameters for a number of bands and classes, each under the name that the architecture has for it."""
    given = dict(options.hyperparameters)
    if options.architecture == "unet3d":
        return {**given, "in_channel": bands, "n_classes": classes}
    if "out_conv" in given:
        return {**given, "input_dim": bands, "out_conv": [*given["out_conv"][:-1], classes]}
    return {**given, "input_dim": bands, "num_classes": classes}


class _Run:
    """The state of a training run, which a checkpoint holds."""

    def __init__(self, scenes: Sequence[Scene], card: Card, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.scenes, self.card, self.options = scenes, card, options
        self.device = torch.device(resolve_device(options.device))
        # In the layout that validation computes in from the start: a resumed run has it from the start as well.
        self.module = lay_out(models.build(card.architecture, card.hyperparameters).to(self.device))
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=options.rate)
        self.normalise = Normalisation(card.members[0].mean, card.members[0].std)
        self.index = np.full(256, UNLABELLED, np.int64)  # class code to channel
        self.index[[entry.code for entry in card.classes]] = np.arange(len(card.classes))
        self.steps = 0
        self.best: dict[str, Tensor] = {}
        self.best_score = -1.0
        self.best_at = 0
        self._since = time.perf_counter()

    @property
    def is_done(self) -> bool:
        """Whether all steps are done, or the score has not risen for long."""
        waited = self.steps - self.best_at
        return self.steps >= self.options.steps or waited >= self.options.patience * self.options.validate_every

    def step(self) -> float:
        """Learn from one batch, and return its loss."""
        rng = np.random.default_rng((self.options.seed, self.steps))  # a resumed run draws what it would have drawn
        torch.manual_seed(int(rng.integers(2**31)))
        dates = int(rng.integers(*self.options.dates, endpoint=True))
        samples = [draw(self.scenes, self.card, rng, self.options.crop, dates) for _ in range(self.options.batch_size)]
        x, y, positions = self._batch(samples, rng)
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * _schedule(self.steps / self.options.steps)
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            scores = self.module(x, positions)
        loss = _LOSSES[self.options.loss](scores.float(), y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.steps += 1
        found = loss.item()
        if not np.isfinite(found):
            raise TrainingError(f"The loss is {found} at step {self.steps}. Choose a lower rate.")
        return found

    def _batch(self, samples: Sequence[Sample], rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised crops (B, T, C, P, P), channels (B, P, P) and positions (B, T), each crop turned at random."""
        images, channels = [], []
        for sample in samples:
            turns, flip = int(rng.integers(4)), bool(rng.integers(2))
            values = torch.from_numpy(np.ascontiguousarray(sample.patch.values)).to(self.device)
            images.append(_turn(self.normalise(values[None], sample.patch)[0], turns, flip))
            channels.append(_turn(torch.from_numpy(self.index[sample.labels]), turns, flip))
        positions = torch.from_numpy(np.stack([sample.patch.positions for sample in samples]))
        return torch.stack(images), torch.stack(channels).to(self.device), positions.to(self.device)

    def validate(self) -> None:
        """Score what was kept apart, and keep the weights if they are the best so far."""
        predictor = Predictor(self.card, [self.module], str(self.device), "fp32", 1)
        confusion = np.zeros((len(self.card.classes),) * 2, np.int64)
        for sample in validation_samples(self.scenes, self.card):
            (scores,) = predictor.scores([sample.patch])
            truth = self.index[sample.labels]
            labelled = truth != UNLABELLED
            confusion += confusion_matrix(truth[labelled], scores.argmax(axis=0)[labelled], len(confusion))
        score = float(np.nan_to_num(SegmentationScores(confusion).mean_iou))  # 0 where nothing is labelled
        if score > self.best_score:
            self.best_score, self.best_at = score, self.steps
            self.best = {key: value.detach().cpu().clone() for key, value in self.module.state_dict().items()}
        seconds, self._since = time.perf_counter() - self._since, time.perf_counter()
        _LOG.info(
            "step %d of %d: validation mIoU %.4f, best %.4f at step %d, %.2f s a step with validation",
            *(self.steps, self.options.steps, score, self.best_score, self.best_at),
            seconds / self.options.validate_every,
        )

    def save(self, folder: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        content = {
            "identity": self._identity(),
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "best": self.best,
            "best_score": self.best_score,
            "best_at": self.best_at,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(content, folder / "checkpoint.new")
            (folder / "checkpoint.new").replace(folder / "checkpoint.pt")
        except (OSError, RuntimeError) as error:
            raise OutputError(f"Cannot write a checkpoint to {folder}: {error}".splitlines()[0]) from error

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint, if there is one.

        Raises:
            TrainingError: If it is of another run.
        """
        path = folder / "checkpoint.pt"
        if not path.exists():
            return
        content = torch.load(path, map_location=self.device, weights_only=True)
        if content["identity"] != self._identity():
            raise TrainingError(
                f"{folder} holds a run of other data or options. Use these again, or set overwrite to begin anew."
            )
        self.module.load_state_dict(content["module"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.steps, self.best_at, self.best_score = content["steps"], content["best_at"], content["best_score"]
        self.best = {key: value.cpu() for key, value in content["best"].items()}
        _LOG.info("going on from step %d", self.steps)

    def _identity(self) -> str:
        """What decides the result: the options, and the card, which knows the statistics of the data."""
        options = asdict(replace(self.options, device=""))
        return self.card.to_json() + json.dumps(options, default=str, sort_keys=True)


def _turn(x: Tensor, turns: int, flip: bool) -> Tensor:
    """Rotate by quarter turns, and mirror, in the last two dimensions."""
    turned = torch.rot90(x, turns, (-2, -1))
    return turned.flip(-1) if flip else turned


def _schedule(share: float, warm_up: float = 0.05) -> float:
    """Share of the highest learning rate, after a share of all steps."""
    if share < warm_up:
        return (share + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + float(np.cos(np.pi * (share - warm_up) / (1 - warm_up))))


def _cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(scores, labels, ignore_index=UNLABELLED)


def _focal(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, each pixel weighted by the square of what its own class lacks of certainty."""
    each = F.cross_entropy(scores, labels, ignore_index=UNLABELLED, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).sum() / (labels != UNLABELLED).sum()


_LOSSES = {"cross-entropy": _cross_entropy, "focal": _focal}
