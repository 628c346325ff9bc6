import datetime
import json
from collections.abc import Callable

import numpy as np
import pytest

from sitsinfer.errors import WeightsError
from sitsinfer.layers import ClassInfo
from sitsinfer.weights import Member, ParcelCard

MakeCard = Callable[..., ParcelCard]

DATED = Member("", tuple(k / 10 for k in range(6)), (0.1,) * 6)


@pytest.mark.parametrize(
    "changes", [{}, {"members": (DATED,), "geometry_mean": (1.0,) * 4, "geometry_std": (2.0,) * 4}]
)
def test_a_card_survives_its_file(make_parcel_card: MakeCard, changes: dict[str, object]) -> None:
    card = make_parcel_card(**changes)
    assert ParcelCard.from_json(card.to_json()) == card


def test_the_file_is_for_people(make_parcel_card: MakeCard) -> None:
    text = make_parcel_card().to_json()
    assert '  "days": [0, 40, 285],\n' in text
    assert '"reference_date": "2017-01-05"' in text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("task", "segment", "'task'.*'classify'"),
        ("days", [], "'days'.*list of days"),
        ("days", [0, 1.5], "'days'.*whole numbers from 0"),
        ("pixels", 0, "'pixels'.*whole number from 1"),
        ("geometry_mean", "none", "'geometry_mean'.*list of finite numbers"),
        ("members", [], "'members'.*name, mean and std"),
    ],
)
def test_a_wrong_field_is_named(make_parcel_card: MakeCard, field: str, value: object, words: str) -> None:
    entries = json.loads(make_parcel_card().to_json())
    with pytest.raises(WeightsError, match=words) as caught:
        ParcelCard.from_json(json.dumps({**entries, field: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": (ClassInfo(1, "a", (0, 0, 0)), ClassInfo(1, "b", (0, 0, 0)))}, "same code"),
        ({"ignore": (5,)}, "ignores class 5"),
        ({"ignore": (1, 31)}, "no class to predict"),
        ({"days": (0, 285, 40)}, "days that do not increase"),
        ({"days": (0, 40, 40)}, "days that do not increase"),
        ({"days": (0, 40)}, "lists 2 days but the weights have 3"),
        ({"hyperparameters": {"seq_len": 4}}, "lists 3 days but the weights have 4"),
        ({"hyperparameters": {"input_dim": 10}}, "lists 2 bands but the weights have 10"),
        ({"hyperparameters": {"mlp4": [128, 20]}}, "lists 2 classes but the weights have 20"),
        ({"hyperparameters": {"with_extra": True, "extra_size": 3}}, "takes 3 features beside pixels"),
        ({"members": (Member("a", (0.1, 0.3), (1, 1)), Member("a", (0.1, 0.3), (1, 1)))}, "two members the same name"),
        ({"members": (Member("", (0.1, 0.3, 0.2), (1, 1, 1)),)}, "3 means"),
        ({"members": (Member("", DATED.mean, (0.1, 0.1)),)}, "6 means and 2 standard deviations"),
        ({"members": (Member("", DATED.mean, (0.1,) * 5 + (0.0,)),)}, "standard deviation of 0"),
        ({"geometry_mean": (1.0,) * 4}, "geometric features.* 4 means and 0 standard deviations"),
        ({"geometry_mean": (1.0,) * 3, "geometry_std": (1.0,) * 3}, "geometric features.* 3 means"),
    ],
)
def test_fields_must_fit_each_other(make_parcel_card: MakeCard, changes: dict[str, object], words: str) -> None:
    with pytest.raises(WeightsError, match=f"model.json of 'sets' .*{words}"):
        make_parcel_card(**changes)


def test_ignored_classes_are_not_predicted(make_parcel_card: MakeCard) -> None:
    assert [entry.code for entry in make_parcel_card(ignore=(1,)).predicted] == [31]


def test_statistics_of_bands_hold_on_every_date(make_parcel_card: MakeCard) -> None:
    card = make_parcel_card()
    mean, std = card.statistics(card.members[0])
    np.testing.assert_allclose(mean, [[0.1, 0.3]] * 3)
    np.testing.assert_allclose(std, [[0.05, 0.1]] * 3)


def test_statistics_of_dates_come_one_date_after_the_other(make_parcel_card: MakeCard) -> None:
    card = make_parcel_card(members=(DATED,))
    np.testing.assert_allclose(card.statistics(DATED)[0], [[0.0, 0.1], [0.2, 0.3], [0.4, 0.5]])


def days(*texts: str) -> list[datetime.date]:
    return [datetime.date.fromisoformat(text) for text in texts]


@pytest.mark.parametrize(
    ("dates", "year"),
    [
        (days("2022-01-08", "2022-06-01"), 2022),
        (days("2022-01-04", "2021-03-01", "2022-03-01"), 2022),  # the year of one is that of the other: the latest
        (days("2022-01-04", "2021-03-01", "2021-04-01", "2022-03-01"), 2021),
        (days("2021-12-01", "2022-01-01"), 2022),  # in no year's days
        ([], 2017),
    ],
)
def test_days_are_of_the_year_of_most_dates(make_parcel_card: MakeCard, dates: list[datetime.date], year: int) -> None:
    assert make_parcel_card().origin(dates) == datetime.date(year, 1, 5)


def test_days_may_reach_into_another_year(make_parcel_card: MakeCard) -> None:
    card = make_parcel_card(reference_date=datetime.date(2018, 9, 1), days=(0, 40, 400))
    assert card.origin(days("2021-01-08", "2021-06-01", "2021-10-01")) == datetime.date(2020, 9, 1)


def test_acquisitions_around_its_days_are_used(make_parcel_card: MakeCard) -> None:
    card, origin = make_parcel_card(days=(3, 200), hyperparameters={}), datetime.date(2021, 1, 1)
    assert card.span(origin) == (datetime.date(2021, 1, 4), datetime.date(2021, 7, 20))
    assert card.reach(origin) == (datetime.date(2020, 12, 5), datetime.date(2021, 8, 19))


def test_a_leap_day_has_a_neighbour_in_other_years(make_parcel_card: MakeCard) -> None:
    card = make_parcel_card(reference_date=datetime.date(2016, 2, 29))
    assert card.origin(days("2021-06-01")) == datetime.date(2021, 3, 1)


def test_a_day_0_that_is_given_holds(make_parcel_card: MakeCard) -> None:
    given = datetime.date(2019, 3, 3)
    assert make_parcel_card().origin(days("2022-06-01"), given) == given
