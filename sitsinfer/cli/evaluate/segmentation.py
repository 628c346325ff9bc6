"""``sitsinfer evaluate segmentation``: how far a map of classes agrees with a reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sitsinfer.cli.evaluate._quiet import unwarned

if TYPE_CHECKING:
    from sitsinfer.metrics.segmentation import SegmentationScores
    from sitsinfer.products.raster import RasterLayer

CODES = 256
"""Class codes are uint8."""


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

    with unwarned(), open_raster(prediction) as predicted, open_raster(reference, predicted.grid) as truth:
        scores = _compare(predicted, truth, tuple(ignore or ()))
        names = {info.code: info.name for info in (*truth.layer.classes, *predicted.layer.classes)}
    if json:
        _print_json(scores, names)
    else:
        _print_table(scores, names)


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
