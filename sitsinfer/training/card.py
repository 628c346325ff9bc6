"""The card of a model that is to be trained."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import sitsinfer
from sitsinfer.layers import ClassInfo
from sitsinfer.training.loop import Options
from sitsinfer.training.presets import Task
from sitsinfer.training.samples import Scene, statistics
from sitsinfer.weights import Card, Member

_DAY_ZERO = datetime.date(2018, 9, 1)  # of PASTIS


def draft_card(
    options: Options,
    scenes: Sequence[Scene],
    *,
    task: Task,
    classes: tuple[ClassInfo, ...],
    ignore: tuple[int, ...] = (),
    hyperparameters: dict[str, Any],
) -> Card:
    """Describe a model before it is trained, without blending and without a digest.

    Args:
        options: How it is trained.
        scenes: What on; sensor, bands and scaling are those of the first.
        task: What it is for.
        classes: The legend, in the order of its channels.
        ignore: Codes of classes that it is never to predict.
        hyperparameters: Of its architecture, all of them.

    Raises:
        TrainingError: If a band is the same everywhere.
    """
    low, high = options.dates
    series, stack = scenes[0].series, scenes[0].stack
    return Card(
        name=options.name,
        title=f"{options.architecture} trained by sitsinfer",
        description=(
            f"Trained by sitsinfer {sitsinfer.__version__} on {len(scenes)} labelled series, in crops of "
            f"{options.crop} pixels with {low} to {high} dates."
        ),
        architecture=options.architecture,
        hyperparameters=hyperparameters,
        task=task,
        sensor=series.sensor,
        bands=series.bands,
        scale=float(str(stack.scale[0])),
        offset=float(str(stack.offset[0])),
        positions=options.positions or "day-of-year",
        reference_date=options.reference_date or _DAY_ZERO,
        patch=options.patch,
        margin=options.margin,
        blend=0,
        fill=options.fill or "reflect",
        members=(Member("", *statistics(scenes)),),
        classes=classes,
        ignore=ignore,
        licence="",
        citation="",
        source=f"sitsinfer train {task}",
        digest="0" * 64,
    )
