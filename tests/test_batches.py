from dataclasses import replace

import numpy as np
import pytest
import torch

from sitsinfer.batches import Normalisation
from tests.fakes import patch_of


def test_normalisation_is_that_of_digital_numbers() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(1, 65535, (1, 3, 10, 5, 7)).astype(np.uint16)
    mean_dn, std_dn = rng.uniform(1000, 4000, 10), rng.uniform(500, 2000, 10)
    patch = replace(patch_of(1, (1, 2, 3)), values=numbers[0])
    found = Normalisation(mean_dn * 1e-4, std_dn * 1e-4)(torch.from_numpy(numbers), patch).numpy()
    mean32, std32 = mean_dn.astype(np.float32), std_dn.astype(np.float32)
    published = (numbers.astype(np.float32) - mean32[:, None, None]) / std32[:, None, None]
    np.testing.assert_allclose(found, published, rtol=1e-6)


def test_each_date_has_its_own_scale_and_offset() -> None:
    patch = replace(patch_of(3000), scale=np.array([1e-4, 2e-4], np.float32), offset=np.array([-0.1, 0.05], np.float32))
    x = Normalisation([0.1, 0.2], [0.1, 0.4])(torch.from_numpy(patch.values)[None], patch)
    np.testing.assert_allclose(x[0, :, :, 0, 0], [[1.0, 0.0], [5.5, 1.125]], atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "nodata", "missing"),
    [(np.uint16, 0, 0), (np.uint16, 65535, 65535), (np.int16, -9999, -9999)]
    + [(np.float32, np.nan, value) for value in (np.nan, np.inf, -np.inf)],
)
def test_what_is_missing_becomes_the_mean(dtype: type[np.generic], nodata: float, missing: float) -> None:
    patch = patch_of(1000, dtype=dtype, nodata=nodata)
    patch.values[1, 0, 2, 3] = missing
    x = Normalisation([0.4, 0.4], [0.1, 0.1])(torch.from_numpy(patch.values)[None], patch)[0]
    assert x[1, 0, 2, 3] == 0
    assert (x == 0).sum() == 1
