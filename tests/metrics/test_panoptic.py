from functools import reduce
from operator import add

import numpy as np
import pytest

from sitsinfer.errors import MetricError
from sitsinfer.metrics.overlaps import Overlaps
from sitsinfer.metrics.panoptic import panoptic_scores
from tests.metrics.maps import blobs, lines, overlaps

VOID = 7

TRUE = lines(
    "111.22",
    "111.22",
    "333.44",
    "333.44",
)
PREDICTED = lines(
    "11..55",
    "11..55",
    "666666",
    "666666",
)


def table(scores):
    return np.stack([scores.matched, scores.spurious, scores.missed], axis=1).tolist()


def by_loops(true_instance, true_semantic, pred_instance, pred_semantic, classes):
    """The definition, pixel by pixel and pair by pair, for instances of one class and void of code 7."""
    predicted = {number: pred_instance == number for number in np.unique(pred_instance) if number}
    true = {number: true_instance == number for number in np.unique(true_instance) if number}
    void = true_semantic == VOID

    def iou(one, other):
        return (one & other).sum() / (one | other).sum()

    predicted = {
        number: pixels & ~void
        for number, pixels in predicted.items()
        if not any(iou(pixels, true[other]) > 0.5 for other in true if true_semantic[true[other]][0] == VOID)
    }
    counts = []
    for code in classes:
        ours = [pixels for pixels in predicted.values() if pixels.any() and (pred_semantic[pixels] == code).all()]
        theirs = [pixels for pixels in true.values() if (true_semantic[pixels] == code).all()]
        hits = [value for one in ours for other in theirs if (value := iou(one, other)) > 0.5]
        counts.append((len(hits), len(ours) - len(hits), len(theirs) - len(hits), sum(hits)))
    return np.array(counts)


def test_scores_are_those_counted_by_hand():
    scores = panoptic_scores(overlaps(TRUE, {1: 1, 2: 1, 3: 2, 4: 2}, PREDICTED, {1: 1, 5: 1, 6: 2}), [1, 2, 3])
    assert scores.classes == (1, 2, 3)
    assert table(scores) == [[2, 0, 0], [0, 1, 2], [0, 0, 0]], "6 of 12 pixels is not more than half"
    np.testing.assert_allclose(scores.iou, [4 / 6 + 1, 0, 0])
    np.testing.assert_allclose(scores.sq, [5 / 6, 0, 0])
    np.testing.assert_allclose(scores.rq, [1, 0, np.nan])
    np.testing.assert_allclose(scores.pq, [5 / 6, 0, np.nan])
    assert scores.true.tolist() == [2, 2, 0]
    assert scores.predicted.tolist() == [2, 1, 0]
    assert (scores.mean_sq, scores.mean_rq, scores.mean_pq) == pytest.approx((5 / 12, 1 / 2, 5 / 12))


def test_segments_of_another_class_do_not_match():
    scores = panoptic_scores(overlaps(TRUE, {1: 1, 2: 1, 3: 2, 4: 2}, TRUE, {1: 1, 2: 3, 3: 2, 4: 1}), [1, 2, 3])
    assert table(scores) == [[1, 1, 1], [1, 0, 1], [0, 1, 0]]


def test_an_instance_of_several_classes_is_a_segment_of_each():
    instance, classes = lines("11111", "11111"), lines("44499", "44499")
    scores = panoptic_scores(Overlaps.of(instance, classes, instance, np.full((2, 5), 4)), [4, 9])
    assert table(scores) == [[1, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(scores.iou, [6 / 10, 0])


@pytest.mark.parametrize(
    ("predicted", "spurious"),
    [("333333....", 0), ("..444455..", 2), ("...5555...", 1), (".......666", 1)],
    ids=["most of both", "half of the void parcel", "much of the prediction only", "apart"],
)
def test_a_prediction_that_matches_a_void_parcel_does_not_count(predicted, spurious):
    counts = overlaps(lines("11111....."), {1: VOID}, lines(predicted), {3: 1, 4: 1, 5: 1, 6: 1})
    assert panoptic_scores(counts, [1], [VOID]).spurious.tolist() == [spurious]


def test_a_prediction_mostly_on_a_larger_void_parcel_is_spurious():
    counts = overlaps(lines("11111111.."), {1: VOID}, lines(".....3333."), {3: 1})
    assert panoptic_scores(counts, [1], [VOID]).spurious.tolist() == [1]


def test_pixels_on_void_do_not_count():
    true, predicted = lines("1111222", "1111222"), lines(".222222", "......2")
    scores = panoptic_scores(overlaps(true, {1: VOID, 2: 1}, predicted, {2: 1}), [1], [VOID])
    assert table(scores) == [[1, 0, 0]]
    np.testing.assert_allclose(scores.iou, [4 / 6])


@pytest.mark.parametrize(("predicted", "spurious"), [(".2222...", 0), ("..2222..", 1), ("....3333", 0)])
def test_a_prediction_mostly_beyond_the_reference_is_no_mistake(predicted, spurious):
    true, classes = lines("....1111"), lines("77774444")
    counts = Overlaps.of(true, classes, lines(predicted), np.full((1, 8), 4))
    assert panoptic_scores(counts, [4], [VOID]).spurious.tolist() == [spurious]


def test_beyond_the_reference_the_published_code_counts_on():
    counts = Overlaps.of(lines("....1111"), lines("77774444"), lines(".2222..."), np.full((1, 8), 4))
    assert table(panoptic_scores(counts, [4], [VOID], as_published=True)) == [[0, 1, 1]]


def test_a_parcel_that_the_reference_cuts_is_found():
    true, classes = lines(".....111"), lines("77777444")
    scores = panoptic_scores(Overlaps.of(true, classes, lines(".2222222"), np.full((1, 8), 4)), [4], [VOID])
    assert table(scores) == [[1, 0, 0]]
    assert scores.sq == 1


@pytest.mark.parametrize("void", [(), (VOID,)])
@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_the_definition(seed, void):
    classes = [1, 4, 200]
    codes = [*classes, *void]
    images = [(*blobs(seed + 10, (48, 35), 14, codes), *blobs(seed + add, (48, 35), 14, codes)) for add in (10, 30)]
    for true_instance, true_semantic, found, found_classes in images:
        found, found_classes = np.roll(found, 2, axis=1), np.roll(found_classes, 2, axis=1)
        scores = panoptic_scores(Overlaps.of(true_instance, true_semantic, found, found_classes), classes, void)
        expected = by_loops(true_instance, true_semantic, found, found_classes, classes)
        np.testing.assert_allclose(np.column_stack([table(scores), scores.iou]), expected)


def test_matches_are_among_what_is_compared_with_the_definition():
    true, semantic = blobs(10, (48, 35), 14, [1, 4, 200, VOID])
    moved = by_loops(true, semantic, np.roll(true, 2, axis=1), np.roll(semantic, 2, axis=1), [1, 4, 200])
    assert moved[:, :3].sum(axis=0).min() > 0


def test_numbers_of_parcels_do_not_matter():
    drawn = np.random.default_rng(5).choice(2**32 - 1, (2, 31), replace=False) + 1
    drawn[:, 0] = 0
    true, true_classes = blobs(3, (40, 31), 30, [1, 2, VOID])
    found, found_classes = np.roll(true, 1, axis=0), np.roll(np.where(true_classes == VOID, 1, true_classes), 1, axis=0)
    plain = panoptic_scores(Overlaps.of(true, true_classes, found, found_classes), [1, 2], [VOID])
    drawn_ids = Overlaps.of(drawn[0][true], true_classes, drawn[1][found], found_classes)
    renumbered = panoptic_scores(drawn_ids, [1, 2], [VOID])
    assert table(renumbered) == table(plain)
    assert plain.matched.all()
    np.testing.assert_allclose(renumbered.iou, plain.iou)


def test_scores_of_images_add_up():
    codes = {1: 1, 2: 1, 3: 2, 4: 2}
    one = panoptic_scores(overlaps(TRUE, codes, PREDICTED, {1: 1, 5: 1, 6: 2}), [1, 2])
    other = panoptic_scores(overlaps(TRUE, codes, TRUE, codes), [1, 2])
    both = reduce(add, [one, other])
    assert table(both) == [[4, 0, 0], [2, 1, 2]]
    np.testing.assert_allclose(both.iou, [11 / 3, 2])
    with pytest.raises(MetricError, match=r"classes \(1, 2\) and \(2,\)\. Add scores of equal classes"):
        one + panoptic_scores(overlaps(TRUE, codes, TRUE, codes), [2])


def test_a_class_that_covers_the_image_is_counted_right_unless_as_published():
    true, predicted = lines("11122", "11122"), lines("33344", "33344")
    counts = overlaps(true, {1: 5, 2: 5}, predicted, {3: 5, 4: 5})
    assert table(panoptic_scores(counts, [5])) == [[2, 0, 0]]
    assert table(panoptic_scores(counts, [5], as_published=True)) == [[2, -1, -1]]
    holed = overlaps(true, {1: 5, 2: 5}, lines("33344", "3334."), {3: 5, 4: 5})
    assert table(panoptic_scores(holed, [5], as_published=True)) == [[2, 0, -1]]


def test_without_parcels_every_score_is_undefined():
    nothing = np.zeros((3, 4), np.uint8)
    for pixels in (nothing, nothing[:0]):
        scores = panoptic_scores(Overlaps.of(pixels, pixels, pixels, pixels), [1, 2], [VOID])
        assert table(scores) == [[0, 0, 0]] * 2
        assert np.isnan([scores.mean_sq, scores.mean_rq, scores.mean_pq, *scores.pq]).all()
