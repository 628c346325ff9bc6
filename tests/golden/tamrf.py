"""Fixtures of TAMRF, its reader, strategies, metrics and baselines: what they are filled with, and who runs which.

Each part's cases stand in a file of their own, which exports ``CASES``: from a fixture's name, without its
``tamrf_``, to a function that runs it.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sitsinfer import models
from sitsinfer.fusion.networks import get_network
from sitsinfer.fusion.tamrf import Network, Tamrf
from sitsinfer.fusion.types import RATIO, Observations
from sitsinfer.grid import Window
from sitsinfer.models.tamrf import SENSORS, Chunks, Sensor, positional_encoding, tokens
from sitsinfer.weights import FusionCard, SensorCard, save
from tests.golden.generator import Arrays, Fixture, GeneratorError, MissError, NotBuiltError, draw_weight

Case = Callable[[Fixture], tuple[Arrays, Arrays]]
"""From a fixture to what we compute and what is expected, by the same names."""

_PARTS = ("tamrf_baselines", "tamrf_networks", "tamrf_dates", "tamrf_metrics", "tamrf_cli")

_PREDICTIONS = 2e-6
_INTERMEDIATE = 1e-5
_OPTICS = 1e-6
_NETWORKS = ("full_", "pe", "hr_encoder", "lr_encoder", "temporal_", "spatial_decoder", "dstfn_net")
_RESAMPLED = {("dataset", "c6_lr"), ("dataset", "c7_lr")}
_PREFIX = "the_modules."


def run(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """Run a fixture of this family.

    Raises:
        NotBuiltError: If no part has a case for it.
    """
    return _case(_short(fixture))(fixture)


def _case(name: str) -> Case:
    own = CASES.get(f"{name.partition('_')[0]}_*", CASES.get(name))
    if own is not None:
        return own
    for part in _PARTS:
        try:
            module = importlib.import_module(f"tests.golden.{part}")
        except ModuleNotFoundError as error:
            if error.name != f"tests.golden.{part}":
                raise
            continue
        if name in module.CASES:
            found: Case = module.CASES[name]
            return found
    raise NotBuiltError


def tolerance(fixture: Fixture, output: str) -> float | None:
    """How far off an output may be: 0 for days, masks and choices; None for what the runner's own rule serves."""
    name, kind = _short(fixture), {entry["name"]: entry["dtype"] for entry in fixture.spec["outputs"]}[output]
    if kind != "float32":
        return 1 if (name, output) in _RESAMPLED or (name == "cli" and kind == "int16") else 0
    if name.startswith("metrics"):
        return None
    if name.startswith(("full_", "tiles_")) and output in ("lr_pred", "hr_pred"):
        return _PREDICTIONS
    return _INTERMEDIATE if name.startswith(_NETWORKS) else _OPTICS


def read_inputs(fixture: Fixture) -> Arrays:
    """Draw all inputs of a fixture, by name, and check their sums."""
    return {entry["name"]: _draw(entry) for entry in fixture.spec["inputs"]}


def read_days(fixture: Fixture, name: str) -> NDArray[np.int64] | None:
    """Days of a fixture, (batch, dates), or None where a sensor or a query is absent."""
    days = fixture.spec["days"].get(name)
    return None if days is None else np.array(days, np.int64)


def weights(fixture: Fixture) -> dict[str, Tensor]:
    """Draw all tensors of a fixture by their rules, named as in the published checkpoint, and check them."""
    return {entry["name"]: torch.from_numpy(_draw_weight(entry)) for entry in fixture.spec["state_dict"]}


def module_weights(fixture: Fixture, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of one module of the network, such as ``encoder.hr_encoder.``, named from there on; no empty ones."""
    start = _PREFIX + prefix
    found = {name[len(start) :]: value for name, value in weights(fixture).items() if name.startswith(start)}
    return {name: value for name, value in found.items() if value.numel()}


def _short(fixture: Fixture) -> str:
    return fixture.path.name.removeprefix("tamrf_")


def _draw(entry: Mapping[str, Any]) -> NDArray[Any]:
    rs, shape = np.random.RandomState(entry["seed"]), tuple(entry["shape"])
    values = _KINDS[entry["kind"]](rs, shape, entry.get("args", {}))
    for step in entry.get("post", []):
        values[tuple(_index(axis) for axis in step["index"])] = step["value"]
    if not np.isclose(values.sum(dtype=np.float64), entry["sum"], rtol=1e-9, atol=1e-6):
        raise GeneratorError(f"input {entry['name']} sums to {values.sum(dtype=np.float64)}, not {entry['sum']}")
    return values


def _index(axis: int | list[int | None] | None) -> int | slice:
    """One axis of an index: None is all of it, [a, b] from a on and before b."""
    if axis is None:
        return slice(None)
    return slice(*axis) if isinstance(axis, list) else axis


def _landsat(rs: np.random.RandomState, shape: tuple[int, ...], _: Mapping[str, Any]) -> NDArray[Any]:
    numbers = rs.randint(100, 6000, size=shape)
    temperature = rs.randint(2750, 3150, size=(*shape[:2], *shape[3:]))
    if shape[2] >= 8:
        numbers[:, :, 7] = temperature
    return numbers.astype(np.int16)


_KINDS: dict[str, Callable[[np.random.RandomState, tuple[int, ...], Mapping[str, Any]], NDArray[Any]]] = {
    "normal": lambda rs, shape, _: rs.normal(size=shape).astype(np.float32),
    "uniform": lambda rs, shape, _: rs.uniform(0.0, 1.0, size=shape).astype(np.float32),
    "mask": lambda rs, shape, options: rs.uniform(0.0, 1.0, size=shape) < options["rate"],
    "s2_dn": lambda rs, shape, _: rs.randint(100, 6000, size=shape).astype(np.int16),
    "ls_dn": _landsat,
}


def _draw_weight(entry: Mapping[str, Any]) -> NDArray[np.float32]:
    name, shape = entry["name"], tuple(entry["shape"])
    kept = entry["rule"] == "kept"
    values = np.asarray(entry["values"] if kept else draw_weight(name, name, shape)).astype(np.float32).reshape(shape)
    first, total = float(values.flat[0]), float(values.sum(dtype=np.float64))
    if not np.allclose([first, total], [entry["first"], entry["sum"]], rtol=1e-6, atol=1e-6):
        raise GeneratorError(f"weight {name} starts with {first}, sums to {total}")
    return values


def _pe(fixture: Fixture) -> tuple[Arrays, Arrays]:
    computed = {}
    for case in fixture.spec["parameters"]["cases"]:
        days = torch.tensor([case["days"]], dtype=getattr(torch, case["days_dtype"]))
        encoded = positional_encoding(days, case["nb_features"], case["div"], case["offset"])
        computed[case["output"]] = encoded.numpy()
    return computed, fixture.outputs()


def _spatial_encoder(sensor: Sensor) -> Case:
    def run_case(fixture: Fixture) -> tuple[Arrays, Arrays]:
        encoder = _network(fixture).encoder.spatial(sensor)
        trunk = encoder.model["encoder"]
        seen: dict[str, Tensor] = {}
        trunk.blocks[1].register_forward_pre_hook(lambda _, x: seen.update(first_conv=x[0].clone()))
        trunk.blocks[1].module["block_0"].register_forward_hook(lambda _, x, y: seen.update(dense_block_0=y.clone()))
        trunk.blocks[1].register_forward_hook(lambda _, x, y: seen.update(basic_block_0=y.clone()))
        trunk.register_forward_hook(lambda _, x, y: seen.update(before_upsampling=y.clone()))
        x, expected = torch.from_numpy(read_inputs(fixture)["x"]), fixture.outputs()
        seen["out"] = encoder(x[0])
        return {name: (seen[name][None] if name == "out" else seen[name][:, :8]).numpy() for name in expected}, expected

    return run_case


def _temporal_encoder(fixture: Fixture) -> tuple[Arrays, Arrays]:
    encoder = _network(fixture).encoder
    first = encoder.transformer_encoder.get_submodule("transformer_encoder.layers.0")
    seen: list[Tensor] = []
    first.register_forward_hook(lambda _, x, y: seen.append(y[:, 0].clone()))
    features, marks = [], []
    for sensor in SENSORS:
        features.append(_rows(torch.from_numpy(read_inputs(fixture)[f"{sensor}_features"])[0]))
        marks.append(encoder.marks(sensor, torch.from_numpy(read_days(fixture, sensor)[0])))
    sequences = torch.cat(features), torch.cat(marks)
    expected = fixture.outputs()
    computed = {
        "tokens": _maps(tokens(*sequences), expected["tokens"]),
        "encoded": _maps(encoder.transformer_encoder(*sequences), expected["encoded"]),
        "layer0_pixel0": seen[0].numpy(),
    }
    return computed, expected


def _temporal_decoder(fixture: Fixture) -> tuple[Arrays, Arrays]:
    decoder, inputs, expected = _network(fixture).decoder, read_inputs(fixture), fixture.outputs()
    encoded, missing = _rows(torch.from_numpy(inputs["encoded"])[0]), torch.from_numpy(inputs["key_mask"])[0]
    attention, query_tokens = decoder.attention, decoder.query_tokens(torch.from_numpy(read_days(fixture, "query")[0]))
    queries, values = attention.prepare(query_tokens), attention.values(encoded)
    attended = _maps(attention(encoded, values, queries), expected["attended"])
    masked = attention(encoded, values, queries, missing.flatten(1))
    computed = {
        "query_tokens": query_tokens[None].numpy(),
        "attended": attended,
        "attended_with_key_mask": _maps(masked, expected["attended_with_key_mask"]),
        "output_mask": missing.all(0).expand(1, len(queries), -1, -1).numpy(),
        "decoded": decoder.decoder(torch.from_numpy(attended)[0])[None].numpy(),
    }
    return computed, expected


def _spatial_decoder(fixture: Fixture) -> tuple[Arrays, Arrays]:
    x = torch.from_numpy(read_inputs(fixture)["x"])
    return {"out": _network(fixture).decoder.decoder(x[0])[None].numpy()}, fixture.outputs()


def _full(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """The whole prediction of a window without any margin, and the parts on its way."""
    expected = fixture.outputs()
    with _algorithm(fixture, margin=0) as algorithm:
        samples = [_predict_sample(fixture, algorithm, sample) for sample in range(len(expected["hr_pred"]))]
    return {name: np.stack([sample[name] for sample in samples]) for name in expected}, expected


def _predict_sample(fixture: Fixture, algorithm: Tamrf, sample: int) -> Arrays:
    observed, queries = _observed(fixture, algorithm.card, sample), _queries(fixture, sample)
    core = Window(0, 0, *fixture.outputs()["hr_pred"].shape[-2:])
    planes = list(algorithm.predict(observed, queries, core, threads=1))
    computed = {
        f"{sensor}_pred": np.stack([plane.values for plane in planes if plane.sensor == sensor]) for sensor in queries
    }
    network, module = get_network(Network, algorithm.card, algorithm.folder, "cpu", "fp32"), _network(fixture)
    frames = {sensor: network.frames(sensor, values, 0) for sensor, values in observed.items() if len(values.days)}
    for sensor, values in frames.items():
        features = module.features({sensor: values}, 0, Chunks())
        computed[f"trace_{sensor}_spatial_encoder_spatial_mean"] = features.mean((1, 2)).numpy()
    marks = torch.cat([module.encoder.marks(sensor, values.days) for sensor, values in frames.items()])
    encoded = module.encoder.transformer_encoder(module.features(frames, 0, Chunks()).flatten(1, 2), marks)
    attention, query_tokens = module.decoder.attention, module.decoder.query_tokens(torch.from_numpy(queries["hr"]))
    decoded = attention(encoded, attention.values(encoded), attention.prepare(query_tokens))
    maps = decoded.view(len(decoded), *core.shape, -1).permute(0, 3, 1, 2)
    computed["trace_temporal_encoder_spatial_mean"] = encoded.mean(1).numpy()
    computed["trace_query_tokens"] = query_tokens.numpy()
    computed["trace_temporal_decoder_spatial_mean"] = decoded.mean(1).numpy()
    computed["trace_standardised_output_spatial_mean"] = module.decoder.decoder(maps).mean((2, 3)).numpy()
    return computed


def _tiles(fixture: Fixture) -> tuple[Arrays, Arrays]:
    """The published procedure, sub-tile by sub-tile, over as many whole ones as cover the image."""
    options, expected = fixture.spec["parameters"], fixture.outputs()
    width, queries = options["subtile_width"], _queries(fixture, 0)
    computed: Arrays = {f"{sensor}_pred": np.empty_like(expected[f"{sensor}_pred"]) for sensor in queries}
    computed |= {f"{sensor}_pred_days": days[None] for sensor, days in queries.items()}
    with _algorithm(fixture, options["margin"]) as algorithm:
        observed = _observed(fixture, algorithm.card, 0)
        height, length = expected["hr_pred"].shape[-2:]
        for row, col in itertools.product(range(0, height, width), range(0, length, width)):
            core = Window(row, col, width, width)
            windows = {
                sensor: _cut(values, core, algorithm.reads[sensor].margin) for sensor, values in observed.items()
            }
            for plane in algorithm.predict(windows, queries, core, threads=1):
                rows, cols = slice(row, row + width), slice(col, col + width)
                computed[f"{plane.sensor}_pred"][0, plane.index, :, rows, cols] = plane.values
    return computed, expected


def _cut(observed: Observations, core: Window, margin: int) -> Observations:
    """Observations of a core and a margin around it; beyond the image they are 0."""
    pixel = RATIO if "LST" in observed.bands else 1
    row, col, height, width = (n // pixel for n in (core.row, core.col, core.height, core.width))
    far = 2 * margin + max(height, width)
    padded = np.pad(observed.values, ((0, 0), (0, 0), (margin, far), (margin, far)))
    values = padded[..., row : row + height + 2 * margin, col : col + width + 2 * margin]
    return replace(observed, values=values, clear=np.ones((len(values), *values.shape[2:]), np.bool_))


def _observed(fixture: Fixture, card: FusionCard, sample: int) -> dict[str, Observations]:
    found = {}
    for sensor in SENSORS:
        days = read_days(fixture, sensor)
        if days is not None:
            values = read_inputs(fixture)[sensor][sample].astype(np.float32) / np.float32(10000)
            clear = np.ones((len(values), *values.shape[2:]), np.bool_)
            found[sensor] = Observations(values, clear, days[sample], card.sensors[sensor].bands)
    return found


def _queries(fixture: Fixture, sample: int) -> dict[str, NDArray[np.int64]]:
    asked = {sensor: read_days(fixture, f"{sensor}_query") for sensor in SENSORS}
    return {sensor: days[sample] for sensor, days in asked.items() if days is not None}


@contextlib.contextmanager
def _algorithm(fixture: Fixture, margin: int) -> Iterator[Tamrf]:
    """The algorithm, with a model folder of the fixture's weights and statistics."""
    numbers = {
        name: tuple(float(str(n)) for n in values.numpy())
        for name, values in weights(fixture).items()
        if "." not in name
    }
    bands = {
        "lr": ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "LST"),
        "hr": ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    }
    sensors = {s: SensorCard(s, bands[s], numbers[f"{s}_mean"], numbers[f"{s}_std"]) for s in SENSORS}
    card = FusionCard(
        name="golden",
        title="Golden",
        description="Weights by rule.",
        architecture="tamrf",
        hyperparameters=hyperparameters(fixture),
        task="fuse",
        reference="first-of-year",
        days=365,
        ratio=RATIO,
        sensors=sensors,
        licence="none",
        citation="none",
        source="none",
        digest="0" * 64,
    )
    with tempfile.TemporaryDirectory() as folder:
        card = save(Path(folder), card, [module_weights(fixture)])
        yield Tamrf(card, Path(folder), bands, margin, "cpu", "fp32")


def _network(fixture: Fixture) -> Any:
    """The network, with the weights that the fixture lists; parts have none but their own."""
    module = models.build("tamrf", hyperparameters(fixture)).eval()
    missing, unexpected = module.load_state_dict(module_weights(fixture), strict=False)
    if unexpected or (missing and _short(fixture).startswith("full_")):
        raise MissError(f"state dict lacks {missing}, has no {unexpected}")
    return module


def hyperparameters(fixture: Fixture) -> dict[str, Any]:
    """Ours, from those of the whole network, or of a part."""
    published = fixture.hyperparameters
    spatial = published.get("spatial_encoder", published)
    temporal, decoder = published.get("temporal_encoder", {}), published.get("temporal_decoder", {})
    encoding = published.get("positional_encoding", {})
    found = {
        "hr_bands": published.get("hr_bands"),
        "lr_bands": published.get("lr_bands"),
        "latent_size": published.get("latent_features"),
        "hr_basic_blocks": spatial.get("num_basic_blocks"),
        "lr_basic_blocks": spatial.get("num_basic_blocks"),
        "growth_channels": spatial.get("growth_channels"),
        "ratio": published.get("resolution_ratio"),
        "positional_features": encoding.get("nb_features"),
        "positional_div": encoding.get("div"),
        "sensor_token_size": published.get("sensor_token_size"),
        "heads": temporal.get("nb_heads"),
        "layers": temporal.get("nb_layers"),
        "feed_forward": temporal.get("dim_feedforward"),
        "decoder_heads": decoder.get("nb_heads"),
        "decoder_feed_forward": decoder.get("dim_feedforward"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _rows(maps: Tensor) -> Tensor:
    """Maps (T, C, H, W) as sequences (T, H * W, C)."""
    return maps.flatten(2).transpose(1, 2)


def _maps(sequences: Tensor, like: NDArray[Any]) -> NDArray[Any]:
    """Sequences (T, H * W, C) as maps of a batch of one."""
    maps: NDArray[Any] = sequences.transpose(1, 2).reshape(like.shape).numpy()
    return maps


CASES: dict[str, Case] = {
    "pe": _pe,
    "hr_encoder": _spatial_encoder("hr"),
    "lr_encoder": _spatial_encoder("lr"),
    "temporal_encoder": _temporal_encoder,
    "temporal_decoder": _temporal_decoder,
    "spatial_decoder": _spatial_decoder,
    "full_*": _full,
    "tiles_*": _tiles,
}
"""The network and its parts; all else stands with its own."""
