"""Which pixels of a parcel a model sees, where it has more than the model takes."""

import numpy as np
from numpy.typing import NDArray


def sample(identifier: str, count: int, most: int) -> NDArray[np.int64]:
    """Choose pixels of a parcel without replacement, each as likely as any other.

    The choice depends on nothing but the arguments: neither on tiles nor on the version of any library.

    Args:
        identifier: Of the parcel.
        count: How many pixels it has.
        most: How many to choose at most.

    Returns:
        Places in the list of its pixels, ascending, (min(count, most),).
    """
    raise NotImplementedError
