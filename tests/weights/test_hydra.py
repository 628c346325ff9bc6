from pathlib import Path

import pytest

from sitsinfer.errors import WeightsError
from sitsinfer.weights.hydra import Configuration


def read(folder: Path, text: str) -> Configuration:
    (folder / "config.yaml").write_text(text)
    return Configuration.read(folder)


def test_values_are_found_by_dotted_names(tmp_path: Path) -> None:
    configuration = read(tmp_path, "model: {heads: 4, div: 365., rates: [1e-3, 2]}")
    assert configuration.integer("model.heads") == 4
    assert configuration.number("model.div") == 365.0
    assert configuration.numbers("model.rates") == (0.001, 2.0)
    assert configuration.has("model")
    assert not configuration.has("model.heads.more")


def test_references_are_followed_to_values_trees_and_through_trees(tmp_path: Path) -> None:
    text = """
    sizes: {width: 8, all: [3, "${sizes.width}"]}
    base: {heads: 2, width: "${sizes.width}"}
    model: ${base}
    again: ${model.width}
    second: ${sizes.all.1}
    """
    configuration = read(tmp_path, text)
    assert configuration.integer("model.heads") == 2
    assert configuration.integer("model.width") == 8
    assert configuration.integer("again") == 8
    assert configuration.integer("second") == 8
    assert configuration.numbers("sizes.all") == (3.0, 8.0)


def test_references_that_nobody_asks_for_do_not_matter(tmp_path: Path) -> None:
    configuration = read(tmp_path, "data: ${oc.env:DATA}\nloop: ${loop}\nheads: 4")
    assert configuration.integer("heads") == 4


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("${oc.env:DATA}", r"'model.heads' in .*config.yaml is \$\{oc.env:DATA\}, which cannot be resolved"),
        ("${oc.env:DATA,4}", "cannot be resolved from the file alone"),
        ("${eval:1+1}", "cannot be resolved"),
        ("${.other}", "cannot be resolved"),
        ("4${model.other}", "cannot be resolved"),
        ("${nowhere.at.all}", r"refers to \$\{nowhere.at.all\}, which is not there"),
        ("${model.heads}", "refers to itself: model.heads -> model.heads"),
        ("${model.other}", "refers to itself: model.other -> model.heads"),
        ("four", "is 'four'. Expected a whole number"),
        ("true", "is True. Expected a whole number"),
        ("-1", "is -1. Expected a whole number from 0"),
        ("[4]", r"is \[4\]. Expected a whole number"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_on_one_line(tmp_path: Path, value: str, words: str) -> None:
    configuration = read(tmp_path, f"model:\n  heads: {value}\n  other: ${{model.heads}}\n")
    with pytest.raises(WeightsError, match=words) as caught:
        configuration.integer("model.heads")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["3", "[a]", "[.nan]", "[[1]]", "{a: 1}", "[true]"])
def test_a_list_of_something_else_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(WeightsError, match="'means' in .* Expected a list of numbers"):
        read(tmp_path, f"means: {value}").numbers("means")


def test_a_reference_in_a_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'means' in .* refers to \$\{first\}, which is not there"):
        read(tmp_path, 'means: ["${first}", 2]').numbers("means")


def test_the_folder_around_hydra_config_will_do(tmp_path: Path) -> None:
    (tmp_path / "hydra_config").mkdir()
    read(tmp_path / "hydra_config", "heads: 4")
    assert Configuration.read(tmp_path).integer("heads") == 4
    with pytest.raises(WeightsError, match="lacks 'layers'"):
        Configuration.read(tmp_path).integer("layers")


def test_a_folder_without_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no config\.yaml, nor has its hydra_config"):
        Configuration.read(tmp_path)


def test_a_path_that_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere does not exist\. Give the folder that was published"):
        Configuration.read(tmp_path / "nowhere")
    read(tmp_path, "heads: 4")
    with pytest.raises(WeightsError, match=r"config\.yaml is no folder\. Give the folder"):
        Configuration.read(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "Cannot read .* in line 1. Expected plain YAML"),
        ("a: 1\nb: !!python/object/apply:os.system [exit]", "could not determine a constructor .* in line 2"),
        ("- 1", "holds no configuration"),
        ("", "holds no configuration"),
        ("[" * 600, "Cannot read"),
    ],
)
def test_what_is_no_plain_configuration_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(WeightsError, match=words) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
