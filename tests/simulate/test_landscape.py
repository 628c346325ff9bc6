"""Laws of the ground."""

import numpy as np
import pytest

from sitsinfer.simulate.landscape import Kind, survey
from sitsinfer.simulate.legend import CLASSES


@pytest.fixture(scope="module")
def ground():
    return survey(4, 2560.0, 1280.0, 128, 10.0, 3)


def test_blocks_meet_without_a_seam(ground):
    # The same ground seen in four quarters: every pixel belongs to the same unit.
    whole = ground.keys[ground.owner].reshape(128, 128)
    quarters = [[survey(4, 2560.0 + c, 1280.0 + r, 64, 10.0, 3) for c in (0, 640)] for r in (0, 640)]
    pieces = np.block([[q.keys[q.owner].reshape(64, 64) for q in row] for row in quarters])
    assert (pieces != whole).mean() < 1e-3


def test_shares_of_every_pixel_sum_to_one(ground):
    assert ground.shares.shape == (128 * 128, len(ground.keys))
    np.testing.assert_allclose(ground.shares.sum(axis=1), 1, atol=1e-6)


def test_the_owner_has_the_largest_share(ground):
    dense = ground.shares.toarray()
    np.testing.assert_array_equal(dense[np.arange(len(dense)), ground.owner], dense.max(axis=1))


def test_edges_run_through_pixels(ground):
    mixed = (ground.shares.toarray().max(axis=1) < 0.99).mean()
    assert 0.05 < mixed < 0.6


def test_parcels_are_fields_and_fields_are_parcels(ground):
    np.testing.assert_array_equal(ground.parcels > 0, ground.kinds == Kind.FIELD)
    fields = ground.parcels[ground.parcels > 0]
    assert len(np.unique(fields)) == len(fields)
    assert ground.classes.max() < len(CLASSES)


def test_fields_differ_in_size():
    ground = survey(1, 0.0, 0.0, 256, 10.0, 2)
    owner = ground.owner[ground.parcels[ground.owner] > 0]
    hectares = np.bincount(owner)[np.unique(owner)] / 100
    assert 0.5 < np.median(hectares) < 6
    assert np.quantile(hectares, 0.95) > 6 * np.quantile(hectares, 0.25)


def test_another_seed_is_another_landscape(ground):
    other = survey(5, 2560.0, 1280.0, 128, 10.0, 3)
    same = ground.classes[ground.owner] == other.classes[other.owner]
    assert same.mean() < 0.4
