"""What a fixture's networks and inputs are filled with, by rule, and the check that we follow it."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Arrays = dict[str, NDArray[Any]]


class NotBuiltError(Exception):
    """The fixture needs what does not exist here yet."""


class GeneratorError(Exception):
    """Weights or inputs are not what the fixture says: no verdict on the model."""


class MissError(Exception):
    """What is compared differs in kind, so that there is no number to compare."""


@dataclass(frozen=True)
class Fixture:
    """One folder of fixtures: what was computed, and what came out."""

    path: Path
    spec: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Fixture:
        return cls(path, json.loads((path / "spec.json").read_text(encoding="utf-8")))

    @property
    def family(self) -> str:
        """The family of models, or the reason why there is none here."""
        if self.spec.get("format_version") != 1 or "family" not in self.spec:
            return "another format"
        return str(self.spec["family"])

    @property
    def hyperparameters(self) -> dict[str, Any]:
        return dict(self.spec["hyperparameters"])

    def outputs(self) -> dict[str, NDArray[Any]]:
        with np.load(self.path / "outputs.npz") as arrays:
            return {name: arrays[name] for name in arrays.files}

    def positions(self) -> Tensor | None:
        positions = self.spec.get("positions")
        return None if positions is None else torch.tensor(positions["values"])

    def input(self, index: int = 0) -> Tensor:
        entry = self.spec["inputs"][index]
        values = self._derived(entry["derived_from"]) if "derived_from" in entry else draw_input(entry)
        if "sum" in entry and not _close(values.sum(dtype=np.float64), entry["sum"]):
            raise GeneratorError(f"input {entry['name']} sums to {values.sum(dtype=np.float64)}, not {entry['sum']}")
        return torch.from_numpy(values)

    def _derived(self, rule: str) -> NDArray[np.float32]:
        """Cut an input out of another fixture's, as in ``x of utae_semantic: x[1:2, 0:5]``."""
        found = re.fullmatch(r"(\w+) of (\w+): \w+\[([\d:, ]+)\]", rule)
        if found is None:
            raise GeneratorError(f"input is derived by '{rule}', which is not understood")
        name, fixture, cut = found.groups()
        source = Fixture.read(self.path.parent / fixture)
        index = [entry["name"] for entry in source.spec["inputs"]].index(name)
        slices = (part.split(":") for part in cut.split(","))
        return source.input(index).numpy()[tuple(slice(int(start), int(stop)) for start, stop in slices)]


def draw_weight(key: str, name: str, shape: Sequence[int]) -> NDArray[np.float64]:
    """Draw one entry of a state dict, from a seed that is its name."""
    rs = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF)
    size = tuple(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(size)
    if name.endswith("running_var"):
        return np.asarray(rs.uniform(0.5, 1.5, size=size))
    if name.endswith("running_mean"):
        return np.asarray(0.1 * rs.normal(size=size))
    if len(shape) == 1 and name.endswith("weight"):
        return 1.0 + 0.1 * rs.normal(size=size)
    if not name.endswith("bias") and len(shape) >= 2:
        return rs.normal(size=size) / np.sqrt(np.prod(size[1:]))
    return np.asarray(0.1 * rs.normal(size=size))


def fill_weights(
    module: nn.Module,
    kept_names: Iterable[str] = (),
    overrides: Iterable[Mapping[str, Any]] = (),
    prefix: str = "",
) -> None:
    """Fill a network by the rule.

    Args:
        module: The network.
        kept_names: Entries that keep what the constructor gave them.
        overrides: What is changed after the rule: ``name`` and ``set``, or ``mul`` and ``add``.
        prefix: Put before a name to make its seed, such as ``Fold_1:``.
    """
    changes: dict[str, list[Mapping[str, Any]]] = {}
    for change in overrides:
        changes.setdefault(change["name"], []).append(change)
    state_dict = module.state_dict()
    for name in state_dict.keys() - set(kept_names):
        values = draw_weight(prefix + name, name, state_dict[name].shape).astype(np.float32).astype(np.float64)
        for change in changes.get(name, ()):
            if "set" in change:
                values = np.full_like(values, change["set"])
            else:
                values = values * change.get("mul", 1) + change.get("add", 0)
        state_dict[name] = torch.from_numpy(values.astype(np.float32)).to(state_dict[name].dtype)
    module.load_state_dict(state_dict)


def fill_and_check(module: nn.Module, fixture: Fixture) -> None:
    """Fill a network by the rule, and compare its state dict with the fixture's.

    Raises:
        MissError: If names, order, shapes or types of the entries differ.
        GeneratorError: If the values do.
    """
    spec = fixture.spec
    fill_weights(module, spec["kept_names"], spec["overrides"])
    check_state_dict(module, spec["state_dict"])


def check_state_dict(module: nn.Module, entries: Sequence[Mapping[str, Any]]) -> None:
    """Compare a state dict with a fixture's, as :func:`fill_and_check` does."""
    state_dict = module.state_dict()
    ours = [(name, list(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in state_dict.items()]
    theirs = [(entry["name"], list(entry["shape"]), entry["dtype"]) for entry in entries]
    if ours != theirs:
        different = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), None)
        raise MissError(f"state dict has {len(ours)} entries, expected {len(theirs)}; first difference: {different}")
    for entry in entries:
        values = state_dict[entry["name"]].numpy().astype(np.float64)
        if not (_close(values.flat[0], entry["first"]) and _close(values.sum(), entry["sum"])):
            raise GeneratorError(f"weight {entry['name']} starts with {values.flat[0]}, sums to {values.sum()}")


def draw_input(entry: Mapping[str, Any]) -> NDArray[np.float32]:
    """Draw an input from its seed, and change it as the fixture says."""
    values = np.random.RandomState(entry["seed"]).normal(size=entry["shape"]).astype(np.float32)
    for step in entry.get("post", []):
        if step["op"] == "set_frames":
            values[step["sample"], step["from"] : step["to"]] = step["value"]
        elif step["op"] == "mul_add":
            values = (values.astype(np.float64) * step["mul"] + step["add"]).astype(np.float32)
        elif step["op"] == "repeat_first_pixel":
            for sample, count in zip(values, step["valid_pixels_per_sample"], strict=True):
                sample[:, :, count:] = sample[:, :, :1]
        else:
            raise GeneratorError(f"input {entry['name']} is changed by '{step['op']}', which is not understood")
    return values


def write_unit_statistics(folder: Path) -> Path:
    """Write statistics of PASTIS that leave numbers as they are, for fixtures that bring none."""
    path = folder / "NORM_S2_patch.json"
    path.write_text(json.dumps({f"Fold_{k}": {"mean": [0.0] * 10, "std": [1.0] * 10} for k in range(1, 6)}))
    return path


def _close(ours: float, theirs: float) -> bool:
    return bool(np.isclose(ours, theirs, rtol=1e-9, atol=1e-6))
