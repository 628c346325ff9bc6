import pytest
import torch

from sitsinfer import models
from sitsinfer.errors import ModelError
from sitsinfer.models import pixel_ltae
from tests.golden.generator import fill_weights

TINY = {"in_channels": 3, "n_head": 2, "d_k": 3, "mlp3": [12, 8], "mlp4": [8, 6], "n_classes": 5, "d_model": 12}
DAYS = torch.tensor([[2, 9, 40, 41, 300], [-30, 0, 1, 77, 91]])
KINDS = pytest.mark.parametrize("kind", ["LTAE", "vanilla"])


def network(kind="LTAE", **changes):
    model = models.build("pixel_ltae", {**TINY, "attention_type": kind, **changes}).eval()
    fill_weights(model)
    return model


def series(samples=2, height=3, width=4):
    return torch.randn(samples, 5, 3, height, width, generator=torch.Generator().manual_seed(0))


def some_hidden(x):
    """Observations of which about a third are missing, but never all of a pixel."""
    valid = torch.rand(*x.shape[:2], *x.shape[3:], generator=torch.Generator().manual_seed(1)) > 0.35
    valid[:, 1] = True
    return valid


@KINDS
def test_every_pixel_is_scored_alone(kind):
    model, x = network(kind), series()
    with torch.inference_mode():
        scores, attention = model.attend(x, DAYS)
        one, weights = model.attend(x[1:, ..., 2:3, 1:2], DAYS[1:])
    assert scores.shape == (2, 5, 3, 4)
    assert attention.shape == (2, 2, 5, 3, 4)
    torch.testing.assert_close(one[0, ..., 0, 0], scores[1, ..., 2, 1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weights[:, 0, :, 0, 0], attention[:, 1, :, 2, 1], rtol=1e-5, atol=1e-5)


def test_scores_are_the_same_to_the_bit_wherever_a_pixel_lies_and_in_any_number_of_threads():
    published = {"mlp3": [256, 128], "mlp4": [128, 64, 32], "n_classes": 20, "d_model": 256}
    model, x = network(n_head=8, d_k=16, **published), series(height=21, width=33)
    valid, threads = some_hidden(x), torch.get_num_threads()
    with torch.inference_mode():
        scores, attention = model.attend(x, DAYS, valid)
        torch.set_num_threads(threads + 2)
        some, weights = model.attend(x[1:, ..., 2:, 5:], DAYS[1:], valid[1:, ..., 2:, 5:])
        torch.set_num_threads(threads)
    torch.testing.assert_close(some, scores[1:, ..., 2:, 5:], rtol=0, atol=0)
    torch.testing.assert_close(weights, attention[:, 1:, ..., 2:, 5:], rtol=0, atol=0)


@KINDS
def test_a_date_that_is_not_valid_is_as_good_as_absent(kind):
    model, x = network(kind), series(samples=1)
    valid = torch.ones(1, 5, 3, 4, dtype=torch.bool)
    valid[0, 3, 1, 2] = False
    kept = [0, 1, 2, 4]
    with torch.inference_mode():
        scores, attention = model.attend(x, DAYS[:1], valid)
        shorter, weights = model.attend(x[:, kept], DAYS[:1, kept])
        whole, _ = model.attend(x, DAYS[:1])
    torch.testing.assert_close(scores[..., 1, 2], shorter[..., 1, 2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(attention[:, :, kept, 1, 2], weights[..., 1, 2], rtol=1e-5, atol=1e-5)
    assert (attention[:, 0, 3, 1, 2] == 0).all()
    assert not torch.allclose(scores[..., 1, 2], whole[..., 1, 2], atol=1e-3)
    torch.testing.assert_close(scores[..., 0, :], whole[..., 0, :], rtol=1e-5, atol=1e-5)


@KINDS
def test_attention_sums_to_one_over_valid_dates(kind):
    model, x = network(kind), series()
    valid = some_hidden(x)
    with torch.inference_mode():
        _, attention = model.attend(x, DAYS, valid)
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(2, 2, 3, 4))
    assert (attention.movedim(0, -1)[~valid] == 0).all()


@KINDS
def test_a_pixel_without_dates_has_finite_scores_and_no_attention(kind):
    model, x = network(kind), series(samples=1)
    valid = torch.ones(1, 5, 3, 4, dtype=torch.bool)
    valid[..., 2, 3] = False
    with torch.inference_mode():
        scores, attention = model.attend(x, DAYS[:1], valid)
    assert scores.isfinite().all()
    assert (attention[..., 2, 3] == 0).all()


@KINDS
@pytest.mark.parametrize("hidden", [False, True])
def test_what_is_multiplied_out_and_cut_in_chunks_equals_layer_by_layer(kind, hidden, monkeypatch):
    monkeypatch.setitem(pixel_ltae._ELEMENTS, "cpu", 1)  # 64 pixels at a time
    model, x = network(kind), series(height=9, width=11)
    valid = some_hidden(x) if hidden else None
    if valid is not None:
        valid[:, :, 4, 5] = False
    with torch.inference_mode():
        scores, attention = model.attend(x, DAYS, valid)
        torch.testing.assert_close(model(x, DAYS, valid), scores, rtol=0, atol=0)
    plain, weights = (values.detach() for values in model.attend(x, DAYS, valid))  # as gradients need every layer
    torch.testing.assert_close(scores, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(attention, weights, rtol=1e-5, atol=1e-6)


@KINDS
def test_positions_may_differ_from_pixel_to_pixel(kind):
    model, x = network(kind), series(samples=1)
    spread = DAYS[:1, :, None, None].repeat(1, 1, 3, 4)
    spread[..., 0, 0] += 30
    with torch.inference_mode():
        scores = model(x, DAYS[:1])
        shifted = model(x, spread)
    torch.testing.assert_close(shifted[..., 1:, :], scores[..., 1:, :], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(shifted[..., 0, 0], scores[..., 0, 0], atol=1e-3)


def test_what_is_hidden_enters_no_statistics_in_training():
    x = series()
    valid = some_hidden(x)
    other = torch.where(valid[:, :, None], x, torch.full_like(x, 1e6))
    learnt = []
    for values in (x, other):
        model = network(dropout=0.0).train()
        model(values, DAYS, valid)
        learnt.append(model.inconv[1].running_mean)
    torch.testing.assert_close(learnt[0], learnt[1], rtol=0, atol=0)


@KINDS
def test_every_parameter_learns(kind):
    model, x = network(kind).train(), series()
    model(x, DAYS, some_hidden(x)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention_type": "full"}, "Unknown attention_type 'full'. Choose one of LTAE, vanilla"),
        ({"n_head": 5}, r"d_model is 12, which n_head \(5\) does not divide"),
        ({"mlp3": [16, 8]}, r"mlp3 starts at 16 but gets 12 channels\. Set mlp3\[0\] to 12"),
        ({"mlp4": [16, 8]}, "mlp4 starts at 16 but gets 8 channels"),
    ],
)
def test_impossible_hyperparameters_are_named(changes, words):
    with pytest.raises(ModelError, match=words):
        models.build("pixel_ltae", {**TINY, **changes})


def test_shapes_that_do_not_fit_are_named():
    model, x = network(), series()
    with pytest.raises(ModelError, match=r"Positions have shape \(2, 4\)\. Give one a date, \(2, 5\)"):
        model(x, DAYS[:, :4])
    with pytest.raises(ModelError, match=r"Observations have shape \(2, 5, 4, 3\)"):
        model(x, DAYS, torch.ones(2, 5, 4, 3, dtype=torch.bool))
    with pytest.raises(ModelError, match=r"The model takes \(B, T, 3, H, W\)"):
        model(x[:, :, :2], DAYS)
