import datetime
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from sitsinfer.errors import WeightsError
from sitsinfer.weights import Card, Member


def test_a_card_survives_its_file(make_card: Callable[..., Card]) -> None:
    card = make_card()
    assert Card.from_json(card.to_json()) == card


def test_the_file_is_for_people(make_card: Callable[..., Card]) -> None:
    text = make_card().to_json()
    assert '  "bands": ["B04", "B08"],\n' in text
    assert '"encoder_widths": [4, 4, 8]' in text
    assert "Forêt" in text
    assert json.loads(text)["format"] == 1


def test_empty_lists_survive_the_file(make_card: Callable[..., Card]) -> None:
    card = make_card(ignore=())
    assert Card.from_json(card.to_json()) == card


def test_ignored_classes_are_not_predicted(make_card: Callable[..., Card]) -> None:
    assert [entry.code for entry in make_card().predicted] == [1, 4]


def test_days_count_from_the_reference_date(make_card: Callable[..., Card]) -> None:
    dates = [datetime.date(2018, 8, 31), datetime.date(2020, 3, 1)]
    assert make_card().encode_dates(dates).tolist() == [-1, 547]
    assert make_card().encode_dates(dates, datetime.date(2020, 1, 1)).tolist() == [-488, 60]


def test_days_of_the_year_know_no_reference_date(make_card: Callable[..., Card]) -> None:
    card = make_card(positions="day-of-year")
    dates = [datetime.date(2019, 1, 1), datetime.date(2020, 12, 31)]
    assert card.encode_dates(dates, datetime.date(2020, 1, 1)).tolist() == [1, 366]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("patch", "big", "'patch' of .* is \"big\". Expected a whole number"),
        ("patch", True, "'patch'.*whole number"),
        ("scale", float("nan"), "'scale'.*finite number"),
        ("bands", [], "'bands'.*list of different names"),
        ("bands", ["B04", "B04"], "'bands'.*list of different names"),
        ("reference_date", "September", "'reference_date'.*such as 2018-09-01"),
        ("positions", "weeks", "'positions'.*'days' or 'day-of-year'"),
        ("fill", "wrap", "'fill'.*'reflect' or 'constant'"),
        ("task", "regress", "'task'.*'segment'"),
        ("members", [{"name": ""}], "'members'.*name, mean and std"),
        ("classes", [{"code": 300, "name": "x", "color": [0, 0, 0]}], "'classes'.*code \\(0 to 254\\)"),
        ("classes", [{"code": 1, "name": "x", "color": [0, 0]}], "'classes'.*three numbers"),
        ("classes", ["Water"], "'classes'.*objects"),
        ("ignore", [-1], "'ignore'.*class codes"),
        ("digest", "abc", "'digest'.*64 hexadecimal digits"),
        ("name", " ", "'name'.*not empty"),
        ("title", 3, "'title'.*text"),
        ("hyperparameters", [], "'hyperparameters'.*object"),
    ],
)
def test_a_wrong_field_is_named(make_card: Callable[..., Card], field: str, value: object, words: str) -> None:
    entries = json.loads(make_card().to_json())
    with pytest.raises(WeightsError, match=words) as caught:
        Card.from_json(json.dumps({**entries, field: value}), "folder/model.json")
    assert "\n" not in str(caught.value)


def test_unknown_missing_and_newer_are_refused(make_card: Callable[..., Card]) -> None:
    entries = json.loads(make_card().to_json())
    with pytest.raises(WeightsError, match="unknown field 'colour'"):
        Card.from_json(json.dumps({**entries, "colour": 1}))
    with pytest.raises(WeightsError, match="not of format 1"):
        Card.from_json(json.dumps({**entries, "format": 2}))
    del entries["sensor"]
    with pytest.raises(WeightsError, match="lacks the field 'sensor'"):
        Card.from_json(json.dumps(entries))
    with pytest.raises(WeightsError, match="not JSON"):
        Card.from_json("{")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"margin": 8}, "margin of 8"),
        ({"blend": 3}, "blends over 3"),
        ({"ignore": (7,)}, "ignores class 7"),
        ({"ignore": (1, 4, 19)}, "no class to predict"),
        ({"members": (Member("", (0.1,), (0.1,)),)}, "2 bands but 1 means"),
        ({"members": (Member("", (0.1, 0.1), (0.1, 0.0)),)}, "standard deviation of 0"),
        ({"bands": ("B8",), "members": (Member("", (0.1,), (0.1,)),)}, "lists 1 bands but the weights have 2"),
    ],
)
def test_fields_must_fit_each_other(make_card: Callable[..., Card], changes: dict[str, object], words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        make_card(**changes)


def test_two_members_need_two_names(make_card: Callable[..., Card]) -> None:
    member = make_card().members[0]
    with pytest.raises(WeightsError, match="two members the same name"):
        make_card(members=(member, member))


def test_classes_of_another_number_than_the_weights(make_card: Callable[..., Card]) -> None:
    card = make_card()
    with pytest.raises(WeightsError, match="lists 2 classes but the weights have 3"):
        replace(card, classes=card.classes[:2], ignore=())
    with pytest.raises(WeightsError, match="two classes the same code"):
        replace(card, classes=(card.classes[0], card.classes[0], card.classes[2]))
