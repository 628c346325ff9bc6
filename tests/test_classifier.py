from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sitsinfer import models, weights
from sitsinfer.classifier import Classifier, Inputs, get_classifier
from sitsinfer.errors import DeviceError, WeightsError
from sitsinfer.weights import Member
from tests.classifier_model import BANDS, CARD, DAYS, network, write_classifier
from tests.fakes import TINY_UTAE

TWO = (Member("a", (0.1,) * 4, (0.05,) * 4), Member("b", tuple(0.01 * n for n in range(20)), (0.07,) * 20))
"""Members with statistics of bands, and of bands date by date."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def some(seed: int = 0, parcels: int = 30) -> Inputs:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 17, parcels).astype(np.int32)
    pixels = rng.random((counts.sum(), len(DAYS), len(BANDS)), np.float32) * np.float32(0.3)
    return Inputs(pixels, counts, rng.normal(size=(parcels, 4)).astype(np.float32))


def scores(
    module: torch.nn.Module, inputs: Inputs, mean: NDArray[np.float64], std: NDArray[np.float64]
) -> torch.Tensor:
    """Scores of padded sets, as the network was published."""
    assert inputs.features is not None
    most = int(inputs.counts.max())
    padded = np.zeros((len(inputs), len(DAYS), len(BANDS), most), np.float32)
    mask = np.zeros((len(inputs), len(DAYS), most), np.float32)
    for index, one in enumerate(inputs.split(1)):
        count = int(one.counts[0])
        padded[index, ..., :count] = ((one.pixels - mean) / std).transpose(1, 2, 0)
        mask[index, :, :count] = 1
    extra = np.repeat(inputs.features[:, None], len(DAYS), axis=1)
    with torch.inference_mode():
        return module(*map(torch.from_numpy, (padded, mask, extra)))


def test_probabilities_are_those_of_normalised_reflectance_among_classes_that_are_not_ignored() -> None:
    inputs = some()
    found = Classifier(CARD, [network()], "cpu").classify(inputs)
    expected = scores(network(), inputs, np.full(4, 0.1), np.full(4, 0.05))[:, :3].softmax(dim=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert found.dtype == np.float32
    assert len(set(found.argmax(axis=1))) > 1


def test_members_are_averaged_as_logarithms_each_with_its_own_statistics() -> None:
    inputs = some(1)
    found = Classifier(replace(CARD, members=TWO), [network(3), network(4)], "cpu").classify(inputs)
    each = [
        scores(network(3), inputs, np.full(4, 0.1), np.full(4, 0.05)),
        scores(network(4), inputs, np.arange(20).reshape(5, 4) * 0.01, np.full((5, 4), 0.07)),
    ]
    product = np.prod([one[:, :3].softmax(dim=1).numpy().astype(np.float64) for one in each], axis=0) ** 0.5
    np.testing.assert_allclose(found, product / product.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 16])
def test_a_parcel_does_not_depend_on_those_that_it_is_classified_with(size: int) -> None:
    inputs, classifier = some(2), Classifier(CARD, [network()], "cpu")
    together = classifier.classify(inputs)
    apart = np.concatenate([classifier.classify(part) for part in inputs.split(size)])
    np.testing.assert_allclose(apart, together, rtol=0, atol=1e-6)


def test_no_parcel_is_no_error() -> None:
    none = Inputs(np.zeros((0, 5, 4), np.float32), np.zeros(0, np.int32), np.zeros((0, 4), np.float32))
    assert Classifier(CARD, [network()], "cpu").classify(none).shape == (0, 3)


def test_batches_are_halved_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, classifier = some(3, 23), Classifier(CARD, [network()], "cpu")
    expected, tried = classifier.classify(inputs), []
    probabilities = Classifier._probabilities

    def cramped(self: Classifier, batch: Inputs) -> NDArray[np.float32]:
        tried.append(len(batch))
        if len(batch) > 6:
            raise torch.OutOfMemoryError
        return probabilities(self, batch)

    monkeypatch.setattr(Classifier, "_probabilities", cramped)
    np.testing.assert_allclose(classifier.classify(inputs), expected, atol=1e-6)
    assert tried == [23, 11, 5, 5, 1, 11, 5, 5, 1, 1]
    tried.clear()
    classifier.classify(inputs)
    assert max(tried) == 5  # it has learnt


def test_a_parcel_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Classifier, batch: Inputs) -> NDArray[np.float32]:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Classifier, "_probabilities", full)
    with pytest.raises(
        DeviceError, match=r"One parcel of \d+ pixels does not fit in the memory of cpu. Choose another"
    ):
        Classifier(CARD, [network()], "cpu").classify(some())


def test_numbers_that_are_none_are_an_error() -> None:
    module = network()
    with torch.no_grad():
        next(module.decoder.parameters()).fill_(float("nan"))
    with pytest.raises(WeightsError, match="Model 'tiny parcels' gives scores that are not numbers in fp32"):
        Classifier(CARD, [module], "cpu").classify(some())


def test_networks_that_do_not_fit_the_card_are_refused() -> None:
    with pytest.raises(WeightsError, match="is a utae, which classifies no parcels. Choose a pse_ltae"):
        Classifier(replace(CARD, architecture="utae"), [models.build("utae", {"input_dim": 4, **TINY_UTAE})], "cpu")
    short = replace(CARD, hyperparameters={}, classes=CARD.classes[:3], ignore=())
    with pytest.raises(WeightsError, match=r"model\.json lists 3 classes but the weights have 4. List those"):
        Classifier(short, [network()], "cpu").classify(some())


def test_a_process_keeps_the_model(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "model", members=TWO)
    card, _ = weights.load_parcel_card(str(folder))
    classifier = get_classifier(card, folder, "cpu")
    assert get_classifier(card, folder, "cpu") is classifier
    expected = Classifier(card, [network(3), network(4)], "cpu").classify(some())
    np.testing.assert_array_equal(classifier.classify(some()), expected)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu() -> None:
    inputs = some(4, 300)
    expected = Classifier(CARD, [network()], "cpu").classify(inputs)
    np.testing.assert_allclose(Classifier(CARD, [network()], "cuda", "fp32").classify(inputs), expected, atol=1e-5)
    np.testing.assert_allclose(Classifier(CARD, [network()], "cuda", "bf16").classify(inputs), expected, atol=5e-2)
