"""A composed Hydra configuration, read as plain YAML: nothing is imported, instantiated or looked up outside of it.

Values may refer to others, as ``${training_module.parameters.bands}``. A reference is followed when its value is asked
for, so that those in parts of no interest, such as to environment variables, do not matter.
"""

from __future__ import annotations

import math
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sitsinfer.errors import WeightsError

FILE = "config.yaml"

_REFERENCE = re.compile(r"\$\{([\w-]+(?:\.[\w-]+)*)\}")
_MISSING = object()


@dataclass(frozen=True)
class Configuration:
    """The values of a configuration, by dotted names such as ``training_module.parameters.bands``.

    Attributes:
        entries: The tree as YAML gives it.
        path: Its file, for errors.
    """

    entries: dict[str, Any]
    path: Path

    @classmethod
    def read(cls, folder: Path) -> Configuration:
        """Read the configuration that Hydra left with a training.

        Args:
            folder: The folder that holds ``config.yaml``, or the one around its ``hydra_config``.

        Raises:
            WeightsError: If the folder or the file is missing, or the file is not plain YAML.
        """
        if not folder.is_dir():
            found = "is no folder" if folder.exists() else "does not exist"
            raise WeightsError(f"{folder} {found}. Give the folder that was published, with {FILE} in it.")
        path = next((path for path in (folder / FILE, folder / "hydra_config" / FILE) if path.is_file()), None)
        if path is None:
            raise WeightsError(f"{folder} has no {FILE}, nor has its hydra_config. Give the folder that was published.")
        try:
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise WeightsError(f"Cannot read {path}: {_reason(error)}. Expected plain YAML.") from error
        if not isinstance(entries, dict):
            raise WeightsError(f"{path} holds no configuration. Expected the file as it was published.")
        return cls(entries, path)

    def has(self, name: str) -> bool:
        """Whether there is a value of this name, or anything below it."""
        return self._find(name, ()) is not _MISSING

    def get(self, name: str) -> Any:
        """A value, with the reference that it may be followed.

        Raises:
            WeightsError: If there is none, or a reference leads nowhere, in a circle, or out of the configuration.
        """
        value = self._find(name, ())
        if value is _MISSING:
            raise WeightsError(f"{self.path} lacks '{name}'. Expected the file as it was published with the weights.")
        return value

    def integer(self, name: str) -> int:
        """A whole number from 0.

        Raises:
            WeightsError: As :meth:`get`, and if the value is something else.
        """
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(name, value, "a whole number from 0")
        return value

    def number(self, name: str) -> float:
        """A number.

        Raises:
            WeightsError: As :meth:`get`, and if the value is something else.
        """
        value = self.get(name)
        try:
            return _number(value)
        except (TypeError, ValueError) as error:
            raise self._wrong(name, value, "a number") from error

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of numbers, each of which may be a reference.

        Raises:
            WeightsError: As :meth:`get`, and if the value is something else.
        """
        value = self.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list of numbers")
        entries = [self._follow(entry, name, ()) for entry in value]
        try:
            return tuple(_number(entry) for entry in entries)
        except (TypeError, ValueError) as error:
            raise self._wrong(name, value, "a list of numbers") from error

    def _find(self, name: str, followed: tuple[str, ...]) -> Any:
        """The value of a name, or ``_MISSING``; ``followed`` are the references that led here."""
        node: Any = self.entries
        for key in name.split("."):
            if isinstance(node, dict) and key in node:
                node = node[key]
            elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            else:
                return _MISSING
            node = self._follow(node, name, followed)
        return node

    def _follow(self, value: Any, name: str, followed: tuple[str, ...]) -> Any:
        """What a value refers to, if it is a reference; else the value. ``name`` is where it stands."""
        if not isinstance(value, str) or "${" not in value:
            return value
        found = _REFERENCE.fullmatch(value.strip())
        if found is None:
            raise WeightsError(
                f"'{name}' in {self.path} is {value}, which cannot be resolved from the file alone. Expected a value, "
                f"or a reference such as ${{a.b.c}}."
            )
        target = found[1]
        if target in followed:
            raise WeightsError(f"'{name}' in {self.path} refers to itself: {' -> '.join((*followed, target))}.")
        resolved = self._find(target, (*followed, target))
        if resolved is _MISSING:
            raise WeightsError(f"'{name}' in {self.path} refers to {value}, which is not there. Add it.")
        return resolved

    def _wrong(self, name: str, value: Any, expected: str) -> WeightsError:
        return WeightsError(f"'{name}' in {self.path} is {reprlib.repr(value)}. Expected {expected}.")


def _number(value: Any) -> float:
    """A finite number; YAML 1.1, unlike Hydra, takes ``1e-3`` for text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    if not math.isfinite(float(value)):
        raise ValueError
    return float(value)


def _reason(error: Exception) -> str:
    """Why YAML cannot be read, and where, on one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    return str(error).splitlines()[0]
