"""A picture of a map with its legend, for a report or a first look."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.grid import Grid
from sitsinfer.layers import ClassInfo
from sitsinfer.products.areas import pixel_areas
from sitsinfer.products.raster import RasterLayer, open_raster
from sitsinfer.products.whole import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXELS = 1200
"""Height or width of the picture, whichever is larger, at most."""
DPI = 150
MAP_INCHES = 5.4
"""Height or width of the map in it, whichever is larger."""
LEGEND_INCHES = 2.2
LEAST_INCHES = 3.8
"""Room for a legend beside a flat map."""
MARGIN_INCHES = 0.2
HEADING_INCHES = 0.35
FOOTING_INCHES = 0.45
NOTHING = (0.92, 0.92, 0.92)
"""The grey of what was not observed."""
INK = "#333333"


def write_quicklook(path: Path, raster: Path, title: str = "", tags: Mapping[str, str] | None = None) -> None:
    """Draw a published raster as PNG: a legend of the classes that occur, or a scale of values; a scale bar; north up.

    Read from the overviews, so that a country takes no longer than a field.

    Args:
        path: The picture to write or to replace.
        raster: The raster; of several bands the first is drawn.
        title: What stands above it.
        tags: What to note in the picture about its making.

    Raises:
        OutputError: If the raster cannot be read or the picture not written.
    """
    with open_raster(raster) as source:
        values, valid = source.thumbnail(PIXELS, source.layer.bands[:1])
        figure = _draw(source, values[0], valid, title)
    with whole_file(path) as draft:
        figure.savefig(draft, format="png", dpi=DPI, metadata={"Software": None, **(tags or {})})


def _draw(source: RasterLayer, values: NDArray[Any], valid: NDArray[np.bool_], title: str) -> "Figure":
    """Lay out the picture: heading, map, scale bar below, legend at the right."""
    from matplotlib.figure import Figure

    height, width = (side * MAP_INCHES for side in np.array(values.shape) / max(values.shape))
    body = max(height, LEAST_INCHES)
    full_width = width + LEGEND_INCHES + 2 * MARGIN_INCHES
    full_height = body + HEADING_INCHES + FOOTING_INCHES
    figure = Figure(figsize=(full_width, full_height), facecolor="white")
    bottom = (FOOTING_INCHES + body - height) / full_height
    place = (MARGIN_INCHES / full_width, bottom, width / full_width, height / full_height)
    axes = figure.add_axes(place, xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=INK, linewidth=0.6)
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    if source.layer.is_categorical:
        _draw_classes(axes, values, valid, source.layer.classes)
    else:
        _draw_values(axes, values * source.layer.band_scales[0], valid, source.layer.bands[0])
    _draw_scale_bar(axes, source.grid, height)
    return figure


def _draw_classes(axes: "Axes", values: NDArray[Any], valid: NDArray[np.bool_], classes: tuple[ClassInfo, ...]) -> None:
    """Draw class colours and list the classes that occur."""
    from matplotlib.patches import Patch

    picture = np.full((*values.shape, 3), NOTHING)
    entries = []
    for info in classes:
        where = valid & (values == info.code)
        if where.any():
            red, green, blue = (part / 255 for part in info.color)
            color = (red, green, blue)
            picture[where] = color
            entries.append(Patch(facecolor=color, edgecolor=INK, linewidth=0.4, label=info.name))
    if not valid.all():
        entries.append(Patch(facecolor=NOTHING, edgecolor=INK, linewidth=0.4, label="No data"))
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    small = len(entries) > 18
    legend = axes.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0,
        frameon=False,
        fontsize=6.5 if small else 9,
        labelspacing=0.35 if small else 0.6,
        handlelength=1.3,
        handleheight=1.1,
        labelcolor=INK,
    )
    legend.set_in_layout(False)


def _draw_values(axes: "Axes", values: NDArray[Any], valid: NDArray[np.bool_], name: str) -> None:
    """Draw a quantity and its colour scale."""
    axes.set_facecolor(NOTHING)
    image = axes.imshow(np.ma.masked_where(~valid, values), cmap="viridis", interpolation="nearest", aspect="auto")
    scale = axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0.0, 0.035, 1.0)))
    scale.set_label(name, color=INK, fontsize=9)
    scale.ax.tick_params(labelsize=8, colors=INK)


def _draw_scale_bar(axes: "Axes", grid: Grid, height: float) -> None:
    """Draw a bar of a round length below a map ``height`` inches high, at most a quarter as wide."""
    width_m = _width_m(grid)
    length_m = _round_length(width_m / 4)
    end = length_m / width_m
    below = -0.2 / height
    bar = axes.plot((0, end), (below, below), linewidth=2.5, solid_capstyle="butt", color=INK, clip_on=False)
    bar[0].set_transform(axes.transAxes)
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    axes.text(end + 0.015, below, label, va="center", fontsize=8, transform=axes.transAxes, color=INK)


def _width_m(grid: Grid) -> float:
    """Width of a grid along its middle row, in metres."""
    height, width = grid.shape
    pixel_m2 = pixel_areas(grid)[height // 2]
    if grid.crs is not None and grid.crs.geographic:
        degrees_high = abs(grid.affine.e)
        return float(width * pixel_m2 / (degrees_high * 111_320))
    return float(width * np.sqrt(pixel_m2 * abs(grid.affine.a / grid.affine.e)))


def _round_length(length: float) -> float:
    """The largest of 1, 2, 5, 10, ... that is not above a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(power * max(step for step in (1, 2, 5) if step * power <= length * (1 + 1e-9)))
