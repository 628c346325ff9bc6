from dataclasses import dataclass, replace
from typing import Any

import pytest

from sitsinfer import plan
from sitsinfer.errors import GridError
from sitsinfer.plan import MIB, PROCESS_BYTES, Plan, make_plan, parse_memory
from tests.fakes import FakeTask, make_grid


@dataclass(frozen=True)
class HungryTask(FakeTask):
    """A task whose tiles take a kilobyte a pixel, and whose model takes 50 MiB."""

    def tile_bytes(self, size: int) -> int:
        return 1024 * size * size

    def model_bytes(self, threads: int) -> int:
        return 50 * MIB


TASK = HungryTask(make_grid(1900, 1500), tile_step=96)


def make(
    task: Any = TASK, memory: int | None = 2000 * MIB, tile_size: int | None = None, workers: int | None = None
) -> Plan:
    return make_plan(task, memory=memory, tile_size=tile_size, workers=workers)


@pytest.mark.parametrize("workers", [None, 1, 2, 3])
@pytest.mark.parametrize("memory", [1900, 2500, 4000, 32000])
def test_all_workers_together_stay_within_memory(memory: int, workers: int | None) -> None:
    made = make(memory=memory * MIB, workers=workers)
    each = PROCESS_BYTES + TASK.model_bytes(1) + made.held * TASK.tile_bytes(made.tile_size)
    assert made.workers == (workers or 1)
    assert made.processes == (workers is not None)
    assert made.workers * each <= memory * MIB


def test_tiles_overlap_where_memory_allows() -> None:
    assert (make(memory=10**15).held, make(memory=10**15).in_flight) == (plan.MOST_HELD, plan.MOST_HELD + 1)
    tight = PROCESS_BYTES + TASK.model_bytes(1) + TASK.tile_bytes(480)
    assert (make(memory=tight).held, make(memory=tight).tile_size) == (1, 480)


def test_tiles_are_whole_steps_of_the_lattice_and_no_larger_than_need_be() -> None:
    assert make(memory=10**15).tile_size == 96 * (TASK.largest_tile // 96)
    assert make(replace(TASK, grid=make_grid(100, 130)), memory=10**15).tile_size == 192
    shifted = replace(TASK, grid=make_grid(100, 130), tile_shift=(95, 95))
    assert make(shifted, memory=10**15).tile_size == 288


def test_a_tile_size_that_is_given_is_kept() -> None:
    assert make(tile_size=77).tile_size == 77


def test_a_tile_that_does_not_fit_is_refused_with_what_it_needs() -> None:
    with pytest.raises(GridError, match="tiles of 2000 pixels need 4456 MiB of memory, more than the 2000 MiB"):
        make(tile_size=2000)
    with pytest.raises(GridError, match=r"3 worker\(s\) with tiles of 96 pixels need"):
        make(memory=1000 * MIB, workers=3)


@pytest.mark.parametrize("size", [0, -1])
def test_a_tile_without_pixels_is_refused(size: int) -> None:
    with pytest.raises(GridError, match=f"tile size of {size} pixels holds nothing"):
        make(tile_size=size)


def test_without_a_limit_half_of_what_is_free_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "available_memory", lambda: 4000 * MIB)
    assert make(memory=None) == make(memory=2000 * MIB)


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "cores", lambda: 8)
    assert [make(memory=10**12, workers=workers).threads for workers in (None, 1, 3, 20)] == [8, 8, 2, 1]


@pytest.mark.parametrize(("asked", "expected"), [("2", 2), ("64", 4), ("", 4), ("0", 1), ("4,2", 4)])
def test_cores_are_those_bound_to_unless_fewer_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, expected: int
) -> None:
    monkeypatch.setattr(plan.os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert plan.cores() == expected


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 << 30),
        ("4G", 4 << 30),
        ("4gb", 4 * 10**9),
        ("500 MB", 5 * 10**8),
        ("1.5k", 1536),
        ("2TiB", 2 << 40),
        ("1234", 1234),
        ("12b", 12),
    ],
)
def test_amounts_of_memory_are_read(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "four", "4 XB", "4GiBB", "1e400", "nan", "-inf"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(GridError, match=f"'{text}' is not an amount of memory"):
        parse_memory(text)
