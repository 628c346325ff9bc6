"""Fixtures of what goes in: days that strategies choose, and sites as the published reader reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sitsinfer.errors import SeriesError
from sitsinfer.fusion.strategies import StrategyOptions, select
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


CASES: dict[str, Case] = {"strategies": _strategies}
