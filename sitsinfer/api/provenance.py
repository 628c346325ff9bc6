"""What went into an output, for its STAC item."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sitsinfer.engine import Summary
from sitsinfer.tasks.patchwork import PatchTask

if TYPE_CHECKING:
    from sitsinfer.tasks.classify import Classify


def provenance(task: PatchTask, summary: Summary) -> dict[str, Any]:
    """What went into a map by patches, as plain JSON."""
    return {
        **read_and_run(task, summary, task.reference_date or task.card.reference_date),
        "positions": task.card.positions,
        "bounds": task.area.bounds,
        "bounds_crs": task.area.crs,
        "aoi": None if task.area.aoi is None else task.area.aoi.name,
        "margin": task.lattice.margin,
        "blend": task.lattice.blend,
        "batch_size": task.batch_size,
    }


def read_and_run(task: PatchTask | Classify, summary: Summary, origin: datetime.date) -> dict[str, Any]:
    """What any task with a model reads, and how it ran, as plain JSON.

    Args:
        task: The task.
        summary: What became of it.
        origin: What days are counted from.
    """
    from sitsinfer.device import resolve_device, resolve_precision

    device = resolve_device(task.device)
    return {
        "inputs": [name for name, _, _ in task.series.inputs()],
        "dates": [str(date) for date in task.series.dates],
        "sensor": task.series.sensor,
        "model": task.card.name,
        "model_sha256": task.card.digest,
        "reference_date": str(origin),
        "start": str(task.start or task.series.dates[0]),
        "end": str(task.end or task.series.dates[-1]),
        "device": device,
        "precision": resolve_precision(task.precision, device),
        "tiles": summary.tiles,
        "seconds": dict(summary.seconds),
    }


def stages(seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds of the stages of publishing, as they are told."""
    return {stage: round(spent, 3) for stage, spent in seconds.items()}
