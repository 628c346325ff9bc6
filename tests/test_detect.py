from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from sitsinfer import models, weights
from sitsinfer.detect import Detector, Sighting, get_detector
from sitsinfer.errors import WeightsError
from sitsinfer.grid import Window
from sitsinfer.layers import ClassInfo
from sitsinfer.models.paps import PaPs
from sitsinfer.patches import Patch
from tests.fakes import CARD as FAKE
from tests.fakes import TINY_UTAE

CARD = replace(
    FAKE,
    architecture="paps",
    task="panoptic",
    hyperparameters={"input_dim": 2, "encoder": TINY_UTAE, "num_classes": 4, "shape_size": 5, "min_confidence": 0.1},
    patch=16,
    margin=2,
    classes=tuple(ClassInfo(code, f"class {code}", (code, 0, 0)) for code in (0, 3, 7, 20)),
    ignore=(0, 20),
)


def network(seed: int = 3) -> PaPs:
    """A network of random weights that finds parcels of some pixels."""
    torch.manual_seed(seed)
    module = models.build("paps", CARD.hyperparameters).eval()
    assert isinstance(module, PaPs)
    with torch.no_grad():
        module.size_mlp[6].bias.fill_(5)
        module.saliency_conv.conv[4].bias.fill_(4)
    return module


def patch_of(seed: int, days: tuple[int, ...] = (3, 8, 40)) -> Patch:
    values = np.random.default_rng(seed).integers(1, 9000, (len(days), 2, 16, 16)).astype(np.uint16)
    ones = np.ones(len(days), np.float32)
    return Patch(values, np.ones((len(days), 16, 16), bool), ones * np.float32(1e-4), ones * 0, np.array(days), 0)


def told(sightings: list[Sighting]) -> list[tuple[object, ...]]:
    return [(s.row, s.col, s.box, s.code, round(s.confidence, 5), s.mask.tobytes()) for s in sightings]


def test_parcels_lie_in_the_patch_and_have_pixels() -> None:
    (found,) = Detector(CARD, [network()]).detect([patch_of(0)])
    assert len(found) > 2
    for sighting in found:
        assert sighting.box.intersection(Window(0, 0, 16, 16)) == sighting.box
        assert sighting.mask.shape == sighting.box.shape
        assert sighting.mask.any()
        assert 0.1 <= sighting.confidence <= 1


def test_classes_that_are_ignored_are_never_told() -> None:
    module = network()
    with torch.no_grad():
        module.class_mlp[4].bias.copy_(torch.tensor([9.0, 0, 0.5, 9]))
    (found,) = Detector(CARD, [module]).detect([patch_of(0)])
    assert {sighting.code for sighting in found} <= {3, 7}
    assert found


def test_what_shares_the_batch_changes_nothing() -> None:
    patches = [patch_of(seed) for seed in range(3)]
    alone = [told(found) for found in Detector(CARD, [network()]).detect(patches)]
    together = [told(found) for found in Detector(CARD, [network()], batch_size=3).detect(patches)]
    assert together == alone


def test_patches_side_by_side_are_told_in_their_order() -> None:
    patches = [patch_of(seed, (3, 8, 40)[: 1 + seed % 3]) for seed in range(9)]
    alone = [told(found) for found in Detector(CARD, [network()]).detect(patches)]
    assert [told(found) for found in Detector(CARD, [network()], abreast=3).detect(patches)] == alone


def test_patches_side_by_side_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def patches() -> Iterator[Patch]:
        for seed in range(20):
            taken.append(seed)
            yield patch_of(seed)

    found = Detector(CARD, [network()], abreast=3).detect(patches())
    next(found)
    assert len(taken) <= 6


def test_how_many_threads_there_are_changes_no_bit() -> None:
    patches = [patch_of(seed) for seed in range(4)]
    before = torch.get_num_threads()
    try:
        found = [list(_found(threads, patches)) for threads in (1, 2, 3)]
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def _found(threads: int, patches: list[Patch]) -> Iterator[list[tuple[object, ...]]]:
    with TemporaryDirectory() as folder:
        card = weights.save(Path(folder), CARD, [network().state_dict()])
        for sightings in get_detector(card, Path(folder), threads=threads).detect(patches):
            yield [(sighting.confidence, *one) for sighting, one in zip(sightings, told(sightings), strict=True)]


def test_patches_of_other_dates_are_looked_at_apart() -> None:
    patches = [patch_of(0), patch_of(1, (3, 9)), patch_of(2)]
    found = list(Detector(CARD, [network()], batch_size=3).detect(patches))
    assert [told(one) for one in found] == [told(next(Detector(CARD, [network()]).detect([p]))) for p in patches]


def test_thresholds_that_are_given_win() -> None:
    (most,) = Detector(CARD, [network()]).detect([patch_of(0)])
    limit = sorted(sighting.confidence for sighting in most)[len(most) // 2]
    (fewer,) = Detector(CARD, [network()], min_confidence=limit).detect([patch_of(0)])
    assert 0 < len(fewer) < len(most)
    assert all(sighting.confidence >= limit for sighting in fewer)
    (none,) = Detector(CARD, [network()], mask_threshold=1.0).detect([patch_of(0)])
    assert none == []


def test_centres_near_the_border_are_left_out() -> None:
    (most,) = Detector(CARD, [network()]).detect([patch_of(0)])
    (fewer,) = Detector(CARD, [network()], border=4).detect([patch_of(0)])
    inner = [sighting for sighting in most if 4 <= sighting.row < 12 and 4 <= sighting.col < 12]
    assert 0 < len(inner) < len(most)
    assert told(fewer) == told(inner)


@pytest.mark.parametrize("head", ["heatmap_conv.0.conv.4", "saliency_conv.conv.4", "size_mlp.6", "shape_mlp.3"])
def test_numbers_that_are_none_are_an_error(head: str) -> None:
    module = network()
    with torch.no_grad():
        module.get_submodule(head).bias.fill_(float("nan"))
    with pytest.raises(WeightsError, match="Model 'fake' gives values that are not numbers in fp32"):
        list(Detector(CARD, [module]).detect([patch_of(0)]))


def test_a_network_that_finds_no_parcels_is_refused() -> None:
    with pytest.raises(WeightsError, match="Model 'fake' is a utae, which finds no parcels. Choose a paps"):
        Detector(replace(CARD, architecture="utae"), [models.build("utae", {"input_dim": 2, **TINY_UTAE})])


def test_a_detector_is_loaded_once_for_each_way_of_using_it(tmp_path: Path) -> None:
    card = weights.save(tmp_path, CARD, [network().state_dict()])
    first = get_detector(card, tmp_path, threads=1)
    assert get_detector(card, tmp_path, threads=1) is first
    assert get_detector(card, tmp_path, threads=1, min_confidence=0.5) is not first
