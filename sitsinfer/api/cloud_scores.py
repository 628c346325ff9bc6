"""``sitsinfer.clouds``: scores of clouds for every date of a series, from what attention ignores."""

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sitsinfer import engine, weights
from sitsinfer.api.checks import absolute, check_names, doubts, tell_doubts, tell_series
from sitsinfer.api.provenance import provenance
from sitsinfer.area import Area
from sitsinfer.engine import FINGERPRINT_TAG, Options, Summary
from sitsinfer.errors import OutputError, SeriesError
from sitsinfer.grid import is_aligned
from sitsinfer.products import dated
from sitsinfer.products.stac import is_item, write_item
from sitsinfer.series import Series, open_series
from sitsinfer.store import Store
from sitsinfer.tasks.attention import APPLIED, LAYER, MASKS_TAG
from sitsinfer.tasks.clouds import AttendedClouds, Clouds

PREFIX = "clouds"
"""What the names of files in a folder begin with."""


def clouds(
    ts: str | Path | None,
    out: str | Path,
    *,
    from_attention: str | Path | None = None,
    threshold: float | None = None,
    model: str | None = None,
    area: Area | None = None,
    start: datetime.date | None = None,
    end: datetime.date | None = None,
    reference_date: datetime.date | None = None,
    device: str = "auto",
    precision: str = "auto",
    margin: int | None = None,
    batch_size: int | None = None,
    strict: bool = False,
    options: Options | None = None,
) -> Summary:
    """Score how likely each pixel is under a cloud on each date, by what the attention of a model ignores.

    Attention leaves out more than clouds: dates that tell no class from another, too. Scores rank dates better than
    chance where a model was trained on cloudy dates; a simple threshold on them does not make a cloud mask. See
    :func:`sitsinfer.attention.cloud_scores` for the formula.

    Args:
        ts: The series: a folder, a NetCDF file or a Zarr cube. Its masks play no part. ``None`` with
            ``from_attention``; if both are given, they must fit each other.
        out: What to write: a NetCDF file or a Zarr cube, or a folder for a GeoTIFF a date.
        from_attention: A cube or folder of attention that ``segment`` wrote, to be used instead of a model. Where masks
            of its series hid pixels, these get no score. Its steps of 0.004 pull scores towards 0.5: they rank nearly
            as well, but a threshold finds fewer clouds.
        threshold: The least score, 0 to 1, of what is cloud in a mask that is written as well.
        model: Name of an embedded model, or a model folder; one with attention over dates. ``None``: the demonstrator.
        area: What to limit the output to.
        start: First date to use.
        end: Last date to use.
        reference_date: What days are counted from, instead of what the weights say.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        margin: Pixels on each side of a patch that are context only, instead of what the weights say.
        batch_size: Patches computed at once; ``None``: what the device holds. It may change the last step of a score.
        strict: Whether files left out, and anything else worth a note, are errors.
        options: How to spread the run.

    Returns:
        What became of the run.

    Raises:
        SitsInferError: What stands in the way, on one line.
    """
    place, options = absolute(out), options or Options()
    series = None if ts is None else open_series(absolute(ts), strict=strict)
    if from_attention is not None:
        _check_unused(
            model=model,
            start=start,
            end=end,
            reference_date=reference_date,
            device=None if device == "auto" else device,
            precision=None if precision == "auto" else precision,
            margin=margin,
            batch_size=batch_size,
        )
        attended = _attended(absolute(from_attention), area or Area(), threshold)
        _check_fit(attended, series, absolute(from_attention))
        tell_doubts(_hidden(attended, absolute(from_attention)), strict)
        return _run(attended, place, series, options)
    if series is None:
        raise SeriesError("There is nothing to score: no series, and no attention of one. Set ts, or from_attention.")
    card, folder = weights.load_card(model or weights.DEFAULT_MODEL)
    task = Clouds(
        series=series,
        card=card,
        weights=folder.resolve(),
        area=area or Area(),
        start=start,
        end=end,
        margin=margin,
        reference_date=reference_date,
        threshold=threshold,
        device=device,
        precision=precision,
        batch_size=batch_size,
    )
    tell_series(task.series)
    tell_doubts(doubts(task.series, card, reference_date), strict)
    return _run(task, place, series, options)


def _run(task: Clouds | AttendedClouds, out: Path, series: Series | None, options: Options) -> Summary:
    """Make the scores, and their STAC item."""
    files, item = dated.outputs_of(out, PREFIX, task.layers), dated.item_of(out, PREFIX)
    check_names([*files, item], *([] if series is None else [series]))
    if series is not None and out.resolve() == series.root.resolve():
        raise OutputError(f"{out} is the series itself, which would grow by the output. Choose another.")
    if isinstance(task, AttendedClouds) and out.resolve() in {one.path.resolve() for one in task.attention.dates}:
        raise OutputError(f"{out} is the attention that is to be read. Choose another output.")
    if item.exists() and not is_item(item) and not options.overwrite:
        raise engine.foreign(item)

    def publish(store: Store, tags: Mapping[str, str], summary: Summary) -> None:
        dated.write(out, PREFIX, [store.source(layer.name) for layer in task.layers], {**tags, **_model(task)})
        write_item(item, dated.assets_of(files), _provenance(task, summary))

    summary = engine.run(task, engine.Outputs(out, files, publish, dated.read_tags), options)
    if not item.exists():  # somebody removed it from beside finished outputs
        write_item(item, dated.assets_of(files), _provenance(task, summary))
    return summary


def _attended(path: Path, area: Area, threshold: float | None) -> AttendedClouds:
    """The task that reads attention.

    Raises:
        OutputError: If there is none that ``segment`` wrote.
    """
    attention = dated.find(path, LAYER)
    made_by = [dated.read_tags(file).get(FINGERPRINT_TAG) for file in {one.path for one in attention.dates}]
    if None in made_by:
        raise OutputError(f"{path} was not written by segment, or is damaged. Give attention that segment wrote.")
    return AttendedClouds(attention, tuple(text for text in made_by if text), area, threshold)


def _check_unused(**options: object) -> None:
    """See that nothing is asked for that was decided when attention was made.

    Raises:
        OutputError: If something is.
    """
    for name, value in options.items():
        if value is not None:
            raise OutputError(
                f"With from_attention, {name} plays no part: the attention is as it was made. Leave it out."
            )


def _check_fit(task: AttendedClouds, series: Series | None, path: Path) -> None:
    """See that attention is that of a series, as far as dates and pixels tell.

    Raises:
        SeriesError: If it is not.
    """
    if series is None:
        return
    strange = sorted(set(task.attention.layer.dates) - set(series.dates))
    if strange:
        raise SeriesError(
            f"{path} has attention of {strange[0]}, which {series.root} does not have. Give what belongs together."
        )
    if not is_aligned(series.grid, task.attention.grid):
        raise SeriesError(f"The pixels of {path} are not those of {series.root}. Give what belongs together.")


def _hidden(task: AttendedClouds, path: Path) -> Iterator[str]:
    """Say where masks hid from attention what is to be told."""
    if any(dated.read_tags(file).get(MASKS_TAG) == APPLIED for file in {one.path for one in task.attention.dates}):
        yield (
            f"{path} was written with the masks of its series: the pixels that they hide get no score. "
            "Have segment write it without masks: --no-masks, or masks=False in Python."
        )


def _model(task: Clouds | AttendedClouds) -> dict[str, str]:
    """Tags of the model whose attention it is, or was."""
    if isinstance(task, Clouds):
        return {"MODEL": task.card.name, "MODEL_SHA256": task.card.digest}
    tags = dated.read_tags(task.attention.dates[0].path)
    return {name: tags[name] for name in ("MODEL", "MODEL_SHA256") if name in tags}


def _provenance(task: Clouds | AttendedClouds, summary: Summary) -> dict[str, Any]:
    """What went into the scores, for their STAC item."""
    if isinstance(task, Clouds):
        return {**provenance(task, summary), "threshold": task.threshold}
    return {
        "inputs": sorted({one.path.name for one in task.attention.dates}),
        "dates": [str(date) for date in task.attention.layer.dates],
        "model": _model(task).get("MODEL"),
        "bounds": task.area.bounds,
        "bounds_crs": task.area.crs,
        "aoi": None if task.area.aoi is None else task.area.aoi.name,
        "threshold": task.threshold,
        "tiles": summary.tiles,
        "seconds": dict(summary.seconds),
    }
