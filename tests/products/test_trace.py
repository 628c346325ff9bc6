import tracemalloc

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from sitsinfer.products.trace import trace

NORTH_UP = Affine(10, 0, 499_980, 0, -10, 5_000_040)


def mask_of(*lines: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in line] for line in lines])


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest 4-connected piece of a mask, in its own box."""
    pieces, _ = ndimage.label(mask)
    piece = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return piece[piece.any(axis=1)][:, piece.any(axis=0)]


def check(mask: np.ndarray, affine: Affine) -> None:
    polygon = trace(mask, affine)
    assert polygon.is_valid
    assert polygon.area == pytest.approx(mask.sum() * abs(affine.determinant), rel=1e-9)
    assert polygon.exterior.is_ccw
    assert not any(hole.is_ccw for hole in polygon.interiors)
    drawn = rasterio.features.rasterize([polygon], mask.shape, transform=affine, dtype="uint8")
    np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize(
    ("lines", "holes"),
    [
        (["#"], 0),
        (["###", "#.."], 0),
        ([".##", "#.#", "###"], 1),  # the hole touches the outside at a corner
        (["##.", "#.#", "###"], 1),
        (["####", "#.##", "##.#", "####"], 2),  # two holes touch
        (["####", "##.#", "#.##", "####"], 2),
        ([".#.#", "####", "#.#.", "####"], 1),  # bays and a hole
        ([".###.", "##.##", "#.###", "##.##", ".###."], 3),  # a chain of holes
    ],
)
def test_rings_touch_in_points_only(lines, holes):
    check(mask_of(*lines), NORTH_UP)
    assert len(trace(mask_of(*lines), NORTH_UP).interiors) == holes


masks = st.tuples(st.integers(1, 9), st.integers(1, 13)).flatmap(lambda shape: arrays(np.bool_, shape))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(masks.filter(np.any))
def test_any_piece_becomes_a_valid_polygon_of_its_pixels(mask):
    check(largest_piece(mask), NORTH_UP)


def test_blobs_with_many_holes_become_valid():
    noise = np.random.default_rng(1).random((90, 140))
    mask = largest_piece(ndimage.gaussian_filter(noise, 0.8) > 0.49)
    assert mask.sum() > 3000
    check(mask, NORTH_UP)


def test_memory_is_a_few_bytes_a_pixel():
    mask = np.eye(700, 900, dtype=bool) | np.eye(700, 900, 1, dtype=bool)  # a thin parcel in a large box
    tracemalloc.start()
    try:
        trace(mask, NORTH_UP)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * mask.size


def test_vertices_have_one_order():
    polygon = trace(mask_of("..#", "###"), Affine(1, 0, 0, 0, -1, 0))
    expected = [(3, 0), (2, 0), (2, -1), (0, -1), (0, -2), (3, -2), (3, 0)]
    np.testing.assert_array_equal(polygon.exterior.coords, expected)


@pytest.mark.parametrize("affine", [Affine(10, 0, 7, 0, 10, 3), Affine(0, 10, 7, 10, 0, 3), Affine(8, 3, 7, 2, -9, 3)])
def test_exterior_is_counter_clockwise_on_any_axes(affine):
    polygon = trace(mask_of(".##", "#.#", "###"), affine)
    assert polygon.exterior.is_ccw
    assert not polygon.interiors[0].is_ccw
    assert polygon.area == pytest.approx(7 * abs(affine.determinant))


@pytest.mark.parametrize("lines", [["#.", ".#"], ["#.#"], [".#.", "#.#", ".#."]])
def test_mask_of_several_pieces_is_a_bug(lines):
    with pytest.raises(AssertionError, match="one 4-connected piece"):
        trace(mask_of(*lines), NORTH_UP)


def test_wkb_depends_on_the_mask_alone():
    mask = mask_of("####", "#.##", "##.#", "####")
    wide = np.pad(mask, ((2, 5), (3, 1)))
    shifted = trace(wide, NORTH_UP @ Affine.translation(-3, -2))
    assert shapely.to_wkb(shifted) == shapely.to_wkb(trace(mask, NORTH_UP))
