"""``python -m tests.golden FOLDER``: one line a fixture; exit code 1 if one is missed or nothing is met."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import torch

from tests.golden.runner import run

DEFAULT = Path(__file__).parents[2] / ".." / "shared" / "golden"


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0]) if arguments else DEFAULT
    if not folder.is_dir():
        print(f"No folder {folder}. Give a folder of fixtures.", file=sys.stderr)
        return 1
    torch.set_num_threads(1)  # on networks this small, threads cost more than they bring
    verdicts: Counter[str] = Counter()
    failed = False
    for result in run(folder):
        print(result, flush=True)
        verdicts[result.verdict] += 1
        failed |= result.failed
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()) or f"No fixture in {folder}")
    return 1 if failed or not verdicts["met"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
