import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from sitsinfer import models, weights
from sitsinfer.errors import WeightsError
from tests.weights.published import CONFIG, NUMBERS, TINY_TAMRF, Hostile, tamrf_tensors, write_tamrf


def refusal(folder: Path, tensors: dict[str, Any] | None = None, config: str = CONFIG) -> str:
    """What an import says that is refused, and that leaves nothing behind."""
    checkpoint, hydra = write_tamrf(folder / "release", tensors, config)
    with pytest.raises(WeightsError) as caught:
        weights.import_tamrf(checkpoint, hydra, folder / "out")
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()
    return str(caught.value)


def changed(before: str, after: str, part: str = "") -> str:
    """The configuration with one value changed, the first after ``part``."""
    start = CONFIG.index(part)
    assert before in CONFIG[start:]
    return CONFIG[:start] + CONFIG[start:].replace(before, after, 1)


def test_a_published_checkpoint_becomes_a_model_folder(tmp_path: Path) -> None:
    checkpoint, hydra = write_tamrf(tmp_path)
    written = weights.import_tamrf(checkpoint, hydra, tmp_path / "out")
    card, folder = weights.load_fusion_card(str(tmp_path / "out"))
    assert card == written
    assert card.hyperparameters == TINY_TAMRF
    (module,) = weights.load_modules(card, folder)
    torch.manual_seed(0)
    expected = models.build("tamrf", TINY_TAMRF).state_dict()
    assert list(module.state_dict()) == list(expected)
    assert all(torch.equal(value, expected[name]) for name, value in module.state_dict().items())


def test_the_card_says_what_the_network_feeds_on(tmp_path: Path) -> None:
    card = weights.import_tamrf(*write_tamrf(tmp_path), tmp_path / "out")
    assert card.sensors["hr"].bands[-3:] == ("B8A", "B11", "B12")
    assert card.sensors["lr"].bands[-2:] == ("B07", "LST")
    for sensor, found in card.sensors.items():
        assert found.mean == pytest.approx(NUMBERS[f"{sensor}_mean"])
        assert found.std == pytest.approx(NUMBERS[f"{sensor}_std"])
    assert (card.reference, card.days, card.ratio) == (weights.FIRST_OF_YEAR, 365, 3)
    assert card.name == "tamrf-1_tiny"


def test_the_folder_around_the_configuration_will_do(tmp_path: Path) -> None:
    checkpoint, hydra = write_tamrf(tmp_path)
    card = weights.import_tamrf(checkpoint, hydra.parent, tmp_path / "out")
    assert card.hyperparameters == TINY_TAMRF


@pytest.mark.parametrize("saved", [{}, {"the_modules.encoder.hr_sensor_token": torch.zeros(0)}])
def test_a_network_without_sensor_tokens_is_imported(tmp_path: Path, saved: dict[str, torch.Tensor]) -> None:
    hyperparameters = TINY_TAMRF | {"sensor_token_size": 0, "decoder_heads": 5}
    config = changed("width: 12", "width: 10").replace("half_of_four: 2", "half_of_four: 0")
    config = config.replace("nb_heads: 3", "nb_heads: 5")
    paths = write_tamrf(tmp_path, tamrf_tensors(hyperparameters) | saved, config)
    assert weights.import_tamrf(*paths, tmp_path / "out").hyperparameters == hyperparameters


def test_statistics_that_differ_are_those_of_the_configuration_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = tamrf_tensors(TINY_TAMRF)
    with caplog.at_level(logging.WARNING):
        weights.import_tamrf(*write_tamrf(tmp_path / "same", tensors), tmp_path / "out")
    assert not caplog.records
    tensors |= {"hr_std": tensors["hr_std"] * 1.01, "lr_mtf": tensors["lr_mtf"][:7]}
    with caplog.at_level(logging.WARNING):
        card = weights.import_tamrf(*write_tamrf(tmp_path / "other", tensors), tmp_path / "out")
    (record,) = caplog.records
    assert record.getMessage().startswith("hr_std, lr_mtf differ between")
    assert card.sensors["hr"].std == pytest.approx(NUMBERS["hr_std"])


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("num_basic_blocks: 1", "num_basic_blocks: 2", "it lacks 'encoder.hr_encoder.model.encoder.blocks.2.scale"),
        ("nb_layers: 2", "nb_layers: 1", "it has also 'encoder.transformer_encoder.transformer_encoder.layers.1"),
        ("dim_feedforward: 5", "dim_feedforward: 7", "layers.0.linear1.weight has shape (5, 12), not (7, 12)"),
        ("growth_channels: 2", "growth_channels: 3", "has shape (2, 6, 3, 3), not (3, 6, 3, 3)"),
    ],
)
def test_weights_of_another_configuration_are_named(tmp_path: Path, before: str, after: str, words: str) -> None:
    message = refusal(tmp_path, config=changed(before, after))
    assert "1_tiny.ckpt holds weights of another configuration" in message
    assert words in message


@pytest.mark.parametrize(
    ("part", "before", "after", "words"),
    [
        ("sizes:", "width: 12", "width: 14", "decoder.decoder.model.latent_size' in .* is 14. Expected 12"),
        ("decoder:", "out_nb_bands: 18", "out_nb_bands: 17", "out_nb_bands' in .* is 17. Expected 18"),
        ("lr_encoder:", "upsampling_mode: bicubic", "upsampling_mode: nearest", "is nearest. Expected bicubic"),
        ("sizes:", "ratio: 3", "ratio: 2", "lr_encoder.model.upsampling_factor' in .* is 2. Expected 3"),
        ("temporal_pos", "mode: CONCAT", "mode: SUM", "mode' in .* is SUM. Expected CONCAT"),
        ("encoder:", "nb_heads: 2", "nb_heads: ${oc.env:HEADS}", r"\$\{oc.env:HEADS\}, which cannot be resolved"),
        ("encoder:", "nb_heads: 2", "nb_heads: 5", "heads is 5, which does not divide"),
        ("encoder:", "nb_heads: 2", "other: 2", "lacks 'training_module.training_module.encoder.nb_heads'"),
        ("parameters:", "${data.stats}", "${data.nothing}", r"refers to \$\{data.nothing\}, which is not there"),
        ("data:", "hr_std: [0.2, ", "hr_std: [", "'hr' .* has 10 bands but 10 means and 9 standard deviations"),
        ("data:", "hr_std: [0.2, ", "hr_std: [0.0, ", "standard deviation of 0 or less"),
    ],
)
def test_a_configuration_that_does_not_fit_itself_is_refused(
    tmp_path: Path, part: str, before: str, after: str, words: str
) -> None:
    checkpoint, hydra = write_tamrf(tmp_path, config=changed(before, after, part))
    with pytest.raises(ValueError, match=words) as caught:
        weights.import_tamrf(checkpoint, hydra, tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "before", "after", "words"),
    [
        (
            "hr_encoder:",
            "num_basic_blocks: 1",
            "groups: 4",
            "'encoder.hr_encoder.model' .* (some.package.DenseEncoder)",
        ),
        (
            "temporal_pos",
            "div: 365.",
            "max: 365",
            "'encoder.temporal_positional_encoder' .* (some.package.FixedEncoder)",
        ),
        ("ConvDecoder", "out_nb_bands: 18", "layers: 3", "'decoder.decoder.model' .* (some.package.ConvDecoder)"),
    ],
)
def test_parts_of_another_kind_are_refused_by_their_options(
    tmp_path: Path, part: str, before: str, after: str, words: str
) -> None:
    message = refusal(tmp_path, config=changed(before, after, part))
    part_name, label = words.split(" .* ")
    assert part_name in message
    assert f"is of a kind that sitsinfer does not have {label}" in message


def test_parts_of_another_kind_are_refused_by_their_tensors(tmp_path: Path) -> None:
    tensors = tamrf_tensors(TINY_TAMRF)
    for key in [name for name in tensors if "decoder.decoder.model" in name]:
        tensors[key.replace("decoder.0", "mlp.0").replace("decoder.2", "mlp.2")] = tensors.pop(key)
    assert "Part 'decoder.decoder.model' of" in refusal(tmp_path, tensors)


def test_learned_positions_are_refused(tmp_path: Path) -> None:
    learned = {"the_modules.encoder.temporal_positional_encoder.weight": torch.zeros(365, 4)}
    message = refusal(tmp_path, tamrf_tensors(TINY_TAMRF) | learned)
    assert "it has also 'encoder.temporal_positional_encoder.weight'" in message


def test_a_configuration_of_something_else_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, config="model: {name: other}")
    assert "config.yaml lacks 'training_module.training_module'" in message


def test_bands_of_another_number_are_refused(tmp_path: Path) -> None:
    config = changed("in_nb_bands: 10", "in_nb_bands: 4").replace("out_nb_bands: 18", "out_nb_bands: 12")
    assert "lists 10 bands but the weights have 4" in refusal(tmp_path, config=config)


def test_checkpoints_of_something_else_are_refused(tmp_path: Path) -> None:
    assert "has no tensors below 'the_modules.'" in refusal(tmp_path / "a", {"linear.weight": torch.zeros(2)})
    assert "holds more than tensors" in refusal(tmp_path / "b", {"the_modules.x": Hostile()})
    checkpoint, hydra = write_tamrf(tmp_path / "c")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"1_tiny\.ckpt"):
        weights.import_tamrf(checkpoint, hydra, tmp_path / "out")
    with pytest.raises(WeightsError, match=r"nowhere\.ckpt is missing"):
        weights.import_tamrf(tmp_path / "nowhere.ckpt", hydra, tmp_path / "out")


def test_without_configuration_shapes_and_the_release_decide(tmp_path: Path) -> None:
    hyperparameters = TINY_TAMRF | {"positional_features": 64, "heads": 4, "decoder_heads": 4, "hr_basic_blocks": 2}
    tensors = tamrf_tensors(hyperparameters)
    del tensors["hr_mtf"]  # which nothing is computed with
    checkpoint, _ = write_tamrf(tmp_path, tensors)
    card = weights.import_tamrf(checkpoint, None, tmp_path / "out")
    assert card.hyperparameters == hyperparameters
    assert card.sensors["lr"].std == pytest.approx(NUMBERS["lr_std"])


@pytest.mark.parametrize("name", ["hr_std", "the_modules.decoder.query_sensor_token"])
def test_without_configuration_a_checkpoint_must_be_whole(tmp_path: Path, name: str) -> None:
    tensors = tamrf_tensors(TINY_TAMRF)
    del tensors[name]
    checkpoint, _ = write_tamrf(tmp_path, tensors)
    with pytest.raises(WeightsError, match=f"has no '{name.removeprefix('the_modules.')}', as the release has"):
        weights.import_tamrf(checkpoint, None, tmp_path / "out")
