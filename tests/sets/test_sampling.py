import numpy as np
import pytest

from sitsinfer.sets.sampling import _numbers, sample

RECORDED = [168, 381, 511, 949, 994]


def test_a_small_parcel_is_taken_whole() -> None:
    for count in (0, 1, 4, 5):
        assert sample("a", count, 5).tolist() == list(range(count))


@pytest.mark.parametrize(("count", "most"), [(6, 5), (64, 1), (65, 64), (170, 64), (9_000_000_000, 64)])
def test_so_many_different_pixels_are_chosen_in_order(count: int, most: int) -> None:
    for name in ("", "a", "FR 7 ü"):
        chosen = sample(name, count, most)
        assert chosen.dtype == np.int64
        assert len(chosen) == most
        assert (np.diff(chosen) > 0).all()
        assert chosen[0] >= 0
        assert chosen[-1] < count


def test_the_choice_is_that_of_the_identifier_for_ever() -> None:
    assert sample("parcel 1", 1000, 5).tolist() == RECORDED
    assert sample("parcel 2", 1000, 5).tolist() != RECORDED


def test_every_pixel_is_as_likely() -> None:
    chosen = np.concatenate([sample(str(number), 40, 10) for number in range(4000)])
    shares = np.bincount(chosen, minlength=40) / 4000
    assert np.abs(shares - 0.25).max() < 4.5 * (0.25 * 0.75 / 4000) ** 0.5


def test_numbers_are_those_of_splitmix64() -> None:
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    seed = np.array([1234567], np.uint64)
    assert _numbers(seed, 0, 4).tolist() == expected
    assert _numbers(seed, 2, 2).tolist() == expected[2:]
