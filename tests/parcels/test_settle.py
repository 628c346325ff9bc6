from functools import cache

import numpy as np
import pytest

from sitsinfer.grid import Window
from sitsinfer.parcels.settle import Strip, settle
from tests.parcels.reference import pieces, settle_at_once
from tests.parcels.scenes import cut, random_scene, rectangle

SHAPE = (40, 70)
SCENE = (131, 41)
LEFT, MIDDLE, RIGHT = (0, 0, 32, 32), (0, 24, 32, 32), (0, 48, 32, 32)


def settle_region(candidates, shape=SHAPE, *, size=16, min_remain=0.5, pixel_areas=None):
    """The ids of parcels, (H, W), and their table."""
    written = []
    areas = np.full(shape[0], 100.0) if pixel_areas is None else pixel_areas
    strips = cut(candidates, shape[0], size)
    parcels = settle(strips, shape, areas, min_remain=min_remain, write=lambda *strip: written.append(strip))
    assert [window for window, _ in written] == [
        Window(start, 0, min(size, shape[0] - start), shape[1]) for start in range(0, shape[0], size)
    ]
    labels = np.concatenate([labels for _, labels in written])
    assert labels.dtype == np.uint32
    assert np.unique(labels[labels > 0]).tolist() == list(range(1, len(parcels.ids)))
    return parcels.ids[labels], parcels


@cache
def settled_at_once(seed):
    """A scene, a share that must remain, and what the plain reference makes of them."""
    candidates, min_remain = random_scene(seed, SCENE), (0.5, 0.2, 0.0, 1.0)[seed % 4]
    return candidates, min_remain, *settle_at_once(candidates, SCENE, min_remain)


@pytest.mark.parametrize("size", [7, 16, 33, 131])
@pytest.mark.parametrize("seed", range(12))
def test_strips_give_what_settling_at_once_gives(seed, size):
    candidates, min_remain, expected, table = settled_at_once(seed)
    areas = 90 + np.arange(SCENE[0]) / 7
    ids, parcels = settle_region(candidates, SCENE, size=size, min_remain=min_remain, pixel_areas=areas)
    np.testing.assert_array_equal(ids, expected)
    assert len(parcels) == len(table) == parcels.ids.max()
    for number, (leader, pixels) in enumerate(table):
        rows, cols = np.transpose(list(pixels))
        assert (parcels.rows[number], parcels.cols[number]) == (leader.row, leader.col)
        assert (parcels.codes[number], parcels.confidences[number]) == (leader.code, np.float32(leader.confidence))
        assert parcels.pixels[number] == len(pixels)
        assert parcels.square_metres[number] == pytest.approx(areas[rows].sum(), rel=1e-8)
        assert parcels.boxes[number].tolist() == [rows.min(), cols.min(), np.ptp(rows) + 1, np.ptp(cols) + 1]


def test_areas_are_the_same_to_the_last_bit_in_whatever_order_a_parcel_grows():
    boxes = [(16 * n, 2, 24, 5 + n) for n in range(9)]  # every other one a label of its own, then all joined
    column = [
        rectangle(box, (16 * n, 0, 24, 32), confidence=0.2 if n % 2 else 0.5 + n / 20) for n, box in enumerate(boxes)
    ]
    areas = np.geomspace(1, 900, 152)  # whose sums in floats do depend on it
    found = [settle_region(column, (152, 20), size=size, pixel_areas=areas)[1] for size in (152, 50, 20, 11)]
    assert [parcels.ids.tolist() for parcels in found] == [[0, 1, 1, 1, 1, 1]] * 4
    assert len({float(parcels.square_metres[0]) for parcels in found}) == 1


@pytest.mark.parametrize("seed", range(12, 18))
def test_every_parcel_is_one_piece_and_has_a_centre_of_its_own(seed):
    ids, parcels = settle_region(random_scene(seed, SCENE), SCENE)
    assert any(np.bincount(parcels.ids)[1:] > 1)  # some are made of several
    for number in range(1, len(parcels) + 1):
        assert len(pieces(map(tuple, np.argwhere(ids == number).tolist()))) == 1
    assert len(set(zip(parcels.rows, parcels.cols, strict=True))) == len(parcels)


@pytest.mark.parametrize("order", [(0.9, 0.8, 0.7), (0.9, 0.7, 0.8), (0.7, 0.9, 0.8), (0.7, 0.8, 0.9), (0.5, 0.5, 0.5)])
def test_a_parcel_that_three_patches_see_in_part_is_one(order):
    seen = [(10, 5, 8, 27), (10, 24, 8, 32), (10, 48, 8, 17)]
    ids, parcels = settle_region(
        [
            rectangle(box, patch, confidence=confidence)
            for box, patch, confidence in zip(seen, (LEFT, MIDDLE, RIGHT), order, strict=True)
        ],
        size=10,  # it begins with a strip
    )
    assert parcels.pixels.tolist() == [8 * 60]
    assert parcels.boxes.tolist() == [[10, 5, 8, 60]]
    assert parcels.confidences.tolist() == [np.float32(max(order))]
    assert (ids > 0).sum() == 8 * 60


def test_halves_that_meet_where_their_patches_do_are_one_by_what_lies_over_both():
    seen = [rectangle((5, 10, 8, 22), (0, 0, 32, 32), confidence=0.9)]
    seen += [rectangle((5, 32, 8, 20), (0, 32, 32, 32), confidence=0.8)]
    assert len(settle_region(seen)[1]) == 2
    _, parcels = settle_region([*seen, rectangle((5, 16, 8, 32), (0, 16, 32, 32), confidence=0.5)])
    assert parcels.boxes.tolist() == [[5, 10, 8, 42]]
    assert parcels.pixels.tolist() == [8 * 42]


def test_neighbours_of_one_class_stay_apart():
    ids, parcels = settle_region(
        [
            rectangle((5, 4, 9, 24), LEFT, confidence=0.9),
            rectangle((5, 28, 9, 20), MIDDLE, confidence=0.6),
            rectangle((14, 4, 9, 26), LEFT, confidence=0.8),
        ]
    )
    assert len(parcels) == 3
    assert parcels.pixels.tolist() == [9 * 24, 9 * 20, 9 * 26]
    assert ids[5, 27] != ids[5, 28] != ids[14, 28]


def test_another_class_takes_no_pixel_and_joins_nothing():
    ids, parcels = settle_region(
        [
            rectangle((5, 10, 9, 22), LEFT, code=1, confidence=0.9),
            rectangle((5, 24, 9, 20), MIDDLE, code=2, confidence=0.6),
        ]
    )
    assert parcels.codes.tolist() == [1, 2]
    assert parcels.pixels.tolist() == [9 * 22, 9 * 12]
    assert (ids[5:14, 10:32] == 1).all()


@pytest.mark.parametrize(("min_remain", "count"), [(0.49, 2), (0.5, 1), (1, 1), (0, 2)])
def test_more_than_the_share_of_a_mask_must_remain(min_remain, count):
    half_hidden = rectangle((4, 4, 6, 10), LEFT, code=2, confidence=0.4)
    _, parcels = settle_region([rectangle((4, 9, 6, 8), LEFT, confidence=0.8), half_hidden], min_remain=min_remain)
    assert len(parcels) == count


def test_a_mask_that_nobody_touches_is_kept_whatever_must_remain():
    _, parcels = settle_region([rectangle((4, 9, 6, 8), LEFT)], min_remain=1)
    assert parcels.pixels.tolist() == [48]


def test_a_mask_with_nothing_left_is_dropped_whatever_must_remain():
    hidden = rectangle((5, 10, 2, 3), LEFT, code=2, confidence=0.4)
    _, parcels = settle_region([rectangle((4, 9, 6, 8), LEFT, confidence=0.8), hidden], min_remain=0)
    assert parcels.codes.tolist() == [1]


def test_only_the_largest_piece_is_painted():
    candidate = rectangle((4, 4, 7, 20), LEFT)
    candidate.mask[:, 3] = candidate.mask[:, 16] = False  # pieces 3, 12 and 3 pixels wide
    _, parcels = settle_region([candidate])
    assert parcels.boxes.tolist() == [[4, 8, 7, 12]]


def test_all_free_pixels_remain_though_one_piece_is_painted_the_first_of_equals():
    across = rectangle((2, 8, 11, 12), LEFT, code=2, confidence=0.9)
    # Of 7 x 18 pixels, 7 x 6 are free, a third; each of the two pieces alone would be too small.
    _, parcels = settle_region([across, rectangle((4, 5, 7, 18), LEFT, centre=(4, 5))], min_remain=0.3)
    assert parcels.codes.tolist() == [1, 2] or parcels.codes.tolist() == [2, 1]
    assert parcels.boxes[parcels.codes == 1].tolist() == [[4, 5, 7, 3]]


def test_pieces_that_touch_by_a_corner_are_two():
    candidate = rectangle((4, 4, 6, 9), LEFT)
    candidate.mask[:3, :4] = candidate.mask[3:, 4:] = False
    _, parcels = settle_region([candidate])
    assert parcels.boxes.tolist() == [[4, 8, 3, 5]]


def test_pixels_of_a_joined_mask_that_are_cut_off_stay_free():
    first = rectangle((5, 10, 6, 20), LEFT, confidence=0.9)
    second = rectangle((5, 24, 6, 20), MIDDLE, confidence=0.5)
    second.mask[:, 8] = False  # column 32: what lies right of it touches nothing
    ids, parcels = settle_region([first, second])
    assert parcels.boxes.tolist() == [[5, 10, 6, 22]]
    assert not ids[:, 32:].any()


def test_a_joined_mask_may_be_connected_beside_its_box_alone():
    first = rectangle((5, 10, 7, 22), LEFT, confidence=0.6)
    first.mask[6, 14:] = False
    hides = rectangle((5, 24, 6, 8), MIDDLE, code=2, confidence=0.9)
    second = rectangle((5, 24, 7, 17), MIDDLE, confidence=0.5)  # free to the right, and in row 11
    ids, parcels = settle_region([first, hides, second], min_remain=0.3)
    assert parcels.codes.tolist() == [1, 2]
    assert parcels.boxes[0].tolist() == [5, 10, 7, 31]
    assert (ids[11, 10:41] == 1).all()


@pytest.mark.parametrize("size", [10, 14, 40])
def test_a_candidate_waits_for_what_lies_just_below_its_box(size):
    first = rectangle((2, 4, 7, 20), (0, 0, 10, 24), confidence=0.9)
    hides = rectangle((2, 4, 7, 8), (0, 0, 10, 24), code=2, confidence=0.95)
    beside = rectangle((2, 20, 13, 12), (0, 20, 16, 20), confidence=0.8)
    below = rectangle((10, 4, 5, 28), (10, 0, 10, 40), confidence=0.7)
    # Of the first parcel too, but only row 9 is free, and only what comes from below connects it.
    last = rectangle((3, 4, 7, 7), (1, 2, 9, 9), confidence=0.5)
    ids, parcels = settle_region([first, hides, beside, below, last], size=size)
    assert parcels.codes.tolist() == [2, 1]
    assert (ids[9, 4:11] == 2).all()


def test_two_candidates_of_a_patch_are_never_joined():
    one, other = rectangle((5, 5, 6, 9), LEFT, confidence=0.9), rectangle((5, 8, 6, 9), LEFT, confidence=0.5)
    _, parcels = settle_region([one, other], min_remain=0.2)
    assert parcels.pixels.tolist() == [54, 18]


def test_one_centre_is_one_parcel_whatever_its_class():
    one = rectangle((5, 25, 6, 6), LEFT, code=1, confidence=0.6, centre=(8, 28))
    other = rectangle((5, 25, 6, 16), MIDDLE, code=2, confidence=0.9, centre=(8, 28))
    _, parcels = settle_region([one, other])
    assert (parcels.rows.tolist(), parcels.cols.tolist(), parcels.codes.tolist()) == ([8], [28], [2])


def test_a_parcel_is_led_by_its_most_confident_fragment():
    dim = rectangle((5, 10, 6, 22), LEFT, confidence=0.25)
    bright = rectangle((5, 24, 6, 20), MIDDLE, confidence=0.75)
    _, parcels = settle_region([dim, bright])
    assert (parcels.rows[0], parcels.cols[0], parcels.confidences[0]) == (bright.row, bright.col, 0.75)
    assert parcels.pixels.tolist() == [6 * 34]


def test_parcels_are_numbered_by_centre_not_by_rank():
    boxes = [(20, 3, 5, 5), (4, 40, 5, 5), (4, 3, 5, 5)]
    ids, parcels = settle_region(
        [rectangle(box, (0, 0, 64, 64), confidence=0.9 - 0.1 * n) for n, box in enumerate(boxes)]
    )
    assert list(zip(parcels.rows, parcels.cols, strict=True)) == [(6, 5), (6, 42), (22, 5)]
    assert [ids[row, col] for row, col in ((6, 5), (6, 42), (22, 5))] == [1, 2, 3]


def test_what_lies_beyond_the_grid_does_not_count():
    cut_off = rectangle((-6, -4, 12, 10), (-10, -10, 32, 32), confidence=0.9)
    outside = rectangle((-6, 20, 6, 10), (-10, -10, 32, 64), confidence=0.9)
    below = rectangle((35, 60, 20, 30), (30, 50, 40, 40))
    empty_within = rectangle((-3, 30, 9, 4), (-10, 10, 32, 32))
    empty_within.mask[3:] = False
    _, parcels = settle_region([cut_off, outside, below, empty_within])
    assert parcels.boxes.tolist() == [[0, 0, 6, 6], [35, 60, 5, 10]]
    assert parcels.rows.tolist() == [0, 45]
    assert parcels.square_metres.tolist() == [3600, 5000]


@pytest.mark.parametrize("size", [5, 12, 120])
def test_a_chain_of_candidates_is_settled_from_its_far_end(size):
    # Each is hidden by more than half by the next, which is more confident: every other one remains.
    chain = [
        rectangle((6 * n, 8, 14, 10), (6 * n - 2, 0, 32, 32), code=n % 2 + 1, confidence=0.1 + n / 30)
        for n in range(18)
    ]
    ids, parcels = settle_region(chain, (120, 30), size=size)
    expected, _ = settle_at_once(chain, (120, 30), 0.5)
    np.testing.assert_array_equal(ids, expected)
    assert 1 < len(parcels) < 18


def test_strips_are_written_as_soon_as_nothing_can_change_them():
    events = []
    across = [rectangle((row, 20, 16, 9), (row - 4, 0, 32, 32)) for row in (38, 90, 140)]

    def arrive():
        for strip in cut(across, 192, 48):
            events.append(("read", strip.rows.start))
            yield strip

    settle(
        arrive(),
        (192, 83),
        np.ones(192),
        min_remain=0.5,
        write=lambda window, labels: events.append(("write", window.row)),
    )
    expected = [("read", 0), ("read", 48), ("write", 0), ("read", 96), ("write", 48), ("read", 144)]
    assert events == [*expected, ("write", 96), ("write", 144)]


def test_nothing_found_is_written_as_nothing():
    ids, parcels = settle_region([], (23, 9), size=10)
    assert ids.shape == (23, 9)
    assert not ids.any()
    assert len(parcels) == 0
    assert parcels.boxes.shape == (0, 4)
    assert parcels.ids.tolist() == [0]


def test_a_candidate_above_the_frontier_is_a_bug():
    late = rectangle((5, 3, 8, 8), LEFT)
    strips = [Strip(range(0, 10), 8, []), Strip(range(10, 40), 40, [late])]
    with pytest.raises(AssertionError, match="above the frontier"):
        settle(strips, SHAPE, np.ones(40), min_remain=0.5, write=lambda window, labels: None)
