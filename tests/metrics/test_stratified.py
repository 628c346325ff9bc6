import numpy as np
import pytest

from sitsinfer.metrics.stratified import Sample, area_weighted

COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]).T
MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000]) * 0.09
"""Olofsson et al. 2014, table 8: deforestation, forest gain, stable forest, stable non-forest; hectares of 30 m."""


def test_worked_example_of_the_paper():
    found = area_weighted(Sample.of_one_size(COUNTS), MAPPED)
    assert (found.overall.value.item(), found.overall.half_width.item()) == pytest.approx((0.95, 0.02), abs=0.005)
    np.testing.assert_allclose(found.users.value, [0.88, 0.73, 0.93, 0.96], atol=0.005)
    np.testing.assert_allclose(found.users.half_width, [0.07, 0.10, 0.04, 0.02], atol=0.005)
    np.testing.assert_allclose(found.producers.value, [0.75, 0.85, 0.93, 0.96], atol=0.005)
    np.testing.assert_allclose(found.producers.half_width, [0.21, 0.25, 0.03, 0.02], atol=0.005)
    np.testing.assert_allclose(found.areas.value, [21_158, 11_686, 285_770, 581_386], atol=0.5)
    np.testing.assert_allclose(found.areas.half_width, [6_158, 3_756, 15_510, 16_282], atol=0.5)
    assert found.joint.sum() == pytest.approx(1)
    assert (found.share, found.represented.tolist()) == (1, [True] * 4)


def test_units_without_a_size_tell_nothing_of_an_area():
    units = np.array([[2, 1], [1, 3]])
    sizes = np.array([[0.0, 2.0], [0.0, 6.0]])
    found = area_weighted(Sample(units, sizes, sizes**2), np.array([4.0, 8.0]))
    assert (found.represented.tolist(), found.share) == ([False, True], pytest.approx(8 / 12))
    np.testing.assert_allclose(found.areas.value, [2, 6])
    assert np.isnan(found.users.value).tolist() == [True, False]
    assert np.isfinite(found.areas.error).all()
    nothing = area_weighted(Sample(units, np.zeros((2, 2)), np.zeros((2, 2))), np.zeros(2))
    assert np.isnan([nothing.share, nothing.overall.value, nothing.overall.error]).all()
    assert not nothing.represented.any()


def land(rng):
    """Strata, true classes and sizes of 3 000 units; accuracy goes with size."""
    mapped = rng.choice(3, 3_000, p=(0.5, 0.4, 0.1))
    sizes = rng.gamma(2.0, 1.0, mapped.size)
    wrong = rng.random(mapped.size) < np.array([0.1, 0.25, 0.4])[mapped] / (0.5 + sizes / 4)
    return mapped, np.where(wrong, (mapped + rng.integers(1, 3, mapped.size)) % 3, mapped), sizes


def draw(rng, mapped, true, sizes, per_stratum):
    """Sample some units of each stratum."""
    drawn = np.concatenate([rng.choice(np.flatnonzero(mapped == k), n) for k, n in enumerate(per_stratum)])
    sums = np.zeros((3, 3, 3))
    for power, values in enumerate(sums):
        np.add.at(values, (true[drawn], mapped[drawn]), sizes[drawn] ** power)
    return Sample(sums[0].astype(int), sums[1], sums[2])


@pytest.mark.parametrize("equal", [True, False])
def test_intervals_hold_the_truth_as_often_as_they_say(equal):
    rng = np.random.default_rng(5)
    mapped, true, sizes = land(rng)
    sizes = np.ones_like(sizes) if equal else sizes
    areas = np.bincount(mapped, sizes)
    right = np.bincount(mapped, sizes * (mapped == true))
    truth = np.bincount(true, sizes)
    facts = np.concatenate([[right.sum() / areas.sum()], right / areas, right / truth, truth])
    found = []
    for _ in range(500):
        scores = area_weighted(draw(rng, mapped, true, sizes, (120, 90, 60)), areas)
        parts = (scores.overall, scores.users, scores.producers, scores.areas)
        found.append([np.hstack([part.value for part in parts]), np.hstack([part.error for part in parts])])
    values, errors = np.moveaxis(np.array(found), 1, 0)
    np.testing.assert_allclose(values.mean(axis=0), facts, rtol=0.025)
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), values.std(axis=0), rtol=0.12)
    covered = np.abs(values - facts) <= 1.96 * errors
    assert covered.mean() == pytest.approx(0.94, abs=0.02)


def test_scale_of_the_areas_and_of_the_sizes_do_not_matter():
    rng = np.random.default_rng(1)
    sample = draw(rng, *land(rng), (20, 30, 9))
    some = area_weighted(sample, np.array([5.0, 4, 1]))
    other = area_weighted(Sample(sample.units, 7 * sample.sizes, 49 * sample.squares), np.array([50.0, 40, 10]))
    assert some.overall.error == pytest.approx(other.overall.error)
    np.testing.assert_allclose(some.producers.error, other.producers.error)
    np.testing.assert_allclose(10 * some.areas.error, other.areas.error)


def test_a_class_without_samples_is_left_out_of_the_map():
    counts = np.array([[8, 1, 0], [2, 5, 0], [0, 1, 0]])
    found = area_weighted(Sample.of_one_size(counts), np.array([60.0, 20, 20]))
    alone = area_weighted(Sample.of_one_size(counts), np.array([60.0, 20, 0]))
    assert (found.share, found.represented.tolist()) == (0.8, [True, True, False])
    assert found.areas.value.sum() == pytest.approx(80)
    assert found.overall.value == alone.overall.value == pytest.approx(0.75 * 8 / 10 + 0.25 * 5 / 7)
    assert np.isnan([found.users.value[2], found.users.error[2]]).all()
    assert found.producers.value[2] == 0, "it is there, where the map has something else"


def test_one_sample_tells_nothing_of_its_variance():
    found = area_weighted(Sample.of_one_size(np.array([[30, 0], [0, 1]])), np.array([99.0, 1]))
    assert found.users.error.tolist() == [0, 0.5]
    assert found.overall.error == pytest.approx(0.005)
    assert found.areas.error == pytest.approx([0.5, 0.5])


def test_a_class_that_is_nowhere_has_no_accuracy():
    found = area_weighted(Sample.of_one_size(np.array([[4, 0], [0, 0]])), np.array([3.0, 0]))
    assert np.isnan([found.users.value[1], found.producers.value[1], found.producers.error[1]]).all()
    assert found.areas.value.tolist() == [3, 0]


def test_nothing_is_left_to_chance_where_all_is_known():
    found = area_weighted(Sample.of_one_size(COUNTS), COUNTS.sum(axis=0).astype(float), complete=True)
    assert found.overall.value == pytest.approx(np.trace(COUNTS) / COUNTS.sum())
    np.testing.assert_allclose(found.areas.value, COUNTS.sum(axis=1))
    assert not found.overall.error
    assert not found.users.error.any()
    assert not found.producers.error.any()
    assert not found.areas.error.any()
