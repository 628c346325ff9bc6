import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from sitsinfer.errors import WeightsError
from sitsinfer.weights import read_statistics
from tests.weights.published import Hostile

BANDS, DAYS = 3, 2


@pytest.mark.parametrize(
    ("mean", "std", "shape"),
    [
        (2000.0, 500.0, (1, BANDS)),
        ([1000.0, 2000.0, 3000.0], 500.0, (1, BANDS)),
        ([[1000.0, 2000.0, 3000.0], [4.0, 5.0, 6.0]], [500.0, 600.0, 700.0], (DAYS, BANDS)),
    ],
)
def test_statistics_of_every_shape_become_reflectance(
    tmp_path: Path, mean: object, std: object, shape: tuple[int, int]
) -> None:
    np.savez(tmp_path / "both.npz", mean=mean, std=std)
    (tmp_path / "both.json").write_text(json.dumps({"mean": mean, "std": std}))
    for name in ("both.npz", "both.json"):
        read = read_statistics(tmp_path / name, BANDS, DAYS, "digital-numbers", 1e-4)
        assert read.mean.shape == read.std.shape == shape
        np.testing.assert_allclose(read.mean, np.broadcast_to(np.array(mean) * 1e-4, shape))
        np.testing.assert_allclose(read.std, np.broadcast_to(np.array(std) * 1e-4, shape))
        assert read.origin == f"the statistics in {name}"


def test_reflectance_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"mean": [0.1, 0.2, 0.3], "std": 0.05}')
    assert read_statistics(tmp_path / "s.json", BANDS, DAYS, "reflectance", 1e-4).mean.tolist() == [[0.1, 0.2, 0.3]]


@pytest.mark.parametrize(("mean", "units"), [(0.2, "digital-numbers"), (2000.0, "reflectance")])
def test_statistics_of_the_other_unit_are_refused(tmp_path: Path, mean: float, units: str) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"mean": mean, "std": 1.0}))
    with pytest.raises(WeightsError, match=f"means up to {mean:.4g}, which are no {units.replace('-', ' ')}"):
        read_statistics(tmp_path / "s.json", BANDS, DAYS, units, 1e-4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"mean": 1}', "holds no 'std'"),
        ("[1, 2]", "holds no names"),
        ("{", "neither .npz nor .json"),
        ('{"mean": [1, 2], "std": 1}', r"'mean' in .* has shape \(2,\).*C is 3 and T is 2"),
        ('{"mean": [[1, 2, 3]], "std": NaN}', "'std' in .* holds what is not finite"),
        ('{"mean": "many", "std": 1}', "'mean' in .* is no array of numbers"),
        ('{"mean": 2000, "std": [1, 0, 1]}', "standard deviation of 0"),
    ],
)
def test_a_file_of_something_else_is_told_in_a_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(WeightsError, match=words) as caught:
        read_statistics(tmp_path / "s.json", BANDS, DAYS, "digital-numbers", 1e-4)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "meanstd.pkl").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(WeightsError, match=r"is a pickle.*numpy\.savez\('statistics\.npz', mean=mean, std=std\)"):
        read_statistics(tmp_path / "meanstd.pkl", BANDS, DAYS, "digital-numbers", 1e-4)


def test_a_pickle_under_another_name_is_not_read_either(tmp_path: Path) -> None:
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Hostile()))
    hidden = np.empty((), object)
    hidden[()] = Hostile()
    np.savez(tmp_path / "array.npz", mean=hidden, std=1.0)
    for name in ("bare.npz", "array.npz"):
        with pytest.raises(WeightsError, match=r"neither \.npz nor \.json"):
            read_statistics(tmp_path / name, BANDS, DAYS, "digital-numbers", 1e-4)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is missing"):
        read_statistics(tmp_path / "s.npz", BANDS, DAYS, "digital-numbers", 1e-4)
