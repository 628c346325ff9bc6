import numpy as np
import pytest

from sitsinfer.errors import TrainingError
from sitsinfer.training.ensemble import EnsembleOptions, block_folds, draw_weights, make_members, near_blocks

OPTIONS = {"name": "x", "architecture": "x", "hyperparameters": {}}


def test_blocks_are_dealt_out_whole_evenly_and_apart() -> None:
    rows, cols = np.indices((40, 60))
    for folds in (2, 3, 4, 5, 10):
        dealt = block_folds(rows, cols, 4, folds)
        blocks = dealt.reshape(10, 4, 15, 4)
        assert (blocks == blocks[:, :1, :, :1]).all()
        found = blocks[:, 0, :, 0]
        np.testing.assert_allclose(np.bincount(found.ravel(), minlength=folds), 150 / folds, atol=3)
        assert (found[:, 1:] != found[:, :-1]).all()
        assert (found[1:] != found[:-1]).all()


def test_a_block_knows_no_scene_border() -> None:
    assert block_folds([7, 8], [0, 0], 8, 4).tolist() == [0, 2]
    assert block_folds([0, 0], [7, 8], 8, 4).tolist() == [0, 1]


def test_what_is_near_a_block_of_a_fold_is_near_it_on_all_sides() -> None:
    rows, cols = np.indices((24, 30)).reshape(2, -1)
    inside = block_folds(rows, cols, 6, 4) == 1
    near = near_blocks(rows, cols, 1, block=6, folds=4, gap=2)
    off = np.maximum(np.abs(rows[:, None] - rows[inside]), np.abs(cols[:, None] - cols[inside])).min(axis=1)
    assert np.array_equal(near, off <= 2)
    assert np.array_equal(near_blocks(rows, cols, 1, block=6, folds=4, gap=0), inside)


def test_rare_classes_are_drawn_as_often_as_balance_says() -> None:
    channels = np.repeat([0, 1], [90, 10])
    for balance, share in ((0, 0.1), (1, 0.5)):
        weights = draw_weights(channels, balance)
        assert weights.sum() == pytest.approx(1)
        assert weights[channels == 1].sum() == pytest.approx(share)
    assert 0.1 < draw_weights(channels, 0.5)[channels == 1].sum() < 0.5


def test_members_are_named_if_there_are_several() -> None:
    statistics = np.array([0.1, 0.2]), np.array([0.3, 0.4])
    (alone,) = make_members(1, *statistics)
    assert (alone.name, alone.mean, alone.std) == ("", (0.1, 0.2), (0.3, 0.4))
    assert [member.prefix for member in make_members(2, *statistics)] == ["member-1.", "member-2."]


def test_members_are_validated_on_parts_in_turn() -> None:
    options = EnsembleOptions(**OPTIONS, members=5, validation=0.26)
    assert options.folds == 4
    assert [options.kept(member) for member in range(5)] == [0, 1, 2, 3, 0]


def test_the_card_tells_what_was_kept_in_fact() -> None:
    assert EnsembleOptions(**OPTIONS, validation=0.3).kept_apart.startswith(
        "One block of 32 x 32 pixels in 3 was kept for validation, with a gap of 3 pixels around it;"
    )
    assert "validation, for each member another" in EnsembleOptions(**OPTIONS, members=2).kept_apart


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"validation": 0.51}, "51% cannot be kept for validation. Keep half or less"),
        ({"validation": 0.0}, "0% cannot be kept"),
        ({"batch_size": 1}, "batch size is 1. Expected 2 or more"),
        ({"gap": 32}, "gap is 32 pixels. Expected 0 or more, less than a block of 32"),
        ({"gap": -1}, "gap is -1"),
    ],
)
def test_what_leaves_nothing_to_learn_from_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        EnsembleOptions(**OPTIONS, **options)
