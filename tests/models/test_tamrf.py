import hashlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sitsinfer import models
from sitsinfer.errors import ModelError
from sitsinfer.models.tamrf import (
    Chunks,
    Frames,
    Hyperparameters,
    Request,
    SpatialDecoder,
    SpatialEncoder,
    StreamedConvolution,
    TemporalDecoder,
    TransformerLayer,
    positional_encoding,
)
from tests.data.record_models import filled

PUBLISHED_ENTRIES = "3de1461749552db3afb316e23a565e5da047382a32cc0163da077dac1b73c3f5"
TINY = {
    "hr_bands": 3,
    "lr_bands": 2,
    "latent_size": 6,
    "growth_channels": 4,
    "positional_features": 4,
    "sensor_token_size": 2,
    "heads": 2,
    "layers": 2,
    "feed_forward": 10,
    "decoder_heads": 3,
    "decoder_feed_forward": 8,
}
CORE = (6, 9)
HR_DAYS, LR_DAYS, QUERIES = (3, 20, 91), (20, 47), (-4, 20, 91, 150)


@pytest.fixture
def model():
    return filled("tamrf", TINY)


def window(margins, core=CORE, hr_days=HR_DAYS, lr_days=LR_DAYS):
    """Noise over a core of fine pixels, and so many pixels of each sensor around it."""
    rng, height, width = torch.Generator().manual_seed(5), *core
    hr, lr = margins["hr"], margins["lr"]
    fine = torch.randn(len(hr_days), 3, height + 2 * hr, width + 2 * hr, generator=rng)
    coarse = torch.randn(len(lr_days), 2, height // 3 + 2 * lr, width // 3 + 2 * lr, generator=rng)
    return {"hr": Frames(fine, torch.tensor(hr_days), hr), "lr": Frames(coarse, torch.tensor(lr_days), lr)}


def cut(frames, row, col, height, width, spare=0):
    """Part of a window, in its own pixels, with as much margin or less."""
    margin = frames.margin - spare
    top, left = row + spare, col + spare
    values = frames.values[..., top : top + height + 2 * margin, left : left + width + 2 * margin]
    return Frames(values, frames.days, margin)


def both(days=QUERIES):
    return {"hr": Request(days, (0, 1, 2)), "lr": Request(days, (0, 1))}


def predict(model, inputs, requests=None, chunks=None):
    with torch.inference_mode():
        predicted = model(inputs, requests or both(), chunks)
    return {(sensor, day): values for sensor, days in predicted.items() for day, values in days.items()}


def assert_same(predicted, expected, atol=1e-5):
    assert predicted.keys() == expected.keys()
    for key, values in expected.items():
        torch.testing.assert_close(predicted[key], values, rtol=0, atol=atol)


def test_the_published_configuration_has_the_published_entries():
    model = models.build("tamrf", {})
    entries = "\n".join(f"{name} {list(value.shape)}" for name, value in model.state_dict().items())
    assert sum(parameter.numel() for parameter in model.parameters()) == 2_329_258
    assert hashlib.sha256(entries.encode()).hexdigest() == PUBLISHED_ENTRIES


def test_days_are_encoded_by_sines_and_cosines_of_growing_periods():
    encoded = positional_encoding(torch.tensor([[0, -90]]), 4, 100.0)
    angles = torch.tensor([-90.0, -9.0])
    expected = torch.stack([angles.sin(), angles.cos()], dim=1).flatten()
    torch.testing.assert_close(encoded, torch.stack([torch.tensor([0.0, 1, 0, 1]), expected])[None])


@pytest.mark.parametrize(("blocks", "expected"), [((1, 1), {"hr": 19, "lr": 20}), ((2, 1), {"hr": 34, "lr": 20})])
def test_margins_are_what_a_prediction_sees(blocks, expected):
    """By gradient, in a window without margins, around a core in its middle."""
    names = {"hr_basic_blocks": blocks[0], "lr_basic_blocks": blocks[1], "layers": 1}
    model, reach = filled("tamrf", {**TINY, **names}), 2 + max(-(-expected["hr"] // 3), expected["lr"])
    inputs = window({"hr": 0, "lr": 0}, (3 * (2 * reach + 1), 3 * (2 * reach + 1)), (5,), (8,))
    for frames in inputs.values():
        frames.values.requires_grad_()
    (predicted,) = model(inputs, {"hr": Request((30,), (1,))})["hr"].values()
    predicted[0, 3 * reach : 3 * reach + 3, 3 * reach : 3 * reach + 3].sum().backward()
    for sensor, size in (("hr", 3), ("lr", 1)):
        seen = inputs[sensor].values.grad.abs().sum((0, 1)).nonzero()
        first, last = size * reach - expected[sensor], size * reach + size - 1 + expected[sensor]
        assert seen.amin(0).tolist() == [first, first]
        assert seen.amax(0).tolist() == [last, last]
    assert Hyperparameters(**{**TINY, **names}).margins == expected


@pytest.mark.parametrize("basic_blocks", [1, 2])
def test_parts_of_a_core_are_predicted_as_the_whole(basic_blocks):
    model = filled("tamrf", {**TINY, "hr_basic_blocks": basic_blocks})
    inputs = window(model.options.margins)
    whole = predict(model, inputs)
    for row, col, height, width in ((0, 0, 3, 9), (3, 3, 3, 6), (3, 0, 3, 3), (0, 6, 6, 3)):
        parts = {
            "hr": cut(inputs["hr"], row, col, height, width),
            "lr": cut(inputs["lr"], row // 3, col // 3, height // 3, width // 3),
        }
        part = predict(model, parts)
        assert_same(part, {key: v[:, row : row + height, col : col + width] for key, v in whole.items()})


@pytest.mark.parametrize("margin", [3, 6, 18, 24])
def test_a_window_with_little_margin_is_predicted_as_by_padded_convolutions(model, margin):
    inputs = window({"hr": margin, "lr": margin // 3})
    padded = predict(model, {sensor: Frames(frames.values, frames.days) for sensor, frames in inputs.items()})
    expected = {key: values[:, margin:-margin, margin:-margin] for key, values in padded.items()}
    assert_same(predict(model, inputs), expected)


def test_more_margin_than_is_seen_changes_nothing(model):
    inputs = window({sensor: margin + 2 for sensor, margin in model.options.margins.items()})
    tight = {"hr": cut(inputs["hr"], 0, 0, *CORE, spare=2), "lr": cut(inputs["lr"], 0, 0, 2, 3, spare=2)}
    assert_same(predict(model, tight), predict(model, inputs))


@pytest.mark.parametrize("margins", [{"hr": 0, "lr": 0}, {"hr": 1, "lr": 1}, {"hr": 3, "lr": 1}, {"hr": 19, "lr": 20}])
@pytest.mark.parametrize("chunks", [Chunks(1, 1, 1), Chunks(2, 7, 40), Chunks(9, 100, 150)])
def test_what_is_computed_at_once_changes_nothing(model, margins, chunks):
    inputs = window(margins)
    assert_same(predict(model, inputs, chunks=chunks), predict(model, inputs, chunks=Chunks(9, 10**6, 10**6)))


def test_chunks_are_halved_until_there_is_no_less():
    assert Chunks(8, 100, 5).halved() == Chunks(4, 50, 2)
    assert Chunks(1, 2, 1).halved() == Chunks(1, 1, 1)
    assert Chunks(1, 1, 1).halved() is None


def test_the_order_of_dates_changes_nothing(model):
    inputs, order = window({"hr": 6, "lr": 2}), torch.tensor([2, 0, 1])
    shuffled = {**inputs, "hr": Frames(inputs["hr"].values[order], inputs["hr"].days[order], 6)}
    assert_same(predict(model, {"lr": shuffled["lr"], "hr": shuffled["hr"]}), predict(model, inputs))
    other_days = {**inputs, "hr": Frames(inputs["hr"].values, inputs["hr"].days[order], 6)}
    with pytest.raises(AssertionError):
        assert_same(predict(model, other_days), predict(model, inputs))


@pytest.mark.parametrize("absent", ["hr", "lr"])
def test_a_sensor_without_dates_is_as_if_it_were_not_there(model, absent):
    inputs = window({"hr": 3, "lr": 1})
    empty = Frames(inputs[absent].values[:0], inputs[absent].days[:0], 0)
    alone = {sensor: frames for sensor, frames in inputs.items() if sensor != absent}
    assert_same(predict(model, {**inputs, absent: empty}), predict(model, alone), atol=0)


def test_days_of_both_sensors_are_predicted_as_each_alone(model):
    inputs = window({"hr": 3, "lr": 1})
    requests = {"hr": Request((91, -4, 20), (0, 1, 2)), "lr": Request((150, 20), (0, 1))}
    together = predict(model, inputs, requests)
    assert list(together) == [("hr", 91), ("hr", -4), ("hr", 20), ("lr", 20), ("lr", 150)]
    alone = {}
    for sensor, request in requests.items():
        for day in request.days:
            alone |= predict(model, inputs, {sensor: Request((day,), request.bands)})
    assert_same(together, alone)


def test_some_bands_are_predicted_as_among_all(model):
    inputs = window({"hr": 3, "lr": 1})
    some = predict(model, inputs, {"hr": Request((20,), (2, 0)), "lr": Request((20,), (1,))})
    every = predict(model, inputs)
    assert_same(some, {("hr", 20): every["hr", 20][[2, 0]], ("lr", 20): every["lr", 20][[1]]}, atol=1e-6)


def test_nothing_asked_is_nothing_predicted(model):
    assert predict(model, window({"hr": 3, "lr": 1}), {"hr": Request((), (0,)), "lr": Request((3,), ())}) == {}


def test_the_network_may_do_without_sensor_tokens():
    model = filled("tamrf", {**TINY, "sensor_token_size": 0, "heads": 5, "decoder_heads": 1})
    assert not any("sensor_token" in name for name in model.state_dict())
    inputs = window({"hr": 3, "lr": 1})
    assert all(values.isfinite().all() for values in predict(model, inputs).values())


def test_spatial_encoders_keep_the_halo_they_are_asked_for():
    fine, coarse = SpatialEncoder(3, 4, 2, 1), SpatialEncoder(2, 4, 2, 1, ratio=3)
    x = torch.randn(2, 3, 12, 9), torch.randn(2, 2, 8, 7)
    assert [fine(x[0], 3, halo).shape[2:] for halo in (0, 2)] == [(6, 3), (10, 7)]
    assert [coarse(x[1], 2, halo).shape[2:] for halo in (0, 2)] == [(12, 9), (16, 13)]


def test_transformer_layers_are_those_of_torch():
    layer = TransformerLayer(12, 3, 20).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    reference = nn.TransformerEncoderLayer(12, 3, 20, batch_first=False).eval()
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(4, 7, 12)
    torch.testing.assert_close(layer(x), reference(x), rtol=1e-5, atol=1e-5)


def test_queries_attend_as_in_torch_and_to_a_key_that_is_zero():
    decoder = TemporalDecoder(12, 3, 20).eval()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    encoded, query_tokens = torch.randn(4, 7, 12), torch.randn(2, 12)
    asked = query_tokens[:, None].expand(-1, 7, -1)
    attended, _ = decoder.attention(asked, encoded, encoded, need_weights=False)
    x = decoder.norm1(asked + attended)
    expected = decoder.norm2(x + decoder.linear2(decoder.linear1(x).relu()))
    computed = decoder(encoded, decoder.values(encoded), decoder.prepare(query_tokens))
    torch.testing.assert_close(computed, expected, rtol=1e-5, atol=1e-5)


def test_a_pixel_without_any_date_to_attend_to_gives_zeros():
    decoder, encoded = TemporalDecoder(12, 3, 20).eval(), torch.randn(4, 7, 12)
    queries, missing = decoder.prepare(torch.randn(2, 12)), torch.zeros(4, 7, dtype=torch.bool)
    missing[:, 5] = True
    missing[2, 3] = True
    computed = decoder(encoded, decoder.values(encoded), queries, missing)
    assert (computed[:, 5] == 0).all()
    others = encoded[[0, 1, 3], 3:4]
    torch.testing.assert_close(computed[:, 3:4], decoder(others, decoder.values(others), queries))


@pytest.mark.parametrize("padding", [0, 1])
def test_strips_are_convolved_as_the_whole(padding):
    conv, x = nn.Conv2d(3, 4, 3, padding=padding), torch.randn(2, 3, 11, 5)
    stream = StreamedConvolution(conv, padding, [3, 0])
    pushed = [stream.push(rows, last) for rows, last in zip(x.split([4, 1, 4, 2], dim=2), (0, 0, 0, 1), strict=True)]
    torch.testing.assert_close(torch.cat(pushed, dim=2), conv(x)[:, [3, 0]])


def test_the_spatial_decoder_is_two_convolutions_with_a_leaky_relu_between():
    decoder, x = SpatialDecoder(5, 3), torch.randn(2, 5, 7, 6)
    first, second = decoder.model["decoder"][0], decoder.model["decoder"][2]
    expected = F.conv2d(F.leaky_relu(F.conv2d(x, first.weight, first.bias), 0.2), second.weight, second.bias)
    torch.testing.assert_close(decoder(x, halo=2), expected)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"spatial_encoder": "carn"}, "no spatial_encoder of kind 'carn'. Use weights with 'esrenc'"),
        ({"spatial_decoder": "unet"}, "no spatial_decoder of kind 'unet'"),
        ({"positional_encoding": "learnable"}, "no positional_encoding of kind 'learnable'"),
        ({"heads": 5}, "heads is 5, which does not divide tokens of 12 features"),
        ({"decoder_heads": 7}, "decoder_heads is 7"),
        ({"layers": 0}, "cannot have layers 0. Give 1 or more"),
        ({"ratio": 1}, "cannot have ratio 1. Give 2 or more"),
        ({"sensor_token_size": -1}, "cannot have sensor_token_size -1"),
        ({"tokens": 3}, "'tamrf' has no hyper-parameter 'tokens'. It takes hr_bands, "),
    ],
)
def test_what_cannot_be_built_is_one_line(wrong, words):
    with pytest.raises(ModelError, match=words.replace(".", r"\.")) as error:
        models.build("tamrf", {**TINY, **wrong})
    assert "\n" not in str(error.value)


def test_inputs_that_do_not_fit_are_one_line(model):
    inputs = window({"hr": 3, "lr": 1})
    few = Frames(inputs["hr"].values[:, :2], inputs["hr"].days, 3)
    with pytest.raises(ModelError, match=r"Frames of hr have shape \(3, 2, 12, 15\) and 3 days\. The model takes"):
        model({"hr": few}, both())
    small = Frames(inputs["hr"].values[..., :-3], inputs["hr"].days, 3)
    with pytest.raises(ModelError, match="different cores"):
        model({**inputs, "hr": small}, both())
    with pytest.raises(ModelError, match="No sensor has a date"):
        model({"hr": Frames(inputs["hr"].values[:0], inputs["hr"].days[:0], 3)}, both())
