import pytest

from sitsinfer.parcels.agreement import agree
from tests.parcels.scenes import rectangle

LEFT, RIGHT, FAR = (0, 0, 20, 30), (2, 20, 20, 30), (0, 40, 20, 30)  # the first two share columns 20 to 29


def test_masks_are_compared_where_both_patches_see_alone():
    one, other = rectangle((5, 1, 8, 29), LEFT), rectangle((5, 20, 8, 30), RIGHT)
    assert agree(one, other)
    assert agree(other, one)


@pytest.mark.parametrize(("shared_rows", "expected"), [(7, True), (6, True), (5, False), (0, False)])
def test_half_of_the_union_must_be_shared(shared_rows, expected):
    # 9 rows each: 6 of 12 are shared, or 5 of 13.
    one = rectangle((3, 12, 9, 18), LEFT)
    other = rectangle((12 - shared_rows, 20, 9, 12), RIGHT, centre=(13, 28))
    assert agree(one, other) is expected


def test_other_classes_do_not_agree():
    assert not agree(rectangle((5, 1, 8, 29), LEFT, code=1), rectangle((5, 20, 8, 30), RIGHT, code=2))


def test_one_patch_does_not_agree_with_itself():
    assert not agree(rectangle((5, 1, 8, 29), LEFT), rectangle((5, 1, 8, 28), LEFT, centre=(9, 14)))


def test_masks_that_end_before_the_shared_window_do_not_agree():
    assert not agree(rectangle((5, 1, 8, 19), LEFT), rectangle((5, 30, 8, 19), RIGHT))


def test_boxes_that_meet_with_no_pixel_in_common_do_not_agree():
    one, other = rectangle((5, 15, 8, 15), LEFT), rectangle((5, 20, 8, 12), RIGHT)
    one.mask[:, 5:] = False
    assert not agree(one, other)


def test_patches_that_share_no_pixel_do_not_agree():
    assert not agree(rectangle((5, 1, 8, 29), LEFT), rectangle((5, 40, 8, 20), FAR))


def test_one_centre_agrees_whatever_else():
    one = rectangle((5, 10, 8, 15), LEFT, code=1, centre=(9, 22))
    assert agree(one, rectangle((9, 22, 1, 1), RIGHT, code=2, centre=(9, 22)))
    assert agree(one, rectangle((9, 22, 1, 1), LEFT, code=2, centre=(9, 22)))
