"""What a classifier of parcels feeds on and what it tells: ``model.json`` of a folder with the task ``classify``."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import WeightsError
from sitsinfer.layers import ClassInfo
from sitsinfer.weights import fields
from sitsinfer.weights.card import Card, Member
from sitsinfer.weights.fields import Kind

GEOMETRIC_FEATURES = 4
"""What ``with_extra`` stands for: perimeter, pixels, share of the bounding box that they cover, perimeter by area."""

REACH = 30
"""Days before the first day of a model, and after its last one, from which acquisitions are used."""


@dataclass(frozen=True)
class ParcelCard(fields.Document):
    """Everything about a classifier of parcels but its weights. Output k of the network is ``classes[k]``.

    Attributes:
        name: Short name, as users type it.
        title: One line for people.
        description: What it is for, what it was trained on, its scores and its limits.
        architecture: A name that :func:`sitsinfer.models.build` knows.
        hyperparameters: What the network is built with, in full.
        task: What its output means: scores of a parcel.
        sensor: Name of the sensor it was trained on, such as ``sentinel-2``.
        bands: Names of the bands that go in, in order.
        scale: Reflectance is digital number times ``scale`` plus ``offset``, in the data it was trained on. For the
            record: series bring their own scale and offset, date by date.
        offset: See ``scale``.
        reference_date: Day 0 of ``days``, in the year of the data it was trained on.
        days: The dates that it takes, as days since ``reference_date`` or an anniversary of it, (T,), increasing.
        pixels: How many pixels of a parcel it sees at most; those of larger parcels are sampled.
        members: The networks whose log-probabilities are averaged; one or more. Their statistics are of bands, (C,), or
            of the bands of one date after the other, (T x C,).
        geometry_mean: Mean of each of the :data:`GEOMETRIC_FEATURES`; empty: that of the layer to be classified, as the
            published scores have it.
        geometry_std: Standard deviation of each, or empty.
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
    task: Literal["classify"]
    sensor: str
    bands: tuple[str, ...]
    scale: float
    offset: float
    reference_date: datetime.date
    days: tuple[int, ...]
    pixels: int
    members: tuple[Member, ...]
    geometry_mean: tuple[float, ...]
    geometry_std: tuple[float, ...]
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
        return [*self._class_problems(), *self._statistics_problems(), *self._width_problems()]

    def _class_problems(self) -> list[str]:
        problems = []
        codes = [entry.code for entry in self.classes]
        if len(set(codes)) != len(codes):
            problems.append("gives two classes the same code. Give each class its own.")
        if strange := sorted(set(self.ignore) - set(codes)):
            problems.append(f"ignores class {strange[0]}, which it does not list. List it, or do not ignore it.")
        if not self.predicted:
            problems.append("leaves no class to predict. Ignore fewer classes.")
        return problems

    def _statistics_problems(self) -> list[str]:
        problems = []
        if len({member.name for member in self.members}) != len(self.members):
            problems.append("gives two members the same name. Give each its own.")
        bands = len(self.bands)
        for member in self.members:
            width = bands if len(member.mean) == bands else bands * len(self.days)
            if problem := fields.statistics_problem(width, member.mean, member.std):
                problems.append(problem.replace("bands but", "bands or bands of dates but", 1))
        if self.geometry_mean or self.geometry_std:
            problem = fields.statistics_problem(GEOMETRIC_FEATURES, self.geometry_mean, self.geometry_std)
            if problem:
                problems.append(f"on geometric features: it {problem.replace('bands', 'features')}")
        return problems

    def _width_problems(self) -> list[str]:
        problems = []
        if any(later <= earlier for earlier, later in zip(self.days, self.days[1:], strict=False)):
            problems.append("has days that do not increase. List each once, the earliest first.")
        taken = self.hyperparameters
        extra = taken.get("extra_size", GEOMETRIC_FEATURES)
        if taken.get("with_extra") and extra != GEOMETRIC_FEATURES:
            problems.append(f"takes {extra} features beside pixels. Expected the {GEOMETRIC_FEATURES} geometric ones.")
        for expected, found, what in (
            (len(self.bands), taken.get("input_dim"), "bands"),
            (len(self.days), taken.get("len_max_seq", taken.get("seq_len")), "days"),
            (len(self.classes), next(iter(taken.get("mlp4", [])[-1:]), None), "classes"),
        ):
            if found is not None and found != expected:
                problems.append(f"lists {expected} {what} but the weights have {found}. List those of the weights.")
        return problems

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the keys of each network in the weights start with."""
        return tuple(member.prefix for member in self.members)

    @property
    def predicted(self) -> tuple[ClassInfo, ...]:
        """The classes that can be predicted, in order: ignored ones are dropped before anything is decided."""
        return tuple(entry for entry in self.classes if entry.code not in self.ignore)

    @property
    def takes_geometry(self) -> bool:
        """Whether the network takes the geometric features of a parcel."""
        return bool(self.hyperparameters.get("with_extra"))

    def statistics(self, member: Member) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of the reflectance that a member takes.

        Returns:
            Each (T, C), the same at all dates if the card has one of each a band.
        """
        shape = (len(self.days), len(self.bands))
        mean, std = (np.array(values, np.float32).reshape(-1, shape[1]) for values in (member.mean, member.std))
        return np.broadcast_to(mean, shape), np.broadcast_to(std, shape)

    def origin(self, dates: Sequence[datetime.date], reference_date: datetime.date | None = None) -> datetime.date:
        """Day 0 of ``days`` in the year that a series is of.

        Args:
            dates: Those of the series.
            reference_date: Day 0, instead of one that follows from ``dates``.

        Returns:
            ``reference_date``, or the anniversary of the card's own from which on most of the dates lie between the
            first and the last of ``days``; of several, the latest. The card's own if there are no dates.
        """
        if reference_date is not None:
            return reference_date
        if not dates:
            return self.reference_date
        first, last = (datetime.timedelta(days=day) for day in (self.days[0], self.days[-1]))
        years = range(min(dates).year - self.days[-1] // 365 - 1, max(dates).year + 1)
        anniversaries = [_anniversary(self.reference_date, year) for year in years]
        return max(
            anniversaries, key=lambda start: (sum(start + first <= date <= start + last for date in dates), start)
        )

    def span(self, origin: datetime.date) -> tuple[datetime.date, datetime.date]:
        """The first and the last date that it takes, where day 0 is ``origin``."""
        first, last = (origin + datetime.timedelta(self.days[at]) for at in (0, -1))
        return first, last

    def reach(self, origin: datetime.date) -> tuple[datetime.date, datetime.date]:
        """The first and the last date of acquisitions that are used: :data:`REACH` days more than :meth:`span`."""
        first, last = self.span(origin)
        return first - datetime.timedelta(REACH), last + datetime.timedelta(REACH)


def _anniversary(reference: datetime.date, year: int) -> datetime.date:
    """The same day of another year; March 1st for February 29th where there is none."""
    try:
        return reference.replace(year=year)
    except ValueError:
        return datetime.date(year, 3, 1)


def _days(value: Any) -> tuple[int, ...]:
    return tuple(fields.whole(entry) for entry in fields.some(value))


ParcelCard.kinds = {
    **fields.NETWORK,
    "task": fields.one_of("classify"),
    "sensor": fields.NAME,
    "bands": fields.NAMES,
    "scale": fields.NUMBER,
    "offset": fields.NUMBER,
    "reference_date": fields.DATE,
    "days": Kind(_days, "a list of days, whole numbers from 0"),
    "pixels": fields.POSITIVE,
    "members": Card.kinds["members"],
    "geometry_mean": Kind(fields.numbers, "a list of finite numbers, or an empty one"),
    "geometry_std": Kind(fields.numbers, "a list of finite numbers, or an empty one"),
    "classes": Card.kinds["classes"],
    "ignore": Card.kinds["ignore"],
    **fields.PROVENANCE,
}
