"""Fixtures in, verdicts out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tests.golden.families import FAMILIES, TOLERANCES
from tests.golden.generator import Fixture, GeneratorError, NotBuiltError

Verdict = Literal["met", "missed", "generator", "not built"]
_RELATIVE = 1e-4
_ABSOLUTE = 1e-5
_ABSOLUTE_WITHOUT_NOISE = 1e-4
_NOISE_FACTOR = 20


@dataclass(frozen=True)
class Result:
    """How one fixture fared.

    Attributes:
        name: The fixture's.
        verdict: ``generator``: weights or inputs are not the fixture's, so the model is not judged.
        absolute: Largest difference, over all outputs.
        relative: Largest difference, as a share of the largest value of its output.
        note: What is wrong.
    """

    name: str
    verdict: Verdict
    absolute: float = 0.0
    relative: float = 0.0
    note: str = ""

    @property
    def failed(self) -> bool:
        return self.verdict in ("missed", "generator")

    def __str__(self) -> str:
        errors = "" if self.verdict == "not built" else f"abs {self.absolute:8.1e}  rel {self.relative:8.1e}"
        return f"{self.name:32s} {errors:27s} {self.verdict}{': ' if self.note else ''}{self.note}"


def run(folder: Path) -> Iterator[Result]:
    """Run every fixture of a folder, in the order of their names."""
    for path in sorted(folder.iterdir()):
        if (path / "spec.json").is_file():
            yield run_fixture(path)


def run_fixture(path: Path) -> Result:
    """Run one fixture; whatever goes wrong with it is its verdict."""
    try:
        fixture = Fixture.read(path)
        family = FAMILIES.get(fixture.family)
        if family is None:
            return Result(path.name, "not built", note=fixture.family)
        with torch.inference_mode():
            computed, expected = family(fixture)
    except NotBuiltError:
        return Result(path.name, "not built", note=fixture.family)
    except GeneratorError as error:
        return Result(path.name, "generator", note=str(error))
    except Exception as error:  # one broken fixture must not hide the others
        return Result(path.name, "missed", note=f"{type(error).__name__}: {error}")
    return _judge(fixture, computed, expected)


def _judge(fixture: Fixture, computed: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> Result:
    misses, absolute, relative = [], 0.0, 0.0
    for name in sorted(expected.keys() | computed.keys()):
        ours, theirs = computed.get(name), expected.get(name)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            misses.append(f"{name} (shape)")
            continue
        difference, scale = _difference(ours, theirs)
        absolute, relative = max(absolute, difference), max(relative, difference / scale)
        if not _within(fixture, name, ours, theirs):
            misses.append(name)
    return Result(fixture.path.name, "missed" if misses else "met", absolute, relative, ", ".join(misses))


def _difference(ours: NDArray[Any], theirs: NDArray[Any]) -> tuple[float, float]:
    """The largest difference, and the largest value that was expected."""
    defined = ~np.isnan(theirs.astype(np.float64))
    a, b = ours.astype(np.float64)[defined], theirs.astype(np.float64)[defined]
    return float(np.abs(a - b).max(initial=0.0)), float(np.abs(b).max(initial=1e-30))


def _within(fixture: Fixture, name: str, ours: NDArray[Any], theirs: NDArray[Any]) -> bool:
    rule = TOLERANCES.get(fixture.family)
    absolute = None if rule is None else rule(fixture, name)
    if absolute is not None:
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        return bool(np.allclose(a, b, rtol=0, atol=absolute, equal_nan=True))
    if not np.issubdtype(theirs.dtype, np.floating):
        return bool(np.array_equal(ours, theirs))
    noise = (fixture.spec.get("float32_noise") or {}).get(name, {}).get("max_abs_err_vs_float64")
    tolerance = _ABSOLUTE_WITHOUT_NOISE if noise is None else max(_ABSOLUTE, _NOISE_FACTOR * noise)
    return bool(np.allclose(ours, theirs, rtol=_RELATIVE, atol=tolerance, equal_nan=True))
