"""Scores of predicted dates as a CSV file and as a table to read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
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


def to_csv(scores: Sequence[DateScores]) -> str:
    """All scores, one row a sensor and date.

    ``clear_doy`` says whether the date itself went in; distances are days and densities as of
    :class:`~sitsinfer.metrics.fusion.Context`. A cell is empty where a sensor lacks the band or nothing is known, and
    ``nan`` where no pixel was clear.
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
    return ("name", "sensor", "date", "doy", "clear_doy", "clear_pixel_rate", *context, "sam")


def _row(scores: DateScores) -> dict[str, object]:
    """Cells by column."""
    row: dict[str, object] = {"name": scores.name, "sensor": scores.sensor or ""}
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


def summarise(scores: Iterable[DateScores]) -> list[Means]:
    """Means over dates, for each sensor, and for masked and clear dates apart."""
    groups: dict[tuple[str | None, str, tuple[str, ...]], list[DateScores]] = {}
    for row in scores:
        groups.setdefault((row.sensor, _kind(row), row.bands), []).append(row)
    ordered = sorted(groups.items(), key=lambda group: (group[0][0] or "", group[0][1] != "masked"))
    return [
        Means(
            sensor,
            kind,
            len(rows),
            bands,
            float(_mean([np.array(row.sam) for row in rows])),
            *(_mean([values(row) for row in rows]) for values in _PER_BAND.values()),
        )
        for (sensor, kind, bands), rows in ordered
    ]


def to_table(scores: Iterable[DateScores]) -> str:
    """Means over dates, a block for each sensor and for masked and clear dates."""
    return "\n\n".join(_block(means) for means in summarise(scores))


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


def _kind(scores: DateScores) -> str:
    if scores.context is None:
        return ""
    return "clear" if scores.context.clear else "masked"


def _mean(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean along the first axis of what is not NaN."""
    values = np.stack(rows)
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0))
