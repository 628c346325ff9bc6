from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sitsinfer.area import Area
from sitsinfer.errors import GridError, WeightsError
from sitsinfer.grid import Tiles, Window, whole, window_grid
from sitsinfer.layers import ClassInfo
from sitsinfer.patches import Patch
from sitsinfer.predict import Scored
from sitsinfer.series.types import Mask
from sitsinfer.tasks import patchwork
from sitsinfer.tasks.patchwork import NODATA
from sitsinfer.tasks.segment import FULL, Segment
from tests.fakes import CARD as FAKE
from tests.land import DATES, Land

CARD = replace(FAKE, classes=tuple(ClassInfo(code, f"class {code}", (code, 0, 0)) for code in (3, 7, 20)))


class Model:
    """Scores patches, and tells an attention of them."""

    def scores(self, patches: Iterable[Patch]) -> Iterator[NDArray[np.float32]]:
        raise NotImplementedError

    def look_at(self, patches: Iterable[Patch]) -> Iterator[Scored]:
        patches, again = tee(patches)
        return (Scored(scores, attention(patch)) for scores, patch in zip(self.scores(patches), again, strict=True))


def attention(patch: Patch) -> NDArray[np.float32]:
    """Of two heads at a quarter of the resolution, (T, 2, 4, 4): the share of each date in the sum of a band."""
    coarse = 1 + patch.values[:, :, ::4, ::4].astype(np.float32)
    return coarse / coarse.sum(axis=0)


class PixelModel(Model):
    """Sees one pixel at a time: scores are whole numbers that tell sums of its values apart."""

    def scores(self, patches: Iterable[Patch]) -> Iterator[NDArray[np.float32]]:
        for patch in patches:
            total = patch.values.astype(np.int64).sum(axis=(0, 1)) + patch.positions.sum()
            yield np.stack([total % n for n in (5, 7, 11)]).astype(np.float32)


class PatchModel(Model):
    """Sees the whole patch, as networks that normalise over it do."""

    def scores(self, patches: Iterable[Patch]) -> Iterator[NDArray[np.float32]]:
        for patch in patches:
            values = patch.values.astype(np.float64)
            mean = values.mean()
            yield np.stack([np.sin(values[0, 0] * mean), values[-1, 1] / mean, values.std(axis=(0, 1)) / mean]).astype(
                np.float32
            )


@pytest.fixture
def land(monkeypatch: pytest.MonkeyPatch) -> Land:
    return use(monkeypatch, Land(37, 53), PixelModel())


def use(monkeypatch: pytest.MonkeyPatch, land: Land, model: Any) -> Land:
    monkeypatch.setattr(patchwork, "read_stack", land.read)
    monkeypatch.setattr("sitsinfer.predict.get_predictor", lambda *args: model)
    return land


def make(land: Land, window: Window | None = None, **options: Any) -> Segment:
    bounds = window and tuple(window_grid(land.grid, window).boundingbox)
    return Segment(land.series(), replace(CARD, **options), Path("weights"), Area(bounds))


def tiled(task: Segment, size: int, shift: tuple[int, int] | None = None) -> dict[str, NDArray[Any]]:
    """The layers of the whole grid, made tile by tile."""
    area = whole(task.grid)
    mosaic = {layer.name: np.full((layer.depth, *area.shape), NODATA) for layer in task.layers}
    for tile in Tiles(area.shape, size, task.tile_shift if shift is None else shift):
        result = task.compute(task.read(tile.core), tile.core, 1)
        for name, values in result.layers.items():
            mosaic[name][:, *tile.core.slices_in(area)] = values
    return mosaic


def test_for_a_model_of_one_pixel_tiled_equals_untiled_for_every_size(land: Land) -> None:
    task = make(land, patch=16)
    untiled = PixelModel().scores(
        [Patch(land.values, land.valid, *[np.zeros(3)] * 2, task.card.encode_dates(DATES), 0)]
    )
    expected = np.array([3, 7, 20])[next(untiled).argmax(axis=0)]
    seen = land.valid.any(axis=0) & all_dates_seen(land, task)
    for size in range(1, 301):
        np.testing.assert_array_equal(tiled(task, size)["classes"][0][seen], expected[seen])


def test_for_a_model_of_one_pixel_tiled_equals_untiled_on_every_raster(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in range(1, 301):
        land = use(monkeypatch, Land(size, 7), PixelModel())
        land.valid[:] = True
        task = make(land, patch=16)
        untiled = PixelModel().scores(
            [Patch(land.values, land.valid, *[np.zeros(3)] * 2, task.card.encode_dates(DATES), 0)]
        )
        expected = np.array([3, 7, 20])[next(untiled).argmax(axis=0)]
        np.testing.assert_array_equal(tiled(task, 1 + size % 23 + size // 4)["classes"][0], expected, err_msg=f"{size}")


def all_dates_seen(land: Land, task: Segment) -> NDArray[np.bool_]:
    """Where no date is left out of a patch, so that a model of one pixel sees what it sees without patches."""
    seen = np.zeros(whole(land.grid).shape, bool)
    for patch in task.lattice.patches(whole(land.grid)):
        rows, cols = patch.intersection(whole(land.grid)).slices_in(whole(land.grid))
        seen[rows, cols] = land.valid[:, rows, cols].any(axis=(1, 2)).all()
    assert seen.mean() > 0.3
    return seen


@pytest.mark.parametrize(("margin", "blend"), [(0, 0), (3, 0), (3, 2), (4, 4)])
@pytest.mark.parametrize("fill", ["reflect", "constant"])
def test_tile_size_and_shift_change_nothing(
    land: Land, monkeypatch: pytest.MonkeyPatch, margin: int, blend: int, fill: str
) -> None:
    use(monkeypatch, land, PatchModel())
    task = replace(make(land, margin=margin, blend=blend, fill=fill), probabilities=True, confidence=True)
    expected = tiled(task, 1000)
    for size, shift in ((5, None), (12, None), (17, (3, 9)), (30, (0, 0))):
        for name, values in tiled(task, size, shift).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=f"{name} at {size}")


@pytest.mark.parametrize(("margin", "blend"), [(0, 0), (4, 4)])
def test_attention_does_not_depend_on_tiles_either(land: Land, margin: int, blend: int) -> None:
    task = replace(make(land, margin=margin, blend=blend, hyperparameters={"n_head": 2}), attention=True)
    expected = tiled(task, 1000)["attention"]
    assert expected.shape == (3 * 2, 37, 53)
    for size, shift in ((5, None), (17, (3, 9)), (30, (0, 0))):
        np.testing.assert_array_equal(tiled(task, size, shift)["attention"], expected)


def test_attention_is_nodata_where_a_pixel_was_not_observed_on_that_date(land: Land) -> None:
    task = replace(make(land, margin=4, blend=4, hyperparameters={"n_head": 2}), attention=True)
    found = tiled(task, 100)["attention"].reshape(3, 2, 37, 53)
    for head in (0, 1):
        np.testing.assert_array_equal(found[:, head] != NODATA, land.valid)
    everywhere = land.valid.all(axis=0)
    np.testing.assert_allclose(found[:, :, everywhere].sum(axis=0, dtype=int), 250, atol=2)


def test_attention_is_that_of_the_dates_that_a_patch_sees(land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    class LastDate(PixelModel):
        def look_at(self, patches: Iterable[Patch]) -> Iterator[Scored]:
            for found in super().look_at(patches):
                assert found.attention is not None
                last = np.zeros_like(found.attention)
                last[-1] = 1
                yield replace(found, attention=last)

    use(monkeypatch, land, LastDate())
    land.valid[:] = True
    land.valid[2, :, :20] = False
    found = tiled(replace(make(land, hyperparameters={"n_head": 2}), attention=True), 100)["attention"]
    found = found.reshape(3, 2, 37, 53)
    (edge,) = {patch.col for patch in make(land).lattice.patches(whole(land.grid)) if patch.col < 20 < patch.col + 16}
    assert (found[1, :, :, :edge] == FULL).all(), "patches that lack the third date look at the second"
    assert (found[1, :, :, edge:] == 0).all()
    assert (found[2, :, :, 20:] == FULL).all()


def test_scores_are_the_same_with_attention(land: Land) -> None:
    task = make(land, margin=4, blend=4)
    np.testing.assert_array_equal(
        tiled(replace(task, attention=True, card=replace(task.card, hyperparameters={"n_head": 2})), 20)["classes"],
        tiled(task, 20)["classes"],
    )


def test_attention_has_heads_of_every_member(land: Land) -> None:
    members = tuple(replace(FAKE.members[0], name=name) for name in "abc")
    task = replace(make(land, hyperparameters={"n_head": 2}, members=members), attention=True)
    assert task.layers[-1].bands == ("head1", "head2", "head3", "head4", "head5", "head6")


def test_masks_of_the_series_are_left_out_where_that_is_asked_for(land: Land) -> None:
    series = land.series()
    image = series.acquisitions[0].images[0]
    masked = replace(image, masks=(Mask(image.sources[0], "scl"),))
    acquisitions = (replace(series.acquisitions[0], images=(masked,)), *series.acquisitions[1:])
    task = replace(make(land), series=replace(series, acquisitions=acquisitions))
    assert task.series.acquisitions[0].images[0].masks
    without = replace(task, masks=False)
    assert [a.images[0].masks for a in without.series.acquisitions] == [()] * 3
    assert without.fingerprint() == {**task.fingerprint(), "masks": without.fingerprint()["masks"]}


def test_attention_is_asked_for_only_of_models_that_tell_it(land: Land) -> None:
    task = replace(make(land, architecture="unet3d"), attention=True)
    with pytest.raises(WeightsError, match="'fake' is a unet3d, which tells no attention.* utae, pixel_ltae"):
        _ = task.layers


def test_attention_has_its_share_of_memory(land: Land) -> None:
    task = make(land, hyperparameters={"n_head": 2})
    more = replace(task, attention=True).tile_bytes(100) - task.tile_bytes(100)
    assert more == 100 * 100 * 3 * 2 * (4 + 1 + 1)


@pytest.mark.parametrize("corner", [(0, 0), (1, 1), (5, 3), (11, 27)])
def test_an_area_holds_the_same_values_wherever_it_begins(
    land: Land, monkeypatch: pytest.MonkeyPatch, corner: tuple[int, int]
) -> None:
    use(monkeypatch, land, PatchModel())
    everything = tiled(make(land, margin=3, blend=3), 20)["classes"]
    window = Window(*corner, 21, 19)
    part = tiled(make(land, window, margin=3, blend=3), 9)["classes"]
    np.testing.assert_array_equal(part, everything[:, *window.slices_in(whole(land.grid))])


def test_what_was_never_observed_is_nodata_in_every_layer(land: Land) -> None:
    task = replace(make(land), probabilities=True, confidence=True)
    never = ~land.valid.any(axis=0)
    assert never.any()
    for values in tiled(task, 10).values():
        assert (values[:, never] == NODATA).all()
        assert (values[:, ~never] != NODATA).all()


def test_a_tile_without_a_valid_pixel_is_not_computed(land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    land.valid[:] = False
    use(monkeypatch, land, None)  # any use of the model fails
    task = make(land)
    result = task.compute(task.read(whole(task.grid)), whole(task.grid), 1)
    assert not result.layers
    assert result.valid == 0


def test_probabilities_are_the_softmax_and_confidence_its_largest(land: Land) -> None:
    layers = tiled(replace(make(land), probabilities=True, confidence=True), 100)
    seen = land.valid.any(axis=0)
    shares = layers["probabilities"][:, seen] / FULL
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=2 / FULL)
    np.testing.assert_array_equal(layers["probabilities"].max(axis=0)[seen], layers["confidence"][0][seen])
    winners = np.array([3, 7, 20])[shares.argmax(axis=0)]
    sure = np.sort(shares, axis=0)[-1] > np.sort(shares, axis=0)[-2]
    np.testing.assert_array_equal(layers["classes"][0][seen][sure], winners[sure])


def test_ignored_classes_are_never_decided_for(land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoClasses(PixelModel):
        def scores(self, patches: Iterable[Patch]) -> Iterator[NDArray[np.float32]]:
            return (values[:2] for values in super().scores(patches))

    use(monkeypatch, land, TwoClasses())
    task = make(land, ignore=(20,))
    assert set(np.unique(tiled(task, 100)["classes"])) == {3, 7, NODATA}
    assert [entry.code for entry in task.layers[0].classes] == [3, 7]


def test_reading_stays_within_the_data_and_the_patches(land: Land) -> None:
    task = make(land, Window(10, 20, 5, 5), margin=4, blend=2)
    task.read(Window(0, 0, 5, 5))
    (window,) = land.reads
    assert window.shift(10, 20).intersection(whole(land.grid)) == window.shift(10, 20)
    assert max(window.shape) <= 5 + 2 * 16


def test_every_option_that_changes_a_pixel_changes_the_fingerprint(land: Land) -> None:
    task = make(land)
    others = [
        replace(task, margin=2),
        replace(task, reference_date=DATES[1]),
        replace(task, probabilities=True),
        replace(task, attention=True),
        replace(task, masks=False),
        replace(task, precision="bf16"),
        make(land, Window(0, 0, 5, 5)),
        replace(task, card=replace(CARD, digest="1" * 64)),
        replace(task, end=DATES[1]),
        replace(task, series=replace(land.series(), grid=window_grid(land.grid, Window(0, 0, 30, 30)))),
    ]
    fingerprints = [task.fingerprint(), *(other.fingerprint() for other in others)]
    assert len({tuple(sorted(entry.items())) for entry in fingerprints}) == len(fingerprints)
    assert replace(task, batch_size=3).fingerprint() == task.fingerprint()


@pytest.mark.parametrize(("margin", "blend"), [(0, 0), (2, 2), (4, 4), (5, 3), (7, 1)])
def test_scores_fade_over_a_margin_that_is_asked_for(land: Land, margin: int, blend: int) -> None:
    task = replace(make(land, margin=3, blend=1), margin=margin)
    assert (task.lattice.margin, task.lattice.blend) == (margin, blend)


def test_a_margin_that_leaves_no_core_is_refused(land: Land) -> None:
    with pytest.raises(GridError, match="margin of 8 pixels leaves nothing of a patch of 16"):
        replace(make(land), margin=8)


def test_a_class_with_the_code_of_nodata_is_refused(land: Land) -> None:
    with pytest.raises(WeightsError, match="class code 255, which is nodata"):
        make(land, classes=(ClassInfo(255, "odd", (0, 0, 0)),))
