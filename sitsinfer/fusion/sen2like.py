"""Sen2Like's fusion: the coarse sensor's picture of a day, sharpened with detail from the fine one's last two.

After Saunier et al., "Sen2like: paving the way towards harmonization and fusion of optical data", IGARSS 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sitsinfer.fusion.clouds import masked_rates
from sitsinfer.fusion.gapfill import BYTES_PER_PIXEL, Gapfill
from sitsinfer.fusion.psf import Optics, Psf
from sitsinfer.fusion.resample import BILINEAR_REACH, bilinear, middle, nearest
from sitsinfer.fusion.spectral import PairedBands
from sitsinfer.fusion.types import RATIO, Image, Observations, Plane, Reads, fill_missing
from sitsinfer.grid import Window

_LARGEST_CORE = 330
_HIGH_PASS_REACH = 1


@dataclass(frozen=True)
class Sen2Like(PairedBands):
    """Add the detail of a straight line through two fine observations to a coarse one.

    Attributes:
        mtf: Modulation transfer, at the Nyquist frequency of fine pixels, of the blur that leaves the detail.
        max_masked_rate: Share of a fine observation that may be masked, over the whole image.
        shape: Height and width of the image in fine pixels; of an algorithm that is prepared.
        masked_rates: Share that is masked of the fine observation of each day, likewise.
    """

    mtf: float = 0.4
    max_masked_rate: float = 0.5
    shape: tuple[int, int] | None = None
    masked_rates: Mapping[int, float] | None = None

    name = "sen2like"
    strategy = "CONJLRuHR2HR"
    largest_core = _LARGEST_CORE
    device = "cpu"

    @property
    def reads(self) -> Mapping[str, Reads]:
        """Pairs of bands, as far around as bilinear and the high pass see."""
        return {"hr": Reads(self.hr, _HIGH_PASS_REACH, "repeat"), "lr": Reads(self.lr, BILINEAR_REACH, "repeat")}

    def fingerprint(self) -> object:
        """Its bands and options."""
        return {"hr": self.hr, "lr": self.lr, "mtf": self.mtf, "max_masked_rate": self.max_masked_rate}

    def working_bytes(self, core: int, dates: Mapping[str, int], queries: int) -> int:
        """One day at a time, and a few copies of it."""
        return (BYTES_PER_PIXEL + 6 * 4 * len(self.hr)) * (core + 2 * RATIO * BILINEAR_REACH) ** 2

    def prepared(self, image: Image) -> Self:
        """Count, over the whole image, how much of each fine observation is masked."""
        return replace(self, shape=image.shape, masked_rates=masked_rates(image, self.hr))

    def predict(
        self,
        inputs: Mapping[str, Observations],
        queries: Mapping[str, NDArray[np.int64]],
        core: Window,
        threads: int,
    ) -> Iterator[Plane]:
        """Predict days of the fine sensor; see the protocol, :func:`detail` and :func:`coarse_picture`."""
        fine, coarse = inputs.get("hr"), inputs.get("lr")
        if fine is None or coarse is None or not len(coarse.days):
            return
        assert self.shape is not None, "prepared comes first"
        assert self.masked_rates is not None, "prepared comes first"
        window = core.expand(_HIGH_PASS_REACH)
        within = window.intersection(Window(0, 0, *self.shape))
        fine, inner = _cut(fine, within.slices_in(window)), core.slices_in(within)
        filled = Gapfill.of(coarse)
        rates = np.array([self.masked_rates[day] for day in fine.days.tolist()])
        for index, day in enumerate(queries.get("hr", ())):
            sharp = detail(fine, rates <= self.max_masked_rate, int(day), self.mtf)
            if sharp is not None:
                yield Plane("hr", index, middle(coarse_picture(filled, int(day)), core.shape) + sharp[:, *inner])


def detail(fine: Observations, usable: NDArray[np.bool_], day: int, mtf: float) -> NDArray[np.float32] | None:
    """The high spatial frequencies of a straight line in time through the two latest usable observations until a day.

    Args:
        fine: (T, C, H, W). Mirrored at its borders.
        usable: Which dates are clear enough, (T,).
        day: Any.
        mtf: Modulation transfer, at the Nyquist frequency of fine pixels, of the blur that is taken away.

    Returns:
        (C, H, W), NaN where one of the two is not clear or a neighbour was not seen; ``None`` if there are no two.
    """
    dates = np.flatnonzero(usable & (fine.days <= day))[-2:]
    if len(dates) < 2:
        return None
    older, newer = (fill_missing(fine.values[date], np.nan) for date in dates)
    start, stop = fine.days[dates].tolist()
    line = older + np.float32((day - start) / (stop - start)) * (newer - older)
    high = Psf((Optics(1.0, mtf),) * len(line), 1.0).high_pass(line)
    return np.where(fine.clear[dates].all(axis=0), high, np.float32(np.nan))


def coarse_picture(coarse: Gapfill, day: int) -> NDArray[np.float32]:
    """What the coarse sensor saw on a day, on fine pixels.

    As published: the observation of the day, resampled linearly, where its mask lets it. Beyond what was published,
    a day without observation is filled linearly in time.

    Args:
        coarse: Of (T, C, H / 3, W / 3). Repeated at its borders.
        day: Any.

    Returns:
        (C, H, W); NaN where the coarse sensor saw nothing clear, or where a pixel that bilinear looks at has no data.
    """
    series = coarse.observed
    date = np.flatnonzero(series.days == day)
    if not len(date):
        return bilinear(coarse.on(day), RATIO)
    observed = bilinear(fill_missing(series.values[date[0]], np.nan), RATIO)
    return np.where(nearest(series.clear[date[0]], RATIO), observed, np.float32(np.nan))


def _cut(observed: Observations, pixels: tuple[slice, slice]) -> Observations:
    """Some pixels of all observations."""
    return replace(observed, values=observed.values[..., *pixels], clear=observed.clear[..., *pixels])
