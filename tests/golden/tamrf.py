"""Fixtures of TAMRF, its reader, strategies, metrics and baselines: what they are filled with, and who runs which.

Each part's cases stand in a file of their own, which exports ``CASES``: from a fixture's name, without its
``tamrf_``, to a function that runs it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.golden.generator import Arrays, Fixture, GeneratorError, NotBuiltError, draw_weight

Case = Callable[[Fixture], tuple[Arrays, Arrays]]
"""From a fixture to what we compute and what is expected, by the same names."""

_PARTS = ("tamrf_baselines", "tamrf_networks", "tamrf_dates", "tamrf_metrics")

_PREDICTIONS = 2e-6
_INTERMEDIATE = 1e-5
_OPTICS = 1e-6
_NETWORKS = ("full_", "pe", "hr_encoder", "lr_encoder", "temporal_", "spatial_decoder", "dstfn_net")
_RESAMPLED = {("dataset", "c6_lr"), ("dataset", "c7_lr")}
_PREFIX = "the_modules."


def run(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Run a fixture of this family.

    Raises:
        NotBuiltError: If no part has a case for it.
    """
    case = _cases().get(_short(fixture))
    if case is None:
        raise NotBuiltError
    return case(fixture)


def tolerance(fixture: Fixture, output: str) -> float | None:
    """How far off an output may be: 0 for days, masks and choices; None for what the runner's own rule serves."""
    name, kind = _short(fixture), {entry["name"]: entry["dtype"] for entry in fixture.spec["outputs"]}[output]
    if kind != "float32":
        return 1 if (name, output) in _RESAMPLED or (name == "cli" and kind == "int16") else 0
    if name.startswith("metrics"):
        return None
    if name.startswith(("full_", "tiles_")) and output in ("lr_pred", "hr_pred"):
        return _PREDICTIONS
    return _INTERMEDIATE if name.startswith(_NETWORKS) else _OPTICS


def read_inputs(fixture: Fixture) -> Arrays:
    """Draw all inputs of a fixture, by name, and check their sums."""
    return {entry["name"]: _draw(entry) for entry in fixture.spec["inputs"]}


def read_days(fixture: Fixture, name: str) -> NDArray[np.int64] | None:
    """Days of a fixture, (batch, dates), or None where a sensor or a query is absent."""
    days = fixture.spec["days"].get(name)
    return None if days is None else np.array(days, np.int64)


def weights(fixture: Fixture) -> dict[str, Tensor]:
    """Draw all tensors of a fixture by their rules, named as in the published checkpoint, and check them."""
    return {entry["name"]: torch.from_numpy(_draw_weight(entry)) for entry in fixture.spec["state_dict"]}


def module_weights(fixture: Fixture, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of one module of the network, such as ``encoder.hr_encoder.``, named from there on."""
    start = _PREFIX + prefix
    return {name[len(start) :]: value for name, value in weights(fixture).items() if name.startswith(start)}


def _cases() -> dict[str, Case]:
    cases = dict(CASES)
    for part in _PARTS:
        try:
            module = importlib.import_module(f"tests.golden.{part}")
        except ModuleNotFoundError as error:
            if error.name != f"tests.golden.{part}":
                raise
            continue
        cases |= module.CASES
    return cases


def _short(fixture: Fixture) -> str:
    return fixture.path.name.removeprefix("tamrf_")


def _draw(entry: Mapping[str, Any]) -> NDArray[Any]:
    rs, shape = np.random.RandomState(entry["seed"]), tuple(entry["shape"])
    values = _KINDS[entry["kind"]](rs, shape, entry.get("args", {}))
    for step in entry.get("post", []):
        values[tuple(_index(axis) for axis in step["index"])] = step["value"]
    if not np.isclose(values.sum(dtype=np.float64), entry["sum"], rtol=1e-9, atol=1e-6):
        raise GeneratorError(f"input {entry['name']} sums to {values.sum(dtype=np.float64)}, not {entry['sum']}")
    return values


def _index(axis: int | list[int | None] | None) -> int | slice:
    """One axis of an index: None is all of it, [a, b] from a on and before b."""
    if axis is None:
        return slice(None)
    return slice(*axis) if isinstance(axis, list) else axis


def _landsat(rs: np.random.RandomState, shape: tuple[int, ...], _: Mapping[str, Any]) -> NDArray[Any]:
    numbers = rs.randint(100, 6000, size=shape)
    temperature = rs.randint(2750, 3150, size=(*shape[:2], *shape[3:]))
    if shape[2] >= 8:
        numbers[:, :, 7] = temperature
    return numbers.astype(np.int16)


_KINDS: dict[str, Callable[[np.random.RandomState, tuple[int, ...], Mapping[str, Any]], NDArray[Any]]] = {
    "normal": lambda rs, shape, _: rs.normal(size=shape).astype(np.float32),
    "uniform": lambda rs, shape, _: rs.uniform(0.0, 1.0, size=shape).astype(np.float32),
    "mask": lambda rs, shape, options: rs.uniform(0.0, 1.0, size=shape) < options["rate"],
    "s2_dn": lambda rs, shape, _: rs.randint(100, 6000, size=shape).astype(np.int16),
    "ls_dn": _landsat,
}


def _draw_weight(entry: Mapping[str, Any]) -> NDArray[np.float32]:
    name, shape = entry["name"], tuple(entry["shape"])
    kept = entry["rule"] == "kept"
    values = np.asarray(entry["values"] if kept else draw_weight(name, name, shape)).astype(np.float32).reshape(shape)
    first, total = float(values.flat[0]), float(values.sum(dtype=np.float64))
    if not np.allclose([first, total], [entry["first"], entry["sum"]], rtol=1e-6, atol=1e-6):
        raise GeneratorError(f"weight {name} starts with {first}, sums to {total}")
    return values


CASES: dict[str, Case] = {}
"""The network itself; all else stands with its part."""
