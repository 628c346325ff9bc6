"""Fixtures of classifiers of single pixels and of pixel sets, and of what they are made of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sitsinfer import models, weights
from sitsinfer.models.ltae import positional_encoding
from tests.golden.generator import (
    Arrays,
    Fixture,
    GeneratorError,
    check_state_dict,
    draw_input,
    fill_and_check,
    fill_weights,
)


def run_pixels(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Pixels as images of one pixel, each with days of its own."""
    model, days, expected = _filled("pixel_ltae", fixture), fixture.positions(), fixture.outputs()
    assert days is not None
    inputs: list[tuple[Tensor, None]] = []
    model.attention_heads.register_forward_pre_hook(lambda _, given: inputs.append(given))
    pixels = zip(fixture.input()[..., None, None], days, strict=True)
    scores, attention = zip(*(model.attend(x[None], positions[None]) for x, positions in pixels), strict=True)
    computed = {"out": torch.cat(scores)[..., 0, 0], "attention": torch.cat(attention, dim=1)[..., 0, 0]}
    if fixture.hyperparameters["attention_type"] == "vanilla":
        features = torch.cat([x for x, _ in inputs])
        computed["attention"] = model.attention_heads.ask(features, None)[1].transpose(0, 1).flatten(0, 1)
    return {name: values.numpy() for name, values in computed.items()}, expected


def run_parcels(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Parcels, and what their pixel sets are encoded to."""
    model, inputs = _filled(_architecture(fixture), fixture), _sets(fixture)
    computed = {"out": model(*inputs), "pixel_set_embedding": model.spatial_encoder(*inputs)}
    if fixture.hyperparameters.get("return_att"):
        computed["out"], computed["attention"] = model.attend(*inputs)
    return {name: values.numpy() for name, values in computed.items()}, fixture.outputs()


def run_ensemble(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """The mean over folds of logarithms of probabilities."""
    inputs, scores = _sets(fixture), []
    for fold in fixture.spec["ensemble"]["folds"]:
        model = models.build("pse_ltae", fixture.hyperparameters).eval()
        fill_weights(model, fixture.spec["kept_names"], fixture.spec["overrides"], prefix=f"Fold_{fold}:")
        if not scores:
            check_state_dict(model, fixture.spec["state_dict"])
        scores.append(model(*inputs))
    together = torch.stack(scores)
    mean = together.log_softmax(dim=2).mean(dim=0)
    computed = {"out": mean, "per_fold_logits": together, "predicted_class": mean.argmax(dim=1)}
    return {name: values.numpy() for name, values in computed.items()}, fixture.outputs()


def run_checkpoint(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Import a published folder into a model folder, load that, and run each fold alone and all together."""
    with tempfile.TemporaryDirectory() as scratch:
        release = weights.read_pse(fixture.path / "weights", fixture.spec["ensemble"]["folds"])
        unit = weights.Statistics(np.zeros((1, len(release.bands))), np.ones((1, len(release.bands))), "nothing")
        modules = weights.load_modules(weights.import_pse(release, unit, Path(scratch)), Path(scratch))
    check_state_dict(modules[0], fixture.spec["state_dict"])
    inputs = _sets(fixture)
    logits = {f"logits_fold{fold}": module(*inputs) for fold, module in zip(release.folds, modules, strict=True)}
    together = torch.stack(list(logits.values())).log_softmax(dim=2).mean(dim=0)
    return {name: values.numpy() for name, values in {**logits, "ensemble": together}.items()}, fixture.outputs()


def run_ltae(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """The temporal encoder alone."""
    out, attention = _filled("ltae1d", fixture).attend(fixture.input())
    return {"out": out.numpy(), "attention": attention.numpy()}, fixture.outputs()


def run_table(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Encode days by the sizes and periods in the names of the outputs."""
    options, days = fixture.hyperparameters, fixture.positions()
    assert days is not None
    tables = {f"table_d{d}_T{options['T']}": positional_encoding(days, d, options["T"]).numpy() for d in options["d"]}
    return {**tables, "days": days.numpy()}, fixture.outputs()


_ENCODERS = {"attention_heads.Q": "pse_ltae", "fc1_q": "pse_tae", "gru_cell": "pse_gru", "conv1d": "pse_tempcnn"}


def _architecture(fixture: Fixture) -> str:
    """The architecture, by the names of its temporal encoder's weights: all have one family."""
    names = " ".join(entry["name"] for entry in fixture.spec["state_dict"])
    return next(architecture for part, architecture in _ENCODERS.items() if part in names)


def _sets(fixture: Fixture) -> tuple[Tensor, Tensor, Tensor | None]:
    """Pixels (B, T, C, S), mask (B, T, S), and features (B, T, F) if there are any."""
    _, mask, *features = fixture.spec["inputs"]
    counts = torch.tensor(mask["valid_pixels_per_sample"])
    observed = (torch.arange(mask["shape"][2]) < counts[:, None, None]).expand(mask["shape"]).float()
    if not features:
        return fixture.input(), observed, None
    parcels, dates, size = features[0]["shape"]
    drawn = draw_input({**features[0], "shape": (parcels, size)})
    extra = torch.from_numpy(drawn)[:, None].expand(parcels, dates, size)
    if abs(float(extra.double().sum()) - features[0]["sum"]) > 1e-4:
        raise GeneratorError(f"features sum to {float(extra.double().sum())}, not {features[0]['sum']}")
    return fixture.input(), observed, extra


def _filled(architecture: str, fixture: Fixture) -> Any:
    model = models.build(architecture, fixture.hyperparameters).eval()
    fill_and_check(model, fixture)
    return model
