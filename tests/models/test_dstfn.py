import pytest
import torch

from sitsinfer import models
from sitsinfer.errors import ModelError
from tests.data.record_models import filled

TINY = {"features": 8, "dense_layers": 2, "growth_rate": 3, "attention_ratio": 4}


def ground(height=12, width=18):
    """Three inputs that cover the same ground, a sample each."""
    generator = torch.Generator().manual_seed(3)
    shapes = ((6, height, width), (6, height // 3, width // 3), (1, height * 2 // 3, width * 2 // 3))
    return [torch.rand(1, *shape, generator=generator) for shape in shapes]


def test_entries_of_the_state_dict_have_their_published_names():
    names = list(models.build("dstfn", TINY).state_dict())
    assert len(names) == 8 + 4 * 9 + 4 * 3 + 4  # convolutions, attention, dense blocks, fusions
    assert names[0] == "conv1_net2.0.weight"
    assert "CSA2_net2.csa_cal.cal_fc3.0.weight" in names
    assert "RDB4_net2.dense_layers.1.conv_dense.0.weight" in names
    assert names[-1] == "conv2_1x1_net2.bias"


def test_sentinel_2_comes_out_on_its_own_grid():
    with torch.inference_mode():
        assert filled("dstfn", TINY)(*ground()).shape == (1, 6, 12, 18)


@pytest.mark.parametrize("changed", range(3))
def test_every_input_counts(changed):
    model, inputs = filled("dstfn", TINY), ground()
    with torch.inference_mode():
        before = model(*inputs)
        inputs[changed] = inputs[changed] + 0.1
        assert (model(*inputs) - before).abs().max() > 1e-3


def test_a_pixel_depends_on_the_whole_image():
    model, inputs = filled("dstfn", TINY), [x.requires_grad_() for x in ground(60, 90)]
    model(*inputs)[0, :, 0, 0].sum().backward()
    assert inputs[0].grad[0, :, -1, -1].abs().max() > 0


def test_samples_do_not_meet():
    model, inputs = filled("dstfn", TINY), ground()
    other = [x.flip(-1) for x in inputs]
    with torch.inference_mode():
        together = model(*(torch.cat(pair) for pair in zip(inputs, other, strict=True)))
        torch.testing.assert_close(together[1:], model(*other), rtol=1e-5, atol=1e-6)


def test_inputs_of_different_ground_are_refused():
    s2, landsat, pan = ground()
    with pytest.raises(ModelError, match=r"12 x 18 pixels and pan has 8 x 11\. Expected 1\.5 times"):
        filled("dstfn", TINY)(s2, landsat, pan[..., 1:])


def test_a_ratio_that_does_not_divide_the_features_is_refused():
    with pytest.raises(ModelError, match=r"attention_ratio is 3, which does not divide 8 features"):
        models.build("dstfn", {**TINY, "attention_ratio": 3})
