import numpy as np
import pytest

from sitsinfer.series.labels import UNLABELLED
from sitsinfer.training.targets import NOBODY, find_targets, find_void

HEIGHT, WIDTH = 24, 40


def crop() -> tuple[np.ndarray, np.ndarray]:
    """Two parcels on background, one of them cut by the border, and labels that end at column 30."""
    parcels = np.zeros((HEIGHT, WIDTH), np.uint32)
    parcels[4:11, 6:17] = 70_000
    parcels[15:, 10:14] = 5
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[parcels == 70_000] = 9
    labels[parcels == 5] = 3
    labels[:, 30:] = UNLABELLED
    return labels, parcels


def test_parcels_have_boxes_centres_and_classes_in_the_order_of_their_ids() -> None:
    targets = find_targets(*crop())
    assert targets.boxes.tolist() == [[15, 10, 9, 4], [4, 6, 7, 11]]
    assert targets.centres.tolist() == [[19, 12], [7, 11]]
    assert targets.codes.tolist() == [3, 9]


def test_owners_number_the_parcels() -> None:
    labels, parcels = crop()
    targets = find_targets(labels, parcels)
    assert np.array_equal(targets.owners == 0, parcels == 5)
    assert np.array_equal(targets.owners == 1, parcels == 70_000)
    assert (targets.owners[parcels == 0] == NOBODY).all()


def test_the_heatmap_falls_off_with_the_size_of_the_parcel() -> None:
    targets = find_targets(*crop())
    assert (targets.heatmap == 1).sum() == 2
    assert targets.heatmap[7, 11] == 1
    # Standard deviations are a twentieth of 7 rows and of 11 columns.
    assert targets.heatmap[8, 11] == pytest.approx(np.exp(-0.5 * (1 / 0.35) ** 2), rel=1e-5)
    assert targets.heatmap[7, 10] == pytest.approx(np.exp(-0.5 * (1 / 0.55) ** 2), rel=1e-5)
    assert targets.heatmap[18, 11] == pytest.approx(np.exp(-0.5 * ((1 / 0.45) ** 2 + (1 / 0.2) ** 2)), rel=1e-4)


def test_centres_may_be_wider_than_those_of_the_paper() -> None:
    targets = find_targets(*crop(), spread=0.1)
    assert targets.heatmap[7, 11] == 1
    assert targets.heatmap[8, 11] == pytest.approx(np.exp(-0.5 * (1 / 0.7) ** 2), rel=1e-5)


def test_each_pixel_is_of_the_zone_of_the_nearest_parcel() -> None:
    targets = find_targets(*crop())
    assert targets.zones[23, 39] == 0
    assert targets.zones[0, 39] == 1
    # The parcels lie in rows to 10 and from 15: columns 10 to 13 are halfway at row 12.5.
    assert targets.zones[12, 12] == 1
    assert targets.zones[13, 12] == 0


def test_pixels_without_a_label_do_not_count() -> None:
    targets = find_targets(*crop())
    assert targets.counted[:, :30].all()
    assert not targets.counted[:, 30:].any()


def test_void_parcels_and_slivers_teach_nothing() -> None:
    labels, parcels = crop()
    labels[parcels == 5] = UNLABELLED
    parcels[0:2, 0:4], labels[0:2, 0:4] = 80, 4  # 8 pixels
    parcels[20:23, 20:23], labels[20:23, 20:23] = 90, 4  # 9 pixels
    targets = find_targets(labels, parcels)
    assert targets.codes.tolist() == [4, 9]
    assert (targets.heatmap == 1).sum() == 2
    for void in (5, 80):
        assert (targets.owners[parcels == void] == NOBODY).all()
        assert (targets.zones[parcels == void] == NOBODY).all()
        assert not targets.counted[parcels == void].any()
    assert targets.counted[parcels == 90].all()
    np.testing.assert_array_equal(find_void(labels, parcels), ~targets.counted)


@pytest.mark.parametrize("label", [0, UNLABELLED])
def test_a_crop_without_parcels_has_no_targets(label: int) -> None:
    targets = find_targets(np.full((8, 12), label, np.uint8), np.zeros((8, 12), np.uint32))
    assert len(targets) == 0
    assert targets.boxes.shape == (0, 4)
    assert (targets.zones == NOBODY).all()
    assert not targets.heatmap.any()
    assert targets.counted.all() == (label == 0)
