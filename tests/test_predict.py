import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sitsinfer import models, weights
from sitsinfer.errors import DeviceError, WeightsError
from sitsinfer.layers import ClassInfo
from sitsinfer.patches import Patch
from sitsinfer.predict import Predictor, get_predictor
from sitsinfer.weights import Member
from tests.fakes import CARD as FAKE
from tests.fakes import patch_of

CARD = replace(
    FAKE,
    architecture="fake",
    positions="days",
    reference_date=datetime.date(2018, 9, 1),
    patch=8,
    margin=2,
    blend=1,
    members=(Member("", (0.0, 0.0), (1e-4, 1e-4)),),
    classes=tuple(ClassInfo(code, name, (0, 0, 0)) for code, name in ((0, "a"), (7, "void"), (9, "b"))),
)


class FirstBands(nn.Module):
    """Scores are the first band of the first date, the second band, and the first position."""

    def __init__(self, most: int = 99) -> None:
        super().__init__()
        self.most = most
        self.batches: list[int] = []

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        assert x.dtype == torch.float32
        assert positions.dtype == torch.int64
        assert positions.shape == x.shape[:2]
        self.batches.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError
        day = positions[:, 0, None, None].expand(len(x), *x.shape[3:])
        return torch.stack([x[:, 0, 0], x[:, 0, 1], day], dim=1)


def first_scores(found: Iterator[np.ndarray]) -> list[float]:
    return [float(scores[0, 0, 0]) for scores in found]


def test_scores_come_in_order_whatever_the_batches() -> None:
    module = FirstBands()
    patches = [patch_of(1), patch_of(2), patch_of(3), patch_of(4, (3, 9)), patch_of(5, (3,)), patch_of(6)]
    found = Predictor(CARD, [module], "cpu", batch_size=2).scores(patches)
    np.testing.assert_allclose(first_scores(found), [1, 2, 3, 4, 5, 6], rtol=1e-6)
    assert module.batches == [2, 1, 1, 1, 1]  # of equal dates only


def test_patches_of_another_scale_are_no_batch() -> None:
    module = FirstBands()
    other = replace(patch_of(2), offset=np.array([-0.1, 0], np.float32))
    found = Predictor(CARD, [module], "cpu", batch_size=2).scores([patch_of(2000), other])
    np.testing.assert_allclose(first_scores(found), [2000, -998], rtol=1e-6)
    assert module.batches == [1, 1]


def test_a_cpu_takes_one_patch_at_a_time_and_no_more_than_it_needs() -> None:
    module = FirstBands()
    taken: list[int] = []

    def patches() -> Iterator[Patch]:
        for number in range(1, 6):
            taken.append(number)
            yield patch_of(number)

    scores = Predictor(CARD, [module], "cpu").scores(patches())
    next(scores)
    assert taken == [1, 2]
    assert len(list(scores)) == 4
    assert module.batches == [1] * 5


def test_no_patches_give_no_scores() -> None:
    assert list(Predictor(CARD, [FirstBands()], "cpu").scores([])) == []


def test_the_batch_is_halved_until_it_fits() -> None:
    module = FirstBands(most=3)
    predictor = Predictor(CARD, [module], "cpu", batch_size=16)
    np.testing.assert_allclose(
        first_scores(predictor.scores(patch_of(k) for k in range(1, 12))), range(1, 12), rtol=1e-6
    )
    assert module.batches == [11, 5, 2, 2, 2, 2, 2, 1]
    module.batches.clear()
    list(predictor.scores([patch_of(1)] * 4))
    assert module.batches == [2, 2]  # it has learned


def test_a_patch_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(DeviceError, match="One patch of 8 x 8 pixels does not fit in the memory of cpu"):
        list(Predictor(CARD, [FirstBands(most=0)], "cpu").scores([patch_of(1)]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64, ">u2"])
def test_every_data_type_is_normalised(dtype: type[np.generic]) -> None:
    found = list(Predictor(CARD, [FirstBands()], "cpu").scores([patch_of(200, dtype=dtype)]))
    np.testing.assert_allclose(found[0][0], 200, rtol=1e-6)


def test_normalising_leaves_the_numbers_as_they_were() -> None:
    patch = patch_of(0.25, dtype=np.float32, nodata=np.nan)
    list(Predictor(CARD, [FirstBands()], "cpu").scores([patch]))
    assert (patch.values == 0.25).all()


def test_members_are_averaged_each_with_its_statistics() -> None:
    card = replace(CARD, members=(Member("a", (0.0, 0.0), (1e-4, 1e-4)), Member("b", (0.01, 0.0), (2e-4, 1e-4))))
    found = list(Predictor(card, [FirstBands(), FirstBands()], "cpu").scores([patch_of(300)]))
    np.testing.assert_allclose(found[0][0], (300 + 100) / 2, rtol=1e-6)


def test_networks_that_see_single_pixels_are_told_which_are_valid() -> None:
    class OwnDates(nn.Module):
        per_pixel = True

        def forward(self, x: Tensor, positions: Tensor, valid: Tensor) -> Tensor:
            assert valid.dtype == torch.bool
            return valid.sum(dim=1, keepdim=True).expand(-1, 3, -1, -1).float()

    clouded = patch_of(300)
    clouded.valid[1, 2:, 5] = False
    first, second = Predictor(CARD, [OwnDates()], "cpu", batch_size=2).scores([patch_of(300), clouded])
    assert (first == 2).all()
    np.testing.assert_array_equal(second[0], clouded.valid.sum(axis=0))


class Attentive(FirstBands):
    """Looks at dates as the first band says, with a second head that looks at the first date alone."""

    def attend(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        shares = x[:, :, 0, ::4, ::4] / x[:, :, 0, ::4, ::4].sum(dim=1, keepdim=True)
        first = torch.zeros_like(shares)
        first[:, 0] = 1
        return self(x, positions), torch.stack([shares, first])


def test_attention_is_told_where_it_is_asked_for() -> None:
    patch = patch_of(100, (5, 6, 9))
    patch.values[1] = 200
    found = list(Predictor(CARD, [Attentive()], "cpu", batch_size=2, attends=True).look_at([patch, patch_of(7), patch]))
    assert [one.attention.shape for one in found] == [(3, 2, 2, 2), (2, 2, 2, 2), (3, 2, 2, 2)]
    np.testing.assert_allclose(found[2].attention[:, :, 1, 0], [[0.25, 1], [0.5, 0], [0.25, 0]], rtol=1e-6)
    (plain,) = Predictor(CARD, [Attentive()], "cpu").look_at([patch])
    assert plain.attention is None
    np.testing.assert_array_equal(found[0].scores, plain.scores)


def test_attention_has_the_heads_of_each_member_in_order() -> None:
    card = replace(CARD, members=(Member("a", (0.0, 0.0), (1e-4, 1e-4)), Member("b", (0.01, 0.0), (1e-4, 1e-4))))
    patch = patch_of(300, (5, 9))
    patch.values[1] = 500
    (found,) = Predictor(card, [Attentive(), Attentive()], "cpu", attends=True).look_at([patch])
    shares = [[300 / 800, 1, 200 / 600, 1], [500 / 800, 0, 400 / 600, 0]]
    np.testing.assert_allclose(found.attention[:, :, 1, 0], shares, rtol=1e-6)
    np.testing.assert_allclose(found.scores[0], (300 + 200) / 2, rtol=1e-6)


def test_a_process_keeps_models_with_and_without_attention_apart(tmp_path: Path) -> None:
    options = {"input_dim": 2, "encoder_widths": [4, 4], "decoder_widths": [4, 4], "out_conv": [4, 3]}
    options |= {"n_head": 4, "d_model": 16}
    state = models.build("utae", options).state_dict()
    card = weights.save(tmp_path, replace(CARD, architecture="utae", hyperparameters=options), [state])
    (found,) = get_predictor(card, tmp_path, "cpu", "fp32", 2, None, True).look_at([patch_of(300, (5, 6, 9))])
    assert found.attention.shape == (3, 4, 4, 4)
    (found,) = get_predictor(card, tmp_path, "cpu", "fp32", 2).look_at([patch_of(300, (5, 6, 9))])
    assert found.attention is None


def test_ignored_classes_have_no_scores() -> None:
    predictor = Predictor(replace(CARD, ignore=(7,)), [FirstBands()], "cpu")
    (scores,) = predictor.scores([patch_of(300, (5, 6))])
    assert [entry.code for entry in predictor.classes] == [0, 9]
    assert scores.shape == (2, 8, 8)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[:, 0, 0], [300, 5], rtol=1e-6)


def test_scores_that_are_not_numbers_are_refused() -> None:
    class Broken(FirstBands):
        def forward(self, x: Tensor, positions: Tensor) -> Tensor:
            return super().forward(x, positions) * torch.nan

    with pytest.raises(WeightsError, match="'fake' gives scores that are not numbers in fp32"):
        list(Predictor(CARD, [Broken()], "cpu").scores([patch_of(1)]))


def test_a_network_of_other_classes_is_refused() -> None:
    card = replace(CARD, classes=CARD.classes[:2])
    with pytest.raises(WeightsError, match="lists 2 classes but the weights have 3"):
        list(Predictor(card, [FirstBands()], "cpu").scores([patch_of(1)]))


def test_lower_precision_is_used_and_named() -> None:
    class Product(nn.Module):
        def forward(self, x: Tensor, positions: Tensor) -> Tensor:
            scores = x[:, 0, 0] @ torch.eye(8)
            assert scores.dtype == torch.bfloat16
            return scores[:, None].expand(-1, 3, -1, -1)

    (scores,) = Predictor(CARD, [Product()], "cpu", "bf16").scores([patch_of(257)])
    assert scores.dtype == np.float32
    assert scores[0, 0, 0] == 256  # 257 needs more than 8 bits


def test_a_process_loads_a_model_once(tmp_path: Path) -> None:
    options = {"input_dim": 2, "encoder_widths": [4, 4], "decoder_widths": [4, 4], "out_conv": [4, 3]}
    options |= {"n_head": 4, "d_model": 16}
    state = models.build("utae", options).state_dict()
    card = weights.save(tmp_path, replace(CARD, architecture="utae", hyperparameters=options), [state])
    first = get_predictor(card, tmp_path, "cpu", "fp32", 2)
    assert get_predictor(card, tmp_path, "cpu", "fp32", 2) is first
    assert get_predictor(card, tmp_path, "cpu", "fp32", 3) is not first
    moved = replace(card, members=(Member("", (0.1, 0.1), (0.1, 0.1)),))  # same weights, other statistics
    assert get_predictor(moved, tmp_path, "cpu", "fp32", 3) is not get_predictor(card, tmp_path, "cpu", "fp32", 3)


def test_batches_change_no_more_than_the_last_bits() -> None:
    options = {"input_dim": 2, "encoder_widths": [4, 4], "decoder_widths": [4, 4], "out_conv": [4, 3]}
    torch.manual_seed(0)
    module = models.build("utae", {**options, "n_head": 4, "d_model": 16})
    module.out_conv.conv.conv[-2].bias.data.fill_(2)  # type: ignore[union-attr]  # or the last ReLU leaves zeros
    rng = np.random.default_rng(0)
    days = (3, 8, 90)
    patches = [
        replace(patch_of(1, days), values=rng.integers(1, 9999, (3, 2, 8, 8)).astype(np.uint16)) for _ in "abcde"
    ]
    card = replace(CARD, members=(Member("", (0.5, 0.5), (0.3, 0.3)),))
    single = np.stack(list(Predictor(card, [module], "cpu").scores(patches)))
    batched = np.stack(list(Predictor(card, [module], "cpu", batch_size=4).scores(patches)))
    assert single.std() > 0.01
    np.testing.assert_allclose(batched, single, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu_and_finds_its_batch() -> None:
    module = models.build("utae", {"input_dim": 2, "out_conv": [32, 3]})
    rng = np.random.default_rng(0)
    days = (3, 8, 90)
    patches = [replace(patch_of(1, days), values=rng.integers(1, 9999, (3, 2, 32, 32)).astype(np.uint16)) for _ in "ab"]
    card = replace(CARD, members=(Member("", (0.5, 0.5), (0.3, 0.3)),))
    expected = list(Predictor(card, [module], "cpu").scores(patches))
    found = list(Predictor(card, [module], "cuda", "fp32").scores(patches))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
