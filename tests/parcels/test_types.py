import io
import re

import numpy as np
import pytest

from sitsinfer.errors import StoreError
from sitsinfer.grid import Window
from sitsinfer.parcels.types import Candidate, Parcels, pack, unpack


def candidates():
    rng = np.random.default_rng(3)
    patch = Window(-7, 20, 40, 40)
    boxes = [Window(-7, 21, 5, 3), Window(2, 30, 1, 1), Window(10, 25, 7, 11)]
    masks = [rng.random(box.shape) < 0.5 for box in boxes]
    return [
        Candidate(box.row + 1, box.col, patch.shift(0, n), box, n + 250, float(np.float32(0.3 * n)), mask)
        for n, (box, mask) in enumerate(zip(boxes, masks, strict=True))
    ]


def test_candidates_come_back_as_they_were_packed():
    for one, other in zip(candidates(), unpack(pack(candidates())), strict=True):
        assert (one.row, one.col, one.patch, one.box) == (other.row, other.col, other.patch, other.box)
        assert (one.code, one.confidence) == (other.code, other.confidence)
        assert other.mask.dtype == np.bool_
        np.testing.assert_array_equal(one.mask, other.mask)


def test_masks_are_packed_as_bits():
    box = Window(0, 0, 200, 300)
    content = pack([Candidate(0, 0, box, box, 1, 0.5, np.ones(box.shape, np.bool_))])
    assert 7500 < len(content) < 9500


def test_no_candidates_are_packed_too():
    assert list(unpack(pack([]))) == []


def test_the_same_candidates_are_the_same_bytes():
    assert pack(candidates()) == pack(iter(candidates()))


def other_archive():
    buffer = io.BytesIO()
    np.savez(buffer, places=np.zeros((2, 10)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        pack(candidates())[:-30],
        pack(candidates())[:200] + b"?" + pack(candidates())[201:],
        re.sub(rb"(PK\x01\x02....).", b"\\1\x01", pack(candidates()), count=1, flags=re.DOTALL),
        other_archive(),
    ],
    ids=["empty", "other bytes", "cut off", "flipped", "as if encrypted", "another archive"],
)
def test_damaged_bytes_are_one_clear_error(content):
    with pytest.raises(StoreError, match=r"What a tile found cannot be read .* Remove the folder .* to start anew\."):
        list(unpack(content))


def test_rank_is_by_confidence_then_centre_then_patch():
    box = Window(4, 4, 2, 2)
    ordered = [
        Candidate(row, col, Window(*patch, 9, 9), box, 1, confidence, np.ones((2, 2), np.bool_))
        for confidence, row, col, patch in (
            (0.9, 5, 5, (3, 3)),
            (0.5, 4, 5, (3, 3)),
            (0.5, 5, 4, (3, 3)),
            (0.5, 5, 5, (0, 3)),
            (0.5, 5, 5, (3, 0)),
            (0.1, 4, 4, (0, 0)),
        )
    ]
    shuffled = [ordered[index] for index in (4, 2, 5, 0, 3, 1)]
    assert sorted(shuffled, key=lambda candidate: candidate.rank) == ordered


def test_parcels_left_out_take_their_labels_along_and_others_move_up():
    parcels = Parcels(
        rows=np.array([2, 3, 9]),
        cols=np.array([5, 1, 4]),
        codes=np.array([1, 2, 1], np.uint8),
        confidences=np.array([0.9, 0.8, 0.7], np.float32),
        pixels=np.array([7, 1, 12]),
        square_metres=np.array([700.0, 100.0, 1200.0]),
        boxes=np.array([[1, 4, 3, 3], [3, 1, 1, 1], [7, 2, 3, 4]]),
        ids=np.array([0, 3, 1, 2, 3], np.uint32),
    )
    large = parcels.select(parcels.pixels > 1)
    assert len(parcels) == 3
    assert len(large) == 2
    assert large.ids.tolist() == [0, 2, 1, 0, 2]
    assert large.ids.dtype == np.uint32
    assert large.rows.tolist() == [2, 9]
    assert large.cols.tolist() == [5, 4]
    assert large.codes.tolist() == [1, 1]
    assert large.confidences.tolist() == [np.float32(0.9), np.float32(0.7)]
    assert large.pixels.tolist() == [7, 12]
    assert large.square_metres.tolist() == [700, 1200]
    assert large.boxes.tolist() == [[1, 4, 3, 3], [7, 2, 3, 4]]
