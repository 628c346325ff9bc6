import numpy as np

from sitsinfer.fusion.clouds import masked_rates
from tests.fusion.ground import BANDS, HR_DAYS, Ground


def test_rates_are_those_of_the_whole_image_however_it_is_read():
    ground = Ground.random((246, 300))  # more than is counted at once
    rates = masked_rates(ground, BANDS["hr"])
    assert tuple(rates) == HR_DAYS
    np.testing.assert_allclose(list(rates.values()), 1 - ground.hr.clear.mean(axis=(1, 2)))
