"""The loss of PaPs: how far the parcels predicted in a batch of crops are from the true ones.

V. Sainte Fare Garnot and L. Landrieu, "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal
Attention Networks", ICCV 2021, section 3.3. :mod:`~sitsinfer.training.panoptic` lists where this differs from the code
that was published with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sitsinfer.models.masks import draw_masks
from sitsinfer.models.paps import PaPs
from sitsinfer.training.targets import NOBODY, Targets

FEWEST = 2
"""Parcels that a batch must have: in training the heads normalise over them."""

_GROUP = 32  # parcels drawn at once, of about the same size
_BETA = 4  # the higher, the more the pixels beside a centre are forgiven


class Losses(NamedTuple):
    """What training makes small, as a sum."""

    centre: Tensor
    size: Tensor
    shape: Tensor
    classes: Tensor


class Parcels(NamedTuple):
    """N true parcels of a batch of crops.

    Attributes:
        samples: Which crop each is in, (N,), int64.
        numbers: Its number among the parcels of its crop, (N,), int64.
        boxes: First row and column, height and width, (N, 4), int64.
        channels: The channel of its class, (N,), int64.
        centres: Where it is described: row and column, (N, 2), int64.
    """

    samples: Tensor
    numbers: Tensor
    boxes: Tensor
    channels: Tensor
    centres: Tensor


def compare(
    module: PaPs,
    maps: Sequence[Tensor],
    targets: Sequence[Targets],
    channels: Sequence[NDArray[np.int64]],
    use_truth: bool,
) -> Losses:
    """Compare what the network says of a batch with what is true.

    Args:
        module: The network, in training mode.
        maps: Its feature maps, (B, D, h, w), lowest resolution first, float32.
        targets: Of each crop; at least :data:`FEWEST` parcels in all.
        channels: The channel of the class of each parcel, one array a crop.
        use_truth: Describe parcels at their true centres and draw them in their true boxes. Otherwise each parcel is
            described at the most confident centre that is predicted in its zone, and drawn in the box predicted there;
            parcels without such a centre are left out, unless that leaves fewer than :data:`FEWEST`.
    """
    heatmap = module.heatmap(maps)
    parcels = _true_parcels(targets, channels, heatmap.device)
    if not use_truth:
        predicted = _at_predicted_centres(parcels, targets, heatmap.detach())
        use_truth = len(predicted.samples) < FEWEST
        parcels = parcels if use_truth else predicted
    heads = module.describe(maps, torch.cat([parcels.samples[:, None], parcels.centres], dim=1))
    boxes = parcels.boxes
    if not use_truth:
        sizes = heads.sizes.detach().clamp(max=max(heatmap.shape[2:]))  # drawing wider ones takes time for nothing
        boxes = module.boxes(parcels.centres, sizes)
    return Losses(
        _centre_loss(heatmap[:, 0], targets),
        _size_loss(heads.sizes, parcels.boxes[:, 2:]),
        _shape_loss(module, heads.shapes, module.saliency(maps)[:, 0], targets, parcels, boxes),
        F.cross_entropy(heads.scores, parcels.channels),
    )


def _true_parcels(targets: Sequence[Targets], channels: Sequence[NDArray[np.int64]], device: torch.device) -> Parcels:
    parts = (
        np.repeat(np.arange(len(targets)), [len(target) for target in targets]),
        np.concatenate([np.arange(len(target)) for target in targets]),
        np.concatenate([target.boxes for target in targets]),
        np.concatenate(channels),
        np.concatenate([target.centres for target in targets]),
    )
    return Parcels(*(torch.from_numpy(part).to(device) for part in parts))


def _at_predicted_centres(parcels: Parcels, targets: Sequence[Targets], heatmap: Tensor) -> Parcels:
    """Those parcels that have a predicted centre in their zone, described at the most confident one."""
    zones = _stacked([target.zones for target in targets], heatmap.device)
    found = PaPs.find_centres(heatmap, batch_mean=True) & (zones != NOBODY)
    sample, row, col = found.nonzero().unbind(1)
    by_confidence = heatmap[sample, 0, row, col].argsort(stable=True)
    sample, row, col = sample[by_confidence], row[by_confidence], col[by_confidence]
    firsts = torch.tensor(np.cumsum([0, *(len(target) for target in targets)]), device=heatmap.device)
    of = (firsts[sample] + zones[sample, row, col]).cpu().numpy()  # the parcel that each centre is in the zone of
    kept, last = np.unique(of[::-1], return_index=True)
    best = torch.from_numpy(len(of) - 1 - last)
    samples, numbers, boxes, channels, _ = (part[torch.from_numpy(kept)] for part in parcels)
    return Parcels(samples, numbers, boxes, channels, torch.stack([row[best], col[best]], dim=1))


def _centre_loss(heatmap: Tensor, targets: Sequence[Targets]) -> Tensor:
    """Cross entropy of all pixels that count, (B, H, W), over the number of parcels; beside a centre it is forgiven."""
    true = _stacked([target.heatmap for target in targets], heatmap.device)
    counted = _stacked([target.counted for target in targets], heatmap.device)
    confidence = heatmap.clamp(1e-4, 1 - 1e-4)
    each = torch.where(true == 1, confidence.log(), (1 - true) ** _BETA * (1 - confidence).log())
    return -(each * counted).sum() / sum(len(target) for target in targets)


def _size_loss(sizes: Tensor, true: Tensor) -> Tensor:
    """Mean of how much of its true height, and of its width, a parcel is wrong by, (N, 2)."""
    return ((sizes - true).abs() / true).sum(dim=1).mean()


def _shape_loss(
    module: PaPs, shapes: Tensor, saliency: Tensor, targets: Sequence[Targets], parcels: Parcels, boxes: Tensor
) -> Tensor:
    """Cross entropy of the pixels of boxes; every parcel weighs the same, whatever its size.

    Args:
        module: Draws masks.
        shapes: Of each parcel, raw, (N, S, S).
        saliency: Of each crop, raw, (B, H, W).
        targets: Of each crop.
        parcels: The true parcels.
        boxes: Where they are drawn, (N, 4); they may reach beyond the crop.
    """
    owners = _stacked([target.owners for target in targets], saliency.device)
    total = shapes.new_zeros(())
    for group in torch.split(boxes[:, 2:].prod(dim=1).argsort(), _GROUP):
        drawn = draw_masks(module.mask_cnn, shapes[group], saliency, parcels.samples[group], boxes[group])
        true = owners[drawn.places] == parcels.numbers[group, None, None]
        probability = drawn.masks.clamp(1e-6, 1 - 1e-6)
        each = F.binary_cross_entropy(probability, true.float(), reduction="none") * drawn.inside
        total = total + (each.sum(dim=(1, 2)) / drawn.inside.sum(dim=(1, 2))).sum()
    return total / len(shapes)


def _stacked(arrays: Sequence[NDArray[np.generic]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device)
