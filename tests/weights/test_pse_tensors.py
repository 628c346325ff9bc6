from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sitsinfer import models
from sitsinfer.errors import WeightsError
from sitsinfer.models.ltae import positional_encoding
from sitsinfer.weights import pse_tensors
from tests.weights.published import PSE_DAYS, TINY_PSE

PATH = Path("model.pth.tar")

WITHOUT_SHAPE = {"with_extra": False, "extra_size": None, "mlp2": [12, 8]}
VARIANTS: dict[str, dict[str, Any]] = {
    "pse_ltae": {**WITHOUT_SHAPE, "d_model": None, "mlp3": [8], "mlp4": [8, 20]},
    "pse_tae": {"d_model": 12, "mlp3": [24], "mlp4": [24, 20]},
    "pse_gru": {**WITHOUT_SHAPE, "positions": [0, *PSE_DAYS]},
    "pse_tempcnn": {"mlp1": [10, 7], "mlp2": [32, 9, 8], "pooling": "mean_std_max_min", "positions": [0, *PSE_DAYS]},
}


def tensors(architecture: str, **changes: Any) -> dict[str, Tensor]:
    return models.build(architecture, {**TINY_PSE[architecture], **changes}).state_dict()


@pytest.mark.parametrize("architecture", TINY_PSE)
def test_tensors_tell_what_they_were_built_with(architecture: str) -> None:
    found = tensors(architecture)
    assert pse_tensors.architecture_of(found, PATH) == architecture
    assert pse_tensors.hyperparameters_of(found, architecture, PATH) == TINY_PSE[architecture]


@pytest.mark.parametrize("architecture", VARIANTS)
def test_variants_tell_it_too(architecture: str) -> None:
    told = pse_tensors.hyperparameters_of(tensors(architecture, **VARIANTS[architecture]), architecture, PATH)
    assert told == {**TINY_PSE[architecture], **VARIANTS[architecture]}


def test_a_network_that_knows_but_the_order_of_dates_tells_no_days() -> None:
    told = pse_tensors.hyperparameters_of(tensors("pse_ltae", positions=None), "pse_ltae", PATH)
    assert (told["positions"], told["len_max_seq"]) == (None, 5)
    without_norm = tensors("pse_ltae", positions=None, **VARIANTS["pse_ltae"])
    told = pse_tensors.hyperparameters_of(without_norm, "pse_ltae", PATH)
    assert (told["positions"], told["len_max_seq"]) == (None, 5)


def test_what_shapes_do_not_tell_is_taken_as_given() -> None:
    given = {"pooling": "max_min", "T": 500, "dropout": 0.4}
    told = pse_tensors.hyperparameters_of(tensors("pse_ltae", T=500), "pse_ltae", PATH, given)
    assert told == {**TINY_PSE["pse_ltae"], **given}


def test_another_network_is_refused() -> None:
    with pytest.raises(WeightsError, match="no classifier of pixel sets"):
        pse_tensors.architecture_of({"temporal_encoder.attention_heads.Q": torch.zeros(2, 3)}, PATH)


def test_tensors_that_do_not_fit_together_are_refused() -> None:
    found = tensors("pse_tae")
    del found[pse_tensors.TABLE]
    with pytest.raises(WeightsError, match="lacks tensors of 'pse_tae'"):
        pse_tensors.hyperparameters_of(found, "pse_tae", PATH)
    with pytest.raises(WeightsError, match="do not fit together"):  # three features more than the statistics
        pse_tensors.hyperparameters_of(tensors("pse_gru", mlp2=[15, 8], extra_size=3), "pse_gru", PATH)


@pytest.mark.parametrize("days", [[0, 10, 40, 285], [7], [3, 400, 3660]])
@pytest.mark.parametrize(("size", "heads"), [(8, 3), (128, 1)])
def test_a_table_tells_its_days(days: list[int], size: int, heads: int) -> None:
    table = positional_encoding(torch.tensor(days), size, 1000).repeat(1, heads)
    assert pse_tensors.days_of_table(table, size) == days


def test_a_table_of_something_else_tells_no_days() -> None:
    table = positional_encoding(torch.tensor([0, 10]), 8, 1000)
    assert pse_tensors.days_of_table(table + 0.01, 8) is None
    assert pse_tensors.days_of_table(positional_encoding(torch.tensor([0, 10]), 8, 100), 8) is None
    assert pse_tensors.days_of_table(positional_encoding(torch.tensor([0, 10]), 8, 100), 8, 100) == [0, 10]


def folds(mixing: np.ndarray, outputs: int, count: int) -> list[dict[str, Tensor]]:
    """First layers that saw values of a covariance, and kept its variance."""
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=(outputs, len(mixing))) for _ in range(count)]
    return [
        {
            "spatial_encoder.mlp1.0.lin.weight": torch.tensor(weight, dtype=torch.float32),
            "spatial_encoder.mlp1.0.bn.running_var": torch.tensor(((weight @ mixing) ** 2).sum(1), dtype=torch.float32),
        }
        for weight in weights
    ]


def test_the_spread_of_correlated_bands_is_told_by_several_folds() -> None:
    mixing = np.array([[0.5, 0.0, 0.0], [0.4, 0.1, 0.0], [-0.1, 0.2, 0.2]])
    spread = pse_tensors.spread_seen(folds(mixing, outputs=4, count=2))
    assert spread is not None
    np.testing.assert_allclose(spread, np.sqrt((mixing**2).sum(axis=1)), rtol=1e-4)


def test_too_few_rows_do_not_tell_the_spread() -> None:
    assert pse_tensors.spread_seen(folds(np.eye(3), outputs=5, count=1)) is None
