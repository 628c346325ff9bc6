import numpy as np

from sitsinfer.grid import Window
from sitsinfer.sets import Samples, Trouble


def samples(*pixels: tuple[int, int, int, int]) -> Samples:
    parcels, ranks, rows, cols = np.array(pixels, np.int64).reshape(-1, 4).T
    return Samples(parcels, ranks.astype(np.int16), rows.astype(np.int32), cols.astype(np.int32))


def test_parts_are_joined_in_the_order_of_parcels_and_ranks() -> None:
    joined = Samples.join([samples((7, 1, 4, 5), (9, 0, 1, 1)), samples((7, 0, 3, 8), (2, 3, 6, 2))])
    assert joined.parcels.tolist() == [2, 7, 7, 9]
    assert joined.ranks.tolist() == [3, 0, 1, 0]
    assert joined.rows.tolist() == [6, 3, 4, 1]
    assert joined.cols.tolist() == [2, 8, 5, 1]


def test_types_stay_even_where_there_is_nothing() -> None:
    for joined in (Samples.join([]), Samples.join([samples(), samples((1, 0, 2, 3))])):
        columns = (joined.parcels, joined.ranks, joined.rows, joined.cols)
        assert [column.dtype for column in columns] == [np.int64, np.int16, np.int32, np.int32]


def test_the_window_holds_all_pixels_and_no_more() -> None:
    assert samples((1, 0, 4, 9), (1, 1, 7, 2), (5, 0, 5, 5)).window == Window(4, 2, 4, 8)
    assert samples().window.is_empty


def test_a_trouble_is_one_line() -> None:
    assert str(Trouble("outside the data", 1, ("a",))) == "1 parcel: outside the data (a)"
    assert str(Trouble("outside the data", 7, ("a", "b"))) == "7 parcels: outside the data (a, b and 5 more)"
