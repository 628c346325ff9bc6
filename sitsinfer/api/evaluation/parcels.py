"""``sitsinfer.evaluate_parcels``: how far the classes of parcels agree with a reference."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sitsinfer.api.evaluation.accuracy import Accuracy, NamedClass
from sitsinfer.api.evaluation.labels import Label, Truth, as_text, read_truth
from sitsinfer.errors import MetricError
from sitsinfer.metrics.segmentation import SegmentationScores
from sitsinfer.metrics.stratified import Sample
from sitsinfer.products.areas import SQUARE_METRES, polygon_areas
from sitsinfer.products.attributes import Attributes, open_attributes
from sitsinfer.products.classified import CLASS
from sitsinfer.series.parcels import open_parcels
from sitsinfer.series.types import listing

NAME = "class_name"
"""The column of a classified layer with the names of classes."""


@dataclass(frozen=True, eq=False)
class ParcelAccuracy:
    """How far the classes of parcels agree with a reference.

    Attributes:
        accuracy: The scores, every parcel weighing the same, and what is estimated of areas.
        by_area: The same scores, every hectare weighing the same.
        unclassified: How many parcels of the classified layer have no class; they are left out of everything.
        without_reference: Identifiers of classified parcels whose true class is not known.
        without_parcel: Identifiers of the reference that the classified layer does not have.
        ambiguous: Identifiers that have several classes in the reference, and count as not known.
    """

    accuracy: Accuracy
    by_area: SegmentationScores
    unclassified: int
    without_reference: tuple[str, ...]
    without_parcel: tuple[str, ...]
    ambiguous: tuple[str, ...]


def evaluate_parcels(
    classified: str | Path,
    reference: str | Path,
    *,
    label_column: str | None = None,
    id_column: str | None = None,
    ignore: Collection[Label] = (),
) -> ParcelAccuracy:
    """Compare the classes of parcels with a reference, parcel by parcel.

    They are joined by identifier, whole numbers with or without decimals; several parcels with one identifier are each
    compared with its class. Parcels without a class, in either layer, are left out. The reference may be a sample:
    areas, and accuracies weighted by them, are estimated for all classified parcels as
    :func:`~sitsinfer.metrics.stratified.area_weighted` says, each weighing as much as its area on the ground. Their
    errors are those of parcels drawn at random, within each mapped class or over all; where every classified parcel has
    a reference they are 0.

    Args:
        classified: A layer of parcels with the columns ``class_code`` and ``class_name``, as ``classify`` writes it.
        reference: A layer, or a table without geometries, with identifiers and true classes.
        label_column: The column of the reference with the true class, as code or as name. If None it is the first of
            ``class_code`` and ``class_name`` that there is.
        id_column: The column of identifiers in both; if None, the first one of ``classified``. ``fid`` is the number of
            a feature, in a file without such a column.
        ignore: Classes that do not count, in either layer: codes, or names if the reference has names.

    Raises:
        SitsInferError: If a file cannot be read.
        MetricError: If a column is missing or holds something else, or the two share no parcel or no class.
    """
    ours, theirs = open_attributes(Path(classified)), open_attributes(Path(reference))
    _check_columns(ours, [CLASS, NAME], "Expected parcels as 'classify' writes them.")
    identifier = id_column or ours.columns[0]
    label = label_column or next((name for name in (CLASS, NAME) if name in theirs.columns), CLASS)
    for table in (ours, theirs):
        _check_columns(table, [identifier], "Set id_column to the one of identifiers in both.")
    _check_columns(theirs, [label], "Set label_column to the one of classes.")
    truth = read_truth(theirs, identifier, label)
    parcels = _read_parcels(ours, identifier, truth.has_codes)
    _check_shared(ours, parcels, theirs, truth)
    return _score(parcels, truth, _ignored(ignore, truth))


def _ignored(classes: Collection[Label], truth: Truth) -> set[Label]:
    """Classes that do not count, as the reference knows them.

    Raises:
        MetricError: If one is given by name where it has codes.
    """
    try:
        return {truth.label(entry) for entry in classes}
    except ValueError:
        raise MetricError(f"Cannot ignore {_listed(classes)}: the reference has codes. Give codes.") from None


def _check_columns(table: Attributes, names: Sequence[str], advice: str) -> None:
    """Refuse a file without these columns.

    Raises:
        MetricError: If one is missing.
    """
    for name in names:
        if name not in table.columns:
            raise MetricError(f"{table.path} has no column '{name}', but {listing(table.columns, 14)}. {advice}")


@dataclass(frozen=True, eq=False)
class _Parcels:
    """The parcels of a classified layer.

    Attributes:
        names: Identifiers, (N,).
        labels: Their classes as the reference knows them, None for those without one, (N,).
        hectares: Their areas, (N,).
        classes: What the labels that occur stand for.
    """

    names: list[str]
    labels: list[Label | None]
    hectares: NDArray[np.float64]
    classes: Mapping[Label | None, NamedClass]


def _read_parcels(table: Attributes, identifier: str, by_code: bool) -> _Parcels:
    """Read classified parcels, with codes or names as labels."""
    identifiers, codes, names = table.read([identifier, CLASS, NAME])
    labels = codes if by_code else names
    layer = open_parcels(table.path)
    areas = [polygon_areas(layer.shapes(batch), layer.crs) for batch in layer.batches()]
    return _Parcels(
        [as_text(value) for value in identifiers],
        list(labels),
        np.concatenate([np.zeros(0), *areas]) / SQUARE_METRES,
        {label: NamedClass(code, name) for label, code, name in zip(labels, codes, names, strict=True)},
    )


def _check_shared(ours: Attributes, parcels: _Parcels, theirs: Attributes, truth: Truth) -> None:
    """Refuse layers that have nothing to do with each other.

    Raises:
        MetricError: If they share no identifier, or no class.
    """
    if not truth.labels.keys() & set(parcels.names):
        raise MetricError(
            f"{ours.path} and {theirs.path} share no identifier: the one has such as {listing(parcels.names[:2])}, the "
            f"other {listing([*truth.labels][:2])}. Set id_column to the one of identifiers in both."
        )
    found, true = ({*labels} - {None} for labels in (parcels.labels, truth.labels.values()))
    if not found:
        raise MetricError(f"No parcel of {ours.path} has a class. Expected parcels as 'classify' writes them.")
    if not found & true:
        raise MetricError(
            f"Parcels are classified as {_listed(found)}, but {theirs.path} has classes {_listed(true)}. "
            "Set label_column to codes or names of the same legend."
        )


def _listed(labels: Collection[Label | None]) -> str:
    return listing(sorted(map(str, labels)))


def _score(parcels: _Parcels, truth: Truth, ignored: Collection[Label]) -> ParcelAccuracy:
    """Compare parcels with their reference.

    Raises:
        MetricError: If none has one that counts.
    """
    true = [truth.labels.get(name) for name in parcels.names]
    labels = sorted({*parcels.labels, *true} - {None, *ignored}, key=lambda label: _order(parcels.classes, label))
    index = {label: number for number, label in enumerate(labels)}
    predicted, right = (np.array([index.get(label, -1) for label in column]) for column in (parcels.labels, true))
    is_mapped = predicted >= 0
    is_compared = is_mapped & (right >= 0)
    if not is_compared.any():
        raise MetricError("No parcel has a class that counts in both layers. Ignore fewer classes, or label more.")
    sample = _sample(right[is_compared], predicted[is_compared], parcels.hectares[is_compared], len(labels))
    mapped = np.bincount(predicted[is_mapped], parcels.hectares[is_mapped], len(labels)).astype(np.float64)
    classes = tuple(parcels.classes.get(label, _unmapped(label)) for label in labels)
    names, all_names = np.array(parcels.names, object), set(parcels.names)
    return ParcelAccuracy(
        Accuracy.of(classes, sample, mapped, int(is_mapped.sum())),
        SegmentationScores(sample.sizes),
        sum(label is None for label in parcels.labels),
        tuple(names[is_mapped & (right < 0)]),
        tuple(name for name in truth.labels if name not in all_names),
        truth.ambiguous,
    )


def _sample(
    true: NDArray[np.int64], predicted: NDArray[np.int64], hectares: NDArray[np.float64], num_classes: int
) -> Sample:
    """Count and add up parcels, (N,) each, by true and predicted class."""
    pairs = true * num_classes + predicted
    shape = num_classes, num_classes
    sums = [np.bincount(pairs, hectares**power, num_classes**2).reshape(shape).astype(np.float64) for power in range(3)]
    return Sample(sums[0].astype(np.int64), sums[1], sums[2])


def _unmapped(label: Label | None) -> NamedClass:
    """A class that no parcel is classified as."""
    return NamedClass(label if isinstance(label, int) else None, str(label))


def _order(classes: Mapping[Label | None, NamedClass], label: Label | None) -> tuple[float, str]:
    """Classes go by code, then those that have none by name."""
    found = classes.get(label, _unmapped(label))
    return (math.inf if found.code is None else found.code), found.name
