"""Fixtures of what goes in: days that strategies choose, and sites as the published reader reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.resample import bicubic_integers, nearest
from sitsinfer.fusion.strategies import StrategyOptions, select
from sitsinfer.grid import Window
from sitsinfer.series import Series, open_series, read_stack
from sitsinfer.series.ls2s2 import PAN_INDEX, open_pan
from tests.golden.generator import Arrays, Fixture, MissError
from tests.golden.tamrf import Case

_SENSORS = ("lr", "hr")
_OPTIONS = {
    "rate_for_random_strategy": "rate",
    "gaps_size": "gap_size",
    "forecast_doy_start": "forecast_start",
    "context_start": "context_start",
    "context_reference_size": "context_size",
    "nb_context_images": "context_images",
}


def _strategies(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Compare every case of every scenario; what is counted is how many are as published."""
    met = [sum(_check_case(scenario, case) for case in scenario["cases"]) for scenario in fixture.spec["scenarios"]]
    return {"n_cases": np.array(met)}, fixture.outputs()


def _check_case(scenario: Mapping[str, Any], case: Mapping[str, Any]) -> bool:
    days = {sensor: scenario[f"{sensor}_days"] for sensor in _SENSORS}
    try:
        selection = select(case["strategy"], days, _options(case))
    except SeriesError as error:
        if "error" in case:
            return True
        raise MissError(f"{case['strategy']}: {error}") from error
    for sensor in _SENSORS:
        for part, ours in (("input", selection.inputs), ("target", selection.targets)):
            chosen, expected = ours[sensor], case[f"{sensor}_{part}"]
            if (None if chosen is None else list(chosen)) != expected:
                told = f"{case['strategy']} {case['parameters']} on '{scenario['label']}'"
                raise MissError(f"{told}: {sensor} {part} is {chosen}, expected {expected}")
    return True


def _options(case: Mapping[str, Any]) -> StrategyOptions:
    given = {_OPTIONS[name]: value for name, value in case["parameters"].items() if name in _OPTIONS}
    dates = tuple(case["parameters"].get("custom_dates", ()))
    return StrategyOptions(seed=case["python_random_seed"], dates=dates, **given)


# --- the published reader, in terms of ours

_FOLDERS = {"lr": "landsat", "hr": "sentinel2"}
_RESOLUTIONS = {"lr": 30.0, "hr": 10.0}
_DATES = "%Y.%m.%d"
_NODATA = -10000


def _dataset(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Read each item of each case; its patches, slices and lost acquisition are no ways of ours."""
    computed: Arrays = {}
    for index, case in enumerate(fixture.spec["parameters"]["cases"]):
        options = case["arguments"]
        if "error" in case:
            if options["patch_size"] % 3 == 0:
                raise MissError(f"case {index} should be refused: {case['error']}")
            continue
        sensors = {name: _Sensor.of(fixture.path / "site" / folder, name, options) for name, folder in _FOLDERS.items()}
        origin = _origin(sensors, options)
        slices, patches = _slices(sensors, origin, options), _patches(sensors["hr"].series[0], options["patch_size"])
        told = {
            "length": len(slices) * len(patches),
            "patch_corners_lower_left": patches,
            "origin": f"{origin} 00:00:00",
        }
        for name, sensor in sensors.items():
            patch, piece = divmod(case["patch_index"], len(slices))
            days = slices[piece][name]
            told[f"{name}_days"] = [(day - origin).days for day in days]
            values, mask = sensor.read(patches[patch], options["patch_size"], days)
            computed |= {f"c{index}_{name}": values, f"c{index}_{name}_mask": mask}
        wrong = {key: value for key, value in told.items() if value != case[key]}
        if wrong:
            raise MissError(f"case {index}: {wrong}, expected { ({key: case[key] for key in wrong}) }")
    return computed, _without_nodata(fixture.outputs())


def _without_nodata(expected: Arrays) -> Arrays:
    """Mask what holds nodata in all bands, which the published reader misses where the file of masks does."""
    missed = {
        f"{name}_mask": expected[f"{name}_mask"] | (values == _NODATA).all(axis=1)
        for name, values in expected.items()
        if name.endswith("_hr")
    }
    return expected | missed


@dataclass(frozen=True)
class _Sensor:
    """All series of a sensor, read at one resolution."""

    series: tuple[Series, ...]
    resolution: float

    @classmethod
    def of(cls, folder: Path, name: str, options: Mapping[str, Any]) -> _Sensor:
        found: list[Series | None] = [open_series(folder)]
        if PAN_INDEX in options.get(f"{name}_index_files", []):
            found.append(open_pan(folder))
        narrowed = []
        for series, bands in zip(found, options.get(f"{name}_bands", [None] * len(found)), strict=True):
            assert series is not None
            narrowed.append(series if bands is None else series.select(bands=[series.bands[band] for band in bands]))
        return cls(tuple(narrowed), options.get(f"{name}_resolution", _RESOLUTIONS[name]))

    @property
    def dates(self) -> list[date]:
        """Dates that all of its series have."""
        return sorted(set.intersection(*(set(series.dates) for series in self.series)))

    def read(self, corner: list[float], size: int, days: list[date]) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """Read a patch: bands of all series, (T, C, H, W), and where any of them is masked, (T, H, W)."""
        parts = [self._read(series, corner, size, days) for series in self.series]
        values, masks = zip(*parts, strict=True)
        return np.concatenate(values, axis=1), np.logical_or.reduce(masks)

    def _read(
        self, series: Series, corner: list[float], size: int, days: list[date]
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        grid, pixel = series.grid, series.grid.affine.a
        left, top = corner[0] - grid.boundingbox.left, grid.boundingbox.top - corner[1] - size
        row, col = (math.floor(offset / pixel + 0.1) for offset in (top, left))
        stack = read_stack(series, Window(row, col, round(size / pixel), round(size / pixel)), grid)
        chosen = [series.dates.index(day) for day in days]
        values, valid = stack.values[chosen].astype(np.int16), stack.valid[chosen]
        factor = round(pixel / self.resolution)
        return (values if factor == 1 else bicubic_integers(values, factor)), nearest(~valid, factor)


def _origin(sensors: Mapping[str, _Sensor], options: Mapping[str, Any]) -> date:
    given = options.get("dt_orig")
    return datetime.strptime(given, _DATES).date() if given else sensors["hr"].dates[0]


def _slices(sensors: Mapping[str, _Sensor], origin: date, options: Mapping[str, Any]) -> list[dict[str, list[date]]]:
    """Dates of each slice and sensor; of a series that is not cut, the very last acquisition is lost."""
    dates = {name: sensor.dates for name, sensor in sensors.items()}
    if options.get("conjunctions_only"):
        common = sorted(set(dates["lr"]) & set(dates["hr"]))
        dates = dict.fromkeys(dates, common)
    last = max(days[-1] for days in dates.values())
    step = options.get("time_slices_in_days")
    spans = [(date.min, last)] if step is None else list(_spans(origin, last, timedelta(days=step)))
    cut = [
        {name: [day for day in days if start <= day < stop] for name, days in dates.items()} for start, stop in spans
    ]
    least = options.get("min_nb_dates", 0)
    return [piece for piece in cut if all(len(days) > least for days in piece.values())]


def _spans(origin: date, last: date, step: timedelta) -> Iterator[tuple[date, date]]:
    while origin <= last:
        yield origin, origin + step
        origin += step


def _patches(series: Series, size: int) -> list[list[float]]:
    """Lower left corners of patches, row by row from the south, spread over the whole extent."""
    box = series.grid.boundingbox
    across, up = int(box.span_x // size), int(box.span_y // size)
    return [
        [box.left + col * box.span_x / across, box.bottom + row * box.span_y / up]
        for row in range(up)
        for col in range(across)
    ]


CASES: dict[str, Case] = {"strategies": _strategies, "dataset": _dataset}
