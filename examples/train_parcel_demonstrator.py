"""Make the embedded demonstrator for parcels' crops anew: simulate twelve scenes, train, classify three never seen.

Training took less than ten minutes of one core, in about 2 GiB of memory. Give a folder to work in; the scenes of
``train_demonstrator.py`` are used again where it has them::

    python examples/train_parcel_demonstrator.py FOLDER
"""

import sys
from pathlib import Path

from train_demonstrator import SEEDS, UNSEEN, scene, sitsinfer, training_scene


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pairs: list[object] = []
    for n in range(len(SEEDS)):
        made = training_scene(folder, n)
        pairs += ["--ts", made / "sentinel2", "--parcels", made / "truth" / "parcels.gpkg"]
    model = folder / "pse-ltae-demo"
    if not model.exists():
        legend = ("--legend", made / "truth" / "classes.tif")
        how = "--reference-date 2018-01-01 --preset pse-ltae --pixels 32 --steps 1600 --validate-every 100"
        more = "--gap 0 --patience 16 --seed 1 --name pse-ltae-demo"
        sitsinfer("train", "classify", *pairs, "--out", model, *legend, *how.split(), *more.split())
    for seed, (year, cloud_cover) in UNSEEN.items():
        made = scene(folder / f"scene_{seed}", dates=32, seed=seed, year=year, cloud_cover=cloud_cover)
        parcels, found = made / "truth" / "parcels.gpkg", folder / f"classified_{seed}.gpkg"
        sitsinfer(
            *("classify", "--ts", made / "sentinel2", "--parcels", parcels, "--out", found),
            *("--model", model, "--id-column", "id"),
        )
        sitsinfer("evaluate", "parcels", found, parcels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
