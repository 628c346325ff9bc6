"""U-TAE as published on the CPU, B=1, T=40, C=10, 128²: ours beside a plain implementation of the same network.

Plain means all dates at once and attention brought to the resolution of the features and multiplied with them, as the
published code does, but without its passes on zeros. Both have the same weights; one thread, so that no CPU time is
spent waiting; and, as in a run, an input of their own for every pass.
"""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from sitsinfer import models
from sitsinfer.models.utae import UTAE
from tests.benchmarks import data
from tests.benchmarks.measure import own_peak, run_module, table, verdict

DATES, BANDS, SIZE = 40, 10, 128
REPETITIONS = 5
FASTER, DIFFERENCE, MEMORY = 2.0, 1e-6, 600  # times, largest of the scores, MiB


def main(options: list[str]) -> bool:
    """Take turns; then look at the memory of each, alone."""
    torch.set_num_threads(1)
    x, days = _example()
    networks = {name: _network(name) for name in WAYS}
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    scores: dict[str, Tensor] = {}
    with torch.inference_mode():
        for name, way in WAYS.items():
            scores[name] = way(networks[name], x, days)
        for _ in range(REPETITIONS):
            for name, way in WAYS.items():
                copy = x.clone()
                began = time.process_time()
                way(networks[name], copy, days)
                seconds[name].append(time.process_time() - began)
    memory = {name: json.loads(run_module("tests.benchmarks.utae", name, threads=1).output) for name in WAYS}
    table(
        ("", "CPU s", "least", "most", "peak MiB", "of which pass"),
        [
            (name, statistics.median(took), min(took), max(took), memory[name]["peak"], memory[name]["pass"])
            for name, took in seconds.items()
        ],
    )
    difference = float((scores["ours"] - scores["plain"]).abs().max())
    print(f"  Scores go up to {float(scores['plain'].max()):.3g}; classes differ in {_changed(scores)} pixels.")
    ratio = statistics.median(seconds["plain"]) / statistics.median(seconds["ours"])
    met = [
        verdict("times fewer CPU seconds", ratio, FASTER, at_least=True),
        verdict("largest difference of scores", difference, DIFFERENCE),
        verdict("peak memory of the process, MiB", memory["ours"]["peak"], MEMORY),
    ]
    return all(met)


def _changed(scores: dict[str, Tensor]) -> int:
    return int((scores["ours"].argmax(1) != scores["plain"].argmax(1)).sum())


def _example() -> tuple[Tensor, Tensor]:
    """A series and its days."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, DATES, BANDS, SIZE, SIZE, generator=generator), 9 * torch.arange(DATES)[None]


def _network(name: str) -> UTAE:
    """The network, laid out in memory as a predictor does it, or for the plain one as it comes.

    Its weights give scores of about 1.
    """
    torch.manual_seed(0)
    network = models.build("utae", data.UTAE_PUBLISHED).eval()
    assert isinstance(network, UTAE)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if value.ndim > 1:
                value.normal_(std=value[0].numel() ** -0.5)
            else:
                value.normal_(mean=float(key.endswith("weight")), std=0.1)
    return network if name == "plain" else network.to(memory_format=torch.channels_last)


def plain(network: UTAE, x: Tensor, days: Tensor) -> Tensor:
    """Scores (B, K, H, W), by the network's layers, put together in the plain way."""
    pad_mask = _padded(x)
    maps = [_frame_by_frame(network.in_conv, x)]
    for block in network.down_blocks:
        maps.append(_frame_by_frame(block, maps[-1]))
    out, attention = network.temporal_encoder(maps.pop(), days, pad_mask)
    for up_block in network.up_blocks:
        out = up_block(out, _pool(maps.pop(), attention, pad_mask))
    scores: Tensor = network.out_conv(out)
    return scores


def _frame_by_frame(block: torch.nn.Module, x: Tensor) -> Tensor:
    """Run a block on all frames that are not padded, (B, T, C, H, W)."""
    padded = _padded(x)
    if not padded.any():
        maps: Tensor = block(x.flatten(0, 1))
        return maps.unflatten(0, x.shape[:2])
    seen: Tensor = block(x[~padded])
    filled = x.new_zeros(*x.shape[:2], *seen.shape[1:])
    filled[~padded] = seen
    return filled


def _padded(x: Tensor) -> Tensor:
    return (x == 0).flatten(2).all(dim=2)


def _pool(maps: Tensor, attention: Tensor, pad_mask: Tensor) -> Tensor:
    """Weigh maps (B, T, D, H, W) by attention (n_head, B, T, h, w), each head its own channels."""
    heads, b, t = attention.shape[:3]
    weights = F.interpolate(attention.flatten(0, 1), maps.shape[3:], mode="bilinear", align_corners=False)
    weights = weights.view(heads, b, t, *maps.shape[3:]) * ~pad_mask[None, :, :, None, None]
    groups = torch.stack(maps.chunk(heads, dim=2))  # (n_head, B, T, D / n_head, H, W)
    pooled = (weights.unsqueeze(3) * groups).sum(dim=2)
    return torch.cat(list(pooled), dim=1)


WAYS = {"ours": lambda network, x, days: network(x, days), "plain": plain}


def one_pass(name: str) -> dict[str, float]:
    """Peak memory of this process before and with one pass, in MiB."""
    torch.set_num_threads(1)
    network, (x, days) = _network(name), _example()
    before = own_peak()
    with torch.inference_mode():
        WAYS[name](network, x, days)
    return {"peak": own_peak(), "pass": own_peak() - before}


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        print(json.dumps(one_pass(sys.argv[1])))
    else:
        sys.exit(0 if main(sys.argv[1:]) else 1)
