import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sitsinfer.errors import MetricError
from sitsinfer.metrics.ranking import ScoreCounts

SCORES = np.array([[0.1, 0.5, 0.5, 0.9], [0.3, 0.2, 0.7, 0.5]])
TRUTH = np.array([[0, 1, 0, 1], [0, 0, 1, 1]], bool)


def test_area_under_the_curve_is_that_of_scikit_learn():
    rng = np.random.default_rng(5)
    truth = rng.random((31, 70)) < 0.2
    scores = np.clip(np.rint(rng.normal(90 + 40 * truth, 50)), 0, 250) / 250  # with many ties
    assert ScoreCounts.of(scores, truth).auc == pytest.approx(roc_auc_score(truth.ravel(), scores.ravel()), abs=1e-12)
    assert ScoreCounts.of(1 - scores, ~truth).auc == pytest.approx(ScoreCounts.of(scores, truth).auc)


def test_scores_at_a_threshold_include_it():
    counts = ScoreCounts.of(SCORES, TRUTH)
    assert (counts.precision(0.5), counts.recall(0.5)) == (4 / 5, 1)
    assert (counts.precision(0.6), counts.recall(0.6)) == (1, 2 / 4)
    assert (counts.pixels, counts.share) == (8, 0.5)


@pytest.mark.parametrize("level", range(0, 250, 10))
def test_scores_in_integers_are_on_the_side_of_their_threshold(level):
    """0.1 + 0.2 is more than 0.3 to a computer, but not to a user."""
    counts = ScoreCounts.of(np.array([level]) * 0.004, np.array([True]))
    assert counts.recall(level / 250) == 1
    assert counts.recall(level / 250 + 0.004) == 0


def test_windows_add_up_to_the_whole():
    parts = [ScoreCounts.of(SCORES[:, cols], TRUTH[:, cols]) for cols in (slice(0, 1), slice(1, 1), slice(1, 4))]
    whole, total = ScoreCounts.of(SCORES, TRUTH), sum(parts, ScoreCounts.none())
    assert (total.positive == whole.positive).all()
    assert (total.negative == whole.negative).all()


def test_what_is_everywhere_or_nowhere_has_no_curve():
    assert np.isnan(ScoreCounts.of(SCORES, np.ones_like(TRUTH)).auc)
    nowhere = ScoreCounts.of(SCORES, np.zeros_like(TRUTH))
    assert np.isnan([nowhere.auc, nowhere.recall(0.5)]).all()
    assert nowhere.precision(0.5) == 0
    assert np.isnan([ScoreCounts.none().share, nowhere.precision(0.95)]).all()


@pytest.mark.parametrize("factor", [-1, 200])
def test_scores_out_of_range_are_refused(factor):
    with pytest.raises(MetricError, match=r"^Scores are \S+ to \S+\. Expected 0 to 1; set their scale\.$"):
        ScoreCounts.of(SCORES * factor, TRUTH)


def test_windows_of_another_shape_are_refused():
    with pytest.raises(MetricError, match=r"Scores have shape \(2, 4\) and truth \(1, 4\)"):
        ScoreCounts.of(SCORES, TRUTH[:1])
