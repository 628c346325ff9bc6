"""Run benchmarks by name, or all: ``python -m tests.benchmarks [name ... | name --option ...]``."""

import itertools
import os
import subprocess
import sys
import tempfile

from tests.benchmarks.data import SCRATCH

BENCHMARKS = (
    "utae",
    "overhead",
    "overlap",
    "memory",
    "margins",
    "gpu",
    "fuse",
    "accuracy",
    "panoptic",
    "panoptic_quality",
    "pse",
    "classify",
    "pixels",
    "clouds",
)


def main(arguments: list[str]) -> int:
    """Run the benchmarks named; options go to the only one. Returns 1 if a bound is missed."""
    names = list(itertools.takewhile(lambda argument: not argument.startswith("-"), arguments))
    options = arguments[len(names) :]
    if set(names) - set(BENCHMARKS) or (options and len(names) != 1):
        print(f"Give names out of {', '.join(BENCHMARKS)}; options go with one name.", file=sys.stderr)
        return 2
    names = names or list(BENCHMARKS)
    missed = []
    with tempfile.TemporaryDirectory(prefix="sitsinfer-bench-") as folder:
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, SCRATCH: folder}  # as the command line has it
        for name in names:
            print(f"\n{name}", flush=True)
            command = [sys.executable, "-m", f"tests.benchmarks.{name}", *options]
            if subprocess.run(command, env=environment).returncode:
                missed.append(name)
    print(f"\n{len(names) - len(missed)} of {len(names)} benchmarks meet their bounds." + " Not: ".join(["", *missed]))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
