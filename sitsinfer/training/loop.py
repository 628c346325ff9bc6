"""The loop that every training runs: steps, validations, checkpoints, and going on after a stop."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from sitsinfer import models, weights
from sitsinfer.device import lay_out, resolve_device
from sitsinfer.errors import OutputError, TrainingError
from sitsinfer.weights import Card, ParcelCard

_LOG = logging.getLogger(__name__)

Trained = TypeVar("Trained", Card, ParcelCard)
Trained_co = TypeVar("Trained_co", Card, ParcelCard, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to train, whatever the task.

    Attributes:
        name: Name of the model.
        architecture: A key of :data:`~sitsinfer.models.ARCHITECTURES`.
        hyperparameters: Those of the architecture, but for the numbers of bands and classes.
        bands: Bands to use; None for all.
        ignore_label: A class code that means no label, besides the nodata of the labels.
        batch_size: Samples a step.
        steps: How many steps.
        rate: Highest learning rate; it rises over the first steps and falls to 0 along a cosine.
        weight_decay: What weights shrink by in a step, as a share of the learning rate.
        validation: Share of the data that is kept for validation.
        validate_every: Steps from one validation, and checkpoint, to the next.
        patience: Validations without a better score after which training stops.
        seed: Decides everything that is random.
        device: See :func:`~sitsinfer.device.resolve_device`.
    """

    name: str
    architecture: str
    hyperparameters: Mapping[str, Any]
    bands: tuple[str, ...] | None = None
    ignore_label: int | None = None
    batch_size: int = 4
    steps: int = 4000
    rate: float = 2e-3
    weight_decay: float = 0.0
    validation: float = 0.2
    validate_every: int = 200
    patience: int = 10
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check what the command line cannot.

        Raises:
            TrainingError: If no class can have the ignored code.
        """
        if self.ignore_label is not None and not 0 <= self.ignore_label <= 255:
            raise TrainingError(f"The ignored label is {self.ignore_label}. Expected a class code from 0 to 255.")


def check_dates(dates: tuple[int, int]) -> None:
    """See that samples can have a number of dates from the fewest to the most.

    Raises:
        TrainingError: If they cannot.
    """
    fewest, most = dates
    if not 1 <= fewest <= most:
        raise TrainingError(f"Samples cannot have {fewest} to {most} dates. Give the fewest, 1 or more, and the most.")


class Course(Protocol[Trained_co]):
    """What a network is taught, and how it is examined: what differs between tasks.

    Attributes:
        measure: Name of the score.
    """

    measure: str

    @property
    def fingerprint(self) -> str:
        """What stands for the data: another one means other data."""

    @property
    def options(self) -> Options:
        """How to train."""

    @property
    def card(self) -> Trained_co:
        """The card of the network."""

    @property
    def module(self) -> nn.Module:
        """The network, on its device; of an ensemble, its members by name."""

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters, and the share of the learning rate that they learn with; every parameter once."""

    def loss(self, rng: np.random.Generator, step: int) -> Tensor:
        """Draw a batch and compute its loss.

        Args:
            rng: What is random about it.
            step: How many steps were made before.
        """

    def validate(self) -> float:
        """Score what was kept apart, from 0 to 1."""

    def finish(self, best: Mapping[str, Tensor]) -> Trained_co:
        """The card of the network with its best weights."""


def train(
    start: Callable[[], Course[Trained]],
    out: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> Trained:
    """Train a network and write the model of the best validation score.

    Until it is done, checkpoints lie in a folder beside ``out``, with ``.partial`` added to its name. The same call
    goes on from the last one, to the same result.

    Args:
        start: Reads the data and builds the network.
        out: Model folder to write.
        overwrite: Replace ``out`` if it is there, and begin anew.
        progress: Called after each step, with the number of steps done and the loss.

    Returns:
        The card of the model.

    Raises:
        TrainingError: If a checkpoint does not fit, or the loss is no number any more.
        OutputError: If ``out`` exists, or cannot be written.
    """
    partial = out.with_name(out.name + ".partial")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} already exists. Set overwrite to replace it.")
    if overwrite:
        shutil.rmtree(partial, ignore_errors=True)
    course = start()
    _make_place(partial)
    run = _Run(course)
    run.load(partial)
    while not run.is_done:
        loss = run.step()
        if progress:
            progress(run.steps, loss)
        if run.steps % course.options.validate_every == 0 or run.steps == course.options.steps:
            run.validate()
            run.save(partial)
    card = course.finish(run.best)
    card = replace(card, description=f"{card.description} Validation {course.measure} {run.best_score:.3f}.")
    card = weights.save(out, card, [_member(run.best, prefix) for prefix in card.prefixes])
    shutil.rmtree(partial, ignore_errors=True)
    return card


def build(card: Card | ParcelCard, options: Options) -> nn.Module:
    """Build the network of a card on the device of the options; its weights depend on the seed alone.

    Returns:
        The network, or the networks of an ensemble by the names of its members.
    """
    torch.manual_seed(options.seed)
    networks = {member.name: models.build(card.architecture, card.hyperparameters) for member in card.members}
    module = nn.ModuleDict(networks) if len(networks) > 1 else networks[card.members[0].name]
    # In the layout that validation computes in from the start: a resumed run has it from the start as well.
    return lay_out(module.to(resolve_device(options.device)))


def _member(weights_of_all: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights of one member of an ensemble, by their own names."""
    return {key.removeprefix(prefix): value for key, value in weights_of_all.items() if key.startswith(prefix)}


class _Run:
    """The state of a training run, which a checkpoint holds."""

    def __init__(self, course: Course[Card] | Course[ParcelCard]) -> None:
        self.course, self.options, self.module = course, course.options, course.module
        groups = [{"params": some, "share": share} for some, share in course.rates()]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=self.options.weight_decay)
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
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * group["share"] * _schedule(self.steps / self.options.steps)
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.course.loss(rng, self.steps)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.steps += 1
        found = loss.item()
        if not np.isfinite(found):
            raise TrainingError(f"The loss is {found} at step {self.steps}. Choose a lower rate.")
        return found

    def validate(self) -> None:
        """Score what was kept apart, and keep the weights if they are the best so far."""
        score = self.course.validate()
        if score > self.best_score:
            self.best_score, self.best_at = score, self.steps
            self.best = {key: value.detach().cpu().clone() for key, value in self.module.state_dict().items()}
        seconds, self._since = time.perf_counter() - self._since, time.perf_counter()
        _LOG.info(
            "step %d of %d: validation %s %.4f, best %.4f at step %d, %.2f s a step with validation",
            *(self.steps, self.options.steps, self.course.measure, score, self.best_score, self.best_at),
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
        with _writing(folder):
            torch.save(content, folder / "checkpoint.new")
            (folder / "checkpoint.new").replace(folder / "checkpoint.pt")

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint, if there is one.

        Raises:
            TrainingError: If it is of another run, or damaged.
        """
        path = folder / "checkpoint.pt"
        if not path.exists():
            return
        content = _read_checkpoint(path, next(self.module.parameters()).device)
        if content.get("identity") != self._identity():
            raise TrainingError(
                f"{folder} holds a run of other data or options. Use these again, or set overwrite to begin anew."
            )
        self.module.load_state_dict(content["module"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.steps, self.best_at, self.best_score = content["steps"], content["best_at"], content["best_score"]
        self.best = {key: value.cpu() for key, value in content["best"].items()}
        _LOG.info("going on from step %d", self.steps)

    def _identity(self) -> str:
        """What decides the result: the options, the card and the data."""
        options = json.dumps(asdict(replace(self.options, device="")), default=str, sort_keys=True)
        return "\n".join([self.course.card.to_json(), options, self.course.fingerprint])


def _make_place(folder: Path) -> None:
    """Make the folder of the checkpoints, and see that files can be written there before hours are spent.

    Raises:
        OutputError: If that cannot be.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint.new").touch()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Tell in one line that checkpoints cannot be written.

    Raises:
        OutputError: If so.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise OutputError(f"Cannot write a checkpoint to {folder}: {error}".splitlines()[0]) from error


def _read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        return dict(torch.load(path, map_location=device, weights_only=True))
    except Exception as error:  # in a damaged file, torch stumbles over anything
        raise TrainingError(f"{path} is damaged or ends early. Set overwrite to begin anew.") from error


def _schedule(share: float, warm_up: float = 0.05) -> float:
    """Share of the highest learning rate, after a share of all steps."""
    if share < warm_up:
        return (share + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + float(np.cos(np.pi * (share - warm_up) / (1 - warm_up))))
