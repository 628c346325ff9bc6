"""Whether ``sitsinfer segment`` stays within ``--memory``, and whether memory grows with the area, at T=24, C=10.

The whole process counts, libraries and all, with tiles as the plan chooses them: with a model that takes nothing, so
that tiles are all there is, and on a small area with U-TAE as published, whose maps the plan must foresee.
"""

import sys
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.measure import Usage, run_module, table, verdict

DATES = 24
SMALL, LARGE, REAL = 2048, 4096, 256  # pixels
GROWTH = 1.05


def main(options: list[str]) -> bool:
    """Run each case once."""
    trivial = data.model("trivial", {"classes": 6}, 6)
    published = data.model("utae", data.UTAE_PUBLISHED, 20)
    cases = {
        f"trivial, {SMALL}²": (trivial, SMALL, 2),
        f"trivial, {LARGE}²": (trivial, LARGE, 2),
        f"trivial, {LARGE}², more granted": (trivial, LARGE, 4),
        f"U-TAE, {REAL}²": (published, REAL, 2),
    }
    uses = {name: _segment(*case) for name, case in cases.items()}
    table(
        ("", "--memory", "peak MiB", "share", "wall s", "CPU s"),
        [
            (name, f"{cases[name][2]}GiB", use.peak, use.peak / 1024 / cases[name][2], use.wall, use.cpu)
            for name, use in uses.items()
        ],
    )
    small, large, *_ = (use.peak for use in uses.values())
    shares = [use.peak / 1024 / cases[name][2] for name, use in uses.items()]
    met = [
        verdict("share of what was granted, at worst", max(shares), 1),
        verdict(f"memory at {LARGE}² over that at {SMALL}²", large / small, GROWTH),
    ]
    return all(met)


def _segment(model: Path, size: int, gibibytes: int) -> Usage:
    out = data.scratch() / "memory.tif"
    arguments = ("--ts", str(data.series(size, DATES)), "--out", str(out), "--model", str(model))
    memory = f"{gibibytes}GiB"
    return run_module("tests.benchmarks.trivial", "segment", *arguments, "--memory", memory, "--overwrite", "--quiet")


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
