"""The card of a model that is to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import sitsinfer
from sitsinfer.layers import ClassInfo
from sitsinfer.training.loop import Options
from sitsinfer.training.samples import Scene
from sitsinfer.weights import Card, Member


def draft_card(
    options: Options,
    scenes: Sequence[Scene],
    *,
    task: Literal["segment", "panoptic"],
    sensor: str,
    bands: tuple[str, ...],
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
    classes: tuple[ClassInfo, ...],
    ignore: tuple[int, ...] = (),
    hyperparameters: dict[str, Any],
) -> Card:
    """Describe a model before it is trained, without blending and without a digest.

    Args:
        options: How it is trained.
        scenes: What on.
        task: What it is for.
        sensor: Of the series.
        bands: That it takes.
        statistics: Mean and standard deviation of the reflectance of each band.
        classes: The legend, in the order of its channels.
        ignore: Codes of classes that it is never to predict.
        hyperparameters: Of its architecture, all of them.
    """
    low, high = options.dates
    stack = scenes[0].stack
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
        sensor=sensor,
        bands=bands,
        scale=float(str(stack.scale[0])),
        offset=float(str(stack.offset[0])),
        positions=options.positions,
        reference_date=options.reference_date,
        patch=options.patch,
        margin=options.margin,
        blend=0,
        fill=options.fill,
        members=(Member("", *statistics),),
        classes=classes,
        ignore=ignore,
        licence="",
        citation="",
        source=f"sitsinfer train {task}",
        digest="0" * 64,
    )
