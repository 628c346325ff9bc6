"""The algorithms by name, each built for the bands and the weights at hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sitsinfer.errors import DeviceError, GridError, SeriesError, WeightsError
from sitsinfer.fusion.types import Algorithm
from sitsinfer.fusion.unavailable import without_weights


@dataclass(frozen=True)
class Wanted:
    """What an algorithm is built from.

    Attributes:
        available: Bands that there are, by sensor.
        model: A model folder, or its name.
        bands: Bands that are to come out; ``None``: all.
        margin: Fine pixels of context around each sub-tile, for algorithms that were published with such a tiling.
        device: Device to compute on, for networks.
        precision: Precision to compute in, likewise.
    """

    available: Mapping[str, Collection[str]]
    model: str | None = None
    bands: Sequence[str] | None = None
    margin: int | None = None
    device: str = "auto"
    precision: str = "auto"

    @property
    def narrowed(self) -> dict[str, list[str]]:
        """The bands available that are to come out, and all of a sensor that has none of them."""
        if self.bands is None:
            return {sensor: list(bands) for sensor, bands in self.available.items()}
        found = {sensor: [band for band in bands if band in self.bands] for sensor, bands in self.available.items()}
        return {sensor: found[sensor] or list(bands) for sensor, bands in self.available.items()}

    @property
    def of_hr(self) -> dict[str, list[str]]:
        """For what predicts bands of Sentinel-2 from both sensors: those that are to come out, and all of Landsat."""
        return {
            sensor: self.narrowed[sensor] if sensor == "hr" else list(self.available[sensor])
            for sensor in self.available
        }


def build(name: str, wanted: Wanted) -> Algorithm:
    """Build an algorithm.

    Raises:
        SeriesError: If there is no such algorithm, or a sensor lacks what it reads.
        WeightsError: If it needs weights that are not there, or takes none.
        GridError: If a margin is given to one that takes none.
        DeviceError: If a device or a precision is asked of one that has no choice.
    """
    if name not in ALGORITHMS:
        raise SeriesError(f"There is no algorithm '{name}'. Choose {', '.join(ALGORITHMS)}.")
    if wanted.margin is not None and name != "tamrf":
        raise GridError(f"Algorithm {name} knows how far it sees: a margin is for tamrf. Leave the margin out.")
    if wanted.model is not None and name not in NETWORKS:
        raise WeightsError(f"Algorithm {name} takes no model. Leave the model out, or choose {', '.join(NETWORKS)}.")
    if name not in NETWORKS and (wanted.device not in ("auto", "cpu") or wanted.precision not in ("auto", "fp32")):
        raise DeviceError(
            f"Algorithm {name} computes on the CPU, in one precision. Leave device and precision out, or choose "
            f"{', '.join(NETWORKS)}."
        )
    algorithm = ALGORITHMS[name](wanted)
    if set(wanted.bands or ()) <= {band for bands in algorithm.writes.values() for band in bands}:
        return algorithm
    return ALGORITHMS[name](replace(wanted, bands=None))  # so that whoever refuses a band can say which there are


def _tamrf(wanted: Wanted) -> Algorithm:
    from sitsinfer.fusion.tamrf import Tamrf

    if wanted.model is None:
        raise WeightsError(
            "No weights of TAMRF come with sitsinfer. Import the published checkpoint with 'sitsinfer models import "
            "tamrf' and give it as the model, or choose the algorithm naive, which runs at once."
        )
    algorithm = Tamrf.load(wanted.model, wanted.bands, wanted.margin, wanted.device, wanted.precision)
    _check_bands(algorithm, wanted.available)
    return algorithm


def _check_bands(algorithm: Algorithm, available: Mapping[str, Collection[str]]) -> None:
    """See that sensors that are there have all bands that a network reads.

    Raises:
        SeriesError: If one has not.
    """
    for sensor, reads in algorithm.reads.items():
        missing = [band for band in reads.bands if sensor in available and band not in available[sensor]]
        if missing:
            raise SeriesError(
                f"The {sensor} series lacks {', '.join(missing)}, which {algorithm.name} reads; it has "
                f"{', '.join(available[sensor])}. Add them, or choose an algorithm that does without, such as naive."
            )


def _naive(wanted: Wanted) -> Algorithm:
    from sitsinfer.fusion.naive import Naive

    return Naive.of(wanted.narrowed)


def _stair(wanted: Wanted) -> Algorithm:
    from sitsinfer.fusion.stair import Stair

    return Stair.of(wanted.of_hr)


def _sen2like(wanted: Wanted) -> Algorithm:
    from sitsinfer.fusion.sen2like import Sen2Like

    return Sen2Like.of(wanted.of_hr)


def _dms(wanted: Wanted) -> Algorithm:
    from sitsinfer.fusion.dms import DMS

    return DMS.of(wanted.available)


def _dstfn(wanted: Wanted) -> Algorithm:
    from sitsinfer.fusion.dstfn import Dstfn

    if wanted.model is None:
        raise without_weights("dstfn")
    return Dstfn.load(wanted.model, wanted.available, wanted.device, wanted.precision)


def _dsen2(wanted: Wanted) -> Algorithm:
    from sitsinfer.fusion.dsen2 import DSen2

    if wanted.model is None:
        raise without_weights("dsen2")
    algorithm = DSen2.load(wanted.model, wanted.device, wanted.precision)
    _check_bands(algorithm, wanted.available)
    return algorithm


def _unavailable(name: str) -> Callable[[Wanted], Algorithm]:
    def refuse(wanted: Wanted) -> Algorithm:
        raise without_weights(name)

    return refuse


NETWORKS = ("tamrf", "dstfn", "dsen2")
"""Algorithms that take a model."""

ALGORITHMS: Mapping[str, Callable[[Wanted], Algorithm]] = {
    "tamrf": _tamrf,
    "naive": _naive,
    "stair": _stair,
    "sen2like": _sen2like,
    "dms": _dms,
    "dstfn": _dstfn,
    "dsen2": _dsen2,
    "deepharmo": _unavailable("deepharmo"),
    "utilise": _unavailable("utilise"),
}
"""How to build each; its libraries are imported only then."""
