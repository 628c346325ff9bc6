"""``sitsinfer evaluate``: how far a map agrees with a reference."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sitsinfer.cli import _options as opt

if TYPE_CHECKING:
    from sitsinfer.metrics.segmentation import SegmentationScores
    from sitsinfer.products.raster import RasterLayer

app = typer.Typer(no_args_is_help=True, help="Compare maps with a reference.")

CODES = 256
"""Class codes are uint8."""


@app.callback()
def _evaluate() -> None:
    """Compare maps with a reference."""


@app.command()
def segmentation(
    prediction: Annotated[Path, typer.Argument(help="A map of classes.", show_default=False)],
    reference: Annotated[Path, typer.Argument(help="The classes that are right, on any grid.", show_default=False)],
    ignore: Annotated[
        list[int] | None,
        typer.Option(
            help="A class code that does not count, in either map; may be given several times.", max=255, min=0
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all scores as JSON.")] = False,
) -> None:
    """Score a map of classes: overall accuracy, mean IoU, and IoU and F1 of each class.

    Pixels count that have a value in both maps. A reference on another grid is read by nearest neighbour.
    """
    from sitsinfer.products.raster import open_raster

    with _unwarned(), open_raster(prediction) as predicted, open_raster(reference, predicted.grid) as truth:
        scores = _compare(predicted, truth, tuple(ignore or ()))
        names = {info.code: info.name for info in (*truth.layer.classes, *predicted.layer.classes)}
    if json:
        _print_json(scores, names)
    else:
        _print_table(scores, names)


class Sensor(StrEnum):
    """Sensors whose point spread functions are known."""

    HR = "hr"
    LR = "lr"


@app.command()
def fusion(
    prediction: Annotated[
        Path,
        typer.Argument(help="A raster, or a folder or cube of dates such as 'fuse' writes.", show_default=False),
    ],
    reference: Annotated[
        Path, typer.Argument(help="What was observed, or is true: likewise, or any time series.", show_default=False)
    ],
    sensor: Annotated[
        Sensor | None,
        typer.Option(help="Sentinel-2 (hr) or Landsat (lr).", show_default="as names and pixels of the reference say"),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(help="Bands to compare, such as B02,LST.", metavar="BANDS", show_default="all in both"),
    ] = None,
    truth: Annotated[
        bool,
        typer.Option(
            "--truth",
            help="The reference is true at 10 m, as of 'simulate --truth': compare the prediction as it is, unblurred.",
        ),
    ] = False,
    margin: opt.Border = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write the scores of each date to this file.", show_default=False)
    ] = None,
    overwrite: opt.Overwrite = False,
) -> None:
    """Score predicted dates: RMSE, normalised RMSE, spectral angle and frequency restoration of each band.

    Images are matched by date and bands by name; clear pixels count. A reference of 30 m is compared with the
    prediction as Landsat would have seen it, one of Sentinel-2 with bands blurred to the 20 m that it has, and one that
    is --truth with the prediction as it is. One on other pixels is resampled.
    """
    from sitsinfer.errors import OutputError
    from sitsinfer.metrics.fusion import compare, to_csv, to_table
    from sitsinfer.metrics.fusion.matching import match
    from sitsinfer.products.whole import whole_file

    if csv is not None and csv.is_dir():
        raise OutputError(f"{csv} is a folder. Choose a file for the scores.")
    if csv is not None and csv.exists() and not overwrite:
        raise OutputError(f"{csv} already exists. Set overwrite to replace it.")
    with _unwarned():
        matched = match(prediction, reference, None if sensor is None else sensor.value, opt.names(bands))
    for note in matched.notes:
        typer.echo(note, err=True)
    table = to_csv(list(compare(matched.comparisons(), margin, truth=truth)))
    if csv is not None:
        with whole_file(csv) as draft:
            draft.write_text(table, encoding="utf-8")
    typer.echo(to_table(table))


@contextmanager
def _unwarned() -> Iterator[None]:
    """Have it told once that a raster lies nowhere: by our error."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
        yield


def _compare(predicted: RasterLayer, truth: RasterLayer, ignore: tuple[int, ...]) -> SegmentationScores:
    """Count agreement window by window.

    Raises:
        OutputError: If a raster holds no class codes, or the two share no pixel.
    """
    import numpy as np

    from sitsinfer.errors import OutputError
    from sitsinfer.metrics.segmentation import SegmentationScores, confusion_matrix
    from sitsinfer.products.windows import windows

    for raster in (predicted, truth):
        if raster.layer.dtype != "uint8":
            raise OutputError(f"{raster.path} holds {raster.layer.dtype} values; expected uint8 class codes.")
    matrix = np.zeros((CODES, CODES), np.int64)
    for window in windows(predicted.grid):
        found, right = predicted.read(window)[0], truth.read(window)[0]
        counts = predicted.valid(window) & truth.valid(window) & ~np.isin(found, ignore) & ~np.isin(right, ignore)
        matrix += confusion_matrix(right[counts], found[counts], CODES)
    if not matrix.any():
        raise OutputError(f"{predicted.path} and {truth.path} share no pixel that counts. Expected maps of one area.")
    return SegmentationScores(matrix)


def _print_json(scores: SegmentationScores, names: Mapping[int, str]) -> None:
    """Print all scores, as fractions."""
    import json

    summary = {
        "pixels": int(scores.matrix.sum()),
        "overall_accuracy": scores.overall_accuracy,
        "mean_iou": scores.mean_iou,
        "classes": [
            {
                "code": code,
                "name": names.get(code, str(code)),
                "pixels": int(scores.matrix[code].sum()),
                "iou": float(scores.iou[code]),
                "f1": float(scores.f1[code]),
            }
            for code in _occurring(scores)
        ],
    }
    typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))


def _print_table(scores: SegmentationScores, names: Mapping[int, str]) -> None:
    """Print the scores as a table, in percent."""
    from rich.console import Console
    from rich.table import Column, Table

    numbers = (Column(name, justify="right") for name in ("pixels", "IoU %", "F1 %"))
    table = Table("class", *numbers, box=None, pad_edge=False)
    for code in _occurring(scores):
        pixels, iou, f1 = scores.matrix[code].sum(), 100 * scores.iou[code], 100 * scores.f1[code]
        table.add_row(names.get(code, str(code)), f"{pixels:d}", f"{iou:.1f}", f"{f1:.1f}")
    Console().print(table)
    pixels, accuracy, mean_iou = scores.matrix.sum(), 100 * scores.overall_accuracy, 100 * scores.mean_iou
    typer.echo(f"\nOverall accuracy {accuracy:.1f} %, mean IoU {mean_iou:.1f} %, over {pixels:d} pixels.")


def _occurring(scores: SegmentationScores) -> list[int]:
    """Codes that are in either map, in order."""
    return [code for code in range(CODES) if scores.matrix[code].any() or scores.matrix[:, code].any()]
