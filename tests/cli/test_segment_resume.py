import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Outcome

Segment = Callable[..., Outcome]

DEADLY = """
import importlib, os, signal, sys

module, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.argv[1:] = sys.argv[4:]
*outer, name = name.split(".")
holder = importlib.import_module(module)
for part in outer:
    holder = getattr(holder, part)
original = getattr(holder, name)


def deadly(*arguments, **options):
    global count
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)


setattr(holder, name, deadly)

from sitsinfer.cli import main
main()
"""
"""A script that calls sitsinfer and kills itself when a function is called for the n-th time."""


@pytest.fixture
def words(year: Path, tiny_model: Path, tmp_path: Path) -> list[str]:
    """What a user types after ``sitsinfer``."""
    given = {"ts": year, "out": tmp_path / "map.tif", "model": tiny_model, "device": "cpu"}
    return ["segment", *(word for name, value in given.items() for word in (f"--{name}", str(value)))]


@pytest.fixture
def uninterrupted(segment: Segment, tmp_path: Path) -> bytes:
    """The map of a run that nothing disturbed."""
    assert segment(out=tmp_path / "uninterrupted.tif").code == 0
    return (tmp_path / "uninterrupted.tif").read_bytes()


@pytest.mark.parametrize(
    ("module", "name", "count"),
    [
        ("sitsinfer.store", "Store.write", 1),
        ("sitsinfer.store", "Store.mark", 2),
        ("sitsinfer.store", "_write_whole", 5),
        ("sitsinfer.products.cog", "_check", 1),
        ("sitsinfer.products.stac", "_item", 1),
        ("sitsinfer.store", "remove", 1),
    ],
)
def test_a_killed_run_is_finished_by_the_same_command(
    segment: Segment,
    words: list[str],
    uninterrupted: bytes,
    tmp_path: Path,
    module: str,
    name: str,
    count: int,
) -> None:
    arguments = [sys.executable, "-c", DEADLY, module, name, str(count), *words, "--tile-size", "24"]
    killed = subprocess.run(arguments, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (tmp_path / "map.tif.partial").is_dir()
    if (tmp_path / "map.tif").exists():
        assert (tmp_path / "map.tif").read_bytes() == uninterrupted
    outcome = segment(tile_size=24)
    assert (outcome.code, outcome.err) == (0, [])
    assert outcome.out[0].startswith("Wrote")
    assert (tmp_path / "map.tif").read_bytes() == uninterrupted
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        f"{stem}.{ending}" for stem in ("map", "uninterrupted") for ending in ("tif", "json", "tif.aux.xml")
    }


def test_what_a_killed_run_had_made_is_not_made_again(
    segment: Segment, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [sys.executable, "-c", DEADLY, "sitsinfer.store", "Store.mark", "5", *words, "--tile-size", "24"]
    subprocess.run(arguments, capture_output=True, check=False)
    kept = {path.stem for path in (tmp_path / "map.tif.partial" / "tiles").glob("*.json")}
    assert len(kept) == 4
    from sitsinfer.store import Store

    mark, made = Store.mark, []
    monkeypatch.setattr(Store, "mark", lambda self, report: (made.append(report.name), mark(self, report)))
    assert segment().code == 0  # the tile size is that of the store
    assert made
    assert not kept & set(made)


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_leaves_at_once_and_goes_on_later(
    segment: Segment,
    words: list[str],
    uninterrupted: bytes,
    tmp_path: Path,
    workers: int | None,
    number: signal.Signals,
) -> None:
    spread = ["--workers", str(workers)] if workers else []
    arguments = [sys.executable, "-c", "from sitsinfer.cli import main; main()", *words, *spread, "--tile-size", "8"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for_tiles(tmp_path / "map.tif.partial" / "tiles", process)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as Ctrl+C does: all processes of the terminal get it
        else:
            process.send_signal(number)
        began = time.monotonic()
        _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert process.returncode == 128 + number
    assert err.splitlines() == ["Stopped. The same command goes on from what is done and kept."]
    assert not (tmp_path / "map.tif").exists()
    assert no_process_left(process.pid)
    assert segment().code == 0
    assert (tmp_path / "map.tif").read_bytes() == uninterrupted


def wait_for_tiles(folder: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def no_process_left(session: int) -> bool:
    """Whether all processes of a session are gone, within a few seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(in_session(process, session) for process in psutil.process_iter()):
            return True
        time.sleep(0.1)
    return False


def in_session(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False


def test_two_runs_do_not_write_one_map(segment: Segment, tmp_path: Path) -> None:
    from sitsinfer.store import locked

    with locked(tmp_path / "map.tif.partial"):
        outcome = segment()
    assert outcome.code == 1
    (line,) = outcome.err
    assert line.startswith("Error: Another run is writing")


def test_an_unfinished_run_of_other_options_stays_until_it_is_overwritten(
    segment: Segment, words: list[str], tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", DEADLY, "sitsinfer.store", "Store.mark", "3", *words, "--tile-size", "24"]
    subprocess.run(arguments, capture_output=True, check=False)
    outcome = segment(margin=3)
    assert outcome.code == 1
    (line,) = outcome.err
    assert "holds an unfinished run that differs in: margin" in line
    assert "overwrite" in line
    assert segment("--overwrite", margin=3).code == 0
    assert not (tmp_path / "map.tif.partial").exists()
