from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sitsinfer.area import Area
from sitsinfer.attention import FULL, LEAST, NODATA, cloud_scores
from sitsinfer.errors import GridError, MetricError, OutputError, ReadError, WeightsError
from sitsinfer.grid import Tiles, Window, whole, window_grid
from sitsinfer.products import dated
from sitsinfer.series.types import Mask
from sitsinfer.tasks.clouds import AttendedClouds, Clouds
from tests.land import DATES, Land
from tests.products.conftest import DatedArray
from tests.tasks.test_segment import CARD, PixelModel, make, tiled, use

HEADS = {"n_head": 2}


@pytest.fixture
def land(monkeypatch: pytest.MonkeyPatch) -> Land:
    return use(monkeypatch, Land(37, 53), PixelModel())


def task_of(land: Land, **options: Any) -> Clouds:
    card = replace(CARD, margin=4, blend=4, hyperparameters=HEADS)
    return Clouds(land.series(), card, Path("weights"), **options)


def attention_of(land: Land) -> NDArray[np.uint8]:
    """Attention as segment writes it, (T, 2, H, W)."""
    task = replace(make(land, margin=4, blend=4, hyperparameters=HEADS), attention=True)
    return tiled(task, 1000)["attention"].reshape(3, 2, 37, 53).astype(np.uint8)


@pytest.fixture
def published(land: Land, tmp_path: Path) -> dated.DatedFiles:
    layer = replace(make(land, hyperparameters=HEADS), attention=True).layers[-1]
    source = DatedArray(layer, land.grid, attention_of(land).reshape(6, 37, 53))
    dated.write(tmp_path / "att.nc", "map", [source], {"FINGERPRINT": "{}"})
    return dated.find(tmp_path / "att.nc", "attention")


def test_scores_are_those_of_attention_as_it_is(land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[NDArray[np.float32]] = []

    def spy(attention: NDArray[np.float32], observed: NDArray[np.bool_], least: float) -> NDArray[np.float32]:
        seen.append(attention)
        np.testing.assert_array_equal(observed, land.valid)
        assert least == LEAST
        return cloud_scores(attention, observed, least)

    monkeypatch.setattr("sitsinfer.tasks.clouds.cloud_scores", spy)
    found = tiled(task_of(land), 1000)["cloud_score"]
    (attention,) = seen
    everywhere = land.valid.all(axis=0)
    np.testing.assert_allclose(attention[:, :, everywhere].sum(axis=0), 1, rtol=1e-5)
    expected = cloud_scores(attention, land.valid, LEAST)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(found != NODATA, known)
    np.testing.assert_array_equal(found[known], np.rint(expected[known] * FULL))
    assert found[known].std() > 10


def test_tile_size_and_shift_change_no_score(land: Land) -> None:
    task = task_of(land, threshold=0.5)
    expected = tiled(task, 1000)
    for size, shift in ((9, None), (30, (4, 7))):
        for name, values in tiled(task, size, shift).items():
            np.testing.assert_array_equal(values, expected[name])


def test_scores_of_attention_that_is_there_are_those_of_its_steps(land: Land, published: dated.DatedFiles) -> None:
    steps = attention_of(land)
    expected = cloud_scores(steps, steps[:, 0] != NODATA, 0.5)
    known = ~np.isnan(expected)
    for size in (14, 100):
        found = tiled(AttendedClouds(published, ("{}",)), size)["cloud_score"]  # type: ignore[arg-type]
        np.testing.assert_array_equal(found != NODATA, known)
        np.testing.assert_array_equal(found[known], np.rint(expected[known] * FULL))


def test_rounding_moves_scores_of_dates_that_get_much_by_little(land: Land, published: dated.DatedFiles) -> None:
    as_it_is = tiled(task_of(land), 1000)["cloud_score"].astype(int)
    rounded = tiled(AttendedClouds(published, ("{}",)), 1000)["cloud_score"].astype(int)  # type: ignore[arg-type]
    much = (attention_of(land) > 20).all(axis=1) & (as_it_is != NODATA)
    assert much.sum() > 500
    assert np.abs(as_it_is - rounded)[much].max() <= 5
    assert (as_it_is != rounded).any()


def test_an_area_of_attention_is_scored_alone(land: Land, published: dated.DatedFiles) -> None:
    window = Window(11, 27, 9, 13)
    area = Area(tuple(window_grid(land.grid, window).boundingbox))
    part = tiled(AttendedClouds(published, ("{}",), area), 5)["cloud_score"]  # type: ignore[arg-type]
    everything = tiled(AttendedClouds(published, ("{}",)), 100)["cloud_score"]  # type: ignore[arg-type]
    np.testing.assert_array_equal(part, everything[:, *window.slices_in(whole(land.grid))])
    with pytest.raises(GridError):
        AttendedClouds(published, ("{}",), Area((0.0, 0.0, 10.0, 10.0)))


def test_the_mask_is_what_scores_the_threshold_or_more(land: Land) -> None:
    layers = tiled(task_of(land, threshold=0.6), 1000)
    scores, mask = layers["cloud_score"], layers["cloud_mask"]
    np.testing.assert_array_equal(mask == 1, (scores >= 150) & (scores != NODATA))
    np.testing.assert_array_equal(mask == NODATA, scores == NODATA)
    assert 0 < (mask == 1).sum() < (mask == 0).sum()
    assert "cloud_mask" not in tiled(task_of(land), 1000)


def test_masks_of_the_series_play_no_part(land: Land) -> None:
    series = land.series()
    image = series.acquisitions[0].images[0]
    masked = replace(image, masks=(Mask(image.sources[0], "scl"),))
    acquisitions = (replace(series.acquisitions[0], images=(masked,)), *series.acquisitions[1:])
    task = replace(task_of(land), series=replace(series, acquisitions=acquisitions))
    assert [a.images[0].masks for a in task.series.acquisitions] == [()] * 3


def test_a_tile_without_a_valid_pixel_is_not_computed(land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    land.valid[:] = False
    use(monkeypatch, land, None)  # any use of the model fails
    task = task_of(land)
    assert not task.compute(task.read(whole(task.grid)), whole(task.grid), 1).layers


def test_a_date_alone_has_nothing_to_be_compared_with(land: Land) -> None:
    land.valid[1:] = False
    task = task_of(land)
    result = task.compute(task.read(whole(task.grid)), whole(task.grid), 1)
    assert (result.valid, result.layers) == (0, {})


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_lies_between_0_and_1(land: Land, published: dated.DatedFiles, threshold: float) -> None:
    with pytest.raises(MetricError, match="Choose one from 0 to 1"):
        task_of(land, threshold=threshold)
    with pytest.raises(MetricError, match="Choose one from 0 to 1"):
        AttendedClouds(published, ("{}",), threshold=threshold)


def test_a_model_without_attention_is_refused(land: Land) -> None:
    with pytest.raises(WeightsError, match="tells no attention over dates"):
        Clouds(land.series(), replace(CARD, architecture="convgru"), Path("weights"))


def test_every_option_that_changes_a_score_changes_the_fingerprint(land: Land, published: dated.DatedFiles) -> None:
    task, read = task_of(land), AttendedClouds(published, ("{}",))
    assert replace(task, threshold=0.5).fingerprint() != task.fingerprint()
    assert replace(task, end=DATES[1]).fingerprint() != task.fingerprint()
    assert replace(read, threshold=0.5).fingerprint() != read.fingerprint()
    assert replace(read, made_by=("{1}",)).fingerprint() != read.fingerprint()


def test_memory_grows_with_dates_and_heads(land: Land, published: dated.DatedFiles) -> None:
    task, read = task_of(land), AttendedClouds(published, ("{}",))
    assert task.tile_bytes(100) > task.stack_bytes(100) + 100 * 100 * 3 * 2 * 6
    assert 100 * 100 * 3 * 2 < read.tile_bytes(100) < task.tile_bytes(100)


def test_attention_that_is_gone_is_an_error_of_reading(published: dated.DatedFiles) -> None:
    task = AttendedClouds(published, ("{}",))
    (tile,) = Tiles(whole(task.grid).shape, 100)
    published.dates[0].path.unlink()
    with pytest.raises(ReadError, match="Cannot read .*att.nc"):
        task.read(tile.core)
    with pytest.raises(OutputError, match="There is no .*att.nc"):
        dated.find(published.dates[0].path, "attention")
