"""``sitsinfer.classify``: the class of every parcel of a vector layer."""

import datetime
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sitsinfer import engine, memory, weights
from sitsinfer.api.checks import absolute, check_item, check_names, tell_doubts, tell_series
from sitsinfer.api.classification_run import described, results
from sitsinfer.api.provenance import read_and_run, stages
from sitsinfer.engine import Options, Summary
from sitsinfer.errors import OutputError, SeriesError
from sitsinfer.products import vector
from sitsinfer.products.attributes import FID
from sitsinfer.products.classified import schema_of, write_classified
from sitsinfer.products.stac import item_path, write_item
from sitsinfer.series import open_series
from sitsinfer.series.parcels import ParcelLayer, open_parcels
from sitsinfer.store import Store
from sitsinfer.tasks.classify import Classify
from sitsinfer.weights.parcel_card import REACH

log = logging.getLogger(__name__)

RADAR = "sentinel-1"
"""The sensor that sees through clouds."""


def classify(
    ts: str | Path,
    parcels: str | Path,
    out: str | Path,
    *,
    model: str = weights.DEFAULT_PARCEL_MODEL,
    pixels: int | None = None,
    id_column: str | None = None,
    layer: str | None = None,
    start: datetime.date | None = None,
    end: datetime.date | None = None,
    reference_date: datetime.date | None = None,
    device: str = "auto",
    precision: str = "auto",
    strict: bool = False,
    options: Options | None = None,
) -> Summary:
    """Tell the class of every parcel of a vector layer.

    Args:
        ts: The series: a folder, a NetCDF file or a Zarr cube.
        parcels: The layer: a vector file of any format that GDAL reads, or GeoParquet, in any CRS.
        out: The table to write, a GeoPackage, GeoParquet or FlatGeobuf: a row for every feature of the layer, in its
            order and with its geometry; a STAC item comes to lie beside it.
        model: Name of an embedded model, or a model folder.
        pixels: How many pixels of a parcel are used at most, instead of what the weights say. Those of larger parcels
            are sampled, by the identifier of the parcel.
        id_column: The column with identifiers of parcels; by default features are known by their number in the file,
            so that of a layer that is exported anew other pixels may be sampled.
        layer: The layer of the file, where it has several.
        start: First date to use.
        end: Last date to use.
        reference_date: Where the model's year begins, instead of at that anniversary of the weights' own from which on
            most of the dates lie within it.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        strict: Whether files left out, parcels that cannot be classified, and anything else worth a note, are errors.
        options: How to spread the run.

    Returns:
        What became of the run.

    Raises:
        SitsInferError: What stands in the way, on one line.
    """
    place = absolute(out)
    form = vector.format_of(place)
    card, folder = weights.load_parcel_card(model)
    table = open_parcels(absolute(parcels), id_column, layer)
    identifier = pa.field(table.id_column or FID, form.column_type(table.id_type))
    schema_of(identifier, card.predicted)
    task = Classify(
        series=open_series(absolute(ts), strict=strict),
        card=card,
        weights=folder.resolve(),
        layer=table,
        store=Store.beside(place),
        pixels=pixels,
        start=start,
        end=end,
        reference_date=reference_date,
        device=device,
        precision=precision,
        strict=strict,
    )
    options = options or Options()
    _check_layer(table, place)
    check_names([place, item_path(place)], task.series)
    check_item(place, options)
    tell_series(task.series)
    tell_doubts(_doubts(task), strict)

    def publish(store: Store, tags: Mapping[str, str], summary: Summary) -> None:
        tags = {**tags, "MODEL": card.name, "MODEL_SHA256": card.digest}
        began = time.monotonic()
        rows = results(task, store)
        memory.give_back()
        known = time.monotonic()
        write_classified(described(task, rows, form.plain), place, table.crs, identifier, card.predicted, tags)
        seconds = {"join": known - began, "publish": time.monotonic() - known}
        counts = {"count": table.count, "classified": int(np.count_nonzero(rows["pixels"]))}
        told = {"event": "parcels", **counts, "seconds": seconds}
        level = logging.INFO if counts["classified"] else logging.WARNING
        log.log(level, "%d of %d parcels have a class.", counts["classified"], table.count, extra=told)
        write_item(item_path(place), {"parcels": place}, _made_by(task, summary, seconds), task.grid)

    # A layer of which nothing was seen is still a table of all its parcels.
    outputs = engine.Outputs(place, (place,), publish, vector.read_vector_tags, empty=not strict)
    summary = engine.run(task, outputs, options)
    if not item_path(place).exists():  # somebody removed it from beside finished parcels
        write_item(item_path(place), {"parcels": place}, _made_by(task, summary, {}), task.grid)
    return summary


def _check_layer(layer: ParcelLayer, out: Path) -> None:
    """See that there are parcels, and that the output is not to replace them.

    Raises:
        SeriesError: If there is none.
        OutputError: If it is.
    """
    if not layer.count:
        raise SeriesError(f"{layer.path} holds no parcel. Choose another layer.")
    if out.resolve() == layer.path.resolve():
        raise OutputError(f"{out} is the layer of parcels itself. Choose another output.")


def _doubts(task: Classify) -> Iterator[str]:
    """Say where a series is not what weights were trained on."""
    if task.series.sensor not in (task.card.sensor, "unknown"):
        yield f"The series is of {task.series.sensor}, the weights of {task.card.sensor}."
    masked = any(image.masks for acquisition in task.series.acquisitions for image in acquisition.images)
    if not masked and task.card.sensor != RADAR:
        yield f"{task.series.root.name} has no masks: clouds count as observations. Put masks beside the images."
    (first, last), begin, end = task.span, task.series.dates[0], task.series.dates[-1]
    if (begin - first).days > REACH or (last - end).days > REACH:
        yield (
            f"Acquisitions from {begin} to {end} are used, but the weights know {first} to {last}: what is missing is "
            f"taken to be like the nearest date. Set the reference date to where the weights' year begins."
        )


def _made_by(task: Classify, summary: Summary, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What went into classified parcels, for their STAC item."""
    made = read_and_run(task, summary, task.origin)
    return {
        **made,
        "seconds": {**made["seconds"], **stages(seconds)},
        "parcels": task.layer.path.name,
        "layer": task.layer.name,
        "id_column": task.layer.id_column,
        "pixels": task.pixels,
    }
