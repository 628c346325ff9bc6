"""Parcels and pixels by L-TAE on the CPU, as published: ours beside a plain implementation of the same networks.

Plain means as the papers describe it: parcels filled up to as many pixels and bands first, every layer one after the
other, and every pixel's dates projected before they are weighed. Both have the same weights; one thread, so that no
CPU time is spent waiting; and both take turns.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sitsinfer import models
from sitsinfer.models.parcel_classifiers import PseLTae
from sitsinfer.models.pixel_ltae import PixelLTAE
from tests.benchmarks.measure import table, verdict
from tests.golden.generator import fill_weights

PARCELS, PIXELS, DATES, BANDS, FEATURES = 128, 64, 24, 10, 4
IMAGE, IMAGE_DATES = 64, 40
REPETITIONS = 7
FASTER, DIFFERENCE = 7.0, 1e-5  # times, largest of the scores


def main(options: list[str]) -> bool:
    """Parcels whose sets are full, parcels of any size, and the pixels of an image."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    full = torch.full((PARCELS,), PIXELS)
    of_any_size = torch.randint(1, PIXELS + 1, (PARCELS,), generator=generator)
    with torch.inference_mode():
        met = [
            _compare("parcels of 64 pixels", PARCELS, *_parcels(full, generator)),
            _compare("parcels of 1 to 64 pixels", PARCELS, *_parcels(of_any_size, generator)),
            _compare("pixels", IMAGE * IMAGE, *_pixels(generator)),
        ]
    return all(met)


def _compare(what: str, count: int, ours: Callable[[], Tensor], plain: Callable[[], Tensor]) -> bool:
    """Take turns; tell times of each, and how far scores differ."""
    ways = {"ours": ours, "plain": plain}
    scores = {name: way() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPETITIONS):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    median = {name: statistics.median(took) for name, took in seconds.items()}
    table(
        (what, "CPU s", "least", "most", "a second"),
        [(name, median[name], min(took), max(took), count / median[name]) for name, took in seconds.items()],
    )
    met = verdict("times fewer CPU seconds", median["plain"] / median["ours"], FASTER, at_least=True)
    difference = float((scores["ours"] - scores["plain"]).abs().max())
    print(f"  Scores go up to {float(scores['plain'].abs().max()):.3g}.")
    return verdict("largest difference of scores", difference, DIFFERENCE) and met


def _parcels(counts: Tensor, generator: torch.Generator) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    network = models.build("pse_ltae", {}).eval()
    assert isinstance(network, PseLTae)
    fill_weights(network, ["temporal_encoder.position_enc.weight"])
    sets = torch.randn(int(counts.sum()), DATES, BANDS, generator=generator)
    extra = torch.randn(PARCELS, FEATURES, generator=generator)
    pixels = torch.zeros(PARCELS, DATES, BANDS, PIXELS)
    for filled, of_parcel in zip(pixels, sets.split(counts.tolist()), strict=True):
        filled[:] = of_parcel[:1].expand(PIXELS, DATES, BANDS).permute(1, 2, 0)
        filled[..., : len(of_parcel)] = of_parcel.permute(1, 2, 0)
    mask = (torch.arange(PIXELS) < counts[:, None, None]).float().repeat(1, DATES, 1)
    features = extra[:, None].repeat(1, DATES, 1)
    return (
        lambda: network.score_sets(sets, counts, extra),
        lambda: plain_parcels(network, pixels, mask, features),
    )


def plain_parcels(network: PseLTae, pixels: Tensor, mask: Tensor, extra: Tensor) -> Tensor:
    """Scores (B, K) of pixels (B, T, C, S), mask (B, T, S) and features (B, T, F)."""
    spatial, b = network.spatial_encoder, len(pixels)
    out, weights = pixels.flatten(0, 1), mask.flatten(0, 1).unsqueeze(1)  # (B T, C, S), (B T, 1, S)
    for layer in spatial.mlp1:
        out = layer.bn(layer.lin(out.transpose(1, 2)).transpose(1, 2)).relu()
    counts = weights.sum(dim=2)
    mean = (out * weights).sum(dim=2) / counts
    squares = ((out - mean.unsqueeze(2)) ** 2 * weights).sum(dim=2)
    std = (squares / (counts - 1).clamp(min=1) + 1e-31).sqrt()
    embeddings = spatial.mlp2(torch.cat([mean, std, extra.flatten(0, 1)], dim=1)).view(
        b, -1, spatial.mlp2[0].out_features
    )
    temporal = network.temporal_encoder
    dates = temporal.inconv(temporal.inlayernorm(embeddings).transpose(1, 2)).transpose(1, 2)
    pooled = _plain_attention(temporal.attention_heads, temporal.position_enc(dates))
    scores: Tensor = network.decoder(temporal.outlayernorm(temporal.mlp(pooled)))
    return scores


def _pixels(generator: torch.Generator) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    network = models.build("pixel_ltae", {"n_head": 8, "d_k": 16}).eval()
    assert isinstance(network, PixelLTAE)
    fill_weights(network)
    x = torch.randn(1, IMAGE_DATES, BANDS, IMAGE, IMAGE, generator=generator)
    days = 9 * torch.arange(IMAGE_DATES)[None]
    pixels = x[0].permute(2, 3, 0, 1).flatten(0, 1).contiguous()  # (N, T, C)
    return (
        lambda: network(x, days)[0].flatten(1).t(),
        lambda: torch.cat([plain_pixels(network, some, days) for some in pixels.split(512)]),
    )


def plain_pixels(network: PixelLTAE, pixels: Tensor, days: Tensor) -> Tensor:
    """Scores (N, K) of pixels (N, T, C) and days (1, T)."""
    j = torch.arange(network.width)
    angles = days[..., None] / network.period ** (2 * (j // 2) / network.width)
    encoded = torch.where(j % 2 == 0, angles.sin(), angles.cos())
    dates = network.inconv(network.inlayernorm(pixels).transpose(1, 2)).transpose(1, 2) + encoded
    pooled = _plain_attention(network.attention_heads, dates)
    scores: Tensor = network.decoder(network.outlayernorm(network.mlp(pooled)))
    return scores


def _plain_attention(heads: nn.Module, x: Tensor) -> Tensor:
    """Pool (N, T, D) to (N, D), by one learned query a head."""
    n, t, _ = x.shape
    n_head, d_k = heads.Q.shape
    keys = heads.fc1_k(x).view(n, t, n_head, d_k).transpose(1, 2)  # (N, n_head, T, d_k)
    logits = (keys @ heads.Q[:, :, None]).squeeze(3) / d_k**0.5
    values = torch.stack(x.chunk(n_head, dim=2), dim=1)  # (N, n_head, T, D / n_head)
    return (logits.softmax(dim=2).unsqueeze(2) @ values).flatten(1)


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
