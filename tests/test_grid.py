import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from sitsinfer.errors import GridError
from sitsinfer.grid import (
    Lattice,
    Tiles,
    Window,
    crop,
    is_aligned,
    offset_in,
    reflect,
    window_grid,
)

GRID = GeoBox((60, 90), Affine(10, 0, 500_000, 0, -10, 5_400_000), "EPSG:32631")

windows = st.builds(
    Window, st.integers(-50, 50), st.integers(-50, 50), height=st.integers(1, 60), width=st.integers(1, 60)
)


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    patch = draw(st.integers(4, 40))
    margin = draw(st.integers(0, (patch - 1) // 2))
    blend = draw(st.integers(0, min(margin, (patch - 2 * margin) // 2)))
    return Lattice(patch, margin, blend, draw(st.integers(-1000, 1000)), draw(st.integers(-1000, 1000)))


@given(st.tuples(st.integers(1, 70), st.integers(1, 70)), st.integers(1, 80), st.tuples(*[st.integers(0, 90)] * 2))
def test_tile_cores_cover_the_grid_once(shape: tuple[int, int], size: int, shift: tuple[int, int]) -> None:
    covered = np.zeros(shape, int)
    tiles = list(Tiles(shape, size, shift))
    for tile in tiles:
        covered[tile.core.slices_in(Window(0, 0, *shape))] += 1
        assert not tile.core.is_empty
    assert (covered == 1).all()
    assert len(tiles) == len(Tiles(shape, size, shift))


def test_tiles_of_a_country_are_not_listed() -> None:
    tiles = Tiles((10**6, 10**6), 100)
    assert len(tiles) == 10**8
    assert next(iter(tiles)).core == Window(0, 0, 100, 100)


def test_a_tile_size_of_nothing_is_refused() -> None:
    with pytest.raises(GridError, match="tile size of 0 pixels"):
        Tiles((5, 5), 0)


@given(lattices(), windows)
def test_weights_of_all_patches_add_up_to_one(lattice: Lattice, window: Window) -> None:
    total = np.zeros(window.shape)
    for patch in lattice.patches(window):
        shared = patch.intersection(window)
        total[shared.slices_in(window)] += lattice.weights()[shared.slices_in(patch)]
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(lattices(), windows)
def test_no_patch_is_listed_that_has_no_say(lattice: Lattice, window: Window) -> None:
    for patch in lattice.patches(window):
        shared = patch.intersection(window)
        assert lattice.weights()[shared.slices_in(patch)].max(initial=0) > 0


@given(lattices(), windows, st.integers(-200, 200), st.integers(-200, 200))
def test_a_shifted_area_meets_the_same_patches(lattice: Lattice, window: Window, rows: int, cols: int) -> None:
    moved = Lattice(lattice.patch, lattice.margin, lattice.blend, lattice.row + rows, lattice.col + cols)
    expected = [patch.shift(-rows, -cols) for patch in lattice.patches(window)]
    assert moved.patches(window.shift(-rows, -cols)) == expected


@given(lattices(), st.integers(1, 4))
def test_a_shifted_tile_of_n_strides_needs_n_plus_one_patches_along_an_axis(lattice: Lattice, n: int) -> None:
    down, right = lattice.tile_shift()
    tile = Window(-down, -right, n * lattice.stride, n * lattice.stride)
    assert len(lattice.patches(tile)) == (n + bool(lattice.blend)) ** 2


@pytest.mark.parametrize("phase", [0.0, 0.5, 0.1, 0.3, 0.9])
def test_the_lattice_follows_the_crs_and_not_the_corner(phase: float) -> None:
    whole_grid = GeoBox((60, 90), Affine(30, 0, 500_010 + 30 * phase, 0, -30, 5_400_000 + 30 * phase), "EPSG:32631")
    part = window_grid(whole_grid, Window(7, 13, 20, 20))
    one, other = (Lattice.on(grid, 16, 2, 2) for grid in (whole_grid, part))
    assert (other.row - one.row, other.col - one.col) == (7, 13)


@pytest.mark.parametrize(("patch", "margin", "blend"), [(8, 4, 0), (8, -1, 0), (8, 1, 2), (8, 3, 2), (8, 2, -1)])
def test_a_lattice_without_a_core_is_refused(patch: int, margin: int, blend: int) -> None:
    with pytest.raises(GridError, match="Choose a"):
        Lattice(patch, margin, blend)


@given(st.integers(-40, 40), st.integers(1, 60), st.integers(-30, 30), st.integers(1, 30))
def test_reflection_is_that_of_reflect_padding(start: int, length: int, first: int, size: int) -> None:
    indices = reflect(start, start + length, first, first + size)
    before, after = max(0, first - start), max(0, start + length - first - size)
    padded = np.pad(np.arange(first, first + size), (before, after), mode="reflect")
    offset = start - (first - before)
    np.testing.assert_array_equal(indices, padded[offset : offset + length])


@given(windows, windows)
def test_union_and_intersection_agree(one: Window, other: Window) -> None:
    shared, both = one.intersection(other), one.union(other)
    assert both.intersection(one) == one
    assert shared.is_empty or (one.union(shared) == one and other.union(shared) == other)


def test_cropping_takes_every_pixel_that_is_touched_and_keeps_the_phase() -> None:
    part = crop(GRID, (500_101, 5_399_789, 500_199, 5_399_880))
    assert offset_in(GRID, part) == (12, 10)
    assert part.shape == (10, 10)
    assert is_aligned(GRID, part)


def test_bounds_on_pixel_edges_take_no_further_pixel() -> None:
    part = crop(GRID, (500_100, 5_399_800, 500_200, 5_399_900))
    assert offset_in(GRID, part) == (10, 10)
    assert part.shape == (10, 10)


def test_an_area_in_another_crs_is_projected() -> None:
    part = crop(GRID, (3.001, 48.747, 3.01, 48.75), CRS("EPSG:4326"))
    assert part.crs == GRID.crs
    assert is_aligned(GRID, part)


def test_an_area_beyond_the_data_is_cut_at_their_border() -> None:
    part = crop(GRID, (490_000, 5_399_950, 500_020, 5_500_000))
    assert offset_in(GRID, part) == (0, 0)
    assert part.shape == (5, 2)


def test_an_area_outside_the_data_is_refused_with_both_areas() -> None:
    with pytest.raises(GridError, match=r"area 0 0 10 10 lies outside the data, which cover 500000\.0 5399400\.0"):
        crop(GRID, (0, 0, 10, 10))


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(GridError, match="left, bottom, right and top, in this order"):
        crop(GRID, (10, 0, 0, 10))


def test_grids_of_another_phase_size_or_crs_are_not_aligned() -> None:
    shifted = GeoBox(GRID.shape, GRID.affine @ Affine.translation(0.5, 0), GRID.crs)
    coarser = GeoBox(GRID.shape, GRID.affine @ Affine.scale(2), GRID.crs)
    elsewhere = GeoBox(GRID.shape, GRID.affine, "EPSG:32632")
    assert not any(is_aligned(GRID, other) for other in (shifted, coarser, elsewhere))
    assert is_aligned(GRID, window_grid(GRID, Window(-3, 200, 5, 5)))
