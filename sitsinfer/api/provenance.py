"""What went into an output, for its STAC item."""

from typing import Any

from sitsinfer.engine import Summary
from sitsinfer.tasks.patchwork import PatchTask


def provenance(task: PatchTask, summary: Summary) -> dict[str, Any]:
    """What went into a map by patches, as plain JSON."""
    from sitsinfer.device import resolve_device, resolve_precision

    device = resolve_device(task.device)
    return {
        "inputs": [name for name, _, _ in task.series.inputs()],
        "dates": [str(date) for date in task.series.dates],
        "sensor": task.series.sensor,
        "model": task.card.name,
        "model_sha256": task.card.digest,
        "positions": task.card.positions,
        "reference_date": str(task.reference_date or task.card.reference_date),
        "start": str(task.start or task.series.dates[0]),
        "end": str(task.end or task.series.dates[-1]),
        "bounds": task.area.bounds,
        "bounds_crs": task.area.crs,
        "aoi": None if task.area.aoi is None else task.area.aoi.name,
        "margin": task.lattice.margin,
        "blend": task.lattice.blend,
        "device": device,
        "precision": resolve_precision(task.precision, device),
        "batch_size": task.batch_size,
        "tiles": summary.tiles,
        "seconds": dict(summary.seconds),
    }
