import pytest
import torch

from sitsinfer.errors import ModelError
from tests.data.record_models import CASES, filled, series


def test_dates_after_the_last_four_are_not_scored_but_the_input_is_left_alone():
    x, _ = series(dates=7, padded=0)
    x[0, 6, 0, 0, 0] = -2.0
    kept = x.clone()
    model = filled("unet3d", {**CASES["unet3d"][1], "pad_value": -2.0})
    with torch.inference_mode():
        scores = model(x)
    assert scores.shape == (2, 5, 16, 24)
    torch.testing.assert_close(x, kept, rtol=0, atol=0)


def test_a_sample_of_nothing_but_padding_scores_zero():
    x, _ = series(padded=5)
    with torch.inference_mode():
        scores = filled(*CASES["unet3d"])(x)
    assert (scores[1] == 0).all()
    assert (scores[0] != 0).any()


@pytest.mark.parametrize(("shape", "words"), [((1, 3, 3, 8, 8), "has 3 dates"), ((1, 4, 3, 8, 10), "multiples of 4")])
def test_a_series_that_cannot_be_halved_twice_is_refused(shape, words):
    with pytest.raises(ModelError, match=words):
        filled(*CASES["unet3d"])(torch.zeros(shape))
