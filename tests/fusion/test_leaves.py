import numpy as np
import pytest

from sitsinfer.fusion.leaves import FEWEST_SAMPLES, LinearLeaves


def bent(samples=400, seed=1):
    """Two features, and a value that falls with the first, steeply up to a half and gently beyond."""
    features = np.random.RandomState(seed).uniform(size=(samples, 2)).astype(np.float32)
    values = 5 - 4 * np.minimum(features[:, 0], 0.5) - np.maximum(features[:, 0] - 0.5, 0) + 0.5 * features[:, 1]
    return features, values.astype(np.float32)


def test_leaves_hold_planes_and_not_steps():
    tree = LinearLeaves.fit(*bent())
    features, values = bent(seed=2)
    error = np.sqrt(np.mean((tree.predict(features.T) - values) ** 2))
    steps = np.sqrt(np.mean((tree.tree.predict(features) - values) ** 2))
    assert error < 0.03
    assert error < steps / 2


def test_a_single_leaf_extrapolates_by_a_quarter_of_what_it_has_seen():
    features = np.linspace(0, 1, 2 * FEWEST_SAMPLES - 1, dtype=np.float32)[:, None]  # too few to divide
    tree = LinearLeaves.fit(features, 10 + 2 * features[:, 0])
    at = np.array([[-9, 0.25, 1.1, 9]], np.float32)
    assert tree.predict(at) == pytest.approx([9.5, 10.5, 12.2, 12.5], abs=0.01)


def test_features_that_do_not_vary_do_no_harm():
    features, values = bent(60)
    features[:, 1] = 0.3
    assert np.isfinite(LinearLeaves.fit(features, values).predict(features.T)).all()
    features[:] = 0
    assert LinearLeaves.fit(features, values).predict(features[:2].T) == pytest.approx([values.mean()] * 2)


def test_a_sample_does_not_depend_on_those_beside_it():
    tree = LinearLeaves.fit(*bent())
    features = bent(997, seed=3)[0].T
    alone = [tree.predict(features[:, i : i + 1])[0] for i in range(0, 997, 31)]
    np.testing.assert_array_equal(tree.predict(features)[::31], alone)


def test_samples_may_have_any_shape():
    tree = LinearLeaves.fit(*bent())
    features = bent(35, seed=3)[0].T
    np.testing.assert_array_equal(tree.predict(features.reshape(2, 5, 7)), tree.predict(features).reshape(5, 7))
