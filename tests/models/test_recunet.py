import pytest
import torch

from sitsinfer.errors import ModelError
from tests.data.record_models import CASES, filled, series


def test_a_mean_over_one_date_is_the_network_of_one_date():
    x, _ = series(dates=1, padded=0)
    mono = filled("recunet", {**CASES["recunet_mean"][1], "temporal": "mono"})
    with torch.inference_mode():
        expected = filled(*CASES["recunet_mean"])(x)
        torch.testing.assert_close(mono(x), expected)
        torch.testing.assert_close(mono(x[:, 0]), expected)


def test_a_network_of_one_date_refuses_more():
    mono = filled("recunet", {**CASES["recunet_mean"][1], "temporal": "mono"})
    with pytest.raises(ModelError, match=r"has 5 dates\. A model with temporal='mono' takes one"):
        mono(series()[0])


def test_an_unknown_way_to_pool_dates_is_refused():
    with pytest.raises(ModelError, match="Unknown temporal 'gru'. Choose one of lstm, blstm, mean, mono"):
        filled("recunet", {**CASES["recunet_mean"][1], "temporal": "gru"})


def test_a_recurrence_follows_the_order_of_dates():
    x, _ = series(padded=0)
    lstm, mean = filled(*CASES["recunet_lstm"]), filled(*CASES["recunet_mean"])
    with torch.inference_mode():
        assert not torch.allclose(lstm(x.flip(1)), lstm(x), atol=1e-4)
        torch.testing.assert_close(mean(x.flip(1)), mean(x), rtol=1e-5, atol=1e-5)
