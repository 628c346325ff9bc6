"""How accuracies of classes look, be they of pixels or of parcels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sitsinfer.cli.evaluate._outputs import defined, new_table, percent, print_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sitsinfer.api import Accuracy
    from sitsinfer.metrics.segmentation import SegmentationScores
    from sitsinfer.metrics.stratified import Estimate

SCORES = ("iou", "precision", "recall", "f1")


def as_dict(found: Accuracy, unit: str) -> dict[str, Any]:
    """All that is known, as JSON has it: fractions and hectares; ``ci95`` is half of a confidence interval.

    Args:
        found: The scores.
        unit: What is counted: pixels or parcels.
    """
    weighted = found.weighted
    return {
        unit: int(found.scores.matrix.sum()),
        "overall_accuracy": defined(found.scores.overall_accuracy),
        "mean_iou": defined(found.scores.mean_iou),
        "classes": [class_as_dict(found, unit, k) for k in found.occurring],
        "confusion_matrix": found.scores.matrix[found.occurring][:, found.occurring].tolist(),
        "area_weighted": {
            **_estimate_as_dict("overall_accuracy", weighted.overall, ()),
            f"share_of_{unit}_with_reference": found.coverage,
            "share_of_area_represented": defined(weighted.share),
            "not_represented": [
                {"code": found.classes[k].code, "name": found.classes[k].name, "mapped_ha": float(found.mapped[k])}
                for k in found.unsampled
            ],
        },
    }


def class_as_dict(found: Accuracy, unit: str, k: int) -> dict[str, Any]:
    """What is known of one class; ``None`` where it is not defined."""
    weighted = found.weighted
    return {
        "code": found.classes[k].code,
        "name": found.classes[k].name,
        unit: int(found.scores.matrix[k].sum()),
        **scores_as_dict(found.scores, k),
        "mapped_ha": float(found.mapped[k]),
        **_estimate_as_dict("area_ha", weighted.areas, k),
        **_estimate_as_dict("users_accuracy", weighted.users, k),
        **_estimate_as_dict("producers_accuracy", weighted.producers, k),
    }


def scores_as_dict(scores: SegmentationScores, k: int) -> dict[str, float | None]:
    """Scores of one class."""
    return {name: defined(getattr(scores, name)[k]) for name in SCORES}


def _estimate_as_dict(name: str, estimate: Estimate, k: Any) -> dict[str, float | None]:
    return {name: defined(estimate.value[k]), f"{name}_ci95": defined(estimate.half_width[k])}


def as_rows(found: Accuracy, unit: str) -> list[dict[str, Any]]:
    """A row a true class: what is known of it, and how many of it are mapped as each class."""
    names = {
        k: found.classes[k].name if found.classes[k].code is None else found.classes[k].code for k in found.occurring
    }
    return [
        {
            **class_as_dict(found, unit, k),
            **{f"mapped_as_{name}": int(found.scores.matrix[k, other]) for other, name in names.items()},
        }
        for k in found.occurring
    ]


def print_scores(found: Accuracy, scores: SegmentationScores, unit: str) -> None:
    """Print the scores of each class, in percent, and those of all.

    Args:
        found: What the classes are.
        scores: The scores to print.
        unit: What their matrix counts: pixels, parcels or hectares.
    """
    amount = _amounts(scores.matrix)
    table = new_table("class", unit, "IoU %", "precision %", "recall %", "F1 %")
    for k in found.occurring:
        numbers = (percent(getattr(scores, name)[k]) for name in SCORES)
        table.add_row(found.classes[k].name, amount(scores.matrix[k].sum()), *numbers)
    print_table(table)
    overall, mean_iou, whole = percent(scores.overall_accuracy), percent(scores.mean_iou), amount(scores.matrix.sum())
    typer.echo(f"\nOverall accuracy {overall} %, mean IoU {mean_iou} %, over {whole} {unit}.")


def print_estimates(found: Accuracy, unit: str) -> None:
    """Print areas, and the accuracies that are weighted by them."""
    told = _exact if found.is_complete else _interval
    weighted, amount = found.weighted, _amounts(found.mapped)
    table = new_table("class", "mapped ha", "area ha", "user's acc. %", "producer's acc. %")
    for k in found.occurring:
        estimates = (
            told(weighted.areas, k, amount),
            told(weighted.users, k, percent),
            told(weighted.producers, k, percent),
        )
        table.add_row(found.classes[k].name, amount(found.mapped[k]), *estimates)
    typer.echo()
    print_table(table)
    overall = told(weighted.overall, (), percent)
    typer.echo(f"\nWeighted by area (Olofsson et al. 2014), overall accuracy {overall} %.")
    typer.echo(_caution(found, unit))
    if found.unsampled:
        listed = ", ".join(f"{found.classes[k].name} ({amount(found.mapped[k])} ha)" for k in found.unsampled)
        typer.echo(f"It is said of {percent(weighted.share)} % of the area, for want of a reference in {listed}.")


def _caution(found: Accuracy, unit: str) -> str:
    """What intervals are worth."""
    if found.is_complete:
        return f"All {unit} have a reference: nothing is left to chance, and there are no intervals."
    return (
        f"± is half of a 95 % confidence interval. It holds for {unit} drawn at random, be it in each mapped class or "
        f"over all; {_part(found.coverage)} % have a reference."
    )


def _part(share: float) -> str:
    """A part of the whole to read, in percent: two digits, however small it is, and never all."""
    from numpy import format_float_positional

    return "more than 99" if share > 0.99 else format_float_positional(100 * share, 2, fractional=False, trim="-")


def _interval(estimate: Estimate, k: Any, write: Callable[[float], str]) -> str:
    value, half_width = (write(float(values[k])) for values in (estimate.value, estimate.half_width))
    return value if half_width == "-" else f"{value} ± {half_width}"


def _exact(estimate: Estimate, k: Any, write: Callable[[float], str]) -> str:
    return write(float(estimate.value[k]))


def _amounts(values: NDArray[Any]) -> Callable[[float], str]:
    """How to write pixels, parcels or hectares to be read: with decimals if there are few hectares."""
    whole = float(values.sum())
    decimals = 0 if values.dtype.kind in "iu" or whole >= 10_000 else 1 if whole >= 100 else 2
    return lambda amount: "-" if math.isnan(amount) else f"{amount:.{decimals}f}"


def draw(path: Path, found: Accuracy, unit: str) -> None:
    """Draw the confusion matrix of the classes that occur.

    Raises:
        OutputError: If the picture cannot be written.
    """
    from sitsinfer.products.confusion import write_confusion

    rows = found.occurring
    title = f"Overall accuracy {percent(found.scores.overall_accuracy)} %, mean IoU {percent(found.scores.mean_iou)} %"
    names: Sequence[str] = [found.classes[k].name for k in rows]
    write_confusion(path, found.scores.matrix[rows][:, rows], names, title, unit)
