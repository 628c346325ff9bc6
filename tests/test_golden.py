import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.record_models import CASES, filled
from tests.golden.__main__ import DEFAULT, main
from tests.golden.families import FAMILIES
from tests.golden.generator import Fixture, draw_input
from tests.golden.runner import run_fixture


def write_fixture(folder: Path, **changes) -> Path:
    """A fixture of our own: a tiny ConvLSTM, what it gives, and the changes."""
    import torch

    architecture, hyperparameters = CASES["convlstm"]
    model = filled(architecture, hyperparameters)
    entry = {"name": "x", "seed": 3, "shape": [1, 2, 3, 6, 5], "post": []}
    x = draw_input(entry)
    entry["sum"] = float(x.sum(dtype=np.float64))
    state_dict = [
        {
            "name": name,
            "shape": list(value.shape),
            "dtype": "float32",
            "first": float(value.flatten()[0]),
            "sum": float(value.double().sum()),
        }
        for name, value in model.state_dict().items()
    ]
    spec = {
        "format_version": 1,
        "family": architecture,
        "hyperparameters": hyperparameters,
        "inputs": [entry],
        "positions": None,
        "kept_names": [],
        "overrides": [],
        "state_dict": state_dict,
        **changes,
    }
    with torch.inference_mode():
        out = model(torch.from_numpy(x)).numpy()
    path = folder / "tiny"
    path.mkdir()
    (path / "spec.json").write_text(json.dumps(spec))
    np.savez(path / "outputs.npz", out=out)
    return path


def test_a_fixture_that_is_reproduced_is_met(tmp_path, capsys):
    assert run_fixture(write_fixture(tmp_path)).verdict == "met"
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 met"


def test_a_number_that_differs_is_a_miss(tmp_path):
    path = write_fixture(tmp_path)
    with np.load(path / "outputs.npz") as arrays:
        out = arrays["out"]
    out[0, 0, 0, 0] += 1e-3
    np.savez(path / "outputs.npz", out=out)
    result = run_fixture(path)
    assert result.verdict == "missed"
    assert result.absolute == pytest.approx(1e-3, rel=0.01)
    assert main([str(tmp_path)]) == 1


def test_other_inputs_blame_the_generator(tmp_path):
    path = write_fixture(tmp_path, inputs=[{"name": "x", "seed": 3, "shape": [1, 2, 3, 6, 5], "sum": 1.0}])
    result = run_fixture(path)
    assert result.verdict == "generator"
    assert result.failed


def test_another_state_dict_is_a_miss(tmp_path):
    result = run_fixture(write_fixture(tmp_path, state_dict=[]))
    assert result.verdict == "missed"
    assert "state dict has 4 entries, expected 0" in result.note


@pytest.mark.parametrize("changes", [{"family": "unheard_of"}, {"format_version": 2}])
def test_what_is_not_built_is_listed_and_does_not_fail(tmp_path, changes):
    result = run_fixture(write_fixture(tmp_path, **changes))
    assert result.verdict == "not built"
    assert not result.failed


def test_a_broken_fixture_is_a_miss_and_hides_no_other(tmp_path, capsys):
    write_fixture(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "spec.json").write_text("{")
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 missed, 1 met"


BUILT = [path for path in sorted(DEFAULT.glob("*/")) if Fixture.read(path).family in FAMILIES]


@pytest.mark.skipif(not BUILT, reason="the folder of published numbers is not here")
@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.name)
def test_published_numbers_are_met(path):
    result = run_fixture(path)
    if result.verdict == "not built":
        pytest.skip(f"{path.name} needs what is not built yet")
    assert result.verdict == "met", str(result)
