import dataclasses
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch

from sitsinfer import models, weights
from sitsinfer.errors import SeriesError
from sitsinfer.fusion.dstfn import Dstfn, closest_date, there_and_back
from sitsinfer.fusion.resample import nearest
from sitsinfer.fusion.types import MISSING, Observations
from sitsinfer.grid import Window
from tests.data.record_models import filled
from tests.fusion.ground import BANDS, HR_DAYS, LR_DAYS, Ground, predict

TINY = {"features": 4, "dense_layers": 2, "growth_rate": 2, "attention_ratio": 4}
AVAILABLE = {**BANDS, "pan": ("B08",)}


@dataclass(frozen=True)
class PanGround(Ground):
    """A ground whose coarse sensor has a panchromatic band, on the coarse sensor's days but the last."""

    pan: Observations = None

    @classmethod
    def of(cls, ground):
        pixels = tuple(2 * n // 3 for n in ground.shape)
        values = np.random.default_rng(9).random((len(LR_DAYS) - 1, 1, *pixels), dtype=np.float32)
        clear = np.ones((len(values), *pixels), np.bool_)
        return cls(ground.hr, ground.lr, Observations(values, clear, np.array(LR_DAYS[:-1]), ("B08",)))

    def read(self, sensor, bands, core, margin=0):
        if sensor != "pan":
            return super().read(sensor, bands, core, margin)
        rows = slice(core.row * 2 // 3, core.stop_row * 2 // 3 + 2 * margin)
        cols = slice(core.col * 2 // 3, core.stop_col * 2 // 3 + 2 * margin)
        sides = [(margin, margin)] * 2
        values = np.pad(self.pan.values, [(0, 0), (0, 0), *sides], mode="edge")[..., rows, cols]
        clear = np.pad(self.pan.clear, [(0, 0), *sides], mode="edge")[..., rows, cols]
        return Observations(values, clear, self.pan.days, bands)


CLEAR = PanGround.of(Ground.clear_sky())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dstfn")
    torch.save(filled("dstfn", TINY).state_dict(), folder / "state_dict.pt")
    weights.import_dstfn(folder / "state_dict.pt", folder / "model")
    return str(folder / "model")


@pytest.fixture
def algorithm(model):
    return Dstfn.load(model, AVAILABLE, "cpu")


def changed(ground, sensor, day, value):
    """A ground of which one observation is another."""
    series = getattr(ground, sensor)
    values = series.values.copy()
    values[series.days == day] = value
    return dataclasses.replace(ground, **{sensor: dataclasses.replace(series, values=values)})


def test_a_day_comes_from_landsat_that_day_and_the_closest_other_day_of_sentinel_2(algorithm):
    algorithm = algorithm.prepared(CLEAR)
    before = predict(algorithm, CLEAR, {"hr": (44,)})["hr", 44]
    for sensor, days in (("hr", HR_DAYS), ("lr", LR_DAYS), ("pan", LR_DAYS[:-1])):
        moved = [
            day
            for day in days
            if not np.array_equal(predict(algorithm, changed(CLEAR, sensor, day, 0.3), {"hr": (44,)})["hr", 44], before)
        ]
        assert moved == ([31] if sensor == "hr" else [44]), sensor


def test_the_prediction_is_the_networks(algorithm):
    plane = predict(algorithm.prepared(CLEAR), CLEAR, {"hr": (44,)})["hr", 44]
    margin, coarse, pan = (algorithm.reads[sensor].margin for sensor in ("hr", "lr", "pan"))
    hr = CLEAR.read("hr", algorithm.writes["hr"], CLEAR.whole, margin).values[HR_DAYS.index(31)]
    lr = CLEAR.read("lr", BANDS["lr"][1:7], CLEAR.whole, coarse).values[LR_DAYS.index(44)]
    sharp = CLEAR.read("pan", ("B08",), CLEAR.whole, pan).values[LR_DAYS.index(44)]
    inputs = hr, there_and_back(lr)[:, 4:-4, 4:-4], sharp
    with torch.inference_mode():
        whole = filled("dstfn", TINY)(*(torch.from_numpy(np.ascontiguousarray(x))[None] for x in inputs))[0].numpy()
    np.testing.assert_allclose(plane, whole[:, margin:-margin, margin:-margin], atol=1e-6)


def test_days_without_landsat_or_its_panchromatic_band_are_left_out(algorithm):
    days = (44, LR_DAYS[-1], HR_DAYS[0], 45)
    assert set(predict(algorithm.prepared(CLEAR), CLEAR, {"hr": days})) == {("hr", 44)}


def test_what_is_hidden_on_either_day_is_not_predicted(algorithm):
    ground = PanGround.of(Ground.random())
    ground.pan.clear[LR_DAYS.index(44), 8:16, 4:20] = False
    prepared = dataclasses.replace(algorithm, max_masked_rate=0.9).prepared(ground)
    plane = predict(prepared, ground, {"hr": (44,)})["hr", 44]
    expected = ground.hr.clear[HR_DAYS.index(31)] & nearest(ground.lr.clear[LR_DAYS.index(44)], 3)
    of_pan = nearest(ground.pan.clear[LR_DAYS.index(44)], Fraction(3, 2))
    assert (expected & ~of_pan).any()
    expected &= of_pan
    np.testing.assert_array_equal(np.isfinite(plane), np.broadcast_to(expected, plane.shape))


def test_observations_that_are_masked_too_much_are_passed_over(algorithm):
    clear = CLEAR.hr.clear.copy()
    clear[HR_DAYS.index(31), :19] = False  # 19 of 36 rows
    ground = dataclasses.replace(CLEAR, hr=dataclasses.replace(CLEAR.hr, clear=clear))
    plane = predict(algorithm.prepared(ground), ground, {"hr": (44,)})["hr", 44]
    assert np.isfinite(plane).all()
    other = changed(ground, "hr", 9, 0.3)
    assert not np.array_equal(predict(algorithm.prepared(other), other, {"hr": (44,)})["hr", 44], plane)


def test_without_a_date_to_start_from_nothing_is_said(algorithm):
    clear = np.zeros_like(CLEAR.hr.clear)
    hidden = dataclasses.replace(CLEAR, hr=dataclasses.replace(CLEAR.hr, clear=clear))
    empty = Observations(CLEAR.hr.values[:0], clear[:0], CLEAR.hr.days[:0], BANDS["hr"])
    for ground in (hidden, dataclasses.replace(CLEAR, hr=empty)):
        assert predict(algorithm.prepared(ground), ground, {"hr": (44,)}) == {}
    inputs = {"hr": CLEAR.read("hr", algorithm.writes["hr"], CLEAR.whole)}
    assert list(algorithm.predict(inputs, {"hr": np.array([44])}, CLEAR.whole, 1)) == []


def test_missing_pixels_are_zero_to_the_network(algorithm):
    missing, zero = (changed(CLEAR, "lr", 44, value) for value in (MISSING, 0))
    planes = [predict(algorithm.prepared(g), g, {"hr": (44,)})["hr", 44] for g in (missing, zero)]
    np.testing.assert_array_equal(*planes)


@pytest.mark.parametrize("dense_layers", [1, 2, 3, 5])
def test_the_margin_holds_all_that_convolutions_see(algorithm, dense_layers):
    options = {**TINY, "dense_layers": dense_layers}
    card = dataclasses.replace(algorithm.card, hyperparameters=options)
    margin = dataclasses.replace(algorithm, card=card).reads["hr"].margin
    network = models.build("dstfn", options).double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            # Attention over channels sees everything: with weights of 0 it is a half everywhere, and out of the way.
            # All others are small and positive, so that no ReLU and no sigmoid hides what a pixel sees.
            parameter.fill_(0 if "cal_fc" in name else 0.01)
    first, width = margin + 30, 2 * (margin + 30)  # fine pixels: the first of a core, and of the image
    sizes = (6, 9, width), (6, 3, width // 3), (1, 6, 2 * width // 3)
    images = [torch.ones(1, *size, dtype=torch.float64, requires_grad=True) for size in sizes]
    network(*images)[..., first].sum().backward()
    seen = [image.grad.abs().sum(dim=(0, 1, 2)).nonzero().min() for image in images]
    reach = max(first - float(scale * pixel) for scale, pixel in zip((1, 3, 1.5), seen, strict=True))
    assert margin - 3 <= reach <= margin


def test_four_coarse_pixels_decide_one_that_went_to_15_m_and_back():
    values = np.random.default_rng(3).random((2, 24, 30), dtype=np.float32)
    whole = there_and_back(values)
    np.testing.assert_allclose(there_and_back(values[:, 5:, 6:])[:, 4:, 4:], whole[:, 9:, 10:], atol=1e-6)
    assert np.abs(there_and_back(values[:, 5:, 6:])[:, :1] - whole[:, 5:6, 6:]).max() > 1e-3


def test_landsat_that_does_not_vary_stays_as_it_is():
    np.testing.assert_allclose(there_and_back(np.full((1, 4, 5), 0.1234, np.float32)), 0.1234, atol=1e-4)


def test_the_earlier_of_two_closest_dates_is_taken():
    days, usable = np.array([10, 20, 30, 41]), np.ones(4, np.bool_)
    assert closest_date(days, usable, 25) == 1
    assert closest_date(days, usable, 20) == 0
    assert closest_date(days, np.array([True, False, False, True]), 29) == 3
    assert closest_date(days, ~usable, 25) is None
    assert closest_date(days[:1], usable[:1], 10) is None


def test_memory_grows_with_the_core(algorithm):
    dates = {"hr": 3, "lr": 3, "pan": 3}
    assert algorithm.working_bytes(330, dates, 3) > 2 * algorithm.working_bytes(165, dates, 3)


def test_margins_of_all_sensors_cover_the_same_ground(algorithm):
    hr, lr, pan = (algorithm.reads[sensor].margin for sensor in ("hr", "lr", "pan"))
    assert hr == 3 * (lr - 4) == 1.5 * pan
    core = Window(9, 12, 15, 21)
    planes = predict(algorithm.prepared(CLEAR), CLEAR, {"hr": (44,)}, core)
    assert np.isfinite(planes["hr", 44]).all()


@pytest.mark.parametrize(
    ("sensor", "bands", "words"),
    [
        ("pan", (), r"reads B08 of Landsat's panchromatic series, and B08 is missing"),
        ("lr", ("B02", "B03", "B04", "B05", "B06"), r"of Landsat, and B07 is missing"),
        ("hr", ("B02", "B03", "B04", "B08"), r"of Sentinel-2, and B8A, B11, B12 is missing"),
    ],
)
def test_bands_that_are_missing_are_named(model, sensor, bands, words):
    with pytest.raises(SeriesError, match=words):
        Dstfn.load(model, {**AVAILABLE, sensor: bands})


def test_a_sensor_that_is_missing_is_named(model):
    with pytest.raises(SeriesError, match="Landsat's panchromatic series"):
        Dstfn.load(model, BANDS)
