import hashlib

import pytest
import torch

from sitsinfer import models
from sitsinfer.errors import ModelError
from tests.data.record_models import CASES, filled, series

PUBLISHED_ENTRIES = "7904ff1597ba3e5a9a71995bb752556567f1fabdaffd9889ef7ae56825bd9f60"


@pytest.fixture
def model():
    return filled(*CASES["utae"])


def test_the_published_configuration_has_the_published_entries():
    model = models.build("utae", {"input_dim": 10})
    state_dict = model.state_dict()
    entries = "\n".join(f"{name} {list(value.shape)}" for name, value in sorted(state_dict.items()))
    assert len(state_dict) == 158
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_087_260
    assert hashlib.sha256(entries.encode()).hexdigest() == PUBLISHED_ENTRIES


@pytest.mark.parametrize("case", ["utae", "utae_att_mean", "utae_mean"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("chunk", [1, 3, 4, 100])
def test_chunks_and_memory_layout_change_no_score(case, layout, chunk):
    x, days = series()
    model = filled(*CASES[case])
    with torch.inference_mode():
        expected = model(x, days)
        model.to(memory_format=layout).frame_chunk = chunk
        torch.testing.assert_close(model(x, days), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["utae", "utae_att_mean", "utae_mean"])
def test_scores_are_the_same_with_and_without_gradients(mode):
    x, days = series()
    model = filled(*CASES[mode])
    with torch.inference_mode():
        expected = model(x, days)
    torch.testing.assert_close(model(x, days).detach(), expected, rtol=0, atol=1e-5)


def test_attention_sums_to_one_over_dates_and_leaves_padding_out(model):
    x, days = series(padded=2)
    with torch.inference_mode():
        scores, attention = model(x, days, return_attention=True)
    assert attention.shape == (4, 2, 5, 4, 6)
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(4, 2, 4, 6))
    assert (attention[:, 1, 3:] == 0).all()
    assert (attention[:, 0] > 0).all()
    torch.testing.assert_close(scores, model(x, days).detach())


def test_padding_changes_a_sample_as_in_the_published_network(model):
    x, days = series(samples=1, padded=2)
    with torch.inference_mode():
        padded, alone = model(x, days), model(x[:, :3], days[:, :3])
    assert 1e-3 < (padded - alone).abs().max() < 1


def test_what_padded_frames_hold_is_what_makes_them_padding():
    x, days = series(padded=2)
    zeros, others = filled(*CASES["utae"]), filled("utae", {**CASES["utae"][1], "pad_value": -3.5})
    never = filled("utae", {**CASES["utae"][1], "pad_value": None})
    with torch.inference_mode():
        _, attention = others(x, days, return_attention=True)
        assert (attention[:, 1, 3:] > 0).all()
        torch.testing.assert_close(others(x, days), never(x, days))
        assert not torch.allclose(zeros(x, days), never(x, days), atol=1e-3)


def test_one_pixel_that_is_not_the_padding_value_makes_a_date_observed(model):
    x, days = series(padded=1)
    x[1, -1, 2, 15, 23] = 0.5
    with torch.inference_mode():
        _, attention = model(x, days, return_attention=True)
    assert (attention[:, 1, -1] > 0).any()


@pytest.mark.parametrize("case", ["utae", "utae_mean"])
def test_a_sample_of_nothing_but_padding_has_finite_scores(case):
    x, days = series(padded=5)
    with torch.inference_mode():
        assert filled(*CASES[case])(x, days).isfinite().all()


def test_the_order_of_dates_does_not_matter(model):
    x, days = series(padded=0)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.inference_mode():
        torch.testing.assert_close(model(x[:, order], days[:, order]), model(x, days), rtol=1e-5, atol=1e-5)


def test_days_matter_and_may_be_negative(model):
    x, days = series(padded=0)
    with torch.inference_mode():
        assert not torch.allclose(model(x, days - 500), model(x, days), atol=1e-4)
        assert model(x, days - 500).isfinite().all()


def test_decoder_maps_go_from_low_to_full_resolution(model):
    x, days = series()
    with torch.inference_mode():
        maps, _ = model.decoder_maps(x, days)
    assert [tuple(values.shape[1:]) for values in maps] == [(16, 4, 6), (8, 8, 12), (8, 16, 24)]


def test_scores_are_close_in_bfloat16(model):
    x, days = series()
    with torch.inference_mode():
        expected = model(x, days)
        with torch.autocast("cpu", torch.bfloat16):
            scores = model(x, days)
    assert (scores.float() - expected).abs().max() < 0.1


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 2, 4, 16, 16), r"has shape \(1, 2, 4, 16, 16\)\. The model takes \(B, T, 3, H, W\)"),
        ((1, 3, 16, 16), "The model takes"),
        ((1, 2, 3, 16, 18), r"16 x 18 pixels\. Use multiples of 4, from 8 up"),
        ((1, 2, 3, 16, 4), "16 x 4 pixels"),
    ],
)
def test_a_series_of_another_shape_is_refused(model, shape, words):
    with pytest.raises(ModelError, match=words):
        model(torch.zeros(shape), torch.zeros(1, 2, dtype=torch.int64))


def test_one_position_a_sample_is_refused(model):
    x, days = series(dates=1, padded=0)
    with pytest.raises(ModelError, match=r"Positions have shape \(2,\)\. Give one day a date, \(B, T\) = \(2, 1\)"):
        model(x, days[:, 0])
