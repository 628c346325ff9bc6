"""How each family of fixtures is run: one function and one entry in :data:`FAMILIES`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sitsinfer import models
from sitsinfer.metrics.segmentation import SegmentationScores, confusion_matrix, ignore_class
from tests.golden import panoptic_metrics, paps, pixel_sets, tamrf
from tests.golden.generator import (
    Arrays,
    Fixture,
    NotBuiltError,
    check_state_dict,
    fill_and_check,
    write_unit_statistics,
)

Family = Callable[[Fixture], tuple[Arrays, Arrays]]
"""From a fixture to what we compute and what is expected, by the same names."""


def _utae(fixture: Fixture) -> tuple[Arrays, Arrays]:
    model, x, expected = _filled(fixture), fixture.input(), fixture.outputs()
    positions = _per_pixel(fixture.positions(), x, model)
    if fixture.hyperparameters["encoder"]:
        maps, _ = model.decoder_maps(x, positions)
        return {f"map{i}": values.numpy() for i, values in enumerate(maps)}, expected
    skips: list[Tensor] = []
    for block in model.up_blocks:
        block.register_forward_pre_hook(lambda _, inputs: skips.append(inputs[1]))
    maps, attention = model.decoder_maps(x, positions)
    computed = {"out": model.out_conv(maps[-1]), "attention": attention, "trace_temporal_out": maps[0]}
    for i, chunks in enumerate(model.encode(x)):
        computed[f"trace_enc{i}_spatial_mean"] = torch.cat(chunks, dim=1).mean(dim=(3, 4))
    for i, (skip, decoded) in enumerate(zip(skips, maps[1:], strict=True)):
        computed[f"trace_skip{i}_spatial_mean"] = skip.mean(dim=(2, 3))
        computed[f"trace_dec{i}_spatial_mean"] = decoded.mean(dim=(2, 3))
    return {name: computed[name].numpy() for name in expected}, expected


def _per_pixel(positions: Tensor, x: Tensor, model: nn.Module) -> Tensor:
    """Spread positions of shape (B,) as the published code does: interleaved over the pixels of all samples.

    Our models refuse positions of that shape; this shows what the published numbers for them stand for.
    """
    if positions.ndim == 2:
        return positions
    samples, height, width = len(x), x.shape[3] // model.stride, x.shape[4] // model.stride
    return positions.repeat(height * width).view(samples, 1, height, width)


def _ltae2d(fixture: Fixture) -> tuple[Arrays, Arrays]:
    model, x = _filled(fixture), fixture.input()
    out, attention = model(x, fixture.positions(), _pad_mask(fixture, x))
    return {"out": out.numpy(), "attention": attention.numpy()}, fixture.outputs()


def _pad_mask(fixture: Fixture, x: Tensor) -> Tensor:
    """Read the mask from the notes, where it stands as ``pad_mask[0] = [F,F,T]``; it is False elsewhere."""
    mask = torch.zeros(x.shape[:2], dtype=torch.bool)
    for sample, dates in re.findall(r"pad_mask\[(\d+)\] = \[([FT, ]+)\]", " ".join(fixture.spec["notes"])):
        mask[int(sample)] = torch.tensor([date.strip() == "T" for date in dates.split(",")])
    return mask


def _series_model(fixture: Fixture) -> tuple[Arrays, Arrays]:
    model = _filled(fixture)
    if fixture.hyperparameters.get("encoder"):
        return {f"map{i}": values.numpy() for i, values in enumerate(model.decoder_maps(fixture.input()))}, (
            fixture.outputs()
        )
    return {"out": model(fixture.input(), fixture.positions()).numpy()}, fixture.outputs()


def _filled(fixture: Fixture) -> Any:
    model = models.build(fixture.family, fixture.hyperparameters).eval()
    fill_and_check(model, fixture)
    return model


def _metrics_semantic(fixture: Fixture) -> tuple[Arrays, Arrays]:
    maps, options, results = fixture.outputs(), fixture.hyperparameters, fixture.spec["results"]
    windows = zip(maps["target"], maps["predicted"], strict=True)
    raw = sum(confusion_matrix(target, predicted, options["num_classes"]) for target, predicted in windows)
    matrix = raw if options["ignore_index"] is None else ignore_class(raw, options["ignore_index"])
    scores = SegmentationScores(matrix)
    averages = {"micro": scores.micro, "MACRO": scores.macro}
    names = {"IoU": "iou", "Precision": "precision", "Recall": "recall", "F1-score": "f1"}
    computed = {
        "confusion_matrix_raw": raw,
        "confusion_matrix_after_ignore": matrix,
        "iou_per_class": scores.iou,
        "miou": scores.mean_iou,
        "miou_percent": 100 * scores.mean_iou,
        "overall_accuracy_percent": 100 * scores.overall_accuracy,
        "flat_miou_without_ignore": SegmentationScores(raw).mean_iou,
        "Accuracy": scores.overall_accuracy,
        **{f"{kind}_{ours}": getattr(averages[kind], names[ours]) for kind in averages for ours in names},
    }
    expected = {**results, **results["aggregate_from_matrix_without_ignored"]}
    del expected["aggregate_from_matrix_without_ignored"]
    whole = {"confusion_matrix_raw", "confusion_matrix_after_ignore"}
    return (
        {name: np.asarray(computed[name]) for name in expected},
        {name: np.array(value, np.int64 if name in whole else np.float64) for name, value in expected.items()},
    )


def _checkpoint_folder(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Import a published folder into a model folder, load that, and run each fold alone."""
    from sitsinfer import weights

    if "backbone" in fixture.hyperparameters:
        return paps.run_checkpoint(fixture)
    if "mlp1" in fixture.hyperparameters:
        return pixel_sets.run_checkpoint(fixture)
    if fixture.hyperparameters.get("model") != "utae":
        raise NotBuiltError
    folds = fixture.spec["ensemble"]["folds"]
    with tempfile.TemporaryDirectory() as scratch:
        norm, out = write_unit_statistics(Path(scratch)), Path(scratch) / "model"
        card = weights.import_utae(fixture.path / "weights", folds, norm, out)
        modules = weights.load_modules(card, out)
    check_state_dict(modules[0], fixture.spec["state_dict"])
    x, positions = fixture.input(), fixture.positions()
    computed = {f"out_fold{fold}": module(x, positions).numpy() for fold, module in zip(folds, modules, strict=True)}
    return computed, fixture.outputs()


FAMILIES: dict[str, Family] = {
    "utae": _utae,
    "ltae2d": _ltae2d,
    "unet3d": _series_model,
    "fpn": _series_model,
    "convlstm": _series_model,
    "convgru": _series_model,
    "recunet": _series_model,
    "paps": paps.run,
    "paps_heads": paps.run_heads,
    "metrics_semantic": _metrics_semantic,
    "metrics_panoptic": panoptic_metrics.run,
    "checkpoint_folder": _checkpoint_folder,
    "tamrf": tamrf.run,
    "pixel_ltae": pixel_sets.run_pixels,
    "pixelset": pixel_sets.run_parcels,
    "pixelset_ensemble": pixel_sets.run_ensemble,
    "ltae1d": pixel_sets.run_ltae,
    "positional": pixel_sets.run_table,
}

TOLERANCES: dict[str, Callable[[Fixture, str], float | None]] = {"tamrf": tamrf.tolerance}
"""Families that say for each output of a fixture how far off it may be; None where the runner's own rule serves."""
