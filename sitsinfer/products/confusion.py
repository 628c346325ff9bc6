"""A picture of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.products.quicklook import DPI, INK
from sitsinfer.products.whole import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL_INCHES = 0.42
"""Height and width of a cell that holds a number, at least."""
PLAIN_INCHES = 0.12
"""Likewise of one that holds none."""
LEAST_INCHES = 2.4
"""Height and width of the matrix, at least."""
MOST_NUMBERED = 24
"""Classes above which cells hold no numbers."""
MOST_LETTERS = 28
"""Of the name of a class."""


def write_confusion(path: Path, matrix: NDArray[Any], names: Sequence[str], title: str = "", unit: str = "") -> None:
    """Draw a confusion matrix as PNG: a row a true class, a column a mapped one.

    Colours and numbers are percentages of a row, so that a rare class shows as well as a common one: the diagonal has
    the recall (producer's accuracy) of each. How much there truly is of it stands at the right.

    Args:
        path: The picture to write or to replace.
        matrix: What is counted, (K, K).
        names: Of the classes, (K,).
        title: What stands above it.
        unit: What is counted, such as pixels.

    Raises:
        OutputError: If the picture cannot be written.
    """
    from matplotlib.figure import Figure

    numbered = len(names) <= MOST_NUMBERED
    side = max(LEAST_INCHES, len(names) * (CELL_INCHES if numbered else PLAIN_INCHES))
    figure = Figure(figsize=(side, side), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    totals = matrix.sum(axis=1)
    with np.errstate(invalid="ignore"):
        percent = 100 * matrix / totals[:, None]
    axes.imshow(np.ma.masked_invalid(percent), cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    _label(axes, [_short(name) for name in names], [_rounded(total) for total in totals], 9 if numbered else 5)
    if numbered:
        _number(axes, percent, matrix)
    axes.set_xlabel("Mapped class", color=INK, fontsize=10)
    axes.set_ylabel("True class", color=INK, fontsize=10)
    axes.set_title(
        f"{title}\nPercent of each true class, with its {unit} at the right".strip(), loc="left", fontsize=10
    )
    with whole_file(path) as draft:
        figure.savefig(draft, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.15, metadata={"Software": None})


def _label(axes: Axes, names: list[str], totals: list[str], size: float) -> None:
    """Name rows and columns, draw lines between cells, and tell totals of rows."""
    places = np.arange(len(names))
    axes.set_xticks(places, names, rotation=90, fontsize=size, color=INK)
    axes.set_yticks(places, names, fontsize=size, color=INK)
    axes.set_xticks(places[1:] - 0.5, minor=True)
    axes.set_yticks(places[1:] - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set(color=INK, linewidth=0.6)
    right = axes.secondary_yaxis("right")
    right.set_yticks(places, totals, fontsize=size - 1, color=INK)
    right.tick_params(length=0)
    right.spines[:].set_visible(False)


def _number(axes: Axes, percent: NDArray[np.float64], matrix: NDArray[Any]) -> None:
    """Write percentages into the cells where there is something."""
    for row, col in np.argwhere(matrix > 0):
        share = percent[row, col]
        text = "<1" if share < 1 else ">99" if 99 < share < 100 else f"{share:.0f}"
        axes.text(col, row, text, ha="center", va="center", fontsize=8, color="white" if share > 55 else INK)


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1].rstrip()}…"


def _rounded(total: float) -> str:
    """A number of pixels, parcels or hectares to read."""
    return f"{total:,.0f}" if total >= 10 or float(total).is_integer() else f"{total:.2g}"
