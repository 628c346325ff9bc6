import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from sitsinfer.cli import app

HEAVY = ("torch", "dask", "distributed", "rasterio", "xarray", "zarr", "numpy", "pyproj", "matplotlib")

ASK_FOR_HELP = """
import json, sys
from typer.testing import CliRunner
from sitsinfer.cli import app
for command in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, [*command, "--help"])
    print(json.dumps([command, result.exit_code, "Usage" in result.stdout, sorted(sys.modules)]))
"""


def commands() -> Iterator[list[str]]:
    """Every command and group, as a user types it."""
    pending: list[tuple[list[str], object]] = [([], get_command(app))]
    while pending:
        words, group = pending.pop()
        yield words
        pending += [([*words, name], entry) for name, entry in getattr(group, "commands", {}).items()]


def test_help_loads_nothing_heavy() -> None:
    asked = sorted(commands())
    assert ["segment"] in asked
    assert ["models", "import", "utae"] in asked
    done = subprocess.run(
        [sys.executable, "-c", ASK_FOR_HELP, json.dumps(asked)], check=True, capture_output=True, text=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [command for command, *_ in answers] == asked
    for command, code, is_help, modules in answers:
        assert (code, is_help) == (0, True), command
        assert not [name for name in HEAVY if name in modules], command


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["segment"],
        ["segment", "--ts", "s2", "--out", "map.tif", "--start", "yesterday"],
        ["segment", "--ts", "s2", "--out", "map.tif", "--batch-size", "0"],
        ["segment", "--ts", "s2", "--out", "map.tif", "--workers", "0"],
        ["segment", "--ts", "s2", "--out", "map.tif", "--bounds", "1", "2", "3"],
    ],
    ids=lambda arguments: " ".join(arguments[-2:]),
)
def test_misuse_exits_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Error" in result.output
