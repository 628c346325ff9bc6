"""Whether ``sitsinfer segment`` stays within ``--memory``, and whether memory grows with the area, at T=24, C=10.

The whole process counts, libraries and all. The trivial model takes nothing, so that tiles fill what is granted; with
U-TAE as published, whose maps the plan must foresee, a smaller area does.
"""

import sys
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.measure import Usage, run_module, table, verdict

DATES = 24
SMALL, LARGE, REAL = 2048, 4096, 256  # pixels
GRANTED = ("2GiB", "4GiB")
GROWTH = 1.05


def main(options: list[str]) -> bool:
    """Run both areas with the trivial model, and a small one with U-TAE."""
    trivial = data.model("trivial", {"classes": 6}, 6)
    published = data.model("utae", data.UTAE_PUBLISHED, 20)
    rows, met = [], []
    for granted in GRANTED:
        peaks = {}
        for name, model, size in (("trivial", trivial, SMALL), ("trivial", trivial, LARGE), ("U-TAE", published, REAL)):
            if name == "U-TAE" and granted != GRANTED[0]:
                continue
            usage = _segment(model, size, granted)
            peaks[name, size] = usage.peak
            rows.append((f"{name}, {size}²", granted, usage.peak, usage.wall, usage.cpu))
            met.append(verdict(f"MiB of {name} at {size}²", usage.peak, 1024 * int(granted.removesuffix("GiB"))))
        growth = peaks["trivial", LARGE] / peaks["trivial", SMALL]
        met.append(verdict(f"memory at {LARGE}² over that at {SMALL}²", growth, GROWTH))
    table(("", "--memory", "peak MiB", "wall s", "CPU s"), rows)
    return all(met)


def _segment(model: Path, size: int, granted: str) -> Usage:
    out = data.scratch() / "memory.tif"
    arguments = ("--ts", str(data.series(size, DATES)), "--out", str(out), "--model", str(model), "--memory", granted)
    return run_module("tests.benchmarks.trivial", "segment", *arguments, "--overwrite", "--quiet")


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
