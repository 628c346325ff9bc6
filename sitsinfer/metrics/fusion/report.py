"""Scores of predicted dates as CSV, and what they are on average as a table to read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.metrics.fusion.scores import DateScores
from sitsinfer.series.pair import THERMAL

_PER_BAND: dict[str, Callable[[DateScores], NDArray[np.float64]]] = {
    "rmse": lambda scores: scores.rmse,
    "nrmse": lambda scores: scores.nrmse,
    "frr": lambda scores: scores.frr,
}

_KINDS = {"": "", "True": "clear", "False": "masked"}
"""What tables call dates, by whether they went in."""


def to_csv(scores: Sequence[DateScores]) -> str:
    """All scores, one row a sensor and date.

    ``margin`` is in fine pixels. ``clear_doy`` says whether the date itself went in; distances are days and densities
    as of :class:`~sitsinfer.metrics.fusion.scores.Context`. A cell is empty where a sensor lacks the band or nothing is
    known, and ``nan`` where no pixel was clear.
    """
    bands = list(dict.fromkeys(band for row in scores for band in row.bands))
    rows = [_row(row) for row in scores]
    per_band = [f"{score}_{band}" for score in _PER_BAND for band in bands]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_row_start(), *per_band], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row_start() -> tuple[str, ...]:
    context = ("closest_doy", "closest_joint_doy", "local_density", "local_joint_density")
    return ("name", "sensor", "date", "doy", "margin", "clear_doy", "clear_pixel_rate", *context, "sam")


def _row(scores: DateScores) -> dict[str, object]:
    """Cells by column."""
    row: dict[str, object] = {"name": scores.name, "sensor": scores.sensor or "", "margin": scores.margin}
    if scores.date is not None:
        row |= {"date": f"{scores.date}", "doy": scores.date.timetuple().tm_yday}
    if (context := scores.context) is not None:
        row |= {
            "clear_doy": context.clear,
            "closest_doy": "" if context.closest is None else context.closest,
            "closest_joint_doy": "" if context.closest_joint is None else context.closest_joint,
            "local_density": f"{context.density:.6g}",
            "local_joint_density": f"{context.joint_density:.6g}",
        }
    row |= {"clear_pixel_rate": f"{scores.clear_pixel_rate:.6g}", "sam": f"{scores.sam:.6g}"}
    for score, values in _PER_BAND.items():
        row |= {f"{score}_{band}": f"{value:.6g}" for band, value in zip(scores.bands, values(scores), strict=True)}
    return row


@dataclass(frozen=True, eq=False)
class Means:
    """Means of the scores of some dates, those left out that have none.

    Attributes:
        sensor: ``hr``, ``lr`` or ``None``.
        kind: ``masked`` for dates that did not go in, ``clear`` for those that did, empty if that is not known.
        dates: How many.
        bands: (C,).
        sam: Radians.
        rmse: Reflectance and kelvin, (C,).
        nrmse: (C,).
        frr: dB, (C,).
    """

    sensor: str | None
    kind: str
    dates: int
    bands: tuple[str, ...]
    sam: float
    rmse: NDArray[np.float64]
    nrmse: NDArray[np.float64]
    frr: NDArray[np.float64]


def summarise(table: str) -> list[Means]:
    """Means over dates, for each sensor, and for masked and clear dates apart.

    Args:
        table: What :func:`to_csv` gave.
    """
    groups: dict[tuple[str, str, tuple[str, ...]], list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(table)):
        bands = tuple(name.removeprefix("rmse_") for name, cell in row.items() if name.startswith("rmse_") and cell)
        groups.setdefault((row["sensor"], _KINDS[row["clear_doy"]], bands), []).append(row)
    ordered = sorted(groups.items(), key=lambda group: (group[0][0], group[0][1] != "masked"))
    return [
        Means(
            sensor or None,
            kind,
            len(rows),
            bands,
            float(_mean(rows, ["sam"])[0]),
            *(_mean(rows, [f"{score}_{band}" for band in bands]) for score in _PER_BAND),
        )
        for (sensor, kind, bands), rows in ordered
    ]


def to_table(table: str) -> str:
    """Means over dates, a block for each sensor and for masked and clear dates; argument as of :func:`summarise`."""
    return "\n\n".join(_block(means) for means in summarise(table))


def _block(means: Means) -> str:
    dates = f"{means.dates} {means.kind} {'date' if means.dates == 1 else 'dates'}".replace("  ", " ")
    title = f"{means.sensor}, {dates}" if means.sensor else dates
    if not np.isnan(means.sam):
        title += f": spectral angle {means.sam:.4f} rad"
    lines = [title, f"{'band':6}{'RMSE':>10}{'NRMSE':>10}{'FRR dB':>10}"]
    for band, rmse, nrmse, frr in zip(means.bands, means.rmse, means.nrmse, means.frr, strict=True):
        error = f"{rmse:.2f} K" if band == THERMAL else f"{rmse:.4f}"
        lines.append(f"{band:6}{error:>10}{nrmse:>10.4f}{frr:>10.2f}")
    return "\n".join(lines)


def _mean(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> NDArray[np.float64]:
    """The mean of each column, of what is not NaN."""
    values = np.array([[float(row[column]) for column in columns] for row in rows])
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0))
