"""Fixtures of optics, resampling, residual compensation, and the algorithms without a network."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sitsinfer.fusion import naive, sen2like, stair
from sitsinfer.fusion.compensation import residual
from sitsinfer.fusion.gapfill import Gapfill
from sitsinfer.fusion.psf import OPTICS, Optics, Psf
from sitsinfer.fusion.resample import bicubic, nearest
from sitsinfer.fusion.spectral import PAIRS
from sitsinfer.fusion.types import RATIO, Observations
from sitsinfer.grid import Window
from tests.golden.generator import Arrays, Fixture
from tests.golden.tamrf import read_days, read_inputs

HR, LR = tuple(OPTICS["hr"]), tuple(OPTICS["lr"])
_THIRD = Fraction(1, RATIO)


def _psf_kernel(fixture: Fixture) -> tuple[Arrays, Arrays]:
    computed = {}
    for case in fixture.spec["parameters"]["cases"]:
        optics = tuple(map(Optics, case["mtf_resolution"], case["mtf_at_nyquist"]))
        computed[case["output"]] = Psf(optics, case["pixel_size"], case["half_width"]).kernels
    return computed, fixture.outputs()


def _downsample(fixture: Fixture) -> tuple[Arrays, Arrays]:
    x = read_inputs(fixture)
    fine, coarse = Psf.of("hr", HR), Psf.of("lr", LR)
    corner = (..., slice(9), slice(9))
    return {
        "blur8": coarse.blur(x["x8"]),
        "blur10": fine.blur(x["x10"]),
        "highpass8": Psf((Optics(1, 0.4),) * 8, 1).high_pass(x["x8"]),
        "mtf_down3": coarse.downsample(x["x8"], _THIRD),
        "mtf_down1": fine.downsample(x["x10"][:, :1], 1),
        "bicubic_down3": bicubic(x["x8"], _THIRD),
        "nearest_down3_mask": nearest(x["mask"], _THIRD),
        "bicubic_up3": bicubic(x["x8"][:, :1, :2][corner], RATIO),
        "nearest_up3_mask": nearest(x["mask"][:, :1][corner], RATIO),
        "antialias_down2": _antialiased(x["x2"], 2, 0.3),
        "antialias_down3": _antialiased(x["x2"], 3, 0.1),
    }, fixture.outputs()


def _antialiased(values: NDArray[np.float32], factor: int, mtf: float) -> NDArray[np.float32]:
    """Make pixels coarser as the published reader does: a Gaussian of 7 x 7 pixels, then bicubic."""
    psf = Psf((Optics(factor, mtf),), 1.0, half_width=3)
    return psf.downsample(values[..., None, :, :], Fraction(1, factor))[..., 0, :, :]


def _rescomp(fixture: Fixture) -> tuple[Arrays, Arrays]:
    x = read_inputs(fixture)
    observed, predicted = _reflectance(x["lr_target_dn"][0]), x["lr_pred"][0]
    dates = np.searchsorted(_days(fixture, "lr_target"), _days(fixture, "lr_pred"))
    residuals = np.stack([residual(*pair, LR) for pair in zip(predicted, observed[dates], strict=True)])
    computed = {
        "compensated": predicted + residuals,
        "residuals": residuals[:, [0, 7]],
        "mask": nearest(x["lr_target_mask"][0, dates], RATIO),
    }
    return _batched(computed), fixture.outputs()


def _linear_gapfilling(fixture: Fixture) -> tuple[Arrays, Arrays]:
    x = read_inputs(fixture)
    targets, series = fixture.spec["days"]["target"], read_days(fixture, "x")
    assert series is not None

    def filled(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        bands = tuple(map(str, range(x["x"].shape[2])))
        samples = [Gapfill.of(Observations(*sample, bands)) for sample in zip(x["x"], ~masks, series, strict=True)]
        return np.stack([np.stack([sample.on(day) for day in targets]) for sample in samples])

    return {"filled": filled(x["mask"]), "filled_no_mask": filled(np.zeros_like(x["mask"]))}, fixture.outputs()


def _naive(fixture: Fixture) -> tuple[Arrays, Arrays]:
    inputs = {sensor: _observations(fixture, sensor, bands) for sensor, bands in (("hr", HR), ("lr", LR))}
    queries = {sensor: np.array(fixture.spec["days"][f"{sensor}_query"]) for sensor in inputs}
    core = Window(0, 0, *inputs["hr"].clear.shape[1:])
    computed = {
        f"{sensor}_pred": np.stack([plane.values for plane in planes])
        for sensor in inputs
        if (planes := [p for p in naive.Naive(HR, LR).predict(inputs, queries, core, 1) if p.sensor == sensor])
    }
    return _batched(computed), fixture.outputs()


def _stair(fixture: Fixture) -> tuple[Arrays, Arrays]:
    fine, coarse = _pair(fixture)
    conjunctions = stair.Conjunctions.of(fine, coarse)
    both = Gapfill.of(fine), Gapfill.of(coarse)
    predicted = [stair.predict_day(*both, conjunctions, day) for day in conjunctions.days.tolist()]
    computed = {"hr_pred": np.nan_to_num(np.stack([p for p in predicted if p is not None]))}
    return _batched({**computed, "hr_pred_days": conjunctions.days}), fixture.outputs()


def _sen2like(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Masked pixels, which are NaN here and arbitrary there, are compared by the mask alone."""
    (fine, coarse), options = _pair(fixture), fixture.spec["parameters"]
    usable = 1 - fine.clear.mean(axis=(1, 2)) <= options["max_masked_rate"]
    nothing = np.full(fine.values.shape[1:], np.nan, np.float32)
    predicted, filled = [], Gapfill.of(coarse)
    for day in coarse.days.tolist():
        sharp = sen2like.detail(fine, usable, day, options["mtf_for_high_pass"])
        predicted.append(nothing if sharp is None else sen2like.coarse_picture(filled, day) + sharp)
    values = np.stack(predicted)
    computed = {"hr_pred": values, "hr_pred_mask": np.isnan(values).any(axis=1), "hr_pred_days": coarse.days}
    expected = fixture.outputs()
    expected["hr_pred"] = np.where(expected["hr_pred_mask"][:, :, None], np.nan, expected["hr_pred"])
    return _batched(computed), expected


def _pair(fixture: Fixture) -> tuple[Observations, Observations]:
    return _observations(fixture, "hr", tuple(PAIRS)), _observations(fixture, "lr", tuple(PAIRS.values()))


def _observations(fixture: Fixture, sensor: str, bands: tuple[str, ...]) -> Observations:
    x = read_inputs(fixture)
    return Observations(_reflectance(x[sensor][0]), ~x[f"{sensor}_mask"][0], _days(fixture, sensor), bands)


def _days(fixture: Fixture, name: str) -> NDArray[np.int64]:
    days = read_days(fixture, name)
    assert days is not None
    return days[0]


def _reflectance(numbers: NDArray[np.int16]) -> NDArray[np.float32]:
    return numbers.astype(np.float32) / np.float32(10_000)


def _batched(arrays: Arrays) -> Arrays:
    return {name: values[None] for name, values in arrays.items()}


CASES: dict[str, Callable[[Fixture], tuple[Arrays, Arrays]]] = {
    "psf_kernel": _psf_kernel,
    "downsample": _downsample,
    "rescomp": _rescomp,
    "linear_gapfilling": _linear_gapfilling,
    "naive": _naive,
    "stair": _stair,
    "sen2like": _sen2like,
}
