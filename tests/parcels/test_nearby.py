from hypothesis import given
from hypothesis import strategies as st

from sitsinfer.grid import Window
from sitsinfer.parcels.nearby import BUCKET, Nearby

windows = st.builds(
    Window, st.integers(-90, 300), st.integers(-90, 300), height=st.integers(1, 150), width=st.integers(1, 150)
)


@given(st.lists(windows, max_size=12), windows)
def test_whatever_shares_a_pixel_is_found_once(others, window):
    nearby = Nearby()
    for number, other in enumerate(others):
        nearby.add(other, number)
    expected = [number for number, other in enumerate(others) if not other.intersection(window).is_empty]
    assert sorted(nearby.find(window)) == expected


@given(st.lists(windows, max_size=12), windows, st.integers(-100, 400))
def test_what_reaches_below_a_row_is_still_found_there(others, window, row):
    nearby = Nearby()
    for number, other in enumerate(others):
        nearby.add(other, number)
    nearby.forget(row)
    below = Window(max(row, window.row), window.col, window.height, window.width)
    expected = [number for number, other in enumerate(others) if not other.intersection(below).is_empty]
    assert sorted(nearby.find(below)) == expected


def test_what_lies_above_is_let_go():
    nearby = Nearby()
    nearby.add(Window(3, 5, BUCKET - 3, 4), "above")
    nearby.add(Window(3, 5, BUCKET - 2, 4), "across")
    nearby.forget(BUCKET - 1)
    assert list(nearby.find(Window(0, 0, 9, 9))) == ["above", "across"]
    nearby.forget(BUCKET)
    assert list(nearby.find(Window(0, 0, 9, 9))) == []
    assert list(nearby.find(Window(BUCKET, 0, 9, 9))) == ["across"]
