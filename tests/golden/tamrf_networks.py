"""Fixtures of the networks that TAMRF is compared with, and of what is done around them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from sitsinfer import models
from sitsinfer.fusion import dsen2, dstfn
from sitsinfer.fusion.psf import OPTICS
from sitsinfer.fusion.resample import nearest
from tests.golden.generator import Arrays, Fixture, check_state_dict
from tests.golden.tamrf import read_days, read_inputs, weights

_DSTFN = {"nFeat": "features", "nDense": "dense_layers", "growthRate": "growth_rate"}
"""Our names of published hyper-parameters."""


def _dstfn_net(fixture: Fixture) -> tuple[Arrays, Arrays]:
    options = {_DSTFN.get(name, name): value for name, value in fixture.hyperparameters.items()}
    network = models.build("dstfn", options).eval()
    network.load_state_dict(weights(fixture))
    check_state_dict(network, fixture.spec["state_dict"])
    s2, landsat, pan = (torch.from_numpy(values) for values in read_inputs(fixture).values())
    first = network.conv2_net2(landsat)
    attended = network.CSA1_net2(first)
    computed = {
        "out": network(s2, landsat, pan),
        "landsat_first_conv": first[:, :4],
        "landsat_csa": attended[:, :4],
        "landsat_rdb": network.RDB1_net2(attended)[:, :4],
    }
    return {name: values.numpy() for name, values in computed.items()}, fixture.outputs()


def _dstfn_wrap(fixture: Fixture) -> tuple[Arrays, Arrays]:
    x, days = read_inputs(fixture), {sensor: read_days(fixture, sensor)[0] for sensor in ("lr", "hr")}
    coarse, fine = (_reflectance(x[sensor][0]) for sensor in ("lr", "hr"))
    rates = x["hr_mask"][0].mean(axis=(1, 2))
    usable = rates <= fixture.spec["parameters"]["max_masked_rate"]
    closest = [dstfn.closest_date(days["hr"], usable, day) for day in days["lr"]]
    candidates = days["hr"][usable]  # published, but not offered: that the same day may be taken
    same_day_allowed = candidates[np.abs(candidates - days["lr"][:, None]).argmin(axis=1)]
    landsat = np.stack([dstfn.back_to_30m(values[:6]) for values in coarse])
    inputs = zip(fine[closest], landsat, coarse[:, 6:], strict=True)
    computed = {
        "landsat_30m": landsat,
        "hr_pred": np.stack([_dstfn_stand_in(*images) for images in inputs]),
        "hr_pred_days": days["lr"],
        "closest_hr_days": days["hr"][closest],
        "closest_hr_days_same_day_allowed": same_day_allowed,
    }
    return {name: values[None] for name, values in computed.items()}, fixture.outputs()


def _dstfn_stand_in(
    s2: NDArray[np.float32], landsat: NDArray[np.float32], pan: NDArray[np.float32]
) -> NDArray[np.float32]:
    return 0.5 * s2 + 0.3 * nearest(landsat, 3) + 0.2 * nearest(pan, Fraction(3, 2))


def _dsen2_wrap(fixture: Fixture) -> tuple[Arrays, Arrays]:
    dates = _reflectance(read_inputs(fixture)["hr"][0])
    sharp = [dsen2.sharpen(_dsen2_stand_in, values, tuple(OPTICS["hr"])) for values in dates]
    return {"hr_pred": np.stack(sharp)[None]}, fixture.outputs()


def _dsen2_stand_in(x10: NDArray[np.float32], x20: NDArray[np.float32]) -> NDArray[np.float32]:
    return 0.5 * x20 + 0.25 * x10.mean(axis=0)


def _reflectance(numbers: NDArray[np.int16]) -> NDArray[np.float32]:
    return numbers.astype(np.float32) / 10000


CASES: dict[str, Callable[[Fixture], tuple[Arrays, Arrays]]] = {
    "dstfn_net": _dstfn_net,
    "dstfn_wrap": _dstfn_wrap,
    "dsen2_wrap": _dsen2_wrap,
}
