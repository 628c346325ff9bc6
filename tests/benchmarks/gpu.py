"""U-TAE as published on a GPU at T=40, C=10, 128²: patches a second in bf16 and fp32 against the roofline there.

The roofline is of the device as it is found: the least time for a patch's arithmetic, at the rate of a large matrix
product in that precision, or for its traffic, at the rate of a large copy, whichever is longer. Traffic is what each
convolution reads and writes, once, as if all between were fused.
"""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sitsinfer import models
from sitsinfer.patches import Patch
from sitsinfer.predict import Predictor
from sitsinfer.weights import load_card, load_modules
from tests.benchmarks import data
from tests.benchmarks.measure import table, verdict

DATES, BANDS, SIZE = 40, 10, 128
PATCHES = 128
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SHARE, AGREEMENT = 0.5, 0.999

Result = TypeVar("Result")


def main(options: list[str]) -> bool:
    """Measure both precisions, and how far their labels agree."""
    if not torch.cuda.is_available():
        print("  skipped: there is no CUDA device here")
        return True
    card, folder = load_card(str(data.model("utae", data.UTAE_PUBLISHED, 20)))
    patches = _patches()
    rows, labels = [], {}
    for precision, dtype in DTYPES.items():
        predictor = Predictor(card, load_modules(card, folder), "cuda", precision)
        list(predictor.scores(patches))  # finds the batch size, and the fastest kernels
        took, scores = _timed(lambda predictor=predictor: list(predictor.scores(patches)))
        labels[precision] = np.stack(scores).argmax(axis=1)
        least = _least_seconds(dtype)
        rows.append((precision, PATCHES / took, 1 / least, PATCHES / took * least))
    print(f"  {torch.cuda.get_device_name()}")
    table(("", "patches/s", "roofline", "share"), rows)
    agreement = float((labels["fp32"] == labels["bf16"]).mean())
    met = [verdict(f"share of the roofline in {row[0]}", row[3], SHARE, at_least=True) for row in rows]
    return all([*met, verdict("share of equal labels", agreement, AGREEMENT, at_least=True)])


def _patches() -> list[Patch]:
    """Smooth random patches in digital numbers, of equal dates."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(500, 4000, (PATCHES, DATES, BANDS, SIZE // 16, SIZE // 16))
    values = coarse.repeat(16, axis=-1).repeat(16, axis=-2).astype(np.uint16)
    values += generator.integers(0, 100, values.shape, dtype=np.uint16)
    scale, offset, days = np.full(DATES, 1e-4, np.float32), np.zeros(DATES, np.float32), 9 * np.arange(DATES)
    valid = np.ones((DATES, SIZE, SIZE), np.bool_)
    return [Patch(patch, valid, scale, offset, days, 0) for patch in values]


def _least_seconds(dtype: torch.dtype) -> float:
    """Seconds that one patch takes at the device's own limits."""
    network = models.build("utae", data.UTAE_PUBLISHED).eval().cuda()
    moved = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal moved
        moved += (inputs[0].numel() + output.numel()) * dtype.itemsize

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    x, days = torch.randn(1, DATES, BANDS, SIZE, SIZE, device="cuda"), torch.arange(DATES, device="cuda")[None]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(x, days)
    side = 8192
    matrix = torch.randn(side, side, device="cuda", dtype=dtype)
    block = torch.empty(2**30, device="cuda", dtype=torch.uint8)
    product, copy = _best(lambda: matrix @ matrix), _best(lambda: block.clone())
    return max(counter.get_total_flops() * product / (2 * side**3), moved * copy / (2 * block.numel()))


def _best(work: Callable[[], object]) -> float:
    work()
    return min(_timed(work)[0] for _ in range(10))


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    torch.cuda.synchronize()
    began = time.perf_counter()
    result = work()
    torch.cuda.synchronize()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
