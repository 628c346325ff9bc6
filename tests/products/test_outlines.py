import numpy as np
import pytest
import rasterio.features
import shapely
from scipy import ndimage

from sitsinfer.layers import Layer
from sitsinfer.products import outlines as module
from sitsinfer.products.outlines import outlines
from tests.products.conftest import ArraySource, utm_grid


def label_source(labels: np.ndarray) -> ArraySource:
    layer = Layer("labels", "uint32", 0, ("label",), identifiers=True)
    return ArraySource(layer, utm_grid(*labels.shape), labels[None].astype(np.uint32))


def boxes_of(numbers: np.ndarray) -> np.ndarray:
    slices = ndimage.find_objects(numbers.astype(int))
    return np.array([(r.start, c.start, r.stop - r.start, c.stop - c.start) for r, c in slices], np.int64)


@pytest.fixture(scope="module")
def region():
    """Parcels of all sizes, some with two labels, and labels without a parcel: labels, ids, numbers and boxes."""
    noise = np.random.default_rng(3).random((150, 211))
    labels, count = ndimage.label(ndimage.gaussian_filter(noise, 1.7) > 0.5)
    split = labels > 0
    split[:, ::2] = False
    labels = np.where(split & (labels % 5 == 1), labels + count, labels)  # in two labels, of every second column
    ids = np.arange(2 * count + 1)
    ids[count + 1 :] -= count
    pixels = np.bincount(ids[labels].ravel(), minlength=2 * count + 1)[: count + 1]
    kept = pixels >= 4
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0)
    ids = numbers[ids].astype(np.uint32)
    assert kept.sum() > 30
    assert pixels[1:].max() > 1000
    return labels, ids, ids[labels], boxes_of(ids[labels])


def test_polygons_are_the_parcels(region):
    labels, ids, numbers, boxes = region
    source = label_source(labels)
    found = dict(outlines(source, ids, boxes))
    assert set(found) == set(range(1, len(boxes) + 1))
    for number, polygon in found.items():
        assert polygon.is_valid
        assert polygon.area == pytest.approx(100 * (numbers == number).sum())
    drawn = rasterio.features.rasterize(
        [(polygon, number) for number, polygon in found.items()],
        numbers.shape,
        transform=source.grid.affine,
        dtype="uint32",
    )
    np.testing.assert_array_equal(drawn, numbers)


def test_height_of_strips_leaves_no_trace(region, monkeypatch):
    labels, ids, _, boxes = region
    found = []
    for height in (512, 150, 64, 7, 1):
        monkeypatch.setattr(module, "STRIP", height)
        found.append([(number, polygon.wkb) for number, polygon in outlines(label_source(labels), ids, boxes)])
    assert all(other == found[0] for other in found[1:])


def test_order_is_that_of_last_rows_then_ids(region):
    labels, ids, _, boxes = region
    order = [
        (boxes[number - 1, 0] + boxes[number - 1, 2], number)
        for number, _ in outlines(label_source(labels), ids, boxes)
    ]
    assert order == sorted(order)


def test_each_strip_is_read_once_and_no_further_than_needed(monkeypatch):
    monkeypatch.setattr(module, "STRIP", 8)
    labels = np.zeros((30, 11), int)
    labels[3:6, 2:9] = 1
    labels[6:21, 4] = 2
    source = label_source(labels)
    read, rows = source.read, []

    def watched(window):
        rows.append((window.row, window.height))
        return read(window)

    source.read = watched
    traced = outlines(source, np.arange(3, dtype=np.uint32), boxes_of(labels))
    assert next(traced)[0] == 1
    assert rows == [(0, 8)], "the first parcel waits for nothing"
    assert [number for number, _ in traced] == [2]
    assert rows == [(0, 8), (8, 8), (16, 8), (24, 6)]


def test_no_parcel_gives_no_polygon():
    assert (
        list(outlines(label_source(np.zeros((9, 14), int)), np.zeros(1, np.uint32), np.zeros((0, 4), np.int64))) == []
    )


def test_simplified_polygons_stay_valid_and_near(region):
    labels, ids, _, boxes = region
    exact = dict(outlines(label_source(labels), ids, boxes))
    simple = dict(outlines(label_source(labels), ids, boxes, simplify=12.0))
    assert simple.keys() == exact.keys()
    for number, polygon in simple.items():
        assert polygon.geom_type == "Polygon"
        assert polygon.is_valid
        assert polygon.area > 0
        assert polygon.exterior.is_ccw
        assert not any(hole.is_ccw for hole in polygon.interiors)
        assert shapely.hausdorff_distance(polygon, exact[number]) < 3 * 12
    vertices = [sum(map(shapely.get_num_coordinates, found.values())) for found in (simple, exact)]
    assert vertices[0] < 0.6 * vertices[1]


def test_parcel_that_is_too_small_to_simplify_is_kept():
    labels = np.zeros((9, 14), int)
    labels[4, 5] = 1
    ((number, polygon),) = outlines(label_source(labels), np.arange(2, dtype=np.uint32), boxes_of(labels), simplify=1e6)
    assert number == 1
    assert polygon.is_valid
    assert polygon.area > 0
