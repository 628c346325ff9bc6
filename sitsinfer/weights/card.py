"""What a model feeds on and what it tells: ``model.json`` of a model folder."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import WeightsError
from sitsinfer.layers import ClassInfo

FORMAT = 1

Fill = Literal["reflect", "constant"]


@dataclass(frozen=True)
class Member:
    """One network of an ensemble, with the statistics that its input is normalised by.

    Attributes:
        name: Its keys in ``model.safetensors`` start with this and a dot; empty for a model of one network.
        mean: Mean reflectance of each band, (C,).
        std: Standard deviation of the reflectance of each band, (C,).
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def prefix(self) -> str:
        """What its keys in the weights start with."""
        return f"{self.name}." if self.name else ""


@dataclass(frozen=True)
class Card:
    """Everything about a model but its weights. Output k of the network is ``classes[k]``.

    Attributes:
        name: Short name, as users type it.
        title: One line for people.
        description: What it is for, what it was trained on, its scores and its limits.
        architecture: A name that :func:`sitsinfer.models.build` knows.
        hyperparameters: What the network is built with, in full.
        task: What its output means.
        sensor: Name of the sensor it was trained on, such as ``sentinel-2``.
        bands: Names of the bands that go in, in order.
        scale: Reflectance is digital number times ``scale`` plus ``offset``, in the data it was trained on. For the
            record: series bring their own scale and offset, date by date.
        offset: See ``scale``.
        positions: What dates mean to the network: days since ``reference_date``, or days of the year.
        reference_date: Day 0 of ``days``.
        patch: Height and width that it was trained on, in pixels.
        margin: Pixels on each side of a patch that are context only.
        blend: Pixels on each side of a core's border over which scores fade; at most ``margin``.
        fill: What a patch sees beyond the data: the data mirrored, or the bands' means.
        members: The networks whose scores are averaged; one or more.
        classes: The legend, in the order of the network's output.
        ignore: Codes of classes that are never predicted.
        licence: SPDX name of the licence of the weights, or words.
        citation: What to cite.
        source: Where the weights come from.
        digest: SHA-256 of ``model.safetensors``, in hexadecimal.
    """

    name: str
    title: str
    description: str
    architecture: str
    hyperparameters: dict[str, Any]
    task: Literal["segment"]
    sensor: str
    bands: tuple[str, ...]
    scale: float
    offset: float
    positions: Literal["days", "day-of-year"]
    reference_date: datetime.date
    patch: int
    margin: int
    blend: int
    fill: Fill
    members: tuple[Member, ...]
    classes: tuple[ClassInfo, ...]
    ignore: tuple[int, ...]
    licence: str
    citation: str
    source: str
    digest: str

    def __post_init__(self) -> None:
        """Check that the parts fit each other.

        Raises:
            WeightsError: If they do not.
        """
        for problem in self._problems():
            raise WeightsError(f"model.json of '{self.name}' {problem}")

    def _problems(self) -> list[str]:
        """What is wrong between fields, worded to follow the name of the file."""
        problems = []
        codes = [entry.code for entry in self.classes]
        if len(set(codes)) != len(codes):
            problems.append("gives two classes the same code. Give each class its own.")
        if strange := sorted(set(self.ignore) - set(codes)):
            problems.append(f"ignores class {strange[0]}, which it does not list. List it, or do not ignore it.")
        if not self.predicted:
            problems.append("leaves no class to predict. Ignore fewer classes.")
        if not 0 <= self.margin < self.patch / 2:
            problems.append(f"has a margin of {self.margin}, but a patch of {self.patch} needs 0 to half of that.")
        if not 0 <= self.blend <= min(self.margin, (self.patch - 2 * self.margin) // 2):
            problems.append(f"blends over {self.blend} pixels. Expected at most the margin, and half the core.")
        if len({member.name for member in self.members}) != len(self.members):
            problems.append("gives two members the same name. Give each its own.")
        for member in self.members:
            if not len(member.mean) == len(member.std) == len(self.bands):
                problems.append(
                    f"has {len(self.bands)} bands but {len(member.mean)} means and {len(member.std)} standard "
                    f"deviations. Give one of each a band."
                )
            if any(std <= 0 for std in member.std):
                problems.append("has a standard deviation of 0 or less. Leave out the band, or mend the statistics.")
        for expected, names, what in (
            (len(self.classes), ("num_classes", "n_classes"), "classes"),
            (len(self.bands), ("input_dim", "in_channel"), "bands"),
        ):
            found = _width(self.hyperparameters, names)
            if found is not None and found != expected:
                problems.append(f"lists {expected} {what} but the weights have {found}. List those of the weights.")
        return problems

    @property
    def predicted(self) -> tuple[ClassInfo, ...]:
        """The classes that can be predicted: the channels of what a predictor returns, in order."""
        return tuple(entry for entry in self.classes if entry.code not in self.ignore)

    def encode_dates(
        self, dates: Sequence[datetime.date], reference_date: datetime.date | None = None
    ) -> NDArray[np.int64]:
        """What the network takes dates as.

        Args:
            dates: One an acquisition, (T,).
            reference_date: Day 0, instead of the card's own.

        Returns:
            Days since day 0, which can be negative, or days of the year from 1 to 366, (T,).
        """
        if self.positions == "day-of-year":
            return np.array([date.timetuple().tm_yday for date in dates], np.int64)
        origin = reference_date or self.reference_date
        return np.array([(date - origin).days for date in dates], np.int64)

    def to_json(self) -> str:
        """The text of ``model.json``."""
        entries = {"format": FORMAT, **asdict(self), "reference_date": self.reference_date.isoformat()}
        return _compact(json.dumps(entries, indent=2, ensure_ascii=False)) + "\n"

    @classmethod
    def from_json(cls, text: str, path: object = "model.json") -> Self:
        """Read ``model.json``.

        Args:
            text: Its text.
            path: What an error calls it.

        Raises:
            WeightsError: If it is not JSON, of another format, or has fields that are missing, unknown or wrong.
        """
        try:
            entries = json.loads(text)
        except json.JSONDecodeError as error:
            raise WeightsError(f"{path} is not JSON: {error}. Write it anew, or fetch it again.") from error
        if not isinstance(entries, dict) or entries.pop("format", None) != FORMAT:
            raise WeightsError(f"{path} is not of format {FORMAT}, the one this version reads. Update sitsinfer.")
        if unknown := sorted(set(entries) - set(_READERS)):
            raise WeightsError(f"{path} has an unknown field '{unknown[0]}'. Expected {', '.join(_READERS)}.")
        if missing := [name for name in _READERS if name not in entries]:
            raise WeightsError(f"{path} lacks the field '{missing[0]}'. Add it.")
        return cls(**{name: _field(reader, name, entries[name], path) for name, reader in _READERS.items()})


def _width(hyperparameters: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """How many channels go in or come out, by the published names of that, where they are given."""
    if "num_classes" in names and hyperparameters.get("out_conv"):
        return cast(int, hyperparameters["out_conv"][-1])
    return next((hyperparameters[name] for name in names if name in hyperparameters), None)


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


def _field(read: Callable[[Any], Any], name: str, value: Any, path: object) -> Any:
    try:
        return read(value)
    except (ValueError, TypeError, KeyError) as error:
        shown = json.dumps(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise WeightsError(f"Field '{name}' of {path} is {shown}. Expected {_EXPECTED[read]}.") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _name(value: Any) -> str:
    if not _text(value).strip():
        raise ValueError
    return _text(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _options(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _date(value: Any) -> datetime.date:
    return datetime.date.fromisoformat(_text(value))


def _names(value: Any) -> tuple[str, ...]:
    names = tuple(_name(entry) for entry in _some(value))
    if len(set(names)) != len(names):
        raise ValueError
    return names


def _some(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError
    return value


def _codes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_whole(entry) for entry in value)


def _members(value: Any) -> tuple[Member, ...]:
    names = {field.name for field in fields(Member)}
    if any(set(entry) != names for entry in _some(value)):
        raise ValueError
    return tuple(
        Member(_text(entry["name"]), *(tuple(_number(v) for v in entry[key]) for key in ("mean", "std")))
        for entry in value
    )


def _classes(value: Any) -> tuple[ClassInfo, ...]:
    classes = tuple(ClassInfo.from_dict(entry) for entry in _some(value))
    if any(not 0 <= number <= 255 for entry in classes for number in (entry.code + 1, *entry.color)):
        raise ValueError
    return classes


def _sha256(value: Any) -> str:
    if len(_text(value)) != 64 or len(bytes.fromhex(value)) != 32:
        raise ValueError
    return cast(str, value.lower())


def _task(value: Any) -> str:
    return _one_of(value, "segment")


def _meaning(value: Any) -> str:
    return _one_of(value, "days", "day-of-year")


def _fill(value: Any) -> str:
    return _one_of(value, "reflect", "constant")


def _one_of(value: Any, *choices: str) -> str:
    if value not in choices:
        raise ValueError
    return cast(str, value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "title": _text,
    "description": _text,
    "architecture": _name,
    "hyperparameters": _options,
    "task": _task,
    "sensor": _name,
    "bands": _names,
    "scale": _number,
    "offset": _number,
    "positions": _meaning,
    "reference_date": _date,
    "patch": _whole,
    "margin": _whole,
    "blend": _whole,
    "fill": _fill,
    "members": _members,
    "classes": _classes,
    "ignore": _codes,
    "licence": _text,
    "citation": _text,
    "source": _text,
    "digest": _sha256,
}

_EXPECTED: dict[Callable[[Any], Any], str] = {
    _text: "text",
    _name: "text that is not empty",
    _whole: "a whole number from 0",
    _number: "a finite number",
    _options: "an object of hyper-parameters",
    _date: "a date such as 2018-09-01",
    _names: "a list of different names",
    _codes: "a list of class codes",
    _members: "a list of objects with name, mean and std",
    _classes: "a list of objects with code (0 to 254), name and color (three numbers from 0 to 255)",
    _sha256: "a SHA-256 in 64 hexadecimal digits",
    _task: "'segment'",
    _meaning: "'days' or 'day-of-year'",
    _fill: "'reflect' or 'constant'",
}
