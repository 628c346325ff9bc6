"""``sitsinfer fuse`` with TAMRF as published, beside a plain implementation of the published procedure.

L3A, 24 days, of 12 Sentinel-2 and 8 Landsat dates over 990 m, in one process. Plain means: the whole area in memory,
sub-tile by sub-tile of 165 pixels with 18 around each, all dates and all days asked for at once, layers of torch. Then
peak memory of ours over 1, 9 and 25 km², the same dates and days: one sub-tile, and 9 and 25 of them.
"""

import sys
import warnings
from pathlib import Path

from tests.benchmarks import data
from tests.benchmarks.measure import Usage, run_module, table, verdict

DATES = {"sentinel2": 12, "landsat": 10}  # two of the latter are cloudy, and have no files
SIZE = 99  # pixels
SIZES = (100, 300, 500)
SUBTILE, MARGIN, RATIO = 165, 18, 3
FASTER, LESS, GROWTH = 3.0, 5.0, 1.05
L3A = (0, 14, 31, 45, 59, 73, 90, 104, 120, 134, 151, 165, 181, 195, 212, 226, 243, 257, 273, 287, 304, 318, 334, 348)


def main(options: list[str]) -> bool:
    """Run each once: of seconds that add up over a minute, other work on the machine changes little."""
    scene, model = _scene(SIZE, DATES), _model()
    uses = {
        "ours": _fuse(scene, model, "--strategy", "L3A"),
        "plain": run_module("tests.benchmarks.fuse", "plain", str(scene), str(model), str(data.scratch() / "plain")),
    }
    for size in SIZES:
        uses[f"ours, {size}²"] = _fuse(_scene(size, DATES), model, "--strategy", "L3A")
    table(("", "CPU s", "wall s", "peak MiB"), [(name, use.cpu, use.wall, use.peak) for name, use in uses.items()])
    ours, plain, small, _, large = uses.values()
    met = [
        verdict("times fewer CPU seconds", plain.cpu / ours.cpu, FASTER, at_least=True),
        verdict("times less peak memory", plain.peak / ours.peak, LESS, at_least=True),
        verdict(f"memory at {SIZES[-1]}² over that at {SIZES[0]}²", large.peak / small.peak, GROWTH),
    ]
    return all(met)


def _fuse(scene: Path, model: Path, *arguments: str) -> Usage:
    out = data.scratch() / "fused"
    places = ("--ts", str(scene), "--model", str(model), "--out", str(out))
    return run_module(
        "tests.benchmarks.trivial", "fuse", *places, *arguments, "--device", "cpu", "--overwrite", "--quiet"
    )


def _scene(size: int, dates: dict[str, int]) -> Path:
    folder = data.scratch() / f"pair_{size}"
    if not folder.exists():
        numbers = ("--size", str(size), "--dates", str(dates["sentinel2"]), "--landsat", str(dates["landsat"]))
        run_module("tests.benchmarks.trivial", "simulate", str(folder), *numbers, "--quiet", threads=1)
    return folder


def _model() -> Path:
    folder = data.scratch() / "model_tamrf"
    if not folder.exists():
        run_module("tests.benchmarks.fuse", "model", str(folder))
    return folder


def write_model(folder: Path) -> None:
    """Write a model folder of the published configuration, with fresh weights."""
    import torch

    from sitsinfer import models
    from sitsinfer.weights import FusionCard, SensorCard, save

    torch.manual_seed(0)
    lr_bands = (*(f"B{number:02d}" for number in range(1, 8)), "LST")
    card = FusionCard(
        name="tamrf",
        title="Benchmark",
        description="Fresh weights, to measure with.",
        architecture="tamrf",
        hyperparameters={},
        task="fuse",
        reference="first-of-year",
        days=365,
        ratio=RATIO,
        sensors={
            "hr": SensorCard("sentinel-2", data.BANDS, (0.2,) * 10, (0.1,) * 10),
            "lr": SensorCard("landsat", lr_bands, (*(0.2,) * 7, 0.29), (*(0.1,) * 7, 0.01)),
        },
        licence="none",
        citation="none",
        source="none",
        digest="0" * 64,
    )
    save(folder, card, [models.build("tamrf", {}).state_dict()])


def plain(scene: Path, model: Path, out: Path) -> None:
    """Read all, predict sub-tile by sub-tile, keep all, and write one file a day."""
    import numpy as np
    import rasterio

    images, days = {}, {}
    for sensor, name in (("lr", "landsat"), ("hr", "sentinel2")):
        images[sensor], days[sensor] = _read(scene / name)
    height, width = images["hr"].shape[2:]
    rows, cols = (-(-size // SUBTILE) for size in (height, width))
    for sensor, pixel in (("hr", 1), ("lr", RATIO)):
        margin, tile = MARGIN // pixel, SUBTILE // pixel
        far = (rows * tile - images[sensor].shape[2] + margin, cols * tile - images[sensor].shape[3] + margin)
        images[sensor] = np.pad(images[sensor], ((0, 0), (0, 0), (margin, far[0]), (margin, far[1])))
    predict = _plain_network(model)
    fused = np.empty((len(L3A), 10, rows * SUBTILE, cols * SUBTILE), np.float32)
    for row in range(0, rows * SUBTILE, SUBTILE):
        for col in range(0, cols * SUBTILE, SUBTILE):
            cut = {}
            for sensor, pixel in (("lr", RATIO), ("hr", 1)):
                top, left, side = row // pixel, col // pixel, (SUBTILE + 2 * MARGIN) // pixel
                cut[sensor] = images[sensor][..., top : top + side, left : left + side]
            fused[..., row : row + SUBTILE, col : col + SUBTILE] = predict(cut, days)
    out.mkdir(exist_ok=True)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 10, "dtype": "int16"}
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # as published
    for day, values in zip(L3A, fused[..., :height, :width], strict=True):
        with rasterio.open(out / f"{day}.tif", "w", **profile) as file:
            file.write((values * 10000).astype(np.int16))


def _read(folder: Path):
    """All dates of a sensor, (T, C, H, W) as they are stored, and their days of 2022."""
    import datetime
    import re

    import numpy as np
    import rasterio

    found = {}
    for path in sorted(path for path in folder.rglob("*.tif") if "mask" not in path.name):
        day = datetime.datetime.strptime(re.search(r"2022\d{4}", path.name)[0], "%Y%m%d").timetuple().tm_yday - 1
        with rasterio.open(path) as file:
            found[day] = np.where(file.read_masks(), file.read(), -10000).astype(np.int16)
    return np.stack(list(found.values())), list(found)


def _plain_network(model: Path):
    """From digital numbers of both sensors to reflectance of the fine one, with all layers as torch has them."""
    import numpy as np
    import torch
    from torch import nn

    from sitsinfer.models.tamrf import tokens
    from sitsinfer.weights import load_fusion_card, load_modules

    card, folder = load_fusion_card(str(model))
    (network,) = load_modules(card, folder)
    layers = nn.ModuleList(nn.TransformerEncoderLayer(136, 4, 256, batch_first=True) for _ in range(3)).eval()
    layers.load_state_dict(network.encoder.transformer_encoder.transformer_encoder["layers"].state_dict())
    tables = {
        sensor: [torch.tensor(table)[:, None, None] for table in (card.sensors[sensor].mean, card.sensors[sensor].std)]
        for sensor in ("lr", "hr")
    }

    @torch.inference_mode()
    def predict(cut, days):
        sequences = []
        for sensor, numbers in cut.items():
            mean, std = tables[sensor]
            x = (torch.from_numpy(numbers.astype(np.float32)) / 10000 - mean) / std
            maps = network.encoder.spatial(sensor)(x)
            marks = network.encoder.marks(sensor, torch.tensor(days[sensor]))
            sequences.append(tokens(maps.flatten(2).transpose(1, 2), marks))
        x = torch.cat(sequences).transpose(0, 1)  # (P, T, C)
        for layer in layers:
            x = layer(x)
        decoder, part = network.decoder, network.decoder.attention
        query = decoder.query_tokens(torch.tensor(L3A))
        part.attention.batch_first = True
        query = query.expand(len(x), -1, -1)
        y = part.norm1(query + part.attention(query, x, x, need_weights=False)[0])
        y = part.norm2(y + part.linear2(part.linear1(y).relu()))
        side = SUBTILE + 2 * MARGIN
        bands = decoder.decoder(y.permute(1, 2, 0).reshape(len(L3A), -1, side, side))[:, 8:]
        mean, std = tables["hr"]
        return (bands * std + mean)[..., MARGIN:-MARGIN, MARGIN:-MARGIN].numpy()

    return predict


if __name__ == "__main__":
    if sys.argv[1:2] == ["model"]:
        write_model(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["plain"]:
        plain(*map(Path, sys.argv[2:]))
    else:
        sys.exit(0 if main(sys.argv[1:]) else 1)
