"""``sitsinfer.panoptic``: every parcel of a time series as one object."""

import datetime
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sitsinfer import engine, memory, weights
from sitsinfer.api.checks import absolute, check_item, check_names, doubts, tell_doubts, tell_series
from sitsinfer.api.parcel_run import outlined, painted, settled
from sitsinfer.api.provenance import provenance, stages
from sitsinfer.area import Area
from sitsinfer.engine import Options, Summary
from sitsinfer.products import vector, writer_for
from sitsinfer.products.parcels import write_parcels
from sitsinfer.products.raster import read_tags
from sitsinfer.products.stac import item_path, write_item
from sitsinfer.series import open_series
from sitsinfer.store import Store
from sitsinfer.tasks.panoptic import Panoptic

log = logging.getLogger(__name__)


def panoptic(
    ts: str | Path,
    out: str | Path,
    *,
    model: str = weights.DEFAULT_PANOPTIC_MODEL,
    raster: str | Path | None = None,
    classes: str | Path | None = None,
    area: Area | None = None,
    start: datetime.date | None = None,
    end: datetime.date | None = None,
    reference_date: datetime.date | None = None,
    min_confidence: float | None = None,
    min_remain: float | None = None,
    mask_threshold: float | None = None,
    void: tuple[int, ...] = (),
    min_area: float = 0.0,
    simplify: float | None = None,
    device: str = "auto",
    precision: str = "auto",
    margin: int | None = None,
    batch_size: int | None = None,
    strict: bool = False,
    options: Options | None = None,
) -> Summary:
    """Find every parcel of a time series, as one polygon each.

    Args:
        ts: The series: a folder, a NetCDF file or a Zarr cube.
        out: The parcels to write: a GeoPackage, GeoParquet or FlatGeobuf; a STAC item comes to lie beside it.
        model: Name of an embedded model, or a model folder.
        raster: A GeoTIFF to write with the number of the parcel that each pixel belongs to, 0 for none.
        classes: A GeoTIFF to write with the class of the parcel that each pixel belongs to.
        area: What to limit the parcels to; it cuts those that it meets.
        start: First date to use.
        end: Last date to use.
        reference_date: What days are counted from, instead of what the weights say.
        min_confidence: Least confidence of a parcel, 0 to 1, instead of what the weights were tuned to.
        min_remain: Share of a parcel that more confident ones must leave, 0 to 1, instead of what the weights say.
        mask_threshold: What the mask of a parcel must exceed at a pixel, 0 to 1, instead of what the weights say.
        void: Codes of classes whose parcels are left out. They take their pixels from less confident ones first.
        min_area: Parcels smaller than this are left out, hectares.
        simplify: How far outlines may be moved, in units of the CRS. Areas stay those of the pixels.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        margin: Pixels on each side of a patch that are context only, instead of what the weights say.
        batch_size: Patches computed at once; ``None``: what the device holds.
        strict: Whether files left out, and anything else worth a note, are errors.
        options: How to spread the run.

    Returns:
        What became of the run.

    Raises:
        SitsInferError: What stands in the way, on one line.
    """
    place, instances, codes = absolute(out), absolute(raster), absolute(classes)
    vector.format_of(place)
    files = {name: path for name, path in (("instances", instances), ("classes", codes)) if path is not None}
    writers = {name: writer_for(path) for name, path in files.items()}
    card, folder = weights.load_card(model, "panoptic")
    task = Panoptic(
        series=open_series(absolute(ts), strict=strict),
        card=card,
        weights=folder.resolve(),
        area=area or Area(),
        start=start,
        end=end,
        margin=margin,
        reference_date=reference_date,
        device=device,
        precision=precision,
        batch_size=batch_size,
        min_confidence=min_confidence,
        mask_threshold=mask_threshold,
        min_remain=min_remain,
        void=tuple(sorted(set(void))),
        min_area=min_area,
        simplify=simplify,
    )
    tell_series(task.series)
    tell_doubts(doubts(task.series, card, reference_date), strict)
    options = options or Options()
    products = {"parcels": place, **files}
    check_names([*products.values(), item_path(place)], task.series)
    check_item(place, options)

    def publish(store: Store, tags: Mapping[str, str], summary: Summary) -> None:
        described = {**tags, "MODEL": card.name, "MODEL_SHA256": card.digest}
        began = time.monotonic()
        parcels = settled(task, store)
        memory.give_back()
        known = time.monotonic()
        # The parcels come last of the files; should their item not follow, the store is still there to go on from.
        for name, path in files.items():
            writers[name](painted(name, task, store, parcels), path, described)
        memory.give_back()
        drawn = time.monotonic()
        write_parcels(outlined(task, store, parcels), place, task.grid, card.predicted, described)
        seconds = {"settle": known - began, "paint": drawn - known, "outline": time.monotonic() - drawn}
        log.info("%d parcels.", len(parcels), extra={"event": "parcels", "count": len(parcels), "seconds": seconds})
        write_item(item_path(place), products, _made_by(task, summary, seconds), task.grid)

    summary = engine.run(task, engine.Outputs(place, tuple(products.values()), publish, _read_tags), options)
    if not item_path(place).exists():  # somebody removed it from beside finished parcels
        write_item(item_path(place), products, _made_by(task, summary, {}), task.grid)
    return summary


def _read_tags(path: Path) -> Mapping[str, str]:
    return vector.read_vector_tags(path) if vector.is_vector(path) else read_tags(path)


def _made_by(task: Panoptic, summary: Summary, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What went into parcels, for their STAC item."""
    made = provenance(task, summary)
    return {
        **made,
        "seconds": {**made["seconds"], **stages(seconds)},
        "min_confidence": task.min_confidence,
        "mask_threshold": task.mask_threshold,
        "min_remain": task.min_remain,
        "void": list(task.void),
        "min_area": task.min_area,
        "simplify": task.simplify,
    }
