"""Fixtures of the metrics.

The published report rolls frequency restoration by half of the dates, a shift of the spectrum along one axis too many,
and gives clear pixel rates in the order of the observations: what is expected is put back in the order of its days.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from sitsinfer.fusion.psf import OPTICS
from sitsinfer.metrics.fusion import Comparison, DateScores, compare, frequency
from sitsinfer.metrics.fusion.scores import Context, spectral_angles, squared_errors
from tests.golden.generator import Arrays, Fixture
from tests.golden.tamrf import Case, read_inputs
from tests.metrics.fusion.arrays import ArrayPixels

_ORIGIN = datetime.date(2022, 1, 1)
_RATIO = {"hr": 1, "lr": 3}


def _metrics(fixture: Fixture) -> tuple[Arrays, Arrays]:
    inputs = {name: values[0] for name, values in read_inputs(fixture).items()}
    predicted, observed, expected = inputs["pred"], inputs["ref"], fixture.outputs()
    margin = fixture.spec["parameters"]["spatial_margin"]
    clear = np.pad(~inputs["mask"][:, margin:-margin, margin:-margin], [(0, 0), (margin, margin), (margin, margin)])
    holed = predicted.copy()
    holed[0, 0, :10] = np.nan
    test, series = (_dates(fixture.spec["days"][name]) for name in ("test", "series"))
    contexts = [Context.of(day, "hr", {"hr": series}) for day in test]
    rmse, nrmse = _errors(predicted, observed, clear)
    computed = {
        "valid_mask_band0": clear,
        "rmse": rmse,
        "nrmse": nrmse,
        "rmse_with_nan": _errors(holed, observed, clear)[0],
        "sam": np.array([_mean(spectral_angles(*date)) for date in zip(predicted, observed, clear, strict=True)]),
        "clear_pixel_rate": np.mean(~inputs["mask"], axis=(1, 2)),
        "closest": np.array([context.closest for context in contexts]),
        "density": np.array([context.density for context in contexts]),
        "frr": np.stack([frequency.restoration(*date) for date in zip(predicted, observed, strict=True)]),
        "pred_log_profile": _decibels(predicted),
        "ref_log_profile": _decibels(observed),
        "fft_profile_s16": _profiles(predicted, 16),
    }
    expected["fft_profile_s16"] = expected["fft_profile_s16"][:, 1:]  # the lowest ring holds no point
    for name in ("frr", "pred_log_profile", "ref_log_profile", "fft_profile_s16"):
        expected[name] = np.fft.ifftshift(expected[name], axes=0)
    return computed, {name: expected[name] for name in computed}


def _errors(
    predicted: NDArray[np.float32], observed: NDArray[np.float32], clear: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """RMSE and NRMSE, (T, C)."""
    sums = [squared_errors(*date) for date in zip(predicted, observed, clear, strict=True)]
    error, value, pixels = (np.stack(part) for part in zip(*sums, strict=True))
    with np.errstate(invalid="ignore"):
        return np.sqrt(error / pixels), np.sqrt(error / value)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else np.nan


def _profiles(dates: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Radial profiles, (T, rings, C)."""
    return np.stack([np.stack([frequency.radial_profile(band, size) for band in date], axis=1) for date in dates])


def _decibels(dates: NDArray[np.float32]) -> NDArray[np.float64]:
    profiles = _profiles(dates, 2 * dates.shape[-1])
    return 10 * np.log10(profiles / profiles[:, :1])


def _dates(days: Sequence[int]) -> list[datetime.date]:
    return [_ORIGIN + datetime.timedelta(days=day) for day in days]


def _report(fixture: Fixture) -> tuple[Arrays, Arrays]:
    computed: Arrays = {}
    for sensor in _RATIO:
        computed |= _sensor(fixture, sensor)
    expected = fixture.outputs()
    for sensor in _RATIO:
        clear, days = expected[f"{sensor}_clear_doy"], expected[f"{sensor}_doy"]
        for rows in (clear, ~clear):
            expected[f"{sensor}_frr"][rows] = np.fft.ifftshift(expected[f"{sensor}_frr"][rows], axes=0)
        order = [fixture.spec["days"][f"{sensor}_target"].index(day) for day in days]
        expected[f"{sensor}_clear_pixel_rate"] = expected[f"{sensor}_clear_pixel_rate"][order]
    return computed, {name: expected[name] for name in computed}


def _sensor(fixture: Fixture, sensor: str) -> Arrays:
    """The rows of a sensor in the published order: dates that went in come first."""
    margin = fixture.spec["parameters"]["margin"]
    # The published margin is counted in pixels of the observation, but for spectra in fine ones.
    errors, spectra, everywhere = (_scores(fixture, sensor, n) for n in (margin * _RATIO[sensor], margin, 0))
    order = sorted(range(len(errors)), key=lambda row: not _context(errors[row]).clear)
    contexts = [_context(errors[row]) for row in order]
    rows = {
        "doy": np.array([fixture.spec["days"][f"{sensor}_target"][row] for row in order]),
        "clear_doy": np.array([context.clear for context in contexts]),
        "rmse": np.stack([errors[row].rmse for row in order]),
        "nrmse": np.stack([errors[row].nrmse for row in order]),
        "sam": np.array([errors[row].sam for row in order]),
        "frr": np.stack([spectra[row].frr for row in order]),
        "clear_pixel_rate": np.array([everywhere[row].clear_pixel_rate for row in order]),
        "closest_doy": np.array([context.closest for context in contexts]),
        "closest_joint_doy": np.array([context.closest_joint for context in contexts]),
        "local_density": np.array([context.density for context in contexts]),
        "local_joint_density": np.array([context.joint_density for context in contexts]),
    }
    return {f"{sensor}_{name}": values for name, values in rows.items()}


def _scores(fixture: Fixture, sensor: str, margin: int) -> list[DateScores]:
    """Scores of all targets, in the order of their days."""
    inputs, days = read_inputs(fixture), fixture.spec["days"]
    dates = {name: _dates(days[f"{name}_input"]) for name in _RATIO}
    observed = inputs[f"{sensor}_target_dn"][0] * np.float32(1e-4)
    predicted, clear = inputs[f"{sensor}_pred"][0], ~inputs[f"{sensor}_mask"][0]
    comparisons = [
        Comparison(
            "fixture", sensor, date, _pixels(predicted[t], None, sensor, 1),
            _pixels(observed[t], clear[t], sensor, _RATIO[sensor]), dates,
        )
        for t, date in enumerate(_dates(days[f"{sensor}_target"]))
    ]  # fmt: skip
    return list(compare(comparisons, margin))


def _pixels(values: NDArray[np.float32], clear: NDArray[np.bool_] | None, sensor: str, ratio: int) -> ArrayPixels:
    """A date in reflectance and kelvin, from reflectance and kelvin / 1000."""
    bands = tuple(OPTICS[sensor])
    units = np.array([1000 if band == "LST" else 1 for band in bands], np.float32)
    shape = values.shape[1:]
    grid = GeoBox(shape, Affine(10 * ratio, 0, 500_000, 0, -10 * ratio, 5_000_000), "EPSG:32631")
    return ArrayPixels(values * units[:, None, None], np.ones(shape, bool) if clear is None else clear, bands, grid)


def _context(scores: DateScores) -> Context:
    assert scores.context is not None
    return scores.context


CASES: dict[str, Case] = {"metrics": _metrics, "metrics_report": _report}
