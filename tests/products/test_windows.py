import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from sitsinfer.grid import Window
from sitsinfer.products.windows import as_rasterio, windows


@pytest.mark.parametrize("shape", [(5, 7), (16, 32), (17, 31), (1, 100)])
def test_windows_cover_the_grid_once(shape):
    seen = np.zeros(shape, int)
    for window in windows(GeoBox(shape, Affine.identity(), "EPSG:32631"), step=16):
        rows, cols = window.slices_in(Window(0, 0, *shape))
        seen[rows, cols] += 1
    assert (seen == 1).all()


def test_rasterio_gets_rows_as_rows():
    assert as_rasterio(Window(3, 5, 7, 11)).toslices() == (slice(3, 10), slice(5, 16))
