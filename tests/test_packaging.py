import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {
    "dask": "dask-core",  # its other parts are listed by themselves
    "geopandas": "geopandas-base",
    "matplotlib": "matplotlib-base",  # without a window system
    "torch": "pytorch",
}


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pixi() -> dict:
    return tomllib.loads((ROOT / "pixi.toml").read_text())


def as_conda(requirements: list[str]) -> dict[str, str]:
    """Names and version ranges of requirements, by their names on conda-forge."""
    parts = [re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in requirements]
    return {CONDA_NAMES.get(name, name): versions for name, versions in parts}


def test_pixi_has_the_dependencies_of_pyproject(pyproject, pixi):
    project = pyproject["project"]
    expected = {"python": project["requires-python"], **as_conda(project["dependencies"])}
    assert pixi["dependencies"] == expected
    assert pixi["feature"]["dev"]["dependencies"] == as_conda(project["optional-dependencies"]["dev"])


def test_pixi_has_the_tasks_of_the_makefile(pixi):
    makefile = (ROOT / "Makefile").read_text()
    for name, commands in recipes(makefile).items():
        task = pixi["feature"]["dev"]["tasks"].get(name)
        assert task is not None, f"make {name} has no task"
        text = task if isinstance(task, str) else task["cmd"]
        assert [part.strip() for part in text.split("&&")] == commands, name


def recipes(makefile: str) -> dict[str, list[str]]:
    """The commands of each phony target, as they run inside an environment."""
    names = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    found = {}
    for name in names:
        lines = re.search(rf"^{name}:.*\n((?:\t.*\n?)*)", makefile, re.MULTILINE)[1].splitlines()
        found[name] = [line.strip().replace("$(BIN)/", "").replace("$(GOLDEN)", "{{ folder }}") for line in lines]
    return found
