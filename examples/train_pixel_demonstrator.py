"""Make the embedded demonstrator for single pixels anew: simulate twelve scenes, train, map three that it never saw.

Training took less than ten minutes of one core, in about 1.5 GiB of memory. Give a folder to work in; the scenes of
``train_demonstrator.py`` are used again where it has them::

    python examples/train_pixel_demonstrator.py FOLDER
"""

import sys
from pathlib import Path

from train_demonstrator import SEEDS, UNSEEN, scene, sitsinfer, training_scene


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pairs: list[object] = []
    for n in range(len(SEEDS)):
        made = training_scene(folder, n)
        pairs += ["--ts", made / "sentinel2", "--labels", made / "truth" / "classes.tif"]
    model = folder / "pixel-ltae"
    if not model.exists():
        how = "--preset pixel-ltae-small --pixels 600 --dates 8 32 --cloudy 0.3 --steps 6000"
        more = "--gap 0 --validate-every 500 --patience 12 --seed 1 --name pixel-ltae"
        sitsinfer("train", "pixels", *pairs, "--out", model, *how.split(), *more.split())
    for seed, (year, cloud_cover) in UNSEEN.items():
        made = scene(folder / f"scene_{seed}", dates=32, seed=seed, year=year, cloud_cover=cloud_cover)
        mapped = folder / f"pixels_{seed}.tif"
        sitsinfer("segment", "--ts", made / "sentinel2", "--out", mapped, "--model", model)
        sitsinfer("evaluate", "segmentation", mapped, made / "truth" / "classes.tif")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
