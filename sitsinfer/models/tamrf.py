"""TAMRF: temporal attention multi-resolution fusion, for every band of two sensors on any day at the finer resolution.

Every date of both sensors is encoded alone, by convolutions, to features on the fine grid. Each pixel's dates are then
a sequence of tokens (features, day, sensor), which a transformer encodes. Query tokens, which know nothing but their
day, attend to it, and two convolutions decode them to the bands of both sensors. Basic blocks are those of ESRGAN
(X. Wang et al., 2018). State-dict entries are those of the published checkpoint, from ``encoder.`` and ``decoder.`` on.

The network is local: :class:`Hyperparameters` knows how far each sensor's branch sees. Where a window brings that
margin around its core, convolutions shrink it, and the prediction of the core depends on no choice of windows. Where it
brings less, the first convolutions see zeros beyond the window, as the published network does at its borders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer.errors import ModelError

Sensor = Literal["lr", "hr"]
SENSORS: tuple[Sensor, ...] = ("lr", "hr")
"""In the order of their dates in a sequence, and of their bands in the output."""

DECODER_RADIUS = 2
"""Fine pixels that the spatial decoder sees around one."""

_SLOPE = 0.2  # of leaky ReLU
_DENSE_BLOCKS = 3  # in a basic block
_CONVOLUTIONS = 5  # in a dense block
_BICUBIC_REACH = 2  # coarse pixels that bicubic interpolation takes beyond the one it lies in


@dataclass(frozen=True)
class Hyperparameters:
    """What makes the network.

    Attributes:
        hr_bands: Bands of the finer sensor.
        lr_bands: Bands of the coarser sensor.
        latent_size: Features of a date.
        hr_basic_blocks: Basic blocks of the finer sensor's encoder.
        lr_basic_blocks: Basic blocks of the coarser sensor's encoder.
        growth_channels: What each convolution in a dense block adds.
        ratio: Fine pixels along the side of a coarse one.
        positional_features: Features of a day in a token.
        positional_div: What periods of these grow to.
        sensor_token_size: Features of the sensor in a token; may be 0.
        heads: Attention heads of the temporal encoder.
        layers: Layers of the temporal encoder.
        feed_forward: Width of the feed-forward part of these layers.
        decoder_heads: Attention heads of the temporal decoder.
        decoder_feed_forward: Width of its feed-forward part.
        spatial_encoder: Kind of both spatial encoders: ``esrenc`` alone.
        positional_encoding: Kind of positional encoding: ``fixed`` alone.
        spatial_decoder: Kind of spatial decoder: ``esrdec`` alone.
    """

    hr_bands: int = 10
    lr_bands: int = 8
    latent_size: int = 64
    hr_basic_blocks: int = 1
    lr_basic_blocks: int = 1
    growth_channels: int = 32
    ratio: int = 3
    positional_features: int = 64
    positional_div: float = 365.0
    sensor_token_size: int = 8
    heads: int = 4
    layers: int = 3
    feed_forward: int = 256
    decoder_heads: int = 4
    decoder_feed_forward: int = 256
    spatial_encoder: str = "esrenc"
    positional_encoding: str = "fixed"
    spatial_decoder: str = "esrdec"

    def __post_init__(self) -> None:
        """Check what the network can be built of."""
        kinds = {"spatial_encoder": "esrenc", "positional_encoding": "fixed", "spatial_decoder": "esrdec"}
        for name, built in kinds.items():
            if getattr(self, name) != built:
                raise ModelError(
                    f"TAMRF has no {name} of kind '{getattr(self, name)}'. Use weights with '{built}', "
                    f"the kind of the published ones."
                )
        least = {"sensor_token_size": 0, "ratio": 2}
        for name, value in vars(self).items():
            if name not in kinds and value < least.get(name, 1):
                raise ModelError(f"TAMRF cannot have {name} {value}. Give {least.get(name, 1)} or more.")
        for name in ("heads", "decoder_heads"):
            if self.token_width % getattr(self, name):
                raise ModelError(
                    f"{name} is {getattr(self, name)}, which does not divide tokens of {self.token_width} features. "
                    f"Change one of them."
                )

    @property
    def token_width(self) -> int:
        """Features of a token: of the date, of its day, of its sensor."""
        return self.latent_size + self.positional_features + self.sensor_token_size

    @property
    def margins(self) -> dict[Sensor, int]:
        """Pixels of each sensor that a prediction sees beyond its core."""
        hr = DECODER_RADIUS + _encoder_radius(self.hr_basic_blocks)
        lr = _coarse_reach(DECODER_RADIUS + 1, self.ratio) + _encoder_radius(self.lr_basic_blocks)
        return {"lr": lr, "hr": hr}


def _encoder_radius(basic_blocks: int) -> int:
    """How many 3 x 3 convolutions an encoder has in a row, before any upsampling."""
    return 2 + _DENSE_BLOCKS * _CONVOLUTIONS * basic_blocks


def _coarse_reach(fine: int, ratio: int) -> int:
    """Coarse pixels beyond a core that bicubic interpolation needs for ``fine`` pixels beyond it."""
    first = (-fine + 0.5) / ratio - 0.5  # the centre of the outermost fine pixel, in coarse ones
    return _BICUBIC_REACH - 1 - int(first // 1)


def positional_encoding(days: Tensor, features: int, div: float, offset: int = 0) -> Tensor:
    """Encode days by sines and cosines of growing periods.

    Args:
        days: Days since the origin, any shape, also negative.
        features: How many features each gets.
        div: What the periods grow to, over 2 pi.
        offset: Where in the row of periods the first feature stands.

    Returns:
        Features, (..., features), float32: sines where the feature's index is even, cosines where it is odd.
    """
    index = torch.arange(features, device=days.device)
    exponents = 2 * torch.div(offset + index, 2, rounding_mode="floor") / features
    angles = days.float()[..., None] / div**exponents
    return torch.where(index % 2 == 0, angles.sin(), angles.cos())


def _convolve(conv: nn.Conv2d, x: Tensor, padding: int) -> Tensor:
    return F.conv2d(x, conv.weight, conv.bias, padding=padding)


def _leaky(x: Tensor) -> Tensor:
    """Leaky ReLU of what nobody else reads."""
    return F.leaky_relu_(x, _SLOPE)


def _cropped_by(x: Tensor, pixels: int) -> Tensor:
    """Maps without so many pixels on each side."""
    return x[..., pixels : x.shape[-2] - pixels, pixels : x.shape[-1] - pixels] if pixels else x


def _cropped(x: Tensor, like: Tensor) -> Tensor:
    """The centre of maps, as large as other maps."""
    return _cropped_by(x, (x.shape[-1] - like.shape[-1]) // 2)


def _joined(maps: Sequence[Tensor]) -> Tensor:
    """The channels of maps, at the size of the last of them."""
    return torch.cat([_cropped(some, maps[-1]) for some in maps], dim=1) if len(maps) > 1 else maps[0]


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees what all before it gave, and a scaled residual."""

    def __init__(self, channels: int, growth: int) -> None:
        """Keep ``channels``; all convolutions but the last add ``growth``."""
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.2))
        widths = [*repeat(growth, _CONVOLUTIONS - 1), channels]
        convolutions = [nn.Conv2d(channels + i * growth, width, 3) for i, width in enumerate(widths)]
        self.module = nn.ModuleDict({"module": nn.ModuleList(nn.ModuleDict({"conv": conv}) for conv in convolutions)})
        self._convolutions = tuple(convolutions)  # a tuple, so that they are not registered twice

    def forward(self, x: Tensor, paddings: Iterator[int]) -> Tensor:
        """Compute (N, C, H, W); each convolution takes its padding, 0 or 1, from ``paddings``."""
        seen = [x]
        for conv in self._convolutions:
            seen.append(_leaky(_convolve(conv, _joined(seen), next(paddings))))
        return torch.addcmul(_cropped(x, seen[-1]), seen[-1], self.scale)


class BasicBlock(nn.Module):
    """Three dense blocks in a row, and a scaled residual around them."""

    def __init__(self, channels: int, growth: int) -> None:
        """Keep ``channels``."""
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.2))
        self.module = nn.ModuleDict({f"block_{i}": DenseBlock(channels, growth) for i in range(_DENSE_BLOCKS)})

    def forward(self, x: Tensor, paddings: Iterator[int]) -> Tensor:
        """Compute (N, C, H, W), with paddings as a :class:`DenseBlock` takes them."""
        out = x
        for block in self.module.values():
            out = block(out, paddings)
        return torch.addcmul(_cropped(x, out), out, self.scale)


class Trunk(nn.Module):
    """The convolutions of a spatial encoder at the sensor's own resolution."""

    def __init__(self, bands: int, channels: int, growth: int, basic_blocks: int) -> None:
        """Go from ``bands`` to ``channels``."""
        super().__init__()
        self._ends = (nn.Conv2d(bands, channels, 3), nn.Conv2d(channels, channels, 3))
        self._basic_blocks = tuple(BasicBlock(channels, growth) for _ in range(basic_blocks))
        self.blocks = nn.ModuleList([self._ends[0], *self._basic_blocks, self._ends[1]])
        self.radius = _encoder_radius(basic_blocks)

    def forward(self, x: Tensor, margin: int, kept: int) -> Tensor:
        """Encode frames.

        Args:
            x: Standardised frames, (N, C, H, W).
            margin: Pixels around the core, on each side of the frames.
            kept: Pixels around it to keep, at most ``margin``.

        Returns:
            Features, (N, D, h, w): the core and ``kept`` pixels around it.
        """
        spare = min(margin - kept, self.radius)  # convolutions that may shrink the frames
        x = _cropped_by(x, margin - kept - spare)
        paddings = iter([1] * (self.radius - spare) + [0] * spare)
        first, last = self._ends
        shallow = _convolve(first, x, next(paddings))
        deep = shallow
        for block in self._basic_blocks:
            deep = block(deep, paddings)
        deep = _convolve(last, deep, next(paddings))
        return deep.add_(_cropped(shallow, deep))


class SpatialEncoder(nn.Module):
    """Encode frames to features on the fine grid."""

    def __init__(self, bands: int, channels: int, growth: int, basic_blocks: int, ratio: int = 1) -> None:
        """Go from ``bands`` to ``channels``, at ``ratio`` times the resolution."""
        super().__init__()
        self.ratio = ratio
        self.model = nn.ModuleDict({"encoder": Trunk(bands, channels, growth, basic_blocks)})
        if ratio > 1:
            self._refine = (nn.Conv2d(channels, channels, 3),)
            self.model["upsampling"] = nn.ModuleList([nn.ModuleDict({"block": nn.ModuleList(self._refine)})])

    def forward(self, x: Tensor, margin: int = 0, halo: int = 0) -> Tensor:
        """Encode frames.

        Args:
            x: Standardised frames, (N, C, H, W).
            margin: Pixels around the core, on each side of the frames.
            halo: Fine pixels around it to encode, at most ``ratio * margin``.

        Returns:
            Features of the core and its halo, (N, D, h, w). Those that see beyond the frames see zeros there.
        """
        if self.ratio == 1:
            out: Tensor = self.model["encoder"](x, margin, halo)
            return out
        reach = min(margin, _coarse_reach(halo + 1, self.ratio))
        coarse = self.model["encoder"](x, margin, reach)
        fine = F.interpolate(coarse, scale_factor=self.ratio, mode="bicubic", align_corners=False)
        around = min(self.ratio * reach, halo + 1)
        fine = _cropped_by(fine, self.ratio * reach - around)
        return _leaky(_convolve(self._refine[0], fine, 1 - (around - halo)))


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward part, each normalised after its residual."""

    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        """Keep tokens of ``width`` features."""
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads)
        self.linear1 = nn.Linear(width, feed_forward)
        self.linear2 = nn.Linear(feed_forward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def project(self, x: Tensor) -> Tensor:
        """Queries, keys and values of tokens, (..., C) to (..., 3 C)."""
        return F.linear(x, self.self_attn.in_proj_weight, self.self_attn.in_proj_bias)

    def forward(self, x: Tensor, projected: Tensor | None = None) -> Tensor:
        """Encode sequences.

        Args:
            x: Tokens, (T, P, C): each pixel's dates are a sequence.
            projected: What :meth:`project` gives, if it is known already.

        Returns:
            Tokens, (T, P, C).
        """
        projected = self.project(x) if projected is None else projected
        shape = (*x.shape[:2], self.self_attn.num_heads, -1)
        q, k, v = (part.view(shape).permute(1, 2, 0, 3) for part in projected.chunk(3, -1))  # (P, heads, T, C / heads)
        attended = F.scaled_dot_product_attention(q, k, v).permute(2, 0, 1, 3).flatten(-2)
        x = self.norm1(self.self_attn.out_proj(attended).add_(x))
        out: Tensor = self.norm2(self.linear2(self.linear1(x).relu_()).add_(x))
        return out


class TemporalEncoder(nn.Module):
    """A transformer over the dates of each pixel."""

    def __init__(self, width: int, heads: int, layers: int, feed_forward: int) -> None:
        """Keep tokens of ``width`` features."""
        super().__init__()
        self._layers = tuple(TransformerLayer(width, heads, feed_forward) for _ in range(layers))
        self.transformer_encoder = nn.ModuleDict({"layers": nn.ModuleList(self._layers)})

    def forward(self, features: Tensor, marks: Tensor) -> Tensor:
        """Encode sequences.

        Args:
            features: Features of pixels on each date, (T, P, D).
            marks: Day and sensor of each date, (T, C - D).

        Returns:
            Tokens, (T, P, C).
        """
        x = tokens(features, marks)
        projected: Tensor | None = self._project_first(features, marks)
        for layer in self._layers:
            x = layer(x, projected)
            projected = None
        return x

    def _project_first(self, features: Tensor, marks: Tensor) -> Tensor:
        """The first layer's projection: what all pixels of a date share is projected once."""
        attention = self._layers[0].self_attn
        latent = features.shape[-1]
        shared = F.linear(marks, attention.in_proj_weight[:, latent:], attention.in_proj_bias)
        return F.linear(features, attention.in_proj_weight[:, :latent]).add_(shared[:, None])


def tokens(features: Tensor, marks: Tensor) -> Tensor:
    """Join features (T, P, D) with marks (T, C - D) to tokens (T, P, C)."""
    return torch.cat([features, marks[:, None].expand(-1, features.shape[1], -1)], dim=-1)


@dataclass(frozen=True)
class Queries:
    """Query tokens, made ready to attend to encoded tokens.

    Attributes:
        tokens: (Q, C).
        weight: Which scores, for every head and query, encoded tokens are projected to, (heads * Q, C).
        bias: Their biases, (heads * Q,).
    """

    tokens: Tensor
    weight: Tensor
    bias: Tensor

    def __len__(self) -> int:
        """How many there are."""
        return len(self.tokens)


class TemporalDecoder(nn.Module):
    """Queries that attend to encoded dates, and to one more whose key and value are zero."""

    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        """Keep tokens of ``width`` features."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, feed_forward)
        self.linear2 = nn.Linear(feed_forward, width)
        self.attention = nn.MultiheadAttention(width, heads, add_zero_attn=True)

    def prepare(self, query_tokens: Tensor) -> Queries:
        """Make query tokens (Q, C) ready: they are the same for all pixels, and so is what they look for in a token."""
        heads, (query, key, _) = self.attention.num_heads, self._projections()
        size = query_tokens.shape[1] // heads
        sought = F.linear(query_tokens, *query).mul_(size**-0.5).view(-1, heads, size)
        weight = torch.einsum("qhd,hdc->hqc", sought, key[0].view(heads, size, -1))
        bias = torch.einsum("qhd,hd->hq", sought, key[1].view(heads, size))
        return Queries(query_tokens, weight.flatten(0, 1), bias.flatten())

    def values(self, encoded: Tensor) -> Tensor:
        """The values of encoded tokens, (T, P, C), which all queries share."""
        return F.linear(encoded, *self._projections()[2])

    def forward(self, encoded: Tensor, values: Tensor, queries: Queries, missing: Tensor | None = None) -> Tensor:
        """Decode tokens of queries.

        Args:
            encoded: Encoded tokens, (T, P, C).
            values: Their :meth:`values`.
            queries: What is asked.
            missing: True where a pixel has no date to attend to, (T, P); a pixel without any gives zeros.

        Returns:
            Tokens, (Q, P, C).
        """
        scores = F.linear(encoded, queries.weight, queries.bias)
        if missing is not None:
            scores = scores.masked_fill(missing[..., None], -torch.inf)
        scores = F.pad(scores, (0, 0, 0, 0, 0, 1))  # those of the key that is zero
        attended = self._attend(scores.softmax(0)[:-1], values)
        x = self.norm1(self.attention.out_proj(attended).add_(queries.tokens[:, None]))
        out: Tensor = self.norm2(self.linear2(self.linear1(x).relu_()).add_(x))
        return out if missing is None else out.masked_fill(missing.all(0)[:, None], 0)

    def _attend(self, weights: Tensor, values: Tensor) -> Tensor:
        """Sum values (T, P, C) with weights (T, P, heads * Q) over dates, to (Q, P, C)."""
        heads, (dates, pixels, width) = self.attention.num_heads, values.shape
        of_heads = weights.reshape(dates, pixels * heads, -1).permute(1, 2, 0)  # (P * heads, Q, T)
        sums = torch.bmm(of_heads, values.reshape(dates, pixels * heads, -1).transpose(0, 1))
        return sums.view(pixels, heads, -1, width // heads).permute(2, 0, 1, 3).flatten(-2)

    def _projections(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of queries, keys and values."""
        attention = self.attention
        return list(zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True))


class StreamedConvolution:
    """A 3 x 3 convolution over rows that come in strips, from top to bottom."""

    def __init__(self, conv: nn.Conv2d, padding: int, channels: Sequence[int] | None = None) -> None:
        """Compute some channels of a convolution, or all; ``padding`` is 0 or 1 on all sides of the whole."""
        chosen = slice(None) if channels is None else list(channels)
        self._weight = conv.weight[chosen]
        self._bias = None if conv.bias is None else conv.bias[chosen]
        self._padding = padding
        self._above: Tensor | None = None  # the last two rows, which the next strip's first rows need

    def push(self, rows: Tensor, last: bool) -> Tensor:
        """Convolve a strip.

        Args:
            rows: The next rows, (N, C, H, W); those of the first strip are 3 at least, without padding.
            last: Whether none come after them.

        Returns:
            The rows that can be told now, (N, K, h, w).
        """
        if self._padding:
            rows = F.pad(rows, (0, 0, int(self._above is None), int(last)))
        if self._above is not None:
            rows = torch.cat([self._above, rows], dim=2)
        self._above = rows[:, :, -2:].clone(memory_format=torch.channels_last)
        rows = rows.contiguous(memory_format=torch.channels_last)
        return F.conv2d(rows, self._weight, self._bias, padding=(0, self._padding))


class SpatialDecoder(nn.Module):
    """Two convolutions from tokens to bands, the coarser sensor's first."""

    def __init__(self, width: int, bands: int) -> None:
        """Go from ``width`` features to ``bands``."""
        super().__init__()
        self._convolutions = (nn.Conv2d(width, width, 3), nn.Conv2d(width, bands, 3))
        self.model = nn.ModuleDict(
            {"decoder": nn.ModuleList([self._convolutions[0], nn.LeakyReLU(_SLOPE), self._convolutions[1]])}
        )

    def forward(self, x: Tensor, halo: int = 0) -> Tensor:
        """Decode maps of tokens (N, C, H, W), with so many pixels around the core, to its bands (N, K, h, w)."""
        return self.bands(halo).push(_leaky(self.hidden(halo).push(x, last=True)), last=True)

    def hidden(self, halo: int) -> StreamedConvolution:
        """The first convolution, whose output wants a leaky ReLU."""
        return StreamedConvolution(self._convolutions[0], int(halo < 2))

    def bands(self, halo: int, chosen: Sequence[int] | None = None) -> StreamedConvolution:
        """The second convolution, to the chosen bands, or to all."""
        return StreamedConvolution(self._convolutions[1], int(halo < 1), chosen)


class Encoder(nn.Module):
    """From frames of both sensors to encoded tokens."""

    def __init__(self, options: Hyperparameters) -> None:
        """Build the encoder."""
        super().__init__()
        self.hr_sensor_token = _token(options.sensor_token_size)
        self.lr_sensor_token = _token(options.sensor_token_size)
        latent, growth = options.latent_size, options.growth_channels
        self.hr_encoder = SpatialEncoder(options.hr_bands, latent, growth, options.hr_basic_blocks)
        self.lr_encoder = SpatialEncoder(options.lr_bands, latent, growth, options.lr_basic_blocks, options.ratio)
        self.transformer_encoder = TemporalEncoder(
            options.token_width, options.heads, options.layers, options.feed_forward
        )
        self._options = options

    def spatial(self, sensor: Sensor) -> SpatialEncoder:
        """The spatial encoder of a sensor."""
        return self.hr_encoder if sensor == "hr" else self.lr_encoder

    def marks(self, sensor: Sensor, days: Tensor) -> Tensor:
        """What tokens of a sensor hold beside features, for each of its days (T,): (T, C - D)."""
        return _marks(self._options, days, self.hr_sensor_token if sensor == "hr" else self.lr_sensor_token)


class Imputer(nn.Module):
    """What queries hold in place of features."""

    def __init__(self, latent_size: int) -> None:
        """Make a token of so many features."""
        super().__init__()
        self.default_token = nn.Parameter(torch.zeros(latent_size))


class Decoder(nn.Module):
    """From encoded tokens to bands on any day."""

    def __init__(self, options: Hyperparameters) -> None:
        """Build the decoder."""
        super().__init__()
        self.query_sensor_token = _token(options.sensor_token_size)
        self.decoder = SpatialDecoder(options.token_width, options.lr_bands + options.hr_bands)
        self.imputer = Imputer(options.latent_size)
        self.attention = TemporalDecoder(options.token_width, options.decoder_heads, options.decoder_feed_forward)
        self._options = options

    def query_tokens(self, days: Tensor) -> Tensor:
        """Query tokens of days (Q,): (Q, C)."""
        features = self.imputer.default_token.expand(len(days), -1)
        marks = _marks(self._options, days, self.query_sensor_token)
        return torch.cat([features, marks.to(features)], dim=1)


def _token(size: int) -> nn.Parameter | None:
    return nn.Parameter(torch.zeros(size)) if size else None


def _marks(options: Hyperparameters, days: Tensor, sensor_token: Tensor | None) -> Tensor:
    """What tokens hold beside features: the day, and the sensor if there is a token of it."""
    encoding = positional_encoding(days, options.positional_features, options.positional_div)
    return encoding if sensor_token is None else torch.cat([encoding, sensor_token.expand(len(days), -1)], dim=1)


@dataclass(frozen=True)
class Frames:
    """One sensor's dates over a window: a core and a margin around it.

    Attributes:
        values: Standardised frames, (T, C, H, W); T may be 0.
        days: Days since the origin, (T,).
        margin: Pixels of that sensor around the core, on each side.
    """

    values: Tensor
    days: Tensor
    margin: int = 0


@dataclass(frozen=True)
class Request:
    """What to predict of a sensor: some of its bands, by their index, on some days, each named once."""

    days: Sequence[int]
    bands: Sequence[int]


@dataclass(frozen=True)
class Chunks:
    """How much is computed at once; it changes nothing but time and memory.

    Attributes:
        dates: Frames that are encoded at once.
        tokens: Tokens that are encoded or decoded at once, roughly.
        strip: Decoded tokens that are held at once, roughly: some rows of pixels on all days asked for.
    """

    dates: int = 1
    tokens: int = 2048
    strip: int = 16384

    def halved(self) -> Chunks | None:
        """Half as much of everything, or None where there is no less."""
        if self == Chunks(1, 1, 1):
            return None
        return Chunks(*(max(1, value // 2) for value in (self.dates, self.tokens, self.strip)))


@dataclass(frozen=True)
class _Agenda:
    """All days that are asked for, each decoded once.

    Attributes:
        days: Those of the finer sensor alone, of both, and of the coarser alone.
        spans: Where the days of each sensor stand in this.
        requests: What is asked for, by sensor.
    """

    days: list[int]
    spans: dict[Sensor, slice]
    requests: dict[Sensor, Request]

    @classmethod
    def of(cls, requests: Mapping[Sensor, Request]) -> _Agenda:
        asked = {sensor: request for sensor, request in requests.items() if request.days and request.bands}
        hr, lr = (list(dict.fromkeys(asked[s].days)) if s in asked else [] for s in ("hr", "lr"))
        alone = [day for day in hr if day not in lr]
        both = [day for day in hr if day in lr]
        days = [*alone, *both, *(day for day in lr if day not in hr)]
        spans = {"hr": slice(0, len(hr)), "lr": slice(len(alone), len(days))}
        return cls(days, {sensor: spans[sensor] for sensor in asked}, asked)


class TAMRF(nn.Module):
    """Predict every band of both sensors on any day, on the fine grid."""

    def __init__(self, options: Hyperparameters) -> None:
        """Build the network."""
        super().__init__()
        self.options = options
        self.encoder = Encoder(options)
        self.decoder = Decoder(options)

    def forward(
        self, inputs: Mapping[Sensor, Frames], requests: Mapping[Sensor, Request], chunks: Chunks | None = None
    ) -> dict[Sensor, dict[int, Tensor]]:
        """Predict days over a core.

        Args:
            inputs: What was observed; one date at least, of any sensor. Windows of both have the same core.
            requests: What to predict.
            chunks: How much to compute at once.

        Returns:
            For each sensor and day asked for, standardised bands of the core, (K, h, w), float32.

        Raises:
            ModelError: If there is no date, or shapes do not fit.
        """
        chunks = chunks or Chunks()
        inputs, agenda = self._observed(inputs), _Agenda.of(requests)
        if not agenda.days:
            return {}
        halo = min(DECODER_RADIUS, *(frames.margin * self._scale(sensor) for sensor, frames in inputs.items()))
        features = self.features(inputs, halo, chunks)
        marks = torch.cat([self.encoder.marks(sensor, frames.days) for sensor, frames in inputs.items()])
        days = torch.tensor(agenda.days, device=features.device)
        strips = self._strips(features, marks.to(features), days, halo, chunks)
        return self._decode(strips, agenda, features.shape[1:3], halo)

    def features(self, inputs: Mapping[Sensor, Frames], halo: int, chunks: Chunks) -> Tensor:
        """Encode all dates of all sensors, each alone: (T, H, W, D), the core and its halo."""
        sizes = {self._core(sensor, frames) for sensor, frames in inputs.items()}
        if len(sizes) > 1:
            raise ModelError("The windows of the two sensors have different cores. Read them over the same.")
        ((height, width),) = sizes
        dates = sum(len(frames.days) for frames in inputs.values())
        latent = self.options.latent_size
        out = self._any_weight.new_empty(dates, height + 2 * halo, width + 2 * halo, latent)
        start = 0
        for sensor, frames in inputs.items():
            for first in range(0, len(frames.days), chunks.dates):
                some = frames.values[first : first + chunks.dates].contiguous(memory_format=torch.channels_last)
                maps = self.encoder.spatial(sensor)(some, frames.margin, halo)
                out[start : start + len(maps)] = maps.permute(0, 2, 3, 1)
                start += len(maps)
        return out

    def _core(self, sensor: Sensor, frames: Frames) -> tuple[int, int]:
        """Height and width of the core of a window, in fine pixels."""
        height, width = (self._scale(sensor) * (size - 2 * frames.margin) for size in frames.values.shape[2:])
        return height, width

    @property
    def _any_weight(self) -> Tensor:
        """For the device and the type of all of them."""
        return self.decoder.imputer.default_token

    def _observed(self, inputs: Mapping[Sensor, Frames]) -> dict[Sensor, Frames]:
        """The sensors that have dates, in order."""
        bands = {"lr": self.options.lr_bands, "hr": self.options.hr_bands}
        for sensor, frames in inputs.items():
            if frames.values.ndim != 4 or frames.values.shape[:2] != (len(frames.days), bands[sensor]):
                raise ModelError(
                    f"Frames of {sensor} have shape {tuple(frames.values.shape)} and {len(frames.days)} days. "
                    f"The model takes (T, {bands[sensor]}, H, W) and T days."
                )
        observed = {sensor: inputs[sensor] for sensor in SENSORS if sensor in inputs and len(inputs[sensor].days)}
        if not observed:
            raise ModelError("No sensor has a date. Give one acquisition at least.")
        return observed

    def _scale(self, sensor: Sensor) -> int:
        return self.options.ratio if sensor == "lr" else 1

    def _strips(
        self, features: Tensor, marks: Tensor, days: Tensor, halo: int, chunks: Chunks
    ) -> Iterator[tuple[Tensor, bool]]:
        """Decoded tokens of strips of rows, from the top, (Q, C, rows, W), and whether a strip is the last."""
        queries = self.decoder.attention.prepare(self.decoder.query_tokens(days))
        dates, height, width, _ = features.shape
        pixels = max(1, chunks.tokens // max(dates, len(queries)))
        start = 0
        while start < height:
            stop = start + max(1, chunks.strip // (len(queries) * width))
            if start == 0:
                stop += DECODER_RADIUS + halo  # both convolutions are to leave a row of the first strip
            strip = features[:, start:stop].flatten(1, 2)
            decoded = strip.new_empty(len(queries), strip.shape[1], queries.tokens.shape[1])
            for first in range(0, strip.shape[1], pixels):
                some = slice(first, first + pixels)
                encoded = self.encoder.transformer_encoder(strip[:, some], marks)
                attention = self.decoder.attention
                decoded[:, some] = attention(encoded, attention.values(encoded), queries)
            yield decoded.view(len(queries), -1, width, decoded.shape[2]).permute(0, 3, 1, 2), stop >= height
            start = stop

    def _decode(
        self, strips: Iterable[tuple[Tensor, bool]], agenda: _Agenda, size: torch.Size, halo: int
    ) -> dict[Sensor, dict[int, Tensor]]:
        """Decode strips of tokens to the bands asked for."""
        decoder = self.decoder.decoder
        hidden = decoder.hidden(halo)
        offsets = {"lr": 0, "hr": self.options.lr_bands}
        bands, out, done = {}, {}, 0
        for sensor, request in agenda.requests.items():
            bands[sensor] = decoder.bands(halo, [offsets[sensor] + band for band in request.bands])
            shape = (len(request.days), len(request.bands), size[0] - 2 * halo, size[1] - 2 * halo)
            out[sensor] = torch.empty(shape, device=self._any_weight.device)
        for strip, last in strips:
            maps = _leaky(hidden.push(strip, last))
            for sensor, stream in bands.items():
                rows = stream.push(maps[agenda.spans[sensor]], last)
                out[sensor][:, :, done : done + rows.shape[2]] = rows
            done += rows.shape[2]
        return {
            sensor: dict(zip(agenda.days[agenda.spans[sensor]], values, strict=True)) for sensor, values in out.items()
        }
