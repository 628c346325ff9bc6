import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from sitsinfer.errors import DeviceError, GridError, WeightsError
from sitsinfer.fusion import tamrf
from sitsinfer.fusion.networks import get_network
from sitsinfer.fusion.tamrf import Network, Tamrf
from sitsinfer.fusion.types import Observations, Reads
from sitsinfer.grid import Window
from sitsinfer.models.tamrf import TAMRF
from sitsinfer.weights import FusionCard, SensorCard, save
from tests.data.record_models import filled

HYPERPARAMETERS = {
    "hr_bands": 3,
    "lr_bands": 2,
    "latent_size": 6,
    "growth_channels": 4,
    "positional_features": 4,
    "sensor_token_size": 2,
    "heads": 2,
    "layers": 1,
    "feed_forward": 10,
    "decoder_heads": 3,
    "decoder_feed_forward": 8,
}
SENSORS = {
    "hr": SensorCard("sentinel-2", ("B02", "B04", "B8A"), (0.1, 0.2, 0.3), (0.05, 0.1, 0.2)),
    "lr": SensorCard("landsat", ("B04", "LST"), (0.15, 0.29), (0.1, 0.01)),
}
IMAGE = (21, 33)
WHOLE = Window(0, 0, *IMAGE)
DAYS = {"hr": (3, 20, 91), "lr": (20, 47)}
QUERIES = {"hr": np.array([91, 0, 20]), "lr": np.array([20, 150])}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a tiny model."""
    folder = tmp_path_factory.mktemp("tamrf")
    card = FusionCard(
        name="tiny",
        title="Tiny",
        description="Weights by rule.",
        architecture="tamrf",
        hyperparameters=HYPERPARAMETERS,
        task="fuse",
        reference="first-of-year",
        days=365,
        ratio=3,
        sensors=SENSORS,
        licence="MIT",
        citation="none",
        source="none",
        digest="0" * 64,
    )
    save(folder, card, [filled("tamrf", HYPERPARAMETERS).state_dict()])
    return str(folder)


@pytest.fixture
def algorithm(model):
    return Tamrf.load(model, device="cpu")


def observe(sensor, core, margin, days=None):
    """What a sensor sees of a fixed image around a core: 0 beyond it."""
    pixel, days = {"hr": 1, "lr": 3}[sensor], DAYS[sensor] if days is None else days
    height, width = (size // pixel for size in IMAGE)
    bands = SENSORS[sensor].bands
    image = np.random.default_rng(pixel).random((len(DAYS[sensor]), len(bands), height, width), dtype=np.float32)
    row, col, tall, wide = (number // pixel for number in (core.row, core.col, core.height, core.width))
    padded = np.pad(image, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    values = padded[: len(days), :, row : row + tall + 2 * margin, col : col + wide + 2 * margin]
    return Observations(values, np.ones((len(days), *values.shape[2:]), bool), np.array(days, np.int64), bands)


def predict(algorithm, core=WHOLE, queries=QUERIES, sensors=("hr", "lr")):
    inputs = {sensor: observe(sensor, core, algorithm.reads[sensor].margin) for sensor in sensors}
    planes = list(algorithm.predict(inputs, queries, core, threads=1))
    assert len(planes) == len({(plane.sensor, plane.index) for plane in planes})
    return {(plane.sensor, plane.index): plane.values for plane in planes}


def test_planes_are_physical_values_of_each_day_asked_for(algorithm):
    planes = predict(algorithm)
    assert sorted(planes) == [("hr", 0), ("hr", 1), ("hr", 2), ("lr", 0), ("lr", 1)]
    for (sensor, _), values in planes.items():
        card = SENSORS[sensor]
        assert values.shape == (len(card.bands), *IMAGE)
        assert values.dtype == np.float32
        standardised = (values - np.array(card.mean)[:, None, None]) / np.array(card.std)[:, None, None]
        assert 0.01 < np.abs(standardised).mean() < 3


def test_each_branch_reads_as_far_as_it_sees(model, algorithm):
    hr, lr = SENSORS["hr"].bands, SENSORS["lr"].bands
    assert algorithm.reads == {"hr": Reads(hr, 19), "lr": Reads(lr, 20)}
    assert Tamrf.load(model, margin=18).reads == {"hr": Reads(hr, 18), "lr": Reads(lr, 6)}
    assert Tamrf.load(model, margin=18).largest_core == 165


@pytest.mark.parametrize("size", [(3, 3), (6, 33), (9, 15)])
def test_tiling_leaves_no_trace(algorithm, size):
    whole = predict(algorithm)
    for row in range(0, IMAGE[0], size[0]):
        for col in range(0, IMAGE[1], size[1]):
            core = Window(row, col, min(size[0], IMAGE[0] - row), min(size[1], IMAGE[1] - col))
            rows, cols = slice(row, row + core.height), slice(col, col + core.width)
            for key, values in predict(algorithm, core).items():
                np.testing.assert_allclose(values, whole[key][:, rows, cols], rtol=0, atol=1e-5)


def test_the_published_tiling_leaves_traces(model):
    published = Tamrf.load(model, margin=6, device="cpu")
    whole, part = predict(published), predict(published, Window(9, 12, 6, 9))
    assert np.abs(part["hr", 0] - whole["hr", 0][:, 9:15, 12:21]).max() > 1e-4


def test_days_are_predicted_in_any_order_and_as_often_as_asked(algorithm):
    planes = predict(algorithm)
    again = predict(algorithm, queries={"hr": np.array([20, 91, 20])})
    for index, same in enumerate((2, 0, 2)):
        np.testing.assert_allclose(again["hr", index], planes["hr", same], rtol=0, atol=1e-6)


def test_one_sensor_suffices_for_both(algorithm):
    alone = predict(algorithm, sensors=("lr",))
    assert alone.keys() == predict(algorithm).keys()
    inputs = {"lr": observe("lr", WHOLE, 20), "hr": observe("hr", WHOLE, 19, days=())}
    for plane in algorithm.predict(inputs, QUERIES, WHOLE, threads=1):
        np.testing.assert_array_equal(plane.values, alone[plane.sensor, plane.index])


def test_bands_come_out_of_whichever_sensor_has_them(model, algorithm):
    some = Tamrf.load(model, ["LST", "B04"], device="cpu")
    assert some.writes == {"hr": ("B04",), "lr": ("B04", "LST")}
    assert some.reads == algorithm.reads
    every = predict(algorithm)
    np.testing.assert_allclose(predict(some)["hr", 1], every["hr", 1][1:2], rtol=0, atol=1e-6)
    thermal = Tamrf.load(model, ["LST"], device="cpu")
    assert thermal.writes == {"lr": ("LST",)}
    assert {sensor for sensor, _ in predict(thermal)} == {"lr"}


def test_an_algorithm_travels_and_its_network_is_loaded_once(algorithm):
    there = pickle.loads(pickle.dumps(algorithm))
    assert there == algorithm
    network = get_network(Network, algorithm.card, algorithm.folder, "cpu", "fp32")
    assert get_network(Network, there.card, there.folder, "cpu", "fp32") is network
    assert get_network(Network, there.card, there.folder, "cpu", "bf16") is not network


def test_the_fingerprint_names_what_changes_pixels(model, algorithm):
    same = Tamrf.load(model, device="cpu", precision="fp32")
    assert same.fingerprint() == algorithm.fingerprint()
    assert replace(algorithm, margin=18).fingerprint() != algorithm.fingerprint()
    assert replace(algorithm, precision="bf16").fingerprint() != algorithm.fingerprint()


def test_half_precision_is_close(model, algorithm):
    exact, rough = predict(algorithm), predict(Tamrf.load(model, device="cpu", precision="bf16"))
    for (sensor, index), values in exact.items():
        std = np.array(SENSORS[sensor].std)[:, None, None]
        difference = np.abs(rough[sensor, index] - values) / std
        assert 0 < difference.max() < 0.1


class Crowded(TAMRF):
    """A network that runs out of memory where more than so many tokens are computed at once."""

    fits = 100

    def forward(self, inputs, requests, chunks=None):
        if chunks.tokens > self.fits:
            raise torch.OutOfMemoryError
        return super().forward(inputs, requests, chunks)


def crowded(algorithm, fits):
    module = filled("tamrf", HYPERPARAMETERS)
    module.__class__ = Crowded
    module.fits = fits
    return Network(algorithm.card, module, "cpu")


def test_less_is_computed_at_once_where_memory_does_not_suffice(algorithm, monkeypatch):
    expected = predict(algorithm)
    monkeypatch.setattr(tamrf, "get_network", lambda *_: crowded(algorithm, 100))
    for key, values in predict(algorithm).items():
        np.testing.assert_allclose(values, expected[key], rtol=0, atol=1e-5)


def test_what_never_fits_is_an_error(algorithm, monkeypatch):
    monkeypatch.setattr(tamrf, "get_network", lambda *_: crowded(algorithm, 0))
    with pytest.raises(DeviceError, match=r"One sub-tile does not fit in the memory of cpu\. Choose"):
        predict(algorithm)


def test_values_that_are_no_numbers_are_an_error(algorithm):
    inputs = {"hr": observe("hr", WHOLE, 19)}
    inputs["hr"].values[0, 0, 20, 20] = np.inf
    with pytest.raises(WeightsError, match="Model 'tiny' gives values that are not numbers in fp32"):
        list(algorithm.predict(inputs, QUERIES, WHOLE, threads=1))


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"margin": 10}, GridError, "A margin of 10 pixels does not hold whole coarse pixels"),
        ({"margin": -3}, GridError, "A margin of -3 pixels"),
        ({"bands": ["B02", "B09"]}, WeightsError, "Model 'tiny' predicts no band 'B09'. Choose of B02, B04, B8A"),
        ({"device": "tpu"}, DeviceError, "There is no device 'tpu'"),
        ({"precision": "fp8"}, DeviceError, "There is no precision 'fp8'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(model, wrong, error, words):
    with pytest.raises(error, match=words) as raised:
        Tamrf.load(model, **wrong)
    assert "\n" not in str(raised.value)


def test_another_network_is_no_tamrf(model, tmp_path):
    card = replace(Tamrf.load(model).card, architecture="dsen2")
    save(tmp_path, card, [{}])
    with pytest.raises(WeightsError, match="Model 'tiny' is a 'dsen2', not a TAMRF"):
        Tamrf.load(str(tmp_path))


def test_more_of_anything_needs_more_memory(algorithm):
    need = algorithm.working_bytes(99, {"hr": 12, "lr": 8}, 24)
    assert need > 4 * 20 * HYPERPARAMETERS["latent_size"] * 103**2
    assert algorithm.working_bytes(198, {"hr": 12, "lr": 8}, 24) > 2 * need
    assert algorithm.working_bytes(99, {"hr": 30, "lr": 30}, 24) > need
    assert algorithm.working_bytes(99, {"hr": 12, "lr": 8}, 2400) > 2 * need
