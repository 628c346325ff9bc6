"""The published command on a site of its own: what it wrote, run by run, beside what we write.

Only predictions are compared: references, georeferencing and runs that failed are no models to follow. Three things
are otherwise here on purpose, and what is expected is put right for them:

- Where nothing can be said the published command writes 0 in every band, we write nodata.
- It compensates residuals even where the observation is masked; there we leave the prediction as it was, which is what
  the same run without compensation has.
- It puts out whole sub-tiles, beyond the image; only the image is compared.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

from sitsinfer import api
from sitsinfer.fusion.resample import nearest
from sitsinfer.fusion.sen2like import Sen2Like
from sitsinfer.fusion.slices import slices
from sitsinfer.fusion.spectral import PAIRS
from sitsinfer.fusion.stair import Stair
from sitsinfer.fusion.strategies import StrategyOptions, select
from sitsinfer.fusion.tamrf import PUBLISHED_MARGIN
from sitsinfer.fusion.types import RATIO, Algorithm
from sitsinfer.grid import whole
from sitsinfer.series.pair import Pair, open_pair
from sitsinfer.tasks.fuse import LAYERS, NODATA, Fuse
from sitsinfer.weights import import_tamrf
from tests.golden.generator import Arrays, Fixture
from tests.golden.tamrf import Case, hyperparameters, weights

_CUT = 30  # fine pixels that the published command leaves out on each side
_NAME = re.compile(r"(?P<run>\w+)/.+/(?P<sensor>[hl]r)_(?:clr|mae)_\w+/\d+_(?P<date>[\d-]+)_\w+_pred\.tif")
_COMPENSATED, _PLAIN = "all_rescomp", "all"  # two runs that differ in nothing else

_Key = tuple[str, date]
_Dated = Mapping[_Key, NDArray[np.int16]]
"""Digital numbers of the whole site, (C, H, W), by sensor and date."""


def _cli(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Repeat every run that left predictions. What we predict beyond those is an output that nobody expects."""
    published = {name: values for name, values in fixture.outputs().items() if name.endswith("_pred.tif")}
    computed: Arrays = {}
    with tempfile.TemporaryDirectory() as scratch:
        site, model = _site(fixture, Path(scratch)), _model(fixture, Path(scratch))
        for run in map(_Run.of, fixture.spec["parameters"]["runs"]):
            names = {_key(name): name for name in published if name.startswith(f"{run.label}/")}
            if not names:
                continue
            for key, values in run.predict(site, model, Path(scratch) / run.label).items():
                name = names.get(key, f"{run.label} {key[0]} {key[1]}")
                rows, cols = (slice(_CUT, _CUT + n) for n in published.get(name, values).shape[1:])
                computed[name] = values[:, rows, cols]
        expected = {name: _as_meant(values) for name, values in _compensated_where_clear(published, site).items()}
    return computed, expected


def _key(name: str) -> _Key:
    """Sensor and date of an output."""
    found = _NAME.fullmatch(name)
    assert found is not None, name
    return found["sensor"], date.fromisoformat(found["date"])


def _as_meant(values: NDArray[np.int16]) -> NDArray[np.int16]:
    """Nodata where the published command says nothing."""
    return np.where((values == 0).all(axis=0), np.int16(NODATA), values)


def _compensated_where_clear(published: Arrays, site: Path) -> Arrays:
    """The published outputs, without compensation where the observation is masked."""
    changed = {}
    for name in published:
        sensor, day = _key(name)
        if name.startswith(f"{_COMPENSATED}/") and sensor == "lr":
            mask = nearest(_landsat_mask(site, day), RATIO)[_CUT:-_CUT, _CUT:-_CUT]
            changed[name] = np.where(mask, published[name.replace(_COMPENSATED, _PLAIN, 1)], published[name])
    return published | changed


def _landsat_mask(site: Path, day: date) -> NDArray[np.bool_]:
    with rasterio.open(site / "landsat" / f"{day:%Y%m%d}" / f"landsat_mask_{day:%Y%m%d}.tif") as file:
        mask: NDArray[np.bool_] = file.read(1) > 0
    return mask


# --- what goes in


def _site(fixture: Fixture, folder: Path) -> Path:
    """Copy the site without the very last acquisition, which the published reader loses."""
    source, site = fixture.path / "SITE", folder / "SITE"
    last = max(source.glob("*/*/"), key=lambda path: path.name)
    for file in source.glob("*/**/*.*"):
        if last not in file.parents:
            copy = site / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    index = site / last.parent.name / "index.csv"
    rows = index.read_text().splitlines(keepends=True)
    index.write_text("".join(row for row in rows if last.name not in row))
    return site


def _model(fixture: Fixture, folder: Path) -> Path:
    """Write checkpoint and configuration as they are published, and import them."""
    tensors = weights(fixture)
    torch.save({"state_dict": tensors}, folder / "model.ckpt")
    numbers = {name: [float(str(n)) for n in tensors[name].numpy()] for name in fixture.spec["kept_names"]}
    hydra = folder / "hydra_config"
    hydra.mkdir()
    (hydra / "config.yaml").write_text(json.dumps(_configuration(hyperparameters(fixture), numbers)))  # YAML as well
    import_tamrf(folder / "model.ckpt", hydra, folder / "model")
    return folder / "model"


def _configuration(options: Mapping[str, Any], numbers: Mapping[str, list[float]]) -> dict[str, Any]:
    """The published configuration, as far as it matters, with some of its references."""
    encoder = "${training_module.training_module.encoder."
    spatial = {
        sensor: {
            "in_nb_bands": options[f"{sensor}_bands"],
            "latent_size": f"{encoder}token_size}}",
            "num_basic_blocks": options[f"{sensor}_basic_blocks"],
            "growth_channels": options["growth_channels"],
            "upsampling_factor": factor,
            "upsampling_mode": mode,
        }
        for sensor, factor, mode in (("hr", 1, "pixel_shuffle"), ("lr", options["ratio"], "bicubic"))
    }
    width = options["latent_size"] + options["positional_features"] + options["sensor_token_size"]
    positions = {"nb_features": options["positional_features"], "div": options["positional_div"], "mode": "CONCAT"}
    network = {
        "encoder": {
            "token_size": options["latent_size"],
            "sensor_token_size": options["sensor_token_size"],
            "nb_heads": options["heads"],
            "nb_layers": options["layers"],
            "dim_feedforward": options["feed_forward"],
            **{f"{sensor}_encoder": {"model": part} for sensor, part in spatial.items()},
            "temporal_positional_encoder": positions,
        },
        "decoder": {
            "token_size": f"{encoder}token_size}}",
            "sensor_token_size": f"{encoder}sensor_token_size}}",
            "nb_heads": options["decoder_heads"],
            "decoder": {"model": {"latent_size": width, "out_nb_bands": options["hr_bands"] + options["lr_bands"]}},
        },
    }
    parameters = {
        group: {name: values for name, values in numbers.items() if name.endswith(endings)}
        for group, endings in (("standardization", ("_mean", "_std")), ("mtfs", ("_mtf", "_resolution")))
    }
    return {"training_module": {"training_module": network, "parameters": parameters}}


# --- runs


@dataclass(frozen=True)
class _Run:
    """A run of the published command, in our terms.

    Attributes:
        label: What the fixture calls it.
        options: What was asked, by the published names.
    """

    label: str
    options: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Run:
        options: dict[str, list[str]] = {}
        for word in entry["arguments"]:
            if word.startswith("--"):
                values = options.setdefault(word.removeprefix("--"), [])
            else:
                values.append(word)
        return cls(entry["label"], options)

    def predict(self, site: Path, model: Path, out: Path) -> _Dated:
        """Predict what was asked, over the whole site."""
        algorithm = self.options["algorithm"][0]
        if algorithm in ("STAIR", "SEN2LIKE"):
            return self._predict_by_task(_as_published(algorithm, self.options), site)
        given: dict[str, Any] = {"algorithm": "naive"}
        if algorithm == "TAMRFSITS":
            subtile = int(self.options["subtile_width"][0])
            given = {"model": str(model), "margin": PUBLISHED_MARGIN, "subtile": subtile}
        strategy, options = self._strategy()
        api.fuse(
            site,
            out,
            strategy=strategy,
            strategy_options=options,
            sensor="hr" if self.options["strategy"] == ["L3A"] else None,
            reference_date=self._origin(open_pair(site)),
            residual_compensation="tamrfsits_rescomp" in self.options,
            device="cpu",
            precision="fp32",
            **given,
        )
        return dict(_read(out))

    def _predict_by_task(self, algorithm: Algorithm, site: Path) -> _Dated:
        """Predict with an algorithm that the command does not build as it was published."""
        pair = open_pair(site)
        assert pair.hr is not None
        assert pair.lr is not None
        dates, origin = {"hr": pair.hr.dates, "lr": pair.lr.dates}, self._origin(pair)
        task = Fuse(pair, algorithm, slices(str(algorithm.strategy), dates, reference=origin), {}).prepared()
        core = whole(task.grid)
        (layer,) = task.layers
        result = task.compute(task.read(core), core, 1)  # with no layer where nothing can be told
        values = result.layers.get(layer.name, np.full((layer.depth, *core.shape), NODATA, np.int16))
        by_date = values.reshape(len(layer.dates), -1, *core.shape)
        return {("hr", day): numbers for day, numbers in zip(layer.dates, by_date, strict=True)}

    def _strategy(self) -> tuple[str, StrategyOptions]:
        """The strategy; what L3A is to the published command, unless years begin in January, are fixed days."""
        (name,) = self.options["strategy"]
        days = tuple(map(int, self.options.get("custom_target_dates", ())))
        if name == "L3A" and "dt_orig" not in self.options:
            name, days = "CUSTOM", select("L3A", {"hr": [0], "lr": [0]}).targets["hr"] or ()
        return name, StrategyOptions(dates=days, gap_size=int(self.options.get("gaps_size", ["30"])[0]))

    def _origin(self, pair: Pair) -> date:
        """Where days are counted from: the first Sentinel-2 date, unless given."""
        if "dt_orig" in self.options:
            return datetime.strptime(self.options["dt_orig"][0], "%Y.%m.%d").date()
        assert pair.hr is not None
        return pair.hr.dates[0]


def _as_published(name: str, options: Mapping[str, Sequence[str]]) -> Algorithm:
    """An algorithm of the comparison in a variant that is published but not offered by our command."""
    bands = tuple(PAIRS), tuple(PAIRS.values())
    if name == "STAIR":
        return Stair(*bands, as_published=True)
    return Sen2Like(*bands, mtf=float(options["sen2like_hpf_mtf"][0]))


def _read(out: Path) -> Iterator[tuple[_Key, NDArray[np.int16]]]:
    """What our command wrote, by sensor and date."""
    for sensor, layer in LAYERS.items():
        for path in out.glob(f"*_{layer}.tif"):
            with rasterio.open(path) as file:
                yield (sensor, datetime.strptime(path.stem.split("_")[1], "%Y%m%d").date()), file.read()


CASES: dict[str, Case] = {"cli": _cli}
