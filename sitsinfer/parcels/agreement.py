"""Whether two patches see one parcel."""

import numpy as np

from sitsinfer.parcels.types import Candidate

AGREEMENT = 0.5
"""From which intersection over union on two masks of one class are one parcel."""


def agree(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates are one parcel: of one class and alike where both patches could see it.

    A patch tells its own parcels apart, so that two of its candidates never agree. What one patch sees beyond the
    other says nothing about whether they agree: only the window that both see counts, where their masks must reach
    an intersection over union of :data:`AGREEMENT`.

    Candidates with the very same centre are one parcel whatever else they are: a parcel is known by its centre.
    """
    if (one.row, one.col) == (other.row, other.col):
        return True
    return one.code == other.code and one.patch != other.patch and _overlap(one, other) >= AGREEMENT


def _overlap(one: Candidate, other: Candidate) -> float:
    """Intersection over union of two masks within the window that both patches see; 0 where they do not meet."""
    seen = one.patch.intersection(other.patch)
    shared = one.box.intersection(other.box).intersection(seen)
    if shared.is_empty:
        return 0.0
    both = np.count_nonzero(one.mask[shared.slices_in(one.box)] & other.mask[shared.slices_in(other.box)])
    if not both:
        return 0.0
    either = sum(np.count_nonzero(c.mask[c.box.intersection(seen).slices_in(c.box)]) for c in (one, other)) - both
    return float(both / either)
