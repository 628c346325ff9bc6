import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sitsinfer import weights
from sitsinfer.cli.models import app
from sitsinfer.errors import OutputError, WeightsError
from tests.weights.published import write_pse


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """What imports a release to ``tmp_path / "out"``, without the command's name."""
    (tmp_path / "s.json").write_text(json.dumps({"mean": [2000.0] * 10, "std": 500.0}))
    paths = [str(write_pse(tmp_path / "release")), "--out", str(tmp_path / "out")]
    return [*paths, "--statistics", str(tmp_path / "s.json")]


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("command", ["pse-ltae", "pse-tae"])
def test_an_imported_classifier_of_parcels_can_be_shown(arguments: list[str], tmp_path: Path, command: str) -> None:
    assert "PSE+L-TAE trained on parcels of 2017, fold 1, 2" in invoke("import", command, *arguments)
    shown = invoke("show", str(tmp_path / "out"))
    assert "dates    5, on days 0, 13, 41, 97, 222 since 2017-01-05 or an anniversary of it\n" in shown
    assert "pixels   at most 64 of a parcel, and its geometric features\nmembers  2\n" in shown
    assert "classes  1 Meadow, 3 Winter durum wheat" in shown
    assert invoke("show", str(tmp_path / "out"), "--json") == (tmp_path / "out" / "model.json").read_text()


def test_options_reach_the_card(arguments: list[str], tmp_path: Path) -> None:
    options = ["--folds", "2", "--days", "0, 13, 41, 97, 222", "--reference-date", "2017-01-03"]
    invoke("import", "pse-ltae", *arguments, *options)
    card, _ = weights.load_parcel_card(str(tmp_path / "out"))
    assert (card.name, str(card.reference_date)) == ("pse-ltae-t31tfm-fold-2", "2017-01-03")
    assert card.members[0].mean == pytest.approx((0.2,) * 10)


def test_a_classifier_is_not_replaced_unasked(arguments: list[str]) -> None:
    invoke("import", "pse-ltae", *arguments)
    with pytest.raises(OutputError, match="already exists"):
        invoke("import", "pse-ltae", *arguments)
    invoke("import", "pse-ltae", *arguments, "--overwrite")


def test_units_are_checked(arguments: list[str]) -> None:
    with pytest.raises(WeightsError, match="means up to 2000, which are no reflectance"):
        invoke("import", "pse-ltae", *arguments, "--statistics-units", "reflectance")


@pytest.mark.parametrize("option", ["--folds", "--days"])
def test_words_for_numbers_are_misuse(arguments: list[str], option: str) -> None:
    result = CliRunner().invoke(app, ["import", "pse-ltae", *arguments, option, "1,first"])
    assert result.exit_code == 2
    assert f"Invalid value for {option}" in result.output


def test_a_classifier_of_parcels_is_for_classify_alone(arguments: list[str], tmp_path: Path) -> None:
    invoke("import", "pse-ltae", *arguments)
    with pytest.raises(WeightsError, match="is a model for classify, not for segment"):
        weights.load_card(str(tmp_path / "out"))
    with pytest.raises(WeightsError, match="not for classify"):
        weights.load_parcel_card("utae-demo")
