import pytest
import torch

from sitsinfer import models
from sitsinfer.errors import ModelError
from sitsinfer.models import pse
from tests.golden.generator import fill_weights

# Widths are multiples of 4: products of others may round a row in ways that depend on its place among the rows.
DAYS = [0, 9, 40, 41, 300]
_SETS = {"input_dim": 3, "mlp1": [3, 6, 8], "mlp2": [20, 12], "extra_size": 4, "mlp4": [8, 4, 5]}
_DATED = {"positions": DAYS, "len_max_seq": 5}
CASES = {
    "pse_ltae": ("pse_ltae", {**_SETS, **_DATED, "n_head": 2, "d_k": 2, "d_model": 16, "mlp3": [16, 8]}),
    "pse_ltae_small": ("pse_ltae", {**_SETS, **_DATED, "n_head": 2, "d_k": 2, "d_model": None, "mlp3": [12, 8]}),
    "pse_ltae_poolings": (
        "pse_ltae",
        {
            **_SETS,
            "len_max_seq": 5,
            "pooling": "max_std_min_mean",
            "with_extra": False,
            "mlp2": [32, 16, 12],
            "n_head": 2,
            "d_model": 16,
            "mlp3": [16, 8],
        },
    ),
    "pse_tae": ("pse_tae", {**_SETS, **_DATED, "n_head": 2, "d_k": 2, "mlp3": [24, 12, 8]}),
    "pse_tae_projected": ("pse_tae", {**_SETS, **_DATED, "n_head": 2, "d_k": 2, "d_model": 16, "mlp3": [32, 8]}),
    "pse_gru": ("pse_gru", {**_SETS, "hidden_dim": 8}),
    "pse_tempcnn": ("pse_tempcnn", {**_SETS, "nker": [4, 6], "mlp3": [12, 8], "seq_len": 5}),
}
EVERY = pytest.mark.parametrize("case", CASES)
ATTENTIVE = pytest.mark.parametrize("case", [case for case in CASES if "tae" in case])
COUNTS = torch.tensor([7, 1, 4])


def network(case="pse_ltae", **changes):
    architecture, options = CASES[case]
    model = models.build(architecture, {**options, **changes}).eval()
    fill_weights(model, [name for name in model.state_dict() if "position_enc" in name])
    return model


def parcels(case="pse_ltae"):
    """Three parcels of 7, 1 and 4 pixels, filled up to 7; the mask; and the features, if the model takes any."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 5, 3, 7, generator=generator)
    mask = (torch.arange(7) < COUNTS[:, None, None]).expand(3, 5, 7).float()
    pixels = torch.where(mask[:, :, None] == 1, pixels, pixels[..., :1])
    extra = torch.randn(3, 1, 4, generator=generator).expand(3, 5, 4)
    return pixels, mask, None if CASES[case][1].get("with_extra") is False else extra


@EVERY
def test_a_parcel_does_not_depend_on_its_batch(case):
    model, (pixels, mask, extra) = network(case), parcels(case)
    with torch.inference_mode():
        together = model(pixels, mask, extra)
        assert together.shape == (3, 5)
        for i in range(3):
            one = slice(i, i + 1)
            alone = model(pixels[one], mask[one], None if extra is None else extra[one])
            torch.testing.assert_close(alone, together[one], rtol=1e-5, atol=1e-5)


@EVERY
def test_neither_the_order_of_pixels_nor_what_fills_up_counts(case):
    model, (pixels, mask, extra) = network(case), parcels(case)
    other = torch.where(mask[:, :, None] == 1, pixels, torch.full_like(pixels, 50.0)).flip(3)
    with torch.inference_mode():
        torch.testing.assert_close(model(other, mask.flip(2), extra), model(pixels, mask, extra), rtol=1e-5, atol=1e-5)


@EVERY
def test_the_order_of_dates_counts(case):
    model, (pixels, mask, extra) = network(case), parcels(case)
    with torch.inference_mode():
        assert not torch.allclose(model(pixels.flip(1), mask, extra), model(pixels, mask, extra), atol=1e-4)


@ATTENTIVE
def test_attention_sums_to_one_and_goes_with_the_scores(case):
    model, inputs = network(case), parcels(case)
    with torch.inference_mode():
        scores, attention = model.attend(*inputs)
        torch.testing.assert_close(scores, model(*inputs))
    assert attention.shape == (2, 3, 5)
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(2, 3))


@EVERY
def test_every_parameter_but_the_positions_learns(case):
    model = network(case).train()
    model(*parcels(case)).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    assert idle == [name for name in model.state_dict() if "position_enc" in name]
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def as_sets(pixels, extra):
    """The same parcels, their pixels one after the other."""
    sets = torch.cat([of_parcel[..., :count].permute(2, 0, 1) for of_parcel, count in zip(pixels, COUNTS, strict=True)])
    return sets, COUNTS, None if extra is None else extra[:, 0]


@EVERY
@pytest.mark.parametrize("at_once", [1, 2])
def test_sets_are_scored_as_parcels_that_are_filled_up(case, at_once, monkeypatch):
    monkeypatch.setitem(pse.PARCELS_AT_ONCE, "cpu", at_once)
    model, (pixels, mask, extra) = network(case), parcels(case)
    with torch.inference_mode():
        scores = model.score_sets(*as_sets(pixels, extra))
        torch.testing.assert_close(scores, model(pixels, mask, extra), rtol=1e-5, atol=1e-5)


@EVERY
def test_a_set_is_scored_to_the_bit_as_alone(case):
    model, (pixels, _, extra) = network(case), parcels(case)
    sets, counts, features = as_sets(pixels, extra)
    order = [*range(3)] * 12 + [1, 1]
    pieces = sets.split(counts.tolist())
    with torch.inference_mode():
        many = model.score_sets(
            torch.cat([pieces[i] for i in order]), counts[order], None if features is None else features[order]
        )
        for place in (0, 1, 2, 15, 16, 37):
            i = order[place]
            alone = model.score_sets(pieces[i], counts[i : i + 1], None if features is None else features[i : i + 1])
            torch.testing.assert_close(many[place], alone[0], rtol=0, atol=0)


def test_published_sizes_are_scored_to_the_bit_in_any_number_of_threads():
    model, threads = models.build("pse_ltae", {}).eval(), torch.get_num_threads()
    fill_weights(model, ["temporal_encoder.position_enc.weight"])
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(1, 6, (40,), generator=generator)
    sets, extra = torch.randn(int(counts.sum()), 24, 10, generator=generator), torch.randn(40, 4, generator=generator)
    with torch.inference_mode():
        scores = model.score_sets(sets, counts, extra)
        torch.set_num_threads(threads + 2)
        last = model.score_sets(sets[-int(counts[-1]) :], counts[-1:], extra[-1:])
        torch.set_num_threads(threads)
    torch.testing.assert_close(last, scores[-1:], rtol=0, atol=0)


def test_no_parcels_have_no_scores():
    empty = torch.zeros(0, dtype=torch.int64)
    assert network().score_sets(torch.zeros(0, 5, 3), empty, torch.zeros(0, 4)).shape == (0, 5)


def test_counts_that_do_not_fit_the_pixels_are_named():
    model, sets, extra = network(), torch.zeros(4, 5, 3), torch.zeros(2, 4)
    with pytest.raises(ModelError, match="The parcels have 5 pixels but 4 were given"):
        model.score_sets(sets, torch.tensor([2, 3]), extra)
    with pytest.raises(ModelError, match="1 parcels have no pixel. Leave them out"):
        model.score_sets(sets, torch.tensor([4, 0]), extra)
    with pytest.raises(ModelError, match="come with 3 features. The model takes 4"):
        model.score_sets(sets, torch.tensor([3, 1]), extra[:, :3])


def test_a_recurrent_encoder_takes_the_days_after_the_first():
    model = network("pse_gru", positions=[-50, *DAYS])
    assert model.temporal_encoder.position_enc.weight.shape == (6, 12)
    pixels, mask, extra = parcels("pse_gru")
    with torch.inference_mode():
        scores = model(pixels, mask, extra)
        model.temporal_encoder.position_enc.weight[0] += 1
        torch.testing.assert_close(model(pixels, mask, extra), scores, rtol=0, atol=0)
        model.temporal_encoder.position_enc.weight[1] += 1
        assert not torch.allclose(model(pixels, mask, extra), scores, atol=1e-4)


@pytest.mark.parametrize(
    ("case", "changes", "words"),
    [
        ("pse_ltae", {"pooling": "mean_median"}, "Unknown pooling 'median'. Choose of mean, std, max, min"),
        ("pse_ltae", {"mlp1": [4, 8]}, "mlp1 starts at 4 but gets 3 channels"),
        ("pse_ltae", {"with_extra": False}, r"mlp2 starts at 20 but gets 16 channels\. Set mlp2\[0\] to 16"),
        ("pse_ltae", {"mlp3": [8, 8]}, "mlp3 starts at 8 but attention gives 16"),
        ("pse_ltae", {"n_head": 3}, r"d_model is 16, which n_head \(3\) does not divide"),
        ("pse_ltae", {"mlp4": [6, 5]}, "mlp4 starts at 6 but gets 8 channels"),
        ("pse_ltae", {"positions": [1, 2]}, "There are 2 positions but len_max_seq is 5"),
        ("pse_tae", {"mlp3": [12, 8]}, "2 heads of 12 channels give 24"),
        ("pse_gru", {"hidden_dim": 9}, "mlp4 starts at 8 but gets 9 channels"),
    ],
)
def test_impossible_hyperparameters_are_named(case, changes, words):
    with pytest.raises(ModelError, match=words):
        network(case, **changes)


@pytest.mark.parametrize("case", ["pse_ltae", "pse_tae", "pse_tempcnn"])
def test_another_number_of_dates_is_named(case):
    pixels, mask, extra = parcels(case)
    with pytest.raises(ModelError, match="The series has 4 dates. The model takes 5"):
        network(case)(pixels[:, :4], mask[:, :4], extra[:, :4])


def test_other_bands_and_features_are_named():
    model, (pixels, mask, extra) = network(), parcels()
    with pytest.raises(ModelError, match="The pixels have 2 bands. The model takes 3"):
        model(pixels[:, :, :2], mask, extra)
    with pytest.raises(ModelError, match="The parcels come with 0 features. The model takes 4"):
        model(pixels, mask)
