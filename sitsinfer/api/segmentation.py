"""``sitsinfer.segment``: the class of every pixel of a time series."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sitsinfer import engine, weights
from sitsinfer.api.checks import absolute, check_item, check_names, doubts, tell_doubts, tell_series
from sitsinfer.api.provenance import provenance
from sitsinfer.area import Area
from sitsinfer.engine import Options, Summary
from sitsinfer.errors import OutputError
from sitsinfer.products import dated, writer_for
from sitsinfer.products.cube import is_cube
from sitsinfer.products.raster import read_tags
from sitsinfer.products.stac import item_path, write_item
from sitsinfer.series import open_series
from sitsinfer.store import Store
from sitsinfer.tasks.attention import APPLIED, LAYER, MASKS_TAG, NOT_APPLIED
from sitsinfer.tasks.segment import Segment


def segment(
    ts: str | Path,
    out: str | Path,
    *,
    model: str = weights.DEFAULT_MODEL,
    area: Area | None = None,
    start: datetime.date | None = None,
    end: datetime.date | None = None,
    reference_date: datetime.date | None = None,
    probabilities: str | Path | None = None,
    confidence: str | Path | None = None,
    attention: str | Path | None = None,
    quicklook: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    margin: int | None = None,
    batch_size: int | None = None,
    masks: bool = True,
    strict: bool = False,
    options: Options | None = None,
) -> Summary:
    """Map the class of every pixel of a time series.

    Args:
        ts: The series: a folder, a NetCDF file or a Zarr cube.
        out: The map to write, a GeoTIFF; a STAC item comes to lie beside it.
        model: Name of an embedded model, or a model folder.
        area: What to limit the map to.
        start: First date to use.
        end: Last date to use.
        reference_date: What days are counted from, instead of what the weights say.
        probabilities: A GeoTIFF to write with the probability of each class.
        confidence: A GeoTIFF to write with the probability of the class decided for.
        attention: What to write the model's attention over dates to: a NetCDF file or a Zarr cube, of dimensions date,
            head, y and x, or a folder with a GeoTIFF a date, of a band a head.
        quicklook: A PNG to write.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        margin: Pixels on each side of a patch that are context only, instead of what the weights say.
        batch_size: Patches computed at once; ``None``: what the device holds. It may change the last step of attention.
        masks: Whether the masks of the series hide pixels; without, all that has data is taken for seen, as
            :func:`sitsinfer.clouds` needs attention to be.
        strict: Whether files left out, and anything else worth a note, are errors.
        options: How to spread the run.

    Returns:
        What became of the run.

    Raises:
        SitsInferError: What stands in the way, on one line.
    """
    # Workers may run elsewhere: what they are told is where things are, not how to get there from here.
    place, page = absolute(out), absolute(quicklook)
    card, folder = weights.load_card(model)
    task = Segment(
        series=open_series(absolute(ts), strict=strict),
        card=card,
        weights=folder.resolve(),
        area=area or Area(),
        start=start,
        end=end,
        margin=margin,
        reference_date=reference_date,
        probabilities=probabilities is not None,
        confidence=confidence is not None,
        attention=attention is not None,
        device=device,
        precision=precision,
        batch_size=batch_size,
        masks=masks,
    )
    tell_series(task.series)
    tell_doubts(doubts(task.series, card, reference_date), strict)
    options = options or Options()
    outputs = {"classes": place, "probabilities": absolute(probabilities), "confidence": absolute(confidence)}
    files = {layer: path for layer, path in outputs.items() if path is not None}
    writers = {layer: writer_for(path) for layer, path in files.items()}
    attended = _Attention.of(task, absolute(attention), place.stem)
    check_names([*files.values(), *attended.files, item_path(place), *([page] if page else [])], task.series)
    check_item(place, options)
    is_drawn = page is None or _is_drawn(page, task, options)

    def publish(store: Store, tags: Mapping[str, str], summary: Summary) -> None:
        described = {**tags, "MODEL": card.name, "MODEL_SHA256": card.digest}
        attended.publish(store, described)
        # The map comes last of the rasters; should its item not follow, the store is still there to go on from.
        for layer in reversed(files):
            writers[layer](store.source(layer), files[layer], described)
        write_item(item_path(place), files | attended.assets, _provenance(task, summary))

    everything = (*files.values(), *attended.files)
    run = engine.Outputs(place, everything, publish, dated.read_tags, attended.folders)
    summary = engine.run(task, run, options)
    if not item_path(place).exists():  # somebody removed it from beside a finished map
        write_item(item_path(place), files | attended.assets, _provenance(task, summary))
    if page is not None and not (summary.unchanged and is_drawn):
        from sitsinfer.products.quicklook import write_quicklook

        write_quicklook(page, place, card.title, read_tags(place))
    return summary


@dataclass(frozen=True)
class _Attention:
    """Where the attention of a map goes, if anywhere.

    Attributes:
        out: A cube or a folder; ``None``: it is not asked for.
        prefix: What the names of files in a folder begin with.
        masks: Whether masks of the series hide pixels, as a tag says it.
        files: What comes out.
    """

    out: Path | None
    prefix: str
    masks: str
    files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, task: Segment, out: Path | None, prefix: str) -> Self:
        """Name the files.

        Raises:
            WeightsError: If the model has no attention to tell.
            OutputError: If no such output is known, or it is the folder of the series.
        """
        masks = APPLIED if _hides(task) else NOT_APPLIED
        if out is None:
            return cls(None, prefix, masks)
        if out.resolve() == task.series.root.resolve():
            raise OutputError(f"{out} is the series itself. Choose another output for the attention.")
        layers = [layer for layer in task.layers if layer.name == LAYER]
        return cls(out, prefix, masks, dated.outputs_of(out, prefix, layers))

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folder of all files, if there is one."""
        return () if self.out is None or is_cube(self.out) else (self.out,)

    @property
    def assets(self) -> dict[str, Path]:
        """What a STAC item calls the files: ``attention``, or with the date, ``attention_20220115``."""
        return {LAYER: self.files[0]} if self.files and not self.folders else dated.assets_of(self.files)

    def publish(self, store: Store, tags: Mapping[str, str]) -> None:
        """Write the files."""
        if self.out is not None:
            dated.write(self.out, self.prefix, [store.source(LAYER)], {**tags, MASKS_TAG: self.masks})


def _hides(task: Segment) -> bool:
    """Whether masks of the series hide pixels from a task."""
    return any(image.masks for acquisition in task.series.acquisitions for image in acquisition.images)


def _provenance(task: Segment, summary: Summary) -> dict[str, Any]:
    """What went into a map, for its STAC item."""
    return {**provenance(task, summary), "masks": _hides(task)}


def _is_drawn(quicklook: Path, task: Segment, options: Options) -> bool:
    """Whether a quicklook of just this map is there.

    Raises:
        OutputError: If the file is something else, or cannot be made there.
    """
    engine.check_places([quicklook])
    if quicklook.is_dir():
        raise engine.foreign(quicklook)
    return not options.overwrite and engine.outdated(quicklook, engine.fingerprint_of(task), read_tags) == set()
