"""PaPs: every parcel of a patch as a point, a box, a shape and a class, on top of a network's decoder maps.

V. Sainte Fare Garnot and L. Landrieu, "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal
Attention Networks", ICCV 2021, section 3.2: "Parcels as Points". State-dict entries are those of the published weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer import models
from sitsinfer.errors import ModelError
from sitsinfer.models.layers import ConvLayer, GroupNorm
from sitsinfer.models.masks import stretch
from sitsinfer.models.recunet import RecUNet
from sitsinfer.models.utae import UTAE

BACKBONES = ("utae", "recunet")

_HEAD_CHANNELS = 32
_MASK_CHANNELS = 16


class Heads(NamedTuple):
    """What the network says of each of N centres.

    Attributes:
        sizes: Height and width of its box in pixels, (N, 2), above 0.
        shapes: Its shape stretched to a square, raw scores, (N, S, S).
        scores: Of each class, raw, (N, K).
    """

    sizes: Tensor
    shapes: Tensor
    scores: Tensor


class Detections(NamedTuple):
    """The N parcels that one image is found to hold, overlaps not settled; by row, then column. Lies on the CPU.

    Attributes:
        centres: Row and column, (N, 2), int64.
        confidences: Of each centre, 0 to 1, (N,).
        scores: Of each class, raw, (N, K).
        boxes: First row and column, height and width within the image, (N, 4), int64; each holds its centre.
        masks: Pixels of each box that are the parcel's, (height, width), bool; there may be none.
    """

    centres: Tensor
    confidences: Tensor
    scores: Tensor
    boxes: Tensor
    masks: list[Tensor]


class PaPs(nn.Module):
    """Find parcels in a time series of patches: centres first, then box, shape and class of each."""

    min_confidence: Tensor

    def __init__(
        self,
        input_dim: int,
        backbone: str = "utae",
        encoder: Mapping[str, Any] | None = None,
        num_classes: int = 20,
        shape_size: int = 16,
        mask_conv: bool = True,
        min_confidence: float = 0.2,
        min_remain: float = 0.5,
        mask_threshold: float = 0.4,
    ) -> None:
        """Build the network; arguments have their published names.

        Args:
            input_dim: Bands.
            backbone: Architecture whose decoder maps are read: ``utae`` or ``recunet``.
            encoder: Hyper-parameters of that architecture but ``input_dim``; its defaults where there are none.
            num_classes: Classes, background included.
            shape_size: Height and width that shapes are predicted at.
            mask_conv: Whether a small convolutional network refines masks.
            min_confidence: Least confidence of a centre. A buffer: weights bring the value tuned for them.
            min_remain: A parcel is kept if more than this share of it is not covered by more confident ones.
            mask_threshold: Pixels above it are in the mask.

        Raises:
            ModelError: If there is no such backbone, or hyper-parameters are impossible or do not fit each other.
        """
        super().__init__()
        if backbone not in BACKBONES:
            raise ModelError(f"Unknown backbone '{backbone}'. Choose one of {', '.join(BACKBONES)}.")
        _check_share("min_confidence", min_confidence)
        _check_share("min_remain", min_remain)
        _check_share("mask_threshold", mask_threshold)
        if isinstance(shape_size, bool) or not isinstance(shape_size, int) or shape_size < 1:
            raise ModelError(f"shape_size is {shape_size!r}. Expected a whole number, 1 or more.")
        if not isinstance(mask_conv, bool):
            raise ModelError(f"mask_conv is {mask_conv!r}. Expected true or false.")
        self.shape_size = shape_size
        self.min_remain = min_remain
        self.mask_threshold = mask_threshold
        self.register_buffer("min_confidence", torch.tensor([float(min_confidence)]))
        self.encoder = cast(UTAE | RecUNet, models.build(backbone, {"input_dim": input_dim, **(encoder or {})}))
        *_, full = self.encoder.map_widths
        stack = sum(self.encoder.map_widths)
        self.heatmap_conv = nn.Sequential(_dense_head(full), nn.Sigmoid())
        self.saliency_conv = _dense_head(full)
        self.shape_mlp = nn.Sequential(*_layer(stack, stack // 2), nn.Linear(stack // 2, shape_size**2))
        self.size_mlp = nn.Sequential(
            *_layer(stack, stack // 2), *_layer(stack // 2, stack // 4), nn.Linear(stack // 4, 2), nn.Softplus()
        )
        self.class_mlp = nn.Sequential(  # published without an activation between the last two layers
            *_layer(stack, stack // 2), nn.Linear(stack // 2, stack // 4), nn.Linear(stack // 4, num_classes)
        )
        self.mask_cnn = _mask_cnn() if mask_conv else None

    def maps(self, x: Tensor, positions: Tensor) -> list[Tensor]:
        """Compute the feature maps that all heads read.

        Args:
            x: Normalised time series, (B, T, C, H, W). H and W are multiples of the encoder's stride and greater.
            positions: Days since the reference date of the weights, (B, T), int64; recurrent backbones ignore them.

        Returns:
            The decoder's maps (B, D, h, w), from the lowest resolution to the full one.

        Raises:
            ModelError: If a shape does not fit.
        """
        if isinstance(self.encoder, UTAE):
            return self.encoder.decoder_maps(x, positions)[0]
        return self.encoder.decoder_maps(x)

    def heatmap(self, maps: Sequence[Tensor]) -> Tensor:
        """Score every pixel as the centre of a parcel, 0 to 1, (B, 1, H, W)."""
        heatmap: Tensor = self.heatmap_conv(maps[-1])
        return heatmap

    def saliency(self, maps: Sequence[Tensor]) -> Tensor:
        """Score every pixel as part of a parcel, raw, (B, 1, H, W)."""
        saliency: Tensor = self.saliency_conv(maps[-1])
        return saliency

    @staticmethod
    def find_centres(heatmap: Tensor, *, batch_mean: bool) -> Tensor:
        """Find the pixels that no neighbour exceeds and that lie above the mean.

        Args:
            heatmap: Confidence of every pixel, (B, 1, H, W).
            batch_mean: Whether the mean is that of the whole batch, as published, or of each image alone. With the
                first, what is found in an image depends on what else is in its batch: nothing that a map may do.

        Returns:
            True at centres, (B, H, W), bool.
        """
        over = (0, 1, 2, 3) if batch_mean else (1, 2, 3)
        # Compared above the lowest value: of a flat heatmap that is exactly 0, and its rounded mean finds no centre.
        raised = heatmap - heatmap.amin(dim=over, keepdim=True)
        peaks = heatmap == F.max_pool2d(heatmap, 3, stride=1, padding=1)
        return (peaks & (raised > raised.mean(dim=over, keepdim=True))).squeeze(1)

    def describe(self, maps: Sequence[Tensor], where: Tensor) -> Heads:
        """Tell size, shape and class of parcels from the features at their centres, of all resolutions.

        In training mode the heads normalise over the centres, which takes at least two of them.

        Args:
            maps: Maps (B, D, h, w), lowest resolution first.
            where: Sample, row and column of each centre, (N, 3), int64.

        Returns:
            One row a centre.
        """
        sample, row, col = where.unbind(1)
        height, width = maps[-1].shape[2:]
        stack = torch.cat(
            [level[sample, :, row // (height // level.shape[2]), col // (width // level.shape[3])] for level in maps],
            dim=1,
        )  # (N, sum of D)
        shapes = self.shape_mlp(stack).view(-1, self.shape_size, self.shape_size)
        return Heads(self.size_mlp(stack), shapes, self.class_mlp(stack))

    @staticmethod
    def boxes(centres: Tensor, sizes: Tensor) -> Tensor:
        """Place boxes around centres; they may reach beyond the image.

        Args:
            centres: Row and column, (N, 2), int64.
            sizes: Height and width in pixels, (N, 2). Halves are rounded to even numbers, and 1 is the least.

        Returns:
            First row and column, height and width, (N, 4), int64.
        """
        sizes = sizes.detach().round().clamp(min=1).long()
        return torch.cat([centres - sizes // 2, sizes], dim=1)

    def mask(self, shape: Tensor, saliency: Tensor, box: Sequence[int]) -> Tensor:
        """Draw one parcel: its shape, stretched to its box, joined with what the image has there.

        Args:
            shape: Its shape, raw, (S, S).
            saliency: Of its image, raw, (H, W).
            box: First row and column, height and width, as :meth:`boxes` gives them; it meets the image.

        Returns:
            How much each pixel is the parcel's, 0 to 1, (h, w) of the box clipped to the image. Differentiable.
        """
        top, left, height, width = box
        rows, cols = _within(top, height, saliency.shape[0]), _within(left, width, saliency.shape[1])
        down = stretch(_pixels(shape, rows, top), len(shape) / height, len(shape))
        across = stretch(_pixels(shape, cols, left), len(shape) / width, len(shape))
        stretched = down @ shape @ across.T
        crop = saliency[rows, cols]
        if self.mask_cnn is None:
            return stretched.sigmoid() * crop.sigmoid()
        joined = stretched + crop
        refined: Tensor = self.mask_cnn(joined[None, None])[0, 0]
        return joined.sigmoid() * refined

    def detect(
        self,
        x: Tensor,
        positions: Tensor,
        min_confidence: float | None = None,
        mask_threshold: float | None = None,
        border: int = 0,
    ) -> list[Detections]:
        """Find the parcels of every image, each as if it were alone in its batch; overlaps are not settled.

        The heads compute in float32 whatever the backbone does: in bfloat16 neighbours would tie as centres.

        Args:
            x: Normalised time series, (B, T, C, H, W), as for :meth:`maps`.
            positions: Days since the reference date of the weights, (B, T), int64.
            min_confidence: Least confidence of a centre; by default that of the weights.
            mask_threshold: Pixels above it are in the mask; by default that of the network.
            border: Centres nearer than this to the border of the image, in pixels, are left out before anything is
                said of them. Its pixels still count for the mean that centres exceed.

        Returns:
            One an image. No parcel is not an error.

        Raises:
            ModelError: If a shape does not fit.
        """
        maps = self.maps(x, positions)
        with torch.autocast(x.device.type, enabled=False):
            maps = [level.float() for level in maps]
            heatmap = self.heatmap(maps)
            centres = _without_border(self.find_centres(heatmap, batch_mean=False), border)
            return self.detect_at(centres, heatmap, maps, min_confidence, mask_threshold)

    def detect_at(
        self,
        centres: Tensor,
        heatmap: Tensor,
        maps: Sequence[Tensor],
        min_confidence: float | None = None,
        mask_threshold: float | None = None,
    ) -> list[Detections]:
        """Describe and mask the confident ones of given centres; the rest of :meth:`detect`.

        Args:
            centres: True at centres, (B, H, W), bool.
            heatmap: Confidence of every pixel, (B, 1, H, W).
            maps: Maps (B, D, h, w), lowest resolution first.
            min_confidence: As for :meth:`detect`.
            mask_threshold: As for :meth:`detect`.

        Returns:
            One an image.
        """
        least = self.min_confidence if min_confidence is None else min_confidence
        threshold = self.mask_threshold if mask_threshold is None else mask_threshold
        where = (centres & (heatmap[:, 0] >= least)).nonzero()
        heads = self.describe(maps, where)
        saliency = self.saliency(maps)[:, 0]
        # Copied from the device all at once, as masks are below: to wait for each parcel would take longest there.
        places, boxes = where.cpu(), self.boxes(where[:, 1:], heads.sizes).tolist()
        masks = [
            self.mask(shape, saliency[sample], box) > threshold
            for shape, sample, box in zip(heads.shapes, places[:, 0].tolist(), boxes, strict=True)
        ]
        samples, rows, cols = where.unbind(1)
        found = Detections(
            places[:, 1:],
            heatmap[samples, 0, rows, cols].cpu(),
            heads.scores.cpu(),
            torch.tensor([_clipped(box, *heatmap.shape[2:]) for box in boxes], dtype=torch.int64).view(-1, 4),
            _fetched(masks),
        )
        ends = places[:, 0].bincount(minlength=len(heatmap)).cumsum(0).tolist()
        return [_part(found, start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def assemble(
        self, detections: Detections, shape: tuple[int, int], min_remain: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Settle overlaps within one image as published: the most confident parcel takes its pixels first.

        A parcel is left out if no more than ``min_remain`` of it is still free; else it takes what is free.

        Args:
            detections: What was found in the image.
            shape: Height and width of the image.
            min_remain: Share of a parcel that must remain; by default that of the network.

        Returns:
            For each pixel the place of its parcel by decreasing confidence, from 1, 0 where there is none, (H, W),
            int64, with gaps for parcels left out; and its parcel's scores, 0 where there is none, (K, H, W).
        """
        share = self.min_remain if min_remain is None else min_remain
        instances = torch.zeros(shape, dtype=torch.int64)
        scores = detections.scores.new_zeros((detections.scores.shape[1], *shape))
        order = detections.confidences.argsort(descending=True, stable=True).tolist()
        for rank, index in enumerate(order, start=1):
            row, col, height, width = detections.boxes[index].tolist()
            box = (slice(row, row + height), slice(col, col + width))
            mask = detections.masks[index]
            free = mask & (instances[box] == 0)
            total, remaining = int(mask.sum()), int(free.sum())
            if remaining == total or remaining / total > share:
                instances[box][free] = rank
                scores[:, *box][:, free] = detections.scores[index, :, None]
        return instances, scores


def _check_share(name: str, value: object) -> None:
    """See that a hyper-parameter is a number from 0 to 1; cards come from JSON, and hold anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ModelError(f"{name} is {value!r}. Expected a number from 0 to 1.")


def _dense_head(channels: int) -> ConvLayer:
    return ConvLayer([channels, _HEAD_CHANNELS, 1], "batch", last_relu=False)


def _layer(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()


def _mask_cnn() -> nn.Sequential:
    """From shape and saliency of a box, (1, 1, h, w), to how much each pixel is the parcel's."""
    return nn.Sequential(
        nn.Conv2d(1, _MASK_CHANNELS, 3, padding=1),
        GroupNorm(1, _MASK_CHANNELS),
        nn.ReLU(),
        nn.Conv2d(_MASK_CHANNELS, _MASK_CHANNELS, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(_MASK_CHANNELS, 1, 3, padding=1),
        nn.Sigmoid(),
    )


def _without_border(centres: Tensor, border: int) -> Tensor:
    """Centres (B, H, W) but those nearer than ``border`` pixels to the border."""
    height, width = centres.shape[1:]
    inner = torch.zeros_like(centres)
    inner[:, border : height - border, border : width - border] = True
    return centres & inner


def _within(start: int, size: int, limit: int) -> slice:
    return slice(max(start, 0), min(start + size, limit))


def _clipped(box: Sequence[int], height: int, width: int) -> tuple[int, int, int, int]:
    """First row and column, height and width of the part of a box within an image."""
    rows, cols = _within(box[0], box[2], height), _within(box[1], box[3], width)
    return rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start


def _pixels(shape: Tensor, part: slice, start: int) -> Tensor:
    """Pixels of a part of the image, counted from the first one of a box."""
    return torch.arange(part.start - start, part.stop - start, dtype=shape.dtype, device=shape.device)


def _fetched(masks: Sequence[Tensor]) -> list[Tensor]:
    """Bring masks to the CPU in one copy."""
    if not masks:
        return []
    flat = torch.cat([mask.flatten() for mask in masks]).cpu()
    parts = torch.split(flat, [mask.numel() for mask in masks])
    return [part.view(mask.shape) for part, mask in zip(parts, masks, strict=True)]


def _part(found: Detections, start: int, end: int) -> Detections:
    centres, confidences, scores, boxes, masks = found
    return Detections(centres[start:end], confidences[start:end], scores[start:end], boxes[start:end], masks[start:end])
