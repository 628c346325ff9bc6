"""Panoptic networks against their fixtures: every step from the decoder's maps to settled parcels."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sitsinfer import models
from sitsinfer.models.paps import PaPs
from tests.golden.generator import Arrays, Fixture, check_state_dict, fill_and_check, write_unit_statistics

_HEADS = ("num_classes", "shape_size", "mask_conv", "min_confidence", "min_remain", "mask_threshold")
_ENCODER = ("encoder_widths", "decoder_widths", "out_conv", "str_conv_k", "str_conv_s", "str_conv_p", "encoder_norm")
_ATTENTION = ("agg_mode", "n_head", "d_model", "d_k", "pad_value", "padding_mode")


def run(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Run a whole network."""
    options = fixture.hyperparameters
    recurrent = options["backbone"] == "uconvlstm"
    encoder = {name: options[name] for name in (*_ENCODER, *(() if recurrent else _ATTENTION))}
    model = _built({"backbone": "recunet" if recurrent else "utae", "encoder": encoder}, options)
    fill_and_check(model, fixture)
    return _steps(model, model.maps(fixture.input(), fixture.positions())), fixture.outputs()


def run_heads(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Run the heads alone, on maps that are given; the backbone is of any kind, and takes no part."""
    options = fixture.hyperparameters
    *_, full = widths = options["map_widths_low_to_high_resolution"]
    encoder = {"encoder_widths": [16, 16, 16, widths[0]], "decoder_widths": widths[::-1], "out_conv": [full]}
    model = _built({"encoder": encoder}, options)
    del model.encoder
    fill_and_check(model, fixture)
    return _steps(model, [_draw_map(entry) for entry in fixture.spec["inputs"]]), fixture.outputs()


def run_checkpoint(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Import each fold of a published folder into a model folder, load that, and run it."""
    from sitsinfer import weights

    computed: Arrays = {}
    expected = fixture.outputs()
    with tempfile.TemporaryDirectory() as scratch:
        norm, out = write_unit_statistics(Path(scratch)), Path(scratch) / "model"
        for fold in fixture.spec["ensemble"]["folds"]:
            card = weights.import_paps(fixture.path / "weights", fold, norm, out)
            (model,) = weights.load_modules(card, out)
            if fold == 1:
                check_state_dict(model, fixture.spec["state_dict"])
            steps = _steps(model, model.maps(fixture.input(), fixture.positions()))
            steps["pano_class"] = steps["pano_semantic"].argmax(axis=1).astype(np.uint8)
            computed |= {f"{name}_fold{fold}": values for name, values in steps.items()}
    return {name: computed[name] for name in expected}, expected


def _built(network: dict[str, Any], options: dict[str, Any]) -> PaPs:
    model = models.build("paps", {"input_dim": 10, **network, **{name: options[name] for name in _HEADS}})
    assert isinstance(model, PaPs)
    return model.eval()


def _steps(model: PaPs, maps: Sequence[Tensor]) -> Arrays:
    """Every step of the published code, the mean over the batch included, by the names of the fixtures."""
    heatmap, saliency = model.heatmap(maps), model.saliency(maps)
    centres = model.find_centres(heatmap, batch_mean=True)
    where = centres.nonzero()
    heads = model.describe(maps, where)
    boxes = model.boxes(where[:, 1:], heads.sizes)
    masks = [
        model.mask(shape, saliency[sample, 0], box)
        for shape, sample, box in zip(heads.shapes, where[:, 0].tolist(), boxes.tolist(), strict=True)
    ]
    confidences = heatmap[where[:, 0], 0, where[:, 1], where[:, 2]][:, None]
    settled = [
        model.assemble(found, (heatmap.shape[2], heatmap.shape[3])) for found in model.detect_at(centres, heatmap, maps)
    ]
    steps = {
        "center_mask": centres,
        "saliency": saliency,
        "heatmap": heatmap,
        "semantic": heads.scores,
        "size": heads.sizes,
        "confidence": confidences,
        "centerness": confidences,
        "instance_boxes": _corners(boxes, heatmap.shape[2]),
        "pano_instance": torch.stack([instances for instances, _ in settled]).float(),
        "pano_semantic": torch.stack([scores for _, scores in settled]),
        "instance_mask_shapes": torch.tensor([mask.shape for mask in masks]).view(-1, 2),
        "instance_masks_flat": torch.cat([mask.flatten() for mask in masks]),
    }
    return {name: values.numpy() for name, values in steps.items()}


def _corners(boxes: Tensor, size: int) -> Tensor:
    """Boxes as published: left, top, right and bottom within the square image."""
    rows, cols, heights, widths = boxes.unbind(1)
    return torch.stack([cols, rows, cols + widths, rows + heights], dim=1).clamp(0, size)


def _draw_map(entry: dict[str, Any]) -> Tensor:
    """A map of blocks under noise, from its two seeds."""
    block = int(entry["generator"].rpartition("b = ")[2])
    b, c, h, w = entry["shape"]
    coarse = np.random.RandomState(entry["seed_coarse"]).normal(size=(b, c, h // block, w // block)).astype(np.float32)
    fine = np.random.RandomState(entry["seed_fine"]).normal(size=(b, c, h, w)).astype(np.float32)
    blocks = np.kron(coarse, np.ones((1, 1, block, block), np.float32))
    return torch.from_numpy(np.maximum(blocks + np.float32(0.35) * fine, 0))
