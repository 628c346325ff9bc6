"""Windows that a raster is walked through in, so that memory does not grow with it."""

from collections.abc import Iterator

from rasterio.windows import Window as RasterioWindow

from sitsinfer.grid import Grid, Window, whole

STEP = 1024
"""Height and width of a window, in pixels: whole blocks of our files."""


def windows(grid: Grid, step: int = STEP) -> Iterator[Window]:
    """Cut a grid into windows, row by row; the last ones may be smaller."""
    area = whole(grid)
    for row in range(0, area.height, step):
        for col in range(0, area.width, step):
            yield Window(row, col, step, step).intersection(area)


def as_rasterio(window: Window) -> RasterioWindow:
    """A window as rasterio counts it: columns first."""
    return RasterioWindow(window.col, window.row, window.width, window.height)
