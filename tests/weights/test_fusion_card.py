import datetime
import json
from collections.abc import Callable

import pytest

from sitsinfer.errors import WeightsError
from sitsinfer.fusion import types
from sitsinfer.weights import FIRST_OF_YEAR, FusionCard, SensorCard, fusion_card

MakeCard = Callable[..., FusionCard]


@pytest.mark.parametrize("reference", [FIRST_OF_YEAR, datetime.date(2022, 1, 1)])
def test_a_card_survives_its_file(make_fusion_card: MakeCard, reference: object) -> None:
    card = make_fusion_card(reference=reference)
    assert FusionCard.from_json(card.to_json()) == card


def test_the_file_is_for_people(make_fusion_card: MakeCard) -> None:
    text = make_fusion_card().to_json()
    assert '      "bands": ["B04", "B8A"],\n' in text
    assert '"reference": "first-of-year"' in text
    assert json.loads(text)["format"] == 1


def test_the_order_of_sensors_in_the_file_does_not_matter(make_fusion_card: MakeCard) -> None:
    entries = json.loads(make_fusion_card().to_json())
    entries["sensors"] = dict(reversed(entries["sensors"].items()))
    assert list(FusionCard.from_json(json.dumps(entries)).sensors) == ["hr", "lr"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("task", "segment", "'task'.*'fuse'"),
        ("reference", "spring", "'reference'.*'first-of-year' or a date such as 2022-01-01"),
        ("days", 0, "'days'.*whole number from 1"),
        ("ratio", 1.5, "'ratio'.*whole number from 1"),
        ("sensors", {}, "'sensors'.*hr, lr or pan"),
        ("sensors", ["hr"], "'sensors'.*hr, lr or pan"),
        ("sensors", {"sar": {}}, "'sensors'.*hr, lr or pan"),
        ("sensors", {"hr": {"sensor": "sentinel-2", "bands": ["B04"]}}, "'sensors'.*bands, and mean and std"),
        ("digest", "abc", "'digest'.*64 hexadecimal digits"),
    ],
)
def test_a_wrong_field_is_named(make_fusion_card: MakeCard, field: str, value: object, words: str) -> None:
    entries = json.loads(make_fusion_card().to_json())
    with pytest.raises(WeightsError, match=words) as caught:
        FusionCard.from_json(json.dumps({**entries, field: value}), "folder/model.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("field", "value"), [("bands", []), ("bands", ["B04", "B04"]), ("mean", [0.1, None])])
def test_a_wrong_field_of_a_sensor_is_refused(make_fusion_card: MakeCard, field: str, value: object) -> None:
    entries = json.loads(make_fusion_card().to_json())
    entries["sensors"]["hr"][field] = value
    with pytest.raises(WeightsError, match="'sensors'"):
        FusionCard.from_json(json.dumps(entries))


def test_unknown_missing_and_newer_are_refused(make_fusion_card: MakeCard) -> None:
    entries = json.loads(make_fusion_card().to_json())
    with pytest.raises(WeightsError, match="unknown field 'colour'"):
        FusionCard.from_json(json.dumps({**entries, "colour": 1}))
    with pytest.raises(WeightsError, match="not of format 1"):
        FusionCard.from_json(json.dumps({**entries, "format": 2}))
    del entries["ratio"]
    with pytest.raises(WeightsError, match="lacks the field 'ratio'"):
        FusionCard.from_json(json.dumps(entries))


@pytest.mark.parametrize(
    ("sensor", "words"),
    [
        (SensorCard("landsat", ("B04", "LST"), (0.1,), (0.1, 0.1)), "2 bands but 1 means and 2 standard deviations"),
        (SensorCard("landsat", ("B04", "LST"), (), (0.1, 0.1)), "2 bands but 0 means"),
        (SensorCard("landsat", ("B04",), (0.1,), (0.0,)), "standard deviation of 0"),
    ],
)
def test_fields_of_a_sensor_must_fit_each_other(make_fusion_card: MakeCard, sensor: SensorCard, words: str) -> None:
    with pytest.raises(WeightsError, match=f"Sensor 'lr' in model.json of 'sharp' has .*{words}"):
        make_fusion_card(sensors={"lr": sensor})


@pytest.mark.parametrize("changes", [{"ratio": 2}, {"hyperparameters": {"ratio": 2}}])
def test_another_ratio_than_that_of_the_sensors_is_refused(
    make_fusion_card: MakeCard, changes: dict[str, object]
) -> None:
    entries = {**json.loads(make_fusion_card().to_json()), **changes}
    with pytest.raises(WeightsError, match="model.json of 'sharp' has a ratio of 2 .* Choose a model with") as caught:
        FusionCard.from_json(json.dumps(entries))
    assert "\n" not in str(caught.value)
    assert fusion_card.RATIO == types.RATIO


def test_bands_of_another_number_than_the_weights_are_refused(make_fusion_card: MakeCard) -> None:
    with pytest.raises(WeightsError, match="Sensor 'lr' .* lists 3 bands but the weights have 8"):
        make_fusion_card(hyperparameters={"hr_bands": 2, "lr_bands": 8})
