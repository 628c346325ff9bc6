"""``sitsinfer inspect``: what was understood of a series."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sitsinfer.series.summary import DateSummary, Summary

MOST_LEFT_OUT = 20
"""Lines of files left out; ``--json`` lists them all."""


def inspect(
    folder: Annotated[
        Path, typer.Argument(help="Time series: a folder of rasters, or a NetCDF or Zarr cube.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if anything is left out or of note.")] = False,
) -> None:
    """Show what is understood of a time series: dates, bands, grid, coverage, clouds, gaps, files left out."""
    import json

    from rich.console import Console

    from sitsinfer.series import open_series
    from sitsinfer.series.summary import summarise

    summary = summarise(open_series(folder, strict=strict))
    if as_json:
        typer.echo(json.dumps(summary.to_dict(), indent=2))
    else:
        _show(summary, Console(highlight=False))


def _show(summary: "Summary", console: "Console") -> None:
    """Print facts, dates, timeline, notes and what is left out; lines are not wrapped, so that they can be searched."""
    parts = [_facts(summary), "", _dates(summary), "", _timeline(summary, console.width)]
    parts += [f"Note: {note}" for note in summary.notes]
    parts += [f"Left out: {path} ({reason})" for path, reason in summary.left_out[:MOST_LEFT_OUT]]
    if len(summary.left_out) > MOST_LEFT_OUT:
        parts.append(f"Left out: {len(summary.left_out) - MOST_LEFT_OUT} more; --json lists them.")
    console.print("\n".join(parts), markup=False, soft_wrap=True)


def _facts(summary: "Summary") -> str:
    height, width = summary.shape
    gap = summary.longest_gap
    first, last = summary.dates[0].date, summary.dates[-1].date
    scales = "; ".join(f"x {scale:g} {'+' if offset >= 0 else '-'} {abs(offset):g}" for scale, offset in summary.scale)
    lines = {
        "Series": summary.path,
        "Sensor": summary.sensor,
        "Bands": f"{len(summary.bands)}: {' '.join(summary.bands)}",
        "Dates": f"{len(summary.dates)}: {first} to {last}",
        "Longest gap": f"{gap.days} days, {gap.start} to {gap.end}" if gap else "none",
        "CRS": summary.crs,
        "Resolution": " x ".join(f"{size:g}" for size in dict.fromkeys(summary.resolution)),
        "Size": f"{height} x {width} pixels (rows x columns)",
        "Bounds": " ".join(f"{bound:.10g}" for bound in summary.bounds),
        "Numbers": f"{summary.dtype}, nodata {'NaN' if summary.nodata is None else f'{summary.nodata:g}'}",
        "Reflectance": f"numbers {scales}",
    }
    return "\n".join(f"{name:<12} {text}" for name, text in lines.items())


def _dates(summary: "Summary") -> str:
    """A line a date: day, coverage, cloud, products."""
    heading = f"{'Date':<12} {'Coverage':>8} {'Cloud':>6}  Files"
    if summary.is_sampled:
        heading += "   (coverage and cloud from sample windows)"
    return "\n".join([heading, *map(_date_line, summary.dates)])


def _date_line(entry: "DateSummary") -> str:
    cloud = "-" if entry.cloud is None else f"{entry.cloud:.0%}"
    return f"{entry.date!s:<12} {entry.coverage:>8.0%} {cloud:>6}  {', '.join(entry.products)}"


def _timeline(summary: "Summary", width: int) -> str:
    from sitsinfer.series.summary import SHADES, timeline

    line, days = timeline(summary, width)
    shades = "  ".join(f"{character} {most:.0%}" for most, character in SHADES)
    return f"{line}\n{days} days a character; cloud up to: {shades}; · nothing"
