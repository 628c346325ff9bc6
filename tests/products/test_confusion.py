import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sitsinfer.errors import OutputError
from sitsinfer.products.confusion import write_confusion

MATRIX = np.array([[150, 50, 0], [0, 0, 0], [1, 2, 1197]])
NAMES = ("Meadow", "Forêt", "Fruits, vegetables, flowers and others")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, to read what they say."""
    figures, save = [], Figure.savefig

    def watch(figure, *arguments, **options):
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", watch)
    return figures


def test_picture_says_names_totals_and_percentages_of_true_classes(drawn, tmp_path):
    write_confusion(tmp_path / "matrix.png", MATRIX, NAMES, "Overall accuracy 96.2 %", "pixels")
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [*NAMES[:2], "Fruits, vegetables, flowers…"]
    assert [label.get_text() for label in axes.get_xticklabels()] == [*NAMES[:2], "Fruits, vegetables, flowers…"]
    assert [label.get_text() for label in axes.child_axes[0].get_yticklabels()] == ["200", "0", "1,200"]
    numbers = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "75", (0, 1): "25", (2, 0): "<1", (2, 1): "<1", (2, 2): ">99"}
    assert axes.get_title(loc="left").startswith("Overall accuracy 96.2 %\n")


def test_colours_are_shares_of_rows(tmp_path):
    write_confusion(tmp_path / "matrix.png", np.array([[0, 7], [4000, 0]]), ["a", "b"])
    with Image.open(tmp_path / "matrix.png") as picture:
        image = np.asarray(picture.convert("RGB")).astype(int)
    dark = image.sum(axis=2) < 300
    height, width = dark.shape
    rows, cols = np.nonzero(dark)
    middle = (rows.min() + rows.max()) // 2
    assert height > 300 < width
    above, below = cols[rows < middle].mean(), cols[rows > middle].mean()
    assert above - below > 100, "of both true classes all is mapped as the other, be it 7 or 4000"


def test_many_classes_are_drawn_without_numbers(drawn, tmp_path):
    write_confusion(tmp_path / "matrix.png", np.eye(31), [f"Class {number}" for number in range(31)])
    assert not drawn[0].axes[0].texts


@pytest.mark.parametrize("matrix", [np.array([[3]]), np.array([[0.25, 12.4], [0, 0.004]])])
def test_hectares_and_single_classes_are_drawn(drawn, tmp_path, matrix):
    write_confusion(tmp_path / "matrix.png", matrix, ["a", "b"][: len(matrix)], unit="hectares")
    totals = [label.get_text() for label in drawn[0].axes[0].child_axes[0].get_yticklabels()]
    assert totals == (["3"] if len(matrix) == 1 else ["13", "0.004"])


def test_a_place_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutputError, match=re.escape(f"there is no folder {tmp_path / 'gone'}")):
        write_confusion(tmp_path / "gone" / "matrix.png", MATRIX, NAMES)


def test_the_same_matrix_gives_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        write_confusion(tmp_path / name, MATRIX, NAMES)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
