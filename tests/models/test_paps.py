import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sitsinfer import models
from sitsinfer.errors import ModelError
from sitsinfer.models.paps import Detections, PaPs
from tests.data.record_models import CASES, series
from tests.golden.generator import fill_weights

OPTIONS = {
    "input_dim": 3,
    "encoder": {name: value for name, value in CASES["utae"][1].items() if name != "input_dim"},
    "num_classes": 5,
    "shape_size": 6,
}
SPREAD = [
    {"name": "heatmap_conv.0.conv.4.weight", "mul": 8},
    {"name": "saliency_conv.conv.4.weight", "mul": 4},
    {"name": "size_mlp.6.weight", "mul": 8},
    {"name": "size_mlp.6.bias", "add": 6},
    {"name": "mask_cnn.5.bias", "add": 2},
]
"""What spreads confidences and sizes of weights that are filled by rule."""


def paps(**changes) -> PaPs:
    model = models.build("paps", {**OPTIONS, **changes}).eval()
    fill_weights(model, ["min_confidence"], SPREAD)
    return model


@pytest.fixture
def model() -> PaPs:
    return paps()


def maps_of(samples: int = 2) -> list[torch.Tensor]:
    """Decoder maps of patches of 16 x 24 pixels."""
    random = torch.Generator().manual_seed(3)
    shapes = ((16, 4, 6), (8, 8, 12), (8, 16, 24))
    return [torch.randn(samples, *shape, generator=random) for shape in shapes]


def test_the_published_configuration_has_the_published_size():
    model = models.build("paps", {"input_dim": 10})
    assert len(model.state_dict()) == 231
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_259_673
    assert model.min_confidence.tolist() == pytest.approx([0.2])


def test_a_centre_exceeds_its_neighbours_and_the_mean():
    heatmap = torch.full((1, 1, 5, 7), 0.1)
    heatmap[0, 0, 1, 1], heatmap[0, 0, 1, 2], heatmap[0, 0, 4, 6] = 0.9, 0.8, 0.7
    heatmap[0, 0, 4, 1] = 0.12  # a peak, but below the mean
    centres = PaPs.find_centres(heatmap, batch_mean=False)
    assert centres.shape == (1, 5, 7)
    assert centres.nonzero().tolist() == [[0, 1, 1], [0, 4, 6]]


def test_a_centre_exceeds_the_mean_of_its_batch_only_where_that_is_asked_for():
    heatmap = torch.zeros(2, 1, 5, 7)
    heatmap[0, 0, 2, 3] = 0.05
    heatmap[1] = 0.6
    heatmap[1, 0, 0, 6] = 0.9
    assert PaPs.find_centres(heatmap, batch_mean=False).nonzero().tolist() == [[0, 2, 3], [1, 0, 6]]
    published = PaPs.find_centres(heatmap, batch_mean=True)
    assert not published[0].any()
    assert published[1].sum() == 35 - 4 + 1  # all of the level ground but what the peak overlooks


@pytest.mark.parametrize("batch_mean", [True, False])
def test_a_flat_heatmap_has_no_centre_however_its_mean_is_rounded(batch_mean):
    values = torch.linspace(0.01, 0.99, 99)
    heatmap = values[:, None, None, None].expand(99, 1, 16, 24).contiguous()
    assert (heatmap.mean(dim=(1, 2, 3)) < values).any()
    for image in heatmap:
        assert not PaPs.find_centres(image[None], batch_mean=batch_mean).any()


def test_parcels_are_described_by_the_features_at_their_centre_of_all_resolutions(model):
    maps = maps_of()
    model.class_mlp = nn.Identity()
    places = [(0, 0, 0), (0, 15, 23), (1, 6, 13)]
    features = model.describe(maps, torch.tensor(places)).scores
    for row, (sample, r, c) in zip(features, places, strict=True):
        parts = [maps[0][sample, :, r // 4, c // 4], maps[1][sample, :, r // 2, c // 2], maps[2][sample, :, r, c]]
        assert torch.equal(row, torch.cat(parts))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_any_number_of_parcels_is_described_alike(model, count):
    where = torch.tensor([(0, 3, 20), (1, 11, 2)])
    with torch.inference_mode():
        expected, heads = model.describe(maps_of(), where), model.describe(maps_of(), where[:count])
    assert [tuple(values.shape) for values in heads] == [(count, 2), (count, 6, 6), (count, 5)]
    for ours, theirs in zip(heads, expected, strict=True):
        torch.testing.assert_close(ours, theirs[:count])
    assert (heads.sizes > 0).all()


def test_boxes_lie_around_centres_and_may_reach_beyond_the_image():
    centres = torch.tensor([[5, 9], [5, 9], [0, 23], [7, 7]])
    sizes = torch.tensor([[3.0, 4.0], [2.5, 3.5], [0.01, 0.4], [40.0, 1.5]])
    expected = [[4, 7, 3, 4], [4, 7, 2, 4], [0, 23, 1, 1], [-13, 6, 40, 2]]
    assert PaPs.boxes(centres, sizes).tolist() == expected


@pytest.mark.parametrize("mask_conv", [True, False])
@pytest.mark.parametrize(
    "box", [(3, 5, 7, 10), (-2, -4, 9, 11), (10, 18, 13, 9), (-20, -1, 60, 30), (15, 0, 1, 1), (4, 20, 3, 2)]
)
def test_a_mask_is_the_stretched_shape_cut_to_the_image_and_joined_with_its_saliency(mask_conv, box):
    model, random = paps(mask_conv=mask_conv), torch.Generator().manual_seed(1)
    shape, saliency = torch.randn(6, 6, generator=random), torch.randn(16, 24, generator=random)
    row, col, height, width = box
    rows, cols = slice(max(row, 0), min(row + height, 16)), slice(max(col, 0), min(col + width, 24))
    stretched = F.interpolate(shape[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0]
    cut, crop = stretched[rows.start - row : rows.stop - row, cols.start - col : cols.stop - col], saliency[rows, cols]
    with torch.inference_mode():
        mask = model.mask(shape, saliency, box)
        if mask_conv:
            expected = (cut + crop).sigmoid() * model.mask_cnn((cut + crop)[None, None])[0, 0]
        else:
            expected = cut.sigmoid() * crop.sigmoid()
    torch.testing.assert_close(mask, expected, rtol=1e-5, atol=1e-5)


def test_a_box_far_larger_than_the_image_takes_no_memory(model):
    with torch.inference_mode():
        mask = model.mask(torch.randn(6, 6), torch.randn(16, 24), (-500_000, -400_000, 1_000_000, 1_000_000))
    assert mask.shape == (16, 24)
    assert mask.isfinite().all()


def test_gradients_flow_through_masks(model):
    shape = torch.randn(6, 6, requires_grad=True)
    saliency = torch.randn(16, 24, requires_grad=True)
    model.mask(shape, saliency, (-2, 5, 9, 8)).square().sum().backward()
    assert (shape.grad[2:] != 0).any(dim=1).all()
    assert (saliency.grad != 0).nonzero().amin(0).tolist() == [0, 5]
    assert (saliency.grad != 0).nonzero().amax(0).tolist() == [6, 12]
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.mask_cnn.parameters())


def test_every_parameter_learns_but_the_backbones_own_output(model):
    x, days = series(padded=0)
    maps = model.train().maps(x, days)
    heads = model.describe(maps, torch.tensor([(0, 3, 20), (1, 11, 2), (1, 1, 1)]))
    mask = model.mask(heads.shapes[0], model.saliency(maps)[0, 0], (0, 16, 7, 8))
    total = sum(values.square().sum() for values in (model.heatmap(maps), heads.sizes, heads.scores, mask))
    total.backward()
    idle = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert idle == {name for name, _ in model.named_parameters() if name.startswith("encoder.out_conv.")}


def found(*parcels) -> Detections:
    """Full boxes, each given by confidence and box, with scores that tell its number."""
    confidences, boxes = zip(*parcels, strict=True)
    return Detections(
        torch.tensor([(row + height // 2, col + width // 2) for row, col, height, width in boxes]),
        torch.tensor(confidences),
        torch.arange(1.0, len(parcels) + 1)[:, None] * torch.tensor([1.0, -1.0]),
        torch.tensor(boxes),
        [torch.ones(height, width, dtype=torch.bool) for _, _, height, width in boxes],
    )


def test_the_most_confident_parcel_takes_its_pixels_first(model):
    instances, scores = model.assemble(found((0.5, (0, 0, 2, 4)), (0.9, (1, 3, 2, 3))), (3, 7))
    assert instances.tolist() == [[2, 2, 2, 2, 0, 0, 0], [2, 2, 2, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1, 0]]
    assert scores[0].tolist() == [[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 2, 2, 2, 0], [0, 0, 0, 2, 2, 2, 0]]
    assert torch.equal(scores[1], -scores[0])


def test_a_parcel_is_left_out_if_no_more_of_it_remains_than_asked_for(model):
    parcels = found((0.9, (0, 0, 2, 4)), (0.8, (0, 2, 2, 4)), (0.7, (2, 0, 1, 7)))  # half of the second remains
    assert model.assemble(parcels, (3, 7))[0].unique().tolist() == [0, 1, 3]
    assert model.assemble(parcels, (3, 7), min_remain=0.49)[0].unique().tolist() == [0, 1, 2, 3]


def test_of_equal_confidence_the_first_wins_and_an_empty_mask_takes_nothing(model):
    parcels = found((0.6, (0, 0, 2, 2)), (0.6, (0, 0, 2, 2)), (0.9, (0, 0, 2, 2)))
    parcels.masks[2][:] = False
    assert model.assemble(parcels, (2, 3))[0].tolist() == [[2, 2, 0], [2, 2, 0]]
    empty = Detections(*(values[:0] for values in parcels))
    instances, scores = model.assemble(empty, (2, 3))
    assert not instances.any()
    assert scores.shape == (2, 2, 3)


def test_detections_are_the_confident_centres_of_an_image_and_what_is_said_of_them(model):
    x, days = series()
    with torch.inference_mode():
        detections = model.detect(x, days)
        maps = model.maps(x, days)
        heatmap, saliency = model.heatmap(maps), model.saliency(maps)
        centres = model.find_centres(heatmap, batch_mean=False) & (heatmap[:, 0] >= 0.2)
        for sample, (places, confidences, scores, boxes, masks) in enumerate(detections):
            assert len(places) > 4
            assert torch.equal(places, centres[sample].nonzero())
            torch.testing.assert_close(confidences, heatmap[sample, 0][centres[sample]])
            heads = model.describe(maps, torch.cat([torch.full((len(places), 1), sample), places], dim=1))
            torch.testing.assert_close(scores, heads.scores)
            whole = model.boxes(places, heads.sizes)
            for i, box in enumerate(boxes):
                assert torch.equal(masks[i], model.mask(heads.shapes[i], saliency[sample, 0], whole[i].tolist()) > 0.4)
                assert masks[i].shape == tuple(box[2:])
                assert (box[:2] <= places[i]).all()
                assert (places[i] < box[:2] + box[2:]).all()
                assert (box[:2] >= 0).all()
                assert (box[:2] + box[2:] <= torch.tensor([16, 24])).all()


def test_what_is_found_in_an_image_does_not_depend_on_its_batch(model):
    x, days = series(samples=3, padded=0)
    x[1] = 0.3 * x[1] + 2
    with torch.inference_mode():
        maps = model.maps(x, days)
        published = model.find_centres(model.heatmap(maps), batch_mean=True)
        together = model.detect(x, days, min_confidence=0)
        for i in range(3):
            (alone,) = model.detect(x[i : i + 1], days[i : i + 1], min_confidence=0)
            assert torch.equal(alone.centres, together[i].centres)
            assert torch.equal(alone.boxes, together[i].boxes)
            assert all(torch.equal(*masks) for masks in zip(alone.masks, together[i].masks, strict=True))
            torch.testing.assert_close(alone.confidences, together[i].confidences)
            torch.testing.assert_close(alone.scores, together[i].scores)
    assert [len(image.centres) for image in together] != published.sum(dim=(1, 2)).tolist()


def test_thresholds_are_those_of_the_weights_unless_given(model):
    x, days = series(samples=1, padded=0)
    with torch.inference_mode():
        (every,) = model.detect(x, days, min_confidence=0)
        least = float(every.confidences.median())
        (confident,) = model.detect(x, days, min_confidence=least)
        assert 0 < len(confident.centres) < len(every.centres)
        assert float(confident.confidences.min()) == least
        model.load_state_dict({**model.state_dict(), "min_confidence": torch.tensor([least])})
        assert torch.equal(model.detect(x, days)[0].centres, confident.centres)
        (strict,) = model.detect(x, days, mask_threshold=0.7)
    pairs = list(zip(strict.masks, confident.masks, strict=True))
    assert all(not (high & ~low).any() for high, low in pairs)
    assert any((low & ~high).any() for high, low in pairs)


@pytest.mark.parametrize("border", [1, 3, 7, 8, 12, 40])
def test_centres_near_the_border_are_left_out_on_request_and_the_others_stay_as_they_are(model, border):
    x, positions = series()
    with torch.inference_mode():
        everywhere = model.detect(x, positions, 0.0)
        inside = model.detect(x, positions, 0.0, border=border)
    height, width = x.shape[3:]
    for whole, part in zip(everywhere, inside, strict=True):
        rows, cols = whole.centres.unbind(1)
        kept = (rows >= border) & (rows < height - border) & (cols >= border) & (cols < width - border)
        assert kept.any() == (border < 8)
        assert not kept.all()
        assert torch.equal(part.centres, whole.centres[kept])
        assert torch.equal(part.confidences, whole.confidences[kept])
        torch.testing.assert_close(part.scores, whole.scores[kept])
        assert torch.equal(part.boxes, whole.boxes[kept])
        assert [mask.shape for mask in part.masks] == [
            mask.shape for mask, is_kept in zip(whole.masks, kept, strict=True) if is_kept
        ]


def test_an_image_without_parcels_beside_one_with_a_single_parcel_is_no_error(model):
    x, days = series(padded=0)
    with torch.inference_mode():
        least = max(float(image.confidences.max()) for image in model.detect(x, days))
        detections = model.detect(x, days, min_confidence=least)
        assert sorted(len(image.masks) for image in detections) == [0, 1]
        nothing = model.detect(x, days, min_confidence=1.1)
    for image in nothing:
        assert [tuple(values.shape) for values in image[:4]] == [(0, 2), (0,), (0, 5), (0, 4)]
        assert image.masks == []


def test_confidences_keep_the_bits_that_tell_neighbours_apart_in_bfloat16(model):
    x, days = series(padded=0)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        confidences = torch.cat([image.confidences for image in model.detect(x, days)])
    assert confidences.dtype == torch.float32
    assert (confidences.bfloat16().float() != confidences).any()


def test_the_mask_network_is_left_out_on_request():
    model = paps(mask_conv=False)
    assert not any(name.startswith("mask_cnn") for name in model.state_dict())
    with torch.inference_mode():
        assert any(image.masks for image in model.detect(*series()))


def test_parcels_are_found_on_a_recurrent_backbone():
    encoder = {name: value for name, value in CASES["recunet_lstm"][1].items() if name != "input_dim"}
    model = paps(backbone="recunet", encoder=encoder)
    with torch.inference_mode():
        assert all(image.masks for image in model.detect(*series()))


def test_an_unknown_backbone_is_named_with_those_there_are():
    with pytest.raises(ModelError, match="Unknown backbone 'fpn'. Choose one of utae, recunet."):
        models.build("paps", {**OPTIONS, "backbone": "fpn"})


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("min_confidence", ("0.2", None, True, -0.1, 5, float("nan")), "a number from 0 to 1"),
        ("min_remain", ("x", False, 7, float("nan")), "a number from 0 to 1"),
        ("mask_threshold", (None, -3, [0.4], float("inf")), "a number from 0 to 1"),
        ("shape_size", ("6", 0, -2, 2.5, None, True), "a whole number, 1 or more"),
        ("mask_conv", ("false", None, 1), "true or false"),
    ],
)
def test_impossible_hyperparameters_are_named(name, values, expected):
    for value in values:
        with pytest.raises(ModelError, match=f"^{name} is .*. Expected {expected}.$"):
            models.build("paps", {**OPTIONS, name: value})


def test_thresholds_may_be_0_and_1():
    model = models.build("paps", {**OPTIONS, "min_confidence": 0, "min_remain": 1, "mask_threshold": 1.0})
    assert model.min_confidence.tolist() == [0]
    assert model.min_confidence.dtype == torch.float32
