"""Fields of ``model.json``: what each kind of value must be, and how a file of them is read and written."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self, cast

from sitsinfer.errors import WeightsError

FORMAT = 1


@dataclass(frozen=True)
class Kind:
    """What a field may be.

    Attributes:
        read: From a value as JSON gives it to ours; a ``ValueError``, ``TypeError`` or ``KeyError`` if it is wrong.
        expected: What it should have been, worded to follow "Expected".
    """

    read: Callable[[Any], Any]
    expected: str


@dataclass(frozen=True)
class Document:
    """A card that is written to ``model.json`` and read from it.

    Attributes:
        kinds: What each field of the card may be, by name.
    """

    kinds: ClassVar[Mapping[str, Kind]]

    def to_json(self) -> str:
        """The text of ``model.json``: the fields in order, dates as ISO 8601."""
        entries = {"format": FORMAT, **asdict(self)}
        text = json.dumps(entries, indent=2, ensure_ascii=False, default=datetime.date.isoformat)
        return _compact(text) + "\n"

    @classmethod
    def from_json(cls, text: str, path: object = "model.json") -> Self:
        """Read ``model.json``.

        Args:
            text: Its text.
            path: What an error calls it.

        Raises:
            WeightsError: If it is not JSON, of another format, or has fields that are missing, unknown or wrong.
        """
        return cls(**read(parse(text, path), cls.kinds, path))


def parse(text: str, path: object) -> dict[str, Any]:
    """Parse ``model.json``: its fields as JSON gives them.

    Args:
        text: Its text.
        path: What an error calls it.

    Raises:
        WeightsError: If it is not JSON, or of another format.
    """
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path} is not JSON: {error}. Write it anew, or fetch it again.") from error
    if not isinstance(entries, dict) or entries.pop("format", None) != FORMAT:
        raise WeightsError(f"{path} is not of format {FORMAT}, the one this version reads. Update sitsinfer.")
    return entries


def read(entries: Mapping[str, Any], kinds: Mapping[str, Kind], path: object) -> dict[str, Any]:
    """Read all fields, each as its kind.

    Raises:
        WeightsError: If a field is missing, unknown or wrong.
    """
    if unknown := sorted(set(entries) - set(kinds)):
        raise WeightsError(f"{path} has an unknown field '{unknown[0]}'. Expected {', '.join(kinds)}.")
    if missing := [name for name in kinds if name not in entries]:
        raise WeightsError(f"{path} lacks the field '{missing[0]}'. Add it.")
    return {name: read_field(kind, name, entries[name], path) for name, kind in kinds.items()}


def read_field(kind: Kind, name: str, value: Any, path: object) -> Any:
    """Read one field.

    Raises:
        WeightsError: If it is not of its kind.
    """
    try:
        return kind.read(value)
    except (ValueError, TypeError, KeyError) as error:
        shown = json.dumps(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise WeightsError(f"Field '{name}' of {path} is {shown}. Expected {kind.expected}.") from error


def statistics_problem(bands: int, mean: tuple[float, ...], std: tuple[float, ...]) -> str | None:
    """What is wrong with the statistics of some bands, worded to follow the name of the file."""
    if not len(mean) == len(std) == bands:
        return f"has {bands} bands but {len(mean)} means and {len(std)} standard deviations. Give one of each a band."
    if any(value <= 0 for value in std):
        return "has a standard deviation of 0 or less. Leave out the band, or mend the statistics."
    return None


def text(value: Any) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise TypeError
    return value


def name(value: Any) -> str:
    """Text that is not blank."""
    if not text(value).strip():
        raise ValueError
    return text(value)


def whole(value: Any) -> int:
    """An integer from 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError
    return value


def positive(value: Any) -> int:
    """An integer from 1."""
    if not whole(value):
        raise ValueError
    return whole(value)


def number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def numbers(value: Any) -> tuple[float, ...]:
    """A list of finite numbers, which may be empty."""
    if not isinstance(value, list):
        raise TypeError
    return tuple(number(entry) for entry in value)


def some(value: Any) -> list[Any]:
    """A list that is not empty."""
    if not isinstance(value, list) or not value:
        raise ValueError
    return value


def names(value: Any) -> tuple[str, ...]:
    """A list of one or more names, each there once."""
    found = tuple(name(entry) for entry in some(value))
    if len(set(found)) != len(found):
        raise ValueError
    return found


def date(value: Any) -> datetime.date:
    """A date in ISO 8601."""
    return datetime.date.fromisoformat(text(value))


def options(value: Any) -> dict[str, Any]:
    """An object of anything."""
    if not isinstance(value, dict):
        raise TypeError
    return value


def one_of(*choices: str) -> Kind:
    """One of some words."""

    def read_choice(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return cast(str, value)

    return Kind(read_choice, " or ".join(f"'{choice}'" for choice in choices))


def _sha256(value: Any) -> str:
    if len(text(value)) != 64 or len(bytes.fromhex(value)) != 32:
        raise ValueError
    return cast(str, value.lower())


TEXT = Kind(text, "text")
NAME = Kind(name, "text that is not empty")
NAMES = Kind(names, "a list of different names")
WHOLE = Kind(whole, "a whole number from 0")
POSITIVE = Kind(positive, "a whole number from 1")
NUMBER = Kind(number, "a finite number")
DATE = Kind(date, "a date such as 2018-09-01")
HYPERPARAMETERS = Kind(options, "an object of hyper-parameters")
SHA256 = Kind(_sha256, "a SHA-256 in 64 hexadecimal digits")

NETWORK: Mapping[str, Kind] = {
    "name": NAME,
    "title": TEXT,
    "description": TEXT,
    "architecture": NAME,
    "hyperparameters": HYPERPARAMETERS,
}
"""What every card begins with: what the network is."""
PROVENANCE: Mapping[str, Kind] = {"licence": TEXT, "citation": TEXT, "source": TEXT, "digest": SHA256}
"""What every card ends with: where its weights come from."""


def _compact(text: str) -> str:
    """Put lists of plain numbers and words back on one line, as a person would write them."""
    lines: list[str] = []
    held: list[str] | None = None  # the lines of a list that is still open and plain so far
    for line in text.splitlines():
        if line.endswith("["):
            lines.extend(held or [])
            held = [line]
        elif held is None:
            lines.append(line)
        elif line.lstrip().startswith("]"):
            lines.append(held[0] + " ".join(entry.strip() for entry in held[1:]) + line.strip())
            held = None
        elif line.endswith("{"):
            lines.extend([*held, line])
            held = None
        else:
            held.append(line)
    return "\n".join(lines)
