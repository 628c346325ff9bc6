"""True classes of parcels, as a table tells them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sitsinfer.errors import MetricError
from sitsinfer.products.attributes import Attributes

MOST_CLASSES = 1000
"""More different values than these are no classes."""

Label = int | str
"""What a class is known by: its code or its name."""


@dataclass(frozen=True)
class Truth:
    """True classes of parcels.

    Attributes:
        labels: The class of each identifier; None where it is not known.
        has_codes: Whether classes are known by their codes; else they are by their names.
        ambiguous: Identifiers that the table has with several classes.
    """

    labels: Mapping[str, Label | None]
    has_codes: bool
    ambiguous: tuple[str, ...]

    def label(self, value: Any) -> Label:
        """What a class is known by here; codes may come as text, from a table that has nothing else."""
        return int(as_text(value)) if self.has_codes else str(value)


def as_text(value: Any) -> str:
    """What identifies a parcel or a class, as text: whole numbers without the decimals that some tables give them."""
    text = str(value)
    whole = re.fullmatch(r"(-?\d+)\.0+", text)
    return whole[1] if whole else text


def read_truth(table: Attributes, identifier: str, label: str) -> Truth:
    """Read true classes.

    Args:
        table: The reference.
        identifier: Its column of identifiers.
        label: Its column of codes or of names; whole numbers as text, be it 10 or 10.0, are codes if all of it is such.

    Raises:
        OutputError: If it cannot be read.
        MetricError: If the column of classes holds none, or too many different ones.
    """
    names, values = table.read([identifier, label])
    found = {*values} - {None}
    if not 0 < len(found) <= MOST_CLASSES:
        raise MetricError(
            f"Column '{label}' of {table.path} has {len(found)} different values. "
            "Set label_column to the one of classes."
        )
    truth = Truth({}, all(isinstance(value, int) or as_text(value).isdecimal() for value in found), ())
    labels: dict[str, Label | None] = {}
    ambiguous: dict[str, None] = {}
    for name, value in zip(names, values, strict=True):
        entry = None if value is None else truth.label(value)
        key = as_text(name)
        known = labels.setdefault(key, entry)
        if known is None:
            labels[key] = entry
        elif entry not in (None, known):
            ambiguous[key] = None
    labels.pop(as_text(None), None)  # what has no identifier has no counterpart
    return replace(truth, labels={**labels, **ambiguous}, ambiguous=tuple(ambiguous))
