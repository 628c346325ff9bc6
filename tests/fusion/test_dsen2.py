import dataclasses

import numpy as np
import pytest
import torch

from sitsinfer import weights
from sitsinfer.errors import DeviceError, WeightsError
from sitsinfer.fusion.dsen2 import BANDS_10M, BANDS_20M, DSen2, sharpen
from sitsinfer.fusion.networks import ImageNetwork, get_network
from sitsinfer.fusion.types import MISSING
from tests.data.record_models import filled
from tests.fusion.ground import BANDS, HR_DAYS, Ground, assert_equal, predict, predict_in_tiles, replaced

TINY = {"blocks": 1, "features": 4}
CLEAR = Ground.clear_sky()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder, imported from a file of tensors in order."""
    folder = tmp_path_factory.mktemp("dsen2")
    tensors = filled("dsen2", TINY).state_dict()
    torch.save({f"layer{n}": value for n, value in enumerate(tensors.values())}, folder / "L2A20M.pt")
    weights.import_dsen2(folder / "L2A20M.pt", folder / "model")
    return str(folder / "model")


def add_up(x10, x20):
    """A stand-in that shows which bands it was given, and in which order."""
    return x20 + np.arange(1, 7, dtype=np.float32)[:, None, None] * x10[:1]


def test_bands_of_20_m_are_sharpened_and_those_of_10_m_are_not():
    values = CLEAR.hr.values[0]
    sharp = sharpen(add_up, values, BANDS["hr"])
    for band, value in zip(BANDS["hr"], sharp, strict=True):
        detail = 1 + BANDS_20M.index(band) if band in BANDS_20M else 0
        assert (band in BANDS_20M) != (band in BANDS_10M)
        np.testing.assert_allclose(value, values[BANDS["hr"].index(band)] + detail * values[0], rtol=1e-6)


def test_the_network_is_given_five_times_the_reflectance():
    given = []

    def watch(x10, x20):
        given.extend((x10, x20))
        return x20

    values = CLEAR.hr.values[0]
    np.testing.assert_allclose(sharpen(watch, values, BANDS["hr"]), values, rtol=1e-6)
    np.testing.assert_allclose(given[0], 5 * values[[0, 1, 2, 6]])
    np.testing.assert_allclose(given[1], 5 * values[[3, 4, 5, 7, 8, 9]])


def test_what_is_missing_is_zero_to_the_network():
    values = CLEAR.hr.values[0].copy()
    values[:, 3:9, 4:8] = MISSING
    assert (sharpen(add_up, values, BANDS["hr"])[:, 3:9, 4:8] == 0).all()


def test_each_observed_day_is_predicted_from_itself(model):
    algorithm = DSen2.load(model, "cpu")
    planes = predict(algorithm, CLEAR, {"hr": (44, 9, 10)})
    assert set(planes) == {("hr", 44), ("hr", 9)}
    alone = replaced(CLEAR, "hr", values=CLEAR.hr.values[3:4], clear=CLEAR.hr.clear[3:4], days=np.array(HR_DAYS[3:4]))
    assert_equal(predict(algorithm, alone, {"hr": (44,)}), {("hr", 44): planes["hr", 44]})
    changes = np.abs(planes["hr", 44] - CLEAR.hr.values[3]).max(axis=(1, 2))
    assert [band for band, change in zip(BANDS["hr"], changes, strict=True) if change > 1e-3] == list(BANDS_20M)


def test_cores_leave_no_trace(model):
    algorithm = DSen2.load(model, "cpu")
    queries = {"hr": (44, 81)}
    whole, tiled = predict(algorithm, CLEAR, queries), predict_in_tiles(algorithm, CLEAR, queries, 15)
    for key in whole:
        np.testing.assert_allclose(tiled[key], whole[key], atol=1e-6)


def test_what_is_not_clear_is_not_predicted(model):
    ground = Ground.random()
    plane = predict(DSen2.load(model, "cpu"), ground, {"hr": (44,)})["hr", 44]
    np.testing.assert_array_equal(np.isfinite(plane), np.broadcast_to(ground.hr.clear[3], plane.shape))


def test_the_margin_is_what_the_network_sees(model):
    algorithm = DSen2.load(model)
    assert algorithm.reads["hr"].margin == filled("dsen2", TINY).reach == 4
    card = dataclasses.replace(algorithm.card, hyperparameters={"blocks": 32, "features": 256})
    assert dataclasses.replace(algorithm, card=card).reads["hr"].margin == 66


def test_without_sentinel_2_nothing_is_said(model):
    inputs = {"lr": CLEAR.read("lr", BANDS["lr"], CLEAR.whole)}
    assert list(DSen2.load(model).predict(inputs, {"hr": np.array([9])}, CLEAR.whole, 1)) == []


def test_a_network_is_loaded_once(model):
    algorithm = DSen2.load(model, "cpu")
    first, again = (get_network(ImageNetwork, algorithm.card, algorithm.folder, "cpu", "auto", 1) for _ in range(2))
    assert first is again
    assert get_network(ImageNetwork, algorithm.card, algorithm.folder, "cpu", "bf16", 1) is not first


def test_a_model_of_another_network_is_refused(model):
    card = dataclasses.replace(DSen2.load(model).card, architecture="dstfn", name="other")
    folder = DSen2.load(model).folder.parent / "other"
    weights.save(folder, card, [filled("dsen2", TINY).state_dict()])
    with pytest.raises(WeightsError, match=r"'other' is a 'dstfn', not a 'dsen2'"):
        DSen2.load(str(folder))


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(model):
    with pytest.raises(DeviceError, match="no device 'cuda:97'"):
        DSen2.load(model, "cuda:97")


def test_values_that_are_no_numbers_are_an_error(model):
    card = dataclasses.replace(DSen2.load(model).card, name="broken")
    network = ImageNetwork(card, torch.nn.Identity(), "cpu")
    with pytest.raises(WeightsError, match=r"'broken' gives values that are not numbers in fp32\. Fetch"):
        network(np.full((1, 2, 3), np.nan, np.float32))


def test_too_little_memory_is_a_device_error(model):
    class Full(torch.nn.Module):
        def forward(self, x):
            raise torch.OutOfMemoryError

    with pytest.raises(DeviceError, match="does not fit in the memory of cpu"):
        ImageNetwork(DSen2.load(model).card, Full(), "cpu")(np.zeros((1, 2, 3), np.float32))


def test_another_precision_is_another_run(model):
    fp32, bf16 = (DSen2.load(model, "cpu", precision) for precision in ("auto", "bf16"))
    assert fp32.fingerprint() != bf16.fingerprint()
    planes = [predict(algorithm, CLEAR, {"hr": (44,)})["hr", 44] for algorithm in (fp32, bf16)]
    assert 0 < np.abs(planes[0] - planes[1]).max() < 0.05
