"""The algorithms by name, each built for the bands and the weights at hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sitsinfer.errors import SeriesError, WeightsError
from sitsinfer.fusion.types import Algorithm


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


def build(name: str, wanted: Wanted) -> Algorithm:
    """Build an algorithm.

    Raises:
        SeriesError: If there is no such algorithm, or a sensor lacks what it reads.
        WeightsError: If it needs weights that are not there.
    """
    if name not in ALGORITHMS:
        raise SeriesError(f"There is no algorithm '{name}'. Choose {', '.join(ALGORITHMS)}.")
    return ALGORITHMS[name](wanted)


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

    return Stair.of(wanted.available)


def _sen2like(wanted: Wanted) -> Algorithm:
    from sitsinfer.fusion.sen2like import Sen2Like

    return Sen2Like.of(wanted.available)


def _dms(wanted: Wanted) -> Algorithm:
    from sitsinfer.fusion.dms import DMS

    return DMS.of(wanted.available)


ALGORITHMS: Mapping[str, Callable[[Wanted], Algorithm]] = {
    "tamrf": _tamrf,
    "naive": _naive,
    "stair": _stair,
    "sen2like": _sen2like,
    "dms": _dms,
}
"""How to build each; its libraries are imported only then."""
