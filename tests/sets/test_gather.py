import gc
import weakref

import numpy as np
import pytest

from sitsinfer.errors import StoreError
from sitsinfer.sets.gather import Classified, PixelSets, Waiting, join, pack, unpack

DAYS, BANDS, DATES = 3, 2, 11


def sets(seed: int, parcels: dict[int, tuple[list[int], int]]) -> PixelSets:
    """Pixels of parcels: from a parcel's number to the ranks of clear pixels, and how many more were read."""
    rng = np.random.default_rng(seed)
    ranks = [rank for clear, _ in parcels.values() for rank in clear]
    return PixelSets(
        np.array(list(parcels), np.int64),
        np.array([len(clear) + more for clear, more in parcels.values()], np.int32),
        np.array([len(clear) for clear, _ in parcels.values()], np.int32),
        np.packbits(rng.random((len(parcels), DATES)) < 0.3, axis=1),
        np.array(ranks, np.int16),
        rng.random((len(ranks), DAYS, BANDS), np.float32),
    )


def cut(whole: PixelSets, pieces: int) -> list[PixelSets]:
    """Deal the pixels of parcels out to pieces, each of which saw the dates that it says."""
    owners = np.repeat(np.arange(len(whole)), whole.counts)
    made = []
    for piece in range(pieces):
        mine = whole.ranks % pieces == piece
        counts = np.bincount(owners[mine], minlength=len(whole)).astype(np.int32)
        drawn = counts if piece else counts + whole.drawn - whole.counts
        seen = np.where(drawn == whole.drawn, 0b11111111, 0b10010110 if piece else 0b01101001).astype(np.uint8)
        dates = whole.dates & seen[:, np.newaxis]
        part = PixelSets(whole.parcels, drawn, counts, dates, whole.ranks[mine], whole.values[mine])
        made.append(part.select(drawn > 0))
    return made


def same(one: PixelSets, other: PixelSets) -> None:
    for name in ("parcels", "drawn", "counts", "dates", "ranks", "values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert getattr(one, name).dtype == getattr(other, name).dtype


WHOLE = {4: ([0, 1, 2, 5], 2), 7: ([], 3), 9: ([1], 0), 30: ([0, 3, 4, 8, 9], 5)}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_pieces_join_to_what_they_were_cut_from(order: tuple[int, int]) -> None:
    whole = sets(1, WHOLE)
    pieces = cut(whole, 2)
    assert len(pieces[1]) < len(whole)
    same(join([pieces[index] for index in order]), whole)


def test_some_parcels_are_selected_with_their_pixels() -> None:
    whole = sets(2, WHOLE)
    some = whole.select(np.array([False, True, True, False]))
    assert some.parcels.tolist() == [7, 9]
    np.testing.assert_array_equal(some.values, whole.values[4:5])
    assert len(whole.select(np.zeros(4, bool)).values) == 0
    same(join(list(whole.each())), whole)


def test_dates_are_counted_once_whatever_pieces_saw_them() -> None:
    whole = sets(3, WHOLE)
    expected = np.unpackbits(whole.dates, axis=1).sum(axis=1)
    assert expected.min() != expected.max()
    np.testing.assert_array_equal(whole.date_counts, expected)
    np.testing.assert_array_equal(join([whole.select(whole.counts > 0), whole]).date_counts, expected)


def test_a_parcel_is_let_go_as_soon_as_it_is_whole() -> None:
    whole = sets(4, WHOLE)
    first, second = cut(whole, 2)
    waiting = Waiting()
    samples = dict(zip(whole.parcels.tolist(), whole.drawn.tolist(), strict=True))

    def add(pieces: PixelSets) -> list[PixelSets]:
        return list(waiting.add(pieces, np.array([samples[number] for number in pieces.parcels.tolist()])))

    (unseen,) = add(first)
    same(unseen, whole.select(whole.parcels == 7))  # never seen clear, but whole
    assert len(waiting) == 2
    found = add(second)
    same(join([unseen, *found]), whole)
    assert len(waiting) == 0


def test_what_waits_does_not_keep_its_tile_in_memory() -> None:
    pieces = sets(5, WHOLE)
    tile = weakref.ref(pieces.values)
    waiting = Waiting()
    assert not list(waiting.add(pieces, np.array([99, 99, 99, 99])))
    del pieces
    gc.collect()
    assert tile() is None


def test_what_a_tile_found_comes_back() -> None:
    rng = np.random.default_rng(6)
    numbers = np.arange(3, dtype=np.int64)
    classified = Classified(
        numbers, rng.random((3, 4), np.float32), np.array([5, 6, 7], np.int32), np.array([1, 2, 3], np.int32)
    )
    pieces = sets(7, WHOLE)
    content = pack(classified, pieces)
    one, other = unpack(content)
    same(other, pieces)
    for name in ("parcels", "probabilities", "pixels", "dates"):
        np.testing.assert_array_equal(getattr(one, name), getattr(classified, name))
    assert len(Classified.together([one, classified])) == 6
    with pytest.raises(StoreError, match="cannot be read"):
        unpack(content[:-30])
