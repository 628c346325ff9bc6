"""The card of a model that is to be trained."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sitsinfer
from sitsinfer.layers import ClassInfo
from sitsinfer.series import Series
from sitsinfer.training import loop
from sitsinfer.training.presets import Command
from sitsinfer.training.samples import CropOptions, Scene, statistics
from sitsinfer.weights import Card, Member

DAY_ZERO = datetime.date(2018, 9, 1)
"""Day 0 of ``days`` where none is given: that of PASTIS."""


def draft_card(
    options: CropOptions,
    scenes: Sequence[Scene],
    *,
    task: Literal["segment", "panoptic"],
    classes: tuple[ClassInfo, ...],
    ignore: tuple[int, ...] = (),
    hyperparameters: Mapping[str, Any],
) -> Card:
    """Describe a model for patches before it is trained, without blending and without a digest.

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
    told = f"{len(scenes)} labelled series, in crops of {options.crop} pixels with {low} to {high} dates"
    return Card(
        **draft_entries(options, scenes[0].series, told, task, classes, hyperparameters),
        task=task,
        positions=options.positions or "day-of-year",
        reference_date=options.reference_date or DAY_ZERO,
        patch=options.patch,
        margin=options.margin,
        blend=0,
        fill=options.fill or "reflect",
        members=(Member("", *statistics(scenes)),),
        ignore=ignore,
    )


def draft_entries(
    options: loop.Options,
    series: Series,
    told: str,
    command: Command,
    classes: tuple[ClassInfo, ...],
    hyperparameters: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields that all cards have, whatever the training, and that follow from options and data.

    Args:
        options: How the model is trained.
        series: One of those that it is trained on; sensor, bands and scaling are its.
        told: What it is trained on, for people.
        command: Which training.
        classes: The legend, in the order of its channels.
        hyperparameters: Of its architecture, all of them.
    """
    first = series.acquisitions[0]
    return {
        "name": options.name,
        "title": f"{options.architecture} trained by sitsinfer",
        "description": f"Trained by sitsinfer {sitsinfer.__version__} on {told}.",
        "architecture": options.architecture,
        "hyperparameters": dict(hyperparameters),
        "sensor": series.sensor,
        "bands": series.bands,
        "scale": first.scale,
        "offset": first.offset,
        "classes": classes,
        "licence": "",
        "citation": "",
        "source": f"sitsinfer train {command}",
        "digest": "0" * 64,
    }
