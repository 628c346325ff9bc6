import logging
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest

from sitsinfer import cluster, engine
from sitsinfer.engine import Options, Summary
from sitsinfer.errors import DeviceError, OutputError, SeriesError, StoreError, TilesFailed
from sitsinfer.grid import Window, whole
from sitsinfer.plan import MOST_HELD
from sitsinfer.store import Store
from sitsinfer.tasks import TileResult
from tests.fakes import FakeTask, make_grid, truth

TASK = FakeTask(make_grid(50, 70))
SMALL_TILES = Options(tile_size=16)


def publish(store: Store, tags: Mapping[str, str], summary: Summary) -> None:
    output = store.path.with_name(store.path.name.removesuffix(".partial"))
    np.savez(output.with_suffix(".npz"), classes=store.source("classes").read(whole(store.grid)), **tags)
    output.with_suffix(".npz").rename(output)


def read_tags(path: Path) -> Mapping[str, str]:
    try:
        with np.load(path) as file:
            return {engine.FINGERPRINT_TAG: str(file[engine.FINGERPRINT_TAG])}
    except ValueError:
        return {}


def run(task: Any, out: Path, options: Options = SMALL_TILES) -> Summary:
    return engine.run(task, engine.Outputs(out, (out,), publish, read_tags), options)


def pixels(out: Path) -> Any:
    with np.load(out) as file:
        return file["classes"]


@pytest.mark.parametrize("size", [7, 16, 64, None])
def test_any_tile_size_gives_the_whole_grid(tmp_path: Path, size: int | None) -> None:
    summary = run(TASK, tmp_path / "out", Options(tile_size=size))
    np.testing.assert_array_equal(pixels(tmp_path / "out"), truth(whole(TASK.grid)))
    assert summary.valid == 50 * 70
    assert not Store.beside(tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [1, 3])
def test_worker_processes_give_the_same(tmp_path: Path, workers: int) -> None:
    run(TASK, tmp_path / "out", replace(SMALL_TILES, workers=workers))
    np.testing.assert_array_equal(pixels(tmp_path / "out"), truth(whole(TASK.grid)))


def test_a_scheduler_of_the_users_own_serves(tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as own:
        run(TASK, tmp_path / "out", replace(SMALL_TILES, scheduler=own.scheduler_address))
    np.testing.assert_array_equal(pixels(tmp_path / "out"), truth(whole(TASK.grid)))


def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(DeviceError, match=f"No Dask scheduler answers at {address}"):
            run(TASK, tmp_path / "out", replace(SMALL_TILES, scheduler=address))


def test_by_default_no_port_is_opened(tmp_path: Path) -> None:
    seen = set()

    def look(done: int, total: int) -> None:
        connections = psutil.Process().net_connections()
        seen.update(item.laddr for item in connections if item.status == psutil.CONN_LISTEN)

    run(TASK, tmp_path / "out", replace(SMALL_TILES, progress=look))
    assert not seen


def test_progress_counts_up_to_all_tiles(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    run(TASK, tmp_path / "out", replace(SMALL_TILES, progress=lambda done, total: calls.append((done, total))))
    assert calls == [(done, 20) for done in range(21)]


def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    run(TASK, tmp_path / "out")
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    assert run(TASK, tmp_path / "out").unchanged
    assert {path: path.stat() for path in tmp_path.rglob("*")} == before


def test_new_inputs_make_a_new_map(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(TASK, tmp_path / "out")
    with caplog.at_level(logging.INFO):
        assert not run(replace(TASK, inputs="these and another"), tmp_path / "out").unchanged
    assert "out of date: inputs changed" in caplog.text


def test_the_map_of_another_command_is_kept(tmp_path: Path) -> None:
    run(TASK, tmp_path / "out")
    before = (tmp_path / "out").read_bytes()
    with pytest.raises(OutputError, match="made by another run: it differs in options. Set overwrite"):
        run(replace(TASK, options="otherwise"), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == before
    assert not Store.beside(tmp_path / "out").exists()


def test_a_file_of_another_program_is_kept(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(OutputError, match="sitsinfer did not make it. Set overwrite"):
        run(TASK, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "precious"


def test_overwrite_makes_it_anew(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("worthless")
    assert not run(TASK, tmp_path / "out", replace(SMALL_TILES, overwrite=True)).unchanged
    np.testing.assert_array_equal(pixels(tmp_path / "out"), truth(whole(TASK.grid)))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"folder .*nowhere of out does not exist. Create it first"):
        run(TASK, tmp_path / "nowhere" / "out")


def test_tiles_that_cannot_be_read_fail_alone_and_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RETRY_DELAYS", (0.0,))
    (tmp_path / "made").mkdir()
    task = replace(TASK, failing=((16, 16), (0, 64)), mended=tmp_path / "mended", counter=tmp_path / "made")
    with pytest.raises(TilesFailed, match="2 of 20 tiles failed .*r0_c4: Cannot read a.tif at row 0, col 64") as raised:
        run(task, tmp_path / "out")
    assert raised.value.exit_code == 3
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / "made").iterdir())) == 18
    (tmp_path / "mended").touch()
    assert run(task, tmp_path / "out").kept == 18
    assert len(list((tmp_path / "made").iterdir())) == 20
    np.testing.assert_array_equal(pixels(tmp_path / "out"), truth(whole(TASK.grid)))


def test_a_read_that_fails_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RETRY_DELAYS", (0.0,))
    task = replace(TASK, failing=((16, 16),), mended=tmp_path / "mended")
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: (tmp_path / "mended").touch())
    assert run(task, tmp_path / "out").valid == 50 * 70


def test_preparing_is_tried_again_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RETRY_DELAYS", (0.0,))
    task = replace(TASK, unprepared=True, mended=tmp_path / "mended")
    monkeypatch.setattr(engine.time, "sleep", lambda seconds: (tmp_path / "mended").touch())
    assert run(task, tmp_path / "out").valid == 50 * 70


def test_nothing_observed_anywhere_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="Nothing that goes in was observed in this area"):
        run(replace(TASK, empty=True), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_nothing_observed_anywhere_is_published_where_that_makes_an_output(tmp_path: Path) -> None:
    outputs = engine.Outputs(tmp_path / "out", (tmp_path / "out",), publish, read_tags, empty=True)
    summary = engine.run(replace(TASK, empty=True), outputs, SMALL_TILES)
    assert (summary.valid, summary.tiles) == (0, 20)
    assert outputs.path.exists()
    assert not Store.beside(outputs.path).exists()


def test_an_unfinished_run_of_other_options_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RETRY_DELAYS", ())
    with pytest.raises(TilesFailed):
        run(replace(TASK, failing=((0, 0),)), tmp_path / "out")
    with pytest.raises(StoreError, match="unfinished run that differs in: options"):
        run(replace(TASK, options="otherwise"), tmp_path / "out")
    with pytest.raises(OutputError, match="unfinished run with tiles of 16 pixels, not 8"):
        run(TASK, tmp_path / "out", Options(tile_size=8))
    assert run(TASK, tmp_path / "out", Options()).kept == 19


def test_overwriting_goes_on_too_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RETRY_DELAYS", ())
    run(TASK, tmp_path / "out")
    overwrite = replace(SMALL_TILES, overwrite=True)
    task = replace(TASK, failing=((16, 16),), mended=tmp_path / "mended")
    with pytest.raises(TilesFailed):
        run(task, tmp_path / "out", overwrite)
    (tmp_path / "mended").touch()
    assert run(task, tmp_path / "out", overwrite).kept == 19
    assert run(task, tmp_path / "out", overwrite).kept == 0


def test_overwriting_drops_an_unfinished_run_of_other_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RETRY_DELAYS", ())
    with pytest.raises(TilesFailed):
        run(replace(TASK, failing=((0, 0),)), tmp_path / "out")
    assert run(replace(TASK, options="otherwise"), tmp_path / "out", replace(SMALL_TILES, overwrite=True)).kept == 0


def test_a_dead_worker_costs_no_tile(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    deadly = replace(TASK, kill_at=(16, 16), counter=tmp_path / "made")
    # A tile that happened to be with the deadly one each time may be given up as well.
    with pytest.raises(TilesFailed, match="[1-3] of 20 tiles failed .*r1_c1: its worker died again and again"):
        run(deadly, tmp_path / "out", replace(SMALL_TILES, workers=2))
    assert run(TASK, tmp_path / "out").kept >= 17
    np.testing.assert_array_equal(pixels(tmp_path / "out"), truth(whole(TASK.grid)))


@pytest.mark.parametrize("killed_at", [(0, 0), (16, 48), (48, 64)])
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, killed_at: tuple[int, int]) -> None:
    (tmp_path / "made").mkdir()
    script = (
        "from pathlib import Path; from dataclasses import replace; from tests.test_engine import TASK, run\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"run(replace(TASK, kill_at={killed_at}, counter=folder / 'made'), folder / 'out')"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    assert not (tmp_path / "out").exists()
    made = len(list((tmp_path / "made").iterdir()))
    kept = len(list((Store.beside(tmp_path / "out") / "tiles").glob("*.json")))
    assert made - 2 <= kept <= made  # what was computed but not yet written is made again
    assert run(TASK, tmp_path / "out").kept == kept
    np.testing.assert_array_equal(pixels(tmp_path / "out"), truth(whole(TASK.grid)))


def test_only_damaged_tiles_of_a_store_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "RETRY_DELAYS", ())
    (tmp_path / "made").mkdir()
    with pytest.raises(TilesFailed):
        run(replace(TASK, failing=((0, 0),)), tmp_path / "out")
    (Store.beside(tmp_path / "out") / "tiles" / "r1_c2.json").write_text("")
    caplog.clear()
    assert run(replace(TASK, counter=tmp_path / "made"), tmp_path / "out").kept == 18
    assert sorted(path.name.rsplit("_", 1)[0] for path in (tmp_path / "made").iterdir()) == ["0_0", "16_32"]
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert told[0].startswith("Tile r1_c2 is damaged and made again: ")
    np.testing.assert_array_equal(pixels(tmp_path / "out"), truth(whole(TASK.grid)))


def test_a_store_that_lost_a_layer_is_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RETRY_DELAYS", ())
    (tmp_path / "made").mkdir()
    with pytest.raises(TilesFailed):
        run(replace(TASK, failing=((0, 0),)), tmp_path / "out")
    shutil.rmtree(Store.beside(tmp_path / "out") / "layers" / "classes")
    task = replace(TASK, counter=tmp_path / "made")
    with pytest.raises(StoreError, match=r"layers/classes is missing .* Remove .*out\.partial to start anew"):
        run(task, tmp_path / "out")
    assert not list((tmp_path / "made").iterdir())
    assert run(task, tmp_path / "out", replace(SMALL_TILES, overwrite=True)).kept == 0


def test_who_stops_a_run_need_not_wait_for_what_computes(tmp_path: Path) -> None:
    script = (
        "import os; from dataclasses import replace; from pathlib import Path; from sitsinfer import cluster;"
        "from tests.test_engine import TASK, SMALL_TILES, run\n"
        "class Stopped(BaseException): pass\n"
        "def stop(done, total):\n"
        "    if done: raise Stopped\n"
        "cluster.CLOSE_SECONDS = 0.1\n"
        f"try: run(replace(TASK, seconds=(0, 1.5)), Path({str(tmp_path / 'out')!r}), "
        "replace(SMALL_TILES, progress=stop))\n"
        "except Stopped: os._exit(7)"
    )
    stopped = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert (stopped.returncode, stopped.stderr) == (7, b"")


def test_reading_and_computing_overlap(tmp_path: Path) -> None:
    task = replace(TASK, seconds=(0.05, 0.05))
    began = time.monotonic()
    summary = run(task, tmp_path / "out")
    assert summary.seconds["read"] + summary.seconds["compute"] > 1.9
    assert time.monotonic() - began < 1.9


class Hoarder(FakeTask):
    """Counts the tiles whose inputs are in memory."""

    held: ClassVar[list[int]] = []
    most: ClassVar[list[int]] = []

    def read(self, core: Window) -> Any:
        self.held.append(1)
        self.most.append(len(self.held))
        return super().read(core)

    def compute(self, inputs: Any, core: Window, threads: int) -> TileResult:
        result = super().compute(inputs, core, threads)
        self.held.pop()
        return result


def test_no_more_tiles_are_held_than_planned(tmp_path: Path) -> None:
    run(Hoarder(make_grid(50, 70), seconds=(0.001, 0.01)), tmp_path / "out")
    assert max(Hoarder.most) == MOST_HELD


def test_a_full_disk_ends_the_run_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=False, capture_output=True
    )
    if mounted.returncode or not shutil.which("umount"):
        pytest.skip("only root may mount a small disk")
    try:
        with pytest.raises(OutputError, match="No space left on the disk of .* Free some"):
            run(FakeTask(make_grid(400, 400)), small / "out", Options(tile_size=20))
        assert not (small / "out").exists()
    finally:
        subprocess.run(["umount", "-l", small], check=True)
