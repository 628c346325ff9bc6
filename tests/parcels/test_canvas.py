import numpy as np
import pytest

from sitsinfer.grid import Window
from sitsinfer.parcels.canvas import Canvas


@pytest.fixture
def canvas():
    """Three strips of a grid 6 pixels wide."""
    canvas = Canvas(6)
    for rows in (range(0, 4), range(4, 6), range(6, 9)):
        canvas.extend(rows)
    return canvas


def test_what_is_painted_across_strips_is_read_back(canvas):
    where = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [0, 1]], bool)
    canvas.paint(Window(2, 3, 5, 2), where, 7)
    expected = np.zeros((9, 6), int)
    expected[2:7, 3:5] = 7 * where
    np.testing.assert_array_equal(canvas.read(Window(0, 0, 9, 6)), expected)
    np.testing.assert_array_equal(canvas.read(Window(3, 2, 4, 3)), expected[3:7, 2:5])


def test_painting_leaves_other_labels_as_they_are(canvas):
    canvas.paint(Window(0, 0, 1, 3), np.ones((1, 3), bool), 7)
    canvas.paint(Window(0, 0, 1, 3), np.array([[False, True, False]]), 8)
    assert canvas.read(Window(0, 0, 1, 4)).tolist() == [[7, 8, 7, 0]]


def test_reading_gives_a_copy(canvas):
    canvas.read(Window(0, 0, 2, 2))[:] = 5
    assert not canvas.read(Window(0, 0, 2, 2)).any()


def test_strips_leave_when_all_of_them_lies_above(canvas):
    canvas.paint(Window(5, 5, 1, 1), np.ones((1, 1), bool), 3)
    assert list(canvas.release(3)) == []
    first, second = canvas.release(8)
    assert first[0] == Window(0, 0, 4, 6)
    assert second[0] == Window(4, 0, 2, 6)
    assert second[1].tolist() == [[0] * 6, [0, 0, 0, 0, 0, 3]]
    assert second[1].dtype == np.uint32
    assert canvas.read(Window(6, 0, 3, 6)).shape == (3, 6)
