import json
import subprocess
import sys

import pytest
import torch

from sitsinfer import models
from sitsinfer.errors import ModelError
from tests.data.record_models import CASES, RECORDS, filled, series, summary


@pytest.mark.parametrize("case", CASES)
def test_every_architecture_gives_its_recorded_scores(case):
    x, days = series()
    with torch.inference_mode():
        scores = filled(*CASES[case])(x, days)
    assert scores.shape == (2, 5, 16, 24)
    assert summary(scores) == pytest.approx(json.loads(RECORDS.read_text())[case], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_a_sample_does_not_depend_on_its_batch(case):
    x, days = series(samples=3, padded=1)
    model = filled(*CASES[case])
    with torch.inference_mode():
        together = model(x, days)
        for i in range(3):
            torch.testing.assert_close(model(x[i : i + 1], days[i : i + 1]), together[i : i + 1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_learns(case):
    x, days = series(samples=2, padded=0)
    model = filled(*CASES[case]).train()
    model(x, days).square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_an_unknown_architecture_is_named_with_those_there_are():
    with pytest.raises(ModelError, match=r"Unknown architecture 'unet'\. Choose one of convgru, convlstm, "):
        models.build("unet", {})


def test_an_unknown_hyperparameter_is_named_with_those_there_are():
    with pytest.raises(ModelError, match=r"'utae' has no hyper-parameter 'heads'\. It takes input_dim, "):
        models.build("utae", {"input_dim": 3, "heads": 4})


def test_a_missing_hyperparameter_is_named():
    with pytest.raises(ModelError, match=r"'unet3d' needs hyper-parameter 'in_channel', 'n_classes'"):
        models.build("unet3d", {})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"agg_mode": "max"}, "Unknown agg_mode 'max'"),
        ({"encoder_norm": "layer"}, "Unknown normalisation 'layer'"),
        ({"padding_mode": "mirror"}, "'utae' cannot be built: padding_mode"),
        ({"decoder_widths": [8, 16]}, "Give as many of each"),
        ({"n_head": 3}, "n_head is 3, which does not divide encoder width 8"),
        ({"n_head": 0}, "'utae' cannot be built: .* by zero"),
        ({"encoder_widths": [-8, -8, 16]}, "'utae' cannot be built: "),
        ({"d_model": 30}, r"d_model is 30, which n_head \(4\) does not divide"),
        ({"encoder_widths": [6, 6, 16], "agg_mode": "mean"}, "4 groups, which do not divide 6 channels"),
    ],
)
def test_impossible_hyperparameters_are_one_line(wrong, words):
    with pytest.raises(ModelError, match=words) as error:
        models.build("utae", {**CASES["utae"][1], **wrong})
    assert "\n" not in str(error.value)


def test_options_that_only_choose_what_is_returned_change_no_weight():
    plain = filled(*CASES["utae"]).state_dict()
    published = models.build("utae", {**CASES["utae"][1], "encoder": True, "return_maps": False}).state_dict()
    assert list(plain) == list(published)


@pytest.mark.parametrize(
    ("architecture", "options"), [("utae", CASES["utae"][1]), ("utae", {"input_dim": 4}), ("pixel_ltae", {})]
)
def test_heads_of_attention_are_known_before_there_is_a_model(architecture, options):
    model = models.build(architecture, options).eval()
    x = torch.rand(2, 3, options.get("input_dim", 10), 16, 24)
    with torch.inference_mode():
        scores, attention = model.attend(x, torch.tensor([[1, 5, 90]] * 2))
    assert attention.shape[:3] == (models.attention_heads(architecture, options), 2, 3)
    torch.testing.assert_close(attention.sum(dim=2), torch.ones_like(attention[:, :, 0]))
    assert scores.shape[2:] == (16, 24)


def test_models_without_attention_to_tell_have_no_heads():
    assert models.attention_heads("unet3d", {}) is None


def test_importing_the_registry_loads_no_torch():
    code = "import sys, sitsinfer.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
