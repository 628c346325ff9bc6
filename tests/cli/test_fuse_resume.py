"""Runs of fuse that are killed, stopped or changed half-way."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio

from tests.cli.conftest import Outcome
from tests.cli.test_segment_resume import DEADLY, no_process_left, wait_for_tiles

Fuse = Callable[..., Outcome]

OPTIONS = {"strategy": "L3A", "every": "120d", "bands": "B04,LST", "sensor": "both"}


@pytest.fixture
def words(pair: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """What a user types after ``sitsinfer``, for the same run as ``fuse(**OPTIONS)``."""

    def spell(**options: Any) -> list[str]:
        given = {"hr": pair / "s2", "lr": pair / "l8", "out": tmp_path / "out", "algorithm": "naive"}
        given = {**given, **OPTIONS, **options}
        return [
            "fuse",
            *(str(word) for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)),
        ]

    return spell


def killed(module: str, name: str, count: int, words: list[str]) -> None:
    """Run a command until a function is called for the n-th time."""
    arguments = [sys.executable, "-c", DEADLY, module, name, str(count), *words]
    done = subprocess.run(arguments, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def contents(out: Path) -> dict[str, bytes]:
    """What comes out, but for the item, which tells how long it took."""
    if out.is_file():
        return {"": out.read_bytes()}
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.suffix != ".json"
    }


@pytest.mark.parametrize(
    ("out", "module", "name", "count"),
    [
        ("out", "sitsinfer.store", "Store.mark", 3),
        ("out", "sitsinfer.products.dated", "write_cog", 3),
        ("out", "sitsinfer.products.stac", "_item", 1),
        ("cube.nc", "sitsinfer.products.dated", "write_cube", 1),
        ("cube.zarr", "sitsinfer.products.stac", "_item", 1),
    ],
)
def test_a_killed_run_is_finished_by_the_same_command(
    fuse: Fuse, words: Callable[..., list[str]], tmp_path: Path, out: str, module: str, name: str, count: int
) -> None:
    assert fuse(**OPTIONS, out=tmp_path / f"whole_{out}").code == 0
    expected = contents(tmp_path / f"whole_{out}")
    assert out != "out" or len(expected) == 8
    killed(module, name, count, words(out=tmp_path / out, tile_size=12))
    assert (tmp_path / f"{out}.partial").is_dir()
    if out == "out":  # what there is, is whole
        done = contents(tmp_path / "out")
        assert {path: expected[path] for path in done if not path.endswith(".partial")}.items() <= done.items()
    outcome = fuse(**OPTIONS, out=tmp_path / out, tile_size=12)
    assert outcome == Outcome(0, [f"Wrote {tmp_path / out}."], [])
    assert contents(tmp_path / out) == expected
    assert not [path for path in tmp_path.rglob("*") if ".partial" in path.name]
    assert fuse(**OPTIONS, out=tmp_path / out).out == [f"{tmp_path / out} is up to date."]


def test_a_killed_run_of_tamrf_is_finished_by_the_same_command(
    fuse: Fuse, words: Callable[..., list[str]], tiny_tamrf: Path, tmp_path: Path
) -> None:
    options = {"algorithm": "tamrf", "model": tiny_tamrf, "device": "cpu", "subtile": 9}
    killed("sitsinfer.store", "Store.mark", 4, words(**options, tile_size=12))
    kept = {path.stem for path in (tmp_path / "out.partial" / "tiles").glob("*.json")}
    assert len(kept) == 3
    assert fuse(**OPTIONS, **options).code == 0  # the tile size is that of the store
    assert fuse(**OPTIONS, **options, out=tmp_path / "expected").code == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_an_unfinished_run_of_other_options_stays_until_it_is_overwritten(
    fuse: Fuse, words: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed("sitsinfer.store", "Store.mark", 3, words(tile_size=12))
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out.partial" / "tiles").iterdir()}
    for options, told in [
        ({"tile_size": 15}, "unfinished run with tiles of 12 pixels, not 15. Leave the tile size out to finish it"),
        ({"bands": "B04,B8A,LST"}, "unfinished run that differs in: "),
        ({"every": "60d"}, "unfinished run that differs in: "),
    ]:
        outcome = fuse(**{**OPTIONS, **options})
        assert (outcome.code, outcome.out) == (1, [])
        (line,) = outcome.err
        assert told in line
        assert "overwrite" in line
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out.partial" / "tiles").iterdir()} == kept
    from sitsinfer.store import Store

    mark, made = Store.mark, []
    monkeypatch.setattr(Store, "mark", lambda self, report: (made.append(report.name), mark(self, report)))
    assert fuse(**OPTIONS).code == 0
    assert made
    assert not {f"{name}.json" for name in made} & kept.keys()


def test_other_options_are_free_once_it_is_overwritten(
    fuse: Fuse, words: Callable[..., list[str]], tmp_path: Path
) -> None:
    killed("sitsinfer.products.dated", "write_cog", 3, words())
    outcome = fuse("--overwrite", **{**OPTIONS, "bands": "B04"})
    assert (outcome.code, outcome.err) == (0, [])
    assert not (tmp_path / "out.partial").exists()
    for path in (tmp_path / "out").glob("*.tif"):
        with rasterio.open(path) as file:
            assert file.descriptions == ("B04",)


def test_a_run_that_is_asked_to_stop_goes_on_later(fuse: Fuse, words: Callable[..., list[str]], tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", "from sitsinfer.cli import main; main()", *words(tile_size=6, subtile=6)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for_tiles(tmp_path / "out.partial" / "tiles", process)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl+C does
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert err.splitlines() == ["Stopped. The same command goes on from what is done and kept."]
    assert not (tmp_path / "out").exists()
    assert no_process_left(process.pid)
    assert fuse(**OPTIONS, subtile=6).code == 0
    assert fuse(**OPTIONS, subtile=6, out=tmp_path / "expected").code == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_two_runs_do_not_write_one_output(fuse: Fuse, tmp_path: Path) -> None:
    from sitsinfer.store import locked

    with locked(tmp_path / "out.partial"):
        outcome = fuse()
    assert outcome.code == 1
    (line,) = outcome.err
    assert line.startswith("Error: Another run is writing")


def test_what_a_run_was_killed_in_after_its_outputs_is_made_by_the_same_command(
    fuse: Fuse, words: Callable[..., list[str]], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    asked = [*words(strategy="GAPS", animation=page), "--metrics"]
    asked[asked.index("--every") : asked.index("--every") + 2] = []
    killed("sitsinfer.metrics.fusion.compare", "_Pair.sums", 2, asked)
    assert not (tmp_path / "out" / "GAPS.metrics.csv").exists()
    options = {"strategy": "GAPS", "bands": "B04,LST", "sensor": "both", "animation": page}
    outcome = fuse("--metrics", **options)
    assert (outcome.code, outcome.out[0]) == (0, f"{tmp_path / 'out'} is up to date.")
    assert any(line.startswith("hr, ") for line in outcome.out)
    assert (tmp_path / "out" / "GAPS.metrics.csv").exists()
    assert page.exists()
