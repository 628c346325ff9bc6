"""Fixtures of classifiers of single pixels and of pixel sets, and of what they are made of."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sitsinfer import models
from sitsinfer.models.ltae import positional_encoding
from tests.golden.generator import Arrays, Fixture, fill_and_check


def run_pixels(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Pixels as the column of an image, each with days of its own."""
    model, days, expected = _filled("pixel_ltae", fixture), fixture.positions(), fixture.outputs()
    assert days is not None
    x, positions = fixture.input().permute(1, 2, 0)[None, ..., None], days.T[None, ..., None]
    inputs: list[tuple[Tensor, None]] = []
    model.attention_heads.register_forward_pre_hook(lambda _, given: inputs.append(given))
    scores, attention = model.attend(x, positions)
    computed = {"out": scores[0, :, :, 0].T, "attention": attention[:, 0, :, :, 0].transpose(1, 2)}
    if fixture.hyperparameters["attention_type"] == "vanilla":
        _, attention = model.attention_heads.ask(*inputs[0])
        computed["attention"] = attention.transpose(0, 1).flatten(0, 1)
    return {name: values.numpy() for name, values in computed.items()}, expected


def run_table(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Encode days by the sizes and periods in the names of the outputs."""
    options, days = fixture.hyperparameters, fixture.positions()
    assert days is not None
    tables = {f"table_d{d}_T{options['T']}": positional_encoding(days, d, options["T"]).numpy() for d in options["d"]}
    return {**tables, "days": days.numpy()}, fixture.outputs()


def _filled(architecture: str, fixture: Fixture) -> Any:
    model = models.build(architecture, fixture.hyperparameters).eval()
    fill_and_check(model, fixture)
    return model
