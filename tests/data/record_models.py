"""Record what every architecture computes at a tiny size, with weights filled by rule.

``python -m tests.data.record_models``

Run it again only where a change of the numbers is meant, after the fixtures of published networks are met.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sitsinfer import models
from tests.golden.generator import fill_weights

RECORDS = Path(__file__).with_name("models.json")

_WIDTHS = {"encoder_widths": [8, 8, 16], "decoder_widths": [8, 8, 16], "out_conv": [8, 5]}
_UTAE = {"input_dim": 3, **_WIDTHS, "n_head": 4, "d_model": 32, "d_k": 2}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "utae": ("utae", _UTAE),
    "utae_att_mean": ("utae", {**_UTAE, "agg_mode": "att_mean"}),
    "utae_mean": ("utae", {**_UTAE, "agg_mode": "mean"}),
    "utae_batch_norm": ("utae", {**_UTAE, "encoder_norm": "batch"}),
    "unet3d": ("unet3d", {"in_channel": 3, "n_classes": 5, "feats": 2}),
    "fpn": ("fpn", {"input_dim": 3, "num_classes": 5, "inconv": [8, 8], "n_channels": 8, "hidden_size": 6}),
    "convlstm": ("convlstm", {"input_dim": 3, "num_classes": 5, "hidden_dim": 6}),
    "convgru": ("convgru", {"input_dim": 3, "num_classes": 5, "hidden_dim": 6}),
    **{
        f"recunet_{temporal}": ("recunet", {"input_dim": 3, **_WIDTHS, "hidden_dim": 6, "temporal": temporal})
        for temporal in ("lstm", "blstm", "mean")
    },
}


def filled(architecture: str, hyperparameters: dict[str, Any]) -> nn.Module:
    """A model whose weights are filled by rule, in evaluation mode."""
    model = models.build(architecture, hyperparameters).eval()
    fill_weights(model)
    return model


def series(samples: int = 2, dates: int = 5, padded: int = 1) -> tuple[Tensor, Tensor]:
    """A batch of 16 x 24 pixels, whose last sample ends with padded dates, and its uneven days."""
    x = np.random.RandomState(7).normal(size=(samples, dates, 3, 16, 24)).astype(np.float32)
    days = np.cumsum(np.random.RandomState(8).randint(3, 40, size=(samples, dates)), axis=1)
    if padded:
        x[-1, -padded:] = 0
    return torch.from_numpy(x), torch.from_numpy(days)


def summary(scores: Tensor) -> list[float]:
    """Means over pixels weighed at random, one a sample and class: a shift or a flip moves them."""
    weights = np.random.RandomState(9).uniform(size=scores.shape[2:]).astype(np.float32)
    return [float(value) for value in (scores * torch.from_numpy(weights)).mean(dim=(2, 3)).flatten()]


def main() -> None:
    """Write what every case gives."""
    x, days = series()
    with torch.inference_mode():
        records = {name: summary(filled(*case)(x, days)) for name, case in CASES.items()}
    RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
