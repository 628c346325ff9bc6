"""The whole life of a run, the same for every command.

A tile's task is a plain function, :func:`process_tile`. Workers write what they computed into the store; only a small
report travels. :func:`run` asks whether there is anything to do, opens or creates the store, drives the tiles that are
missing through the cluster, publishes, and removes the store.
"""

import functools
import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from sitsinfer import __version__, memory
from sitsinfer.errors import OutputError, ReadError, SeriesError, StoreError, TilesFailed
from sitsinfer.grid import Tile, Tiles, whole
from sitsinfer.plan import Plan, cores, make_plan
from sitsinfer.store import AGEING, Fingerprint, Store, TileReport, clear, differing, locked
from sitsinfer.tasks import Task, TileResult

log = logging.getLogger(__name__)

Read = TypeVar("Read")

FINGERPRINT_TAG = "FINGERPRINT"

RETRY_DELAYS = (0.5, 2.0)
"""Seconds before a read that failed is tried again."""

_device_locks: dict[str, threading.Lock] = {}
_places: dict[int, threading.Semaphore] = {}


@dataclass(frozen=True)
class TileFailure:
    """A tile that could not be made, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Summary:
    """What became of a run.

    Attributes:
        unchanged: Whether the output was there already and nothing was done.
        tiles: Tiles of the grid.
        kept: Tiles that an earlier, unfinished run had made.
        valid: Pixels with at least one valid observation.
        seconds: Wall time, and of ``read``, ``compute`` and ``write`` the sum over tiles.
    """

    unchanged: bool
    tiles: int = 0
    kept: int = 0
    valid: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How a run is spread, none of which changes a pixel.

    Attributes:
        memory: Bytes for the whole run on this machine; ``None``: half of what is free.
        tile_size: Pixels; ``None``: what memory allows.
        workers: Worker processes on this machine; ``None``: threads of this process.
        scheduler: Address of a Dask scheduler whose workers see the same files.
        overwrite: Whether to make the output anew even if it exists.
        progress: Called with the number of tiles done and of all tiles.
    """

    memory: int | None = None
    tile_size: int | None = None
    workers: int | None = None
    scheduler: str | None = None
    overwrite: bool = False
    progress: Callable[[int, int], None] = lambda done, total: None


@dataclass(frozen=True)
class Outputs:
    """What a run leaves behind.

    Attributes:
        path: What was asked for: a file, or the folder of all files. The store lies beside it.
        files: What comes out, the main one first.
        publish: Writes the files from the finished store, each whole or not at all, with the tags given.
        read_tags: Reads the tags of a file that ``publish`` wrote; none from any other file.
        folders: Folders that ``publish`` makes for some of the files, if need be.
        empty: Whether there is something to publish even if nothing was observed.
    """

    path: Path
    files: tuple[Path, ...]
    publish: Callable[[Store, Mapping[str, str], Summary], None]
    read_tags: Callable[[Path], Mapping[str, str]]
    folders: tuple[Path, ...] = ()
    empty: bool = False


def run(task: Task[Any], outputs: Outputs, options: Options) -> Summary:
    """Make the outputs of a task, or see that there is nothing to do.

    Args:
        task: What to do with a tile.
        outputs: What comes out.
        options: How to spread the run.

    Raises:
        OutputError: If an output exists that this command did not make, or something cannot be written.
        SeriesError: If nothing was observed anywhere, and that makes no output.
        TilesFailed: If tiles could not be read; the others are kept in the store.
    """
    started = time.monotonic()
    fingerprint = fingerprint_of(task)
    path = Store.beside(outputs.path)
    if not options.overwrite and _is_current(outputs, path, fingerprint):
        log.debug("%s is up to date.", outputs.path, extra={"event": "unchanged"})
        return Summary(unchanged=True)
    folders = (outputs.path, *outputs.folders)
    check_places([*folders, *(file for file in outputs.files if file.parent not in folders)])
    for file in outputs.files:
        if file.is_dir() and FINGERPRINT_TAG not in outputs.read_tags(file):
            raise foreign(file)
    with locked(path):
        store = _open_store(path, task, fingerprint, options)
        finished = [store.is_done(tile) for tile in store.tiles]  # tiles themselves are counted but not listed
        failures = [] if all(finished) else _drive(task, store, options, finished)
        if failures:
            raise TilesFailed(_failures_text(failures, len(store.tiles)))
        summary = _summarize(store, sum(finished), time.monotonic() - started)
        if not (summary.valid or outputs.empty):
            store.remove()
            raise SeriesError(
                "Nothing that goes in was observed in this area, or too little to tell anything: no valid pixel. "
                "Choose another area, or have other dates go in."
            )
        outputs.publish(store, {FINGERPRINT_TAG: json.dumps(fingerprint)}, summary)
        store.remove()
    log.debug("%s is done.", outputs.path, extra={"event": "done", "summary": asdict(summary)})
    return summary


def fingerprint_of(task: Task[Any]) -> Fingerprint:
    """What decides the pixels of a run: what its task says, and our version."""
    return task.fingerprint() | {"version": __version__}


def process_tile(task: Task[Any], store: Store, plan: Plan, tile: Tile) -> TileReport | TileFailure:
    """Read, compute and write one tile, then mark it.

    Args:
        task: What to do.
        store: Where its layers go.
        plan: How many tiles may hold their inputs at a time, and how many threads compute on a CPU.
        tile: Which tile.

    Returns:
        A report, or the reason why the tile could not be read even after some tries.

    Raises:
        OutputError: If the store cannot be written: no other tile could be, either.
    """
    with _place(plan.held):
        began = time.monotonic()
        try:
            inputs = _patiently(lambda: task.read(tile.core), tile.name)
        except ReadError as error:
            return TileFailure(tile.name, str(error))
        read = time.monotonic()
        with _device_lock(task.device):
            free = time.monotonic()
            result: TileResult = task.compute(inputs, tile.core, plan.threads or cores())
        del inputs  # before its place is given to the next
        memory.give_back()
    computed = time.monotonic()
    store.write(tile, result.layers, result.found)
    report = TileReport(
        name=tile.name,
        valid=result.valid,
        checksum=_checksum(result),
        found=len(result.found),
        read=round(read - began, 3),
        compute=round(computed - free, 3),
        write=round(time.monotonic() - computed, 3),
    )
    store.mark(report)
    return report


def _patiently(read: Callable[[], Read], what: str) -> Read:
    """Read what is needed, a tile's or the whole's, again where it fails.

    Raises:
        ReadError: If it fails each time.
    """
    for delay in RETRY_DELAYS:
        try:
            return read()
        except ReadError as error:
            log.warning("%s Trying again in %g s.", error, delay, extra={"event": "retry", "tile": what})
            time.sleep(delay)
    return read()


def _place(held: int) -> threading.Semaphore:
    """A place for the inputs of a tile in this process, where there are so many."""
    return _places.setdefault(held, threading.Semaphore(held))


def _device_lock(device: str) -> threading.Lock:
    """The lock of a device in this process: tiles take turns computing, and read and write meanwhile."""
    return _device_locks.setdefault(device, threading.Lock())


def _checksum(result: TileResult) -> int:
    checksum = 0
    for name in sorted(result.layers):
        checksum = zlib.crc32(result.layers[name].tobytes(), checksum)
    return zlib.crc32(result.found, checksum)


def _is_current(outputs: Outputs, store: Path, fingerprint: Fingerprint) -> bool:
    """Whether all outputs are there, made by just this run.

    Raises:
        OutputError: If one of them is damaged, was made by something else, or asked for differently.
    """
    found = [outdated(file, fingerprint, outputs.read_tags) for file in outputs.files]
    if changed := sorted(set().union(*(parts for parts in found if parts))):
        log.info("%s is out of date: %s changed. Making it anew.", outputs.path, ", ".join(changed))
    return not any(parts is None or parts for parts in found) and not (store / "run.json").exists()


def outdated(output: Path, fingerprint: Fingerprint, read_tags: Callable[[Path], Mapping[str, str]]) -> set[str] | None:
    """What has changed by itself since an output was made: parts of its fingerprint; ``None`` if there is no output.

    Raises:
        OutputError: If it is damaged, was made by something else, or asked for differently.
    """
    if not output.exists():
        return None
    made_by = read_tags(output).get(FINGERPRINT_TAG)
    if made_by is None:
        raise foreign(output)
    parts = set(differing(json.loads(made_by), fingerprint))
    if asked := parts - AGEING:
        raise OutputError(
            f"{output} already exists, made by another run: it differs in {', '.join(sorted(asked))}. "
            f"Set overwrite to replace it, or choose another output."
        )
    return parts


def foreign(output: Path) -> OutputError:
    """The error for what is in the way of an output."""
    if output.is_dir():
        return OutputError(
            f"{output} is a folder that is damaged, or sitsinfer did not make it. Choose another output."
        )
    return OutputError(
        f"{output} already exists, and is damaged, or sitsinfer did not make it. Set overwrite to replace it."
    )


def check_places(outputs: Iterable[Path]) -> None:
    """See that outputs can be made where they are to be.

    Raises:
        OutputError: If the folder of one is missing.
    """
    for output in outputs:
        if not output.parent.is_dir():
            raise OutputError(f"The folder {output.parent} of {output.name} does not exist. Create it first.")


def _open_store(path: Path, task: Task[Any], fingerprint: Fingerprint, options: Options) -> Store:
    """The store of the unfinished run, or a new one; a store without a finished tile is worth nothing.

    Raises:
        StoreError: If an unfinished run of other options or tiles lies there, and is not to be overwritten.
    """
    if Store.is_begun(path):
        try:
            return _reopen(path, fingerprint, options)
        except StoreError:
            if not options.overwrite:
                raise
    clear(path)
    tiles = Tiles(whole(task.grid).shape, _plan(task, options).tile_size, task.tile_shift)
    return Store.create(path, task.layers, task.grid, tiles, fingerprint)


def _reopen(path: Path, fingerprint: Fingerprint, options: Options) -> Store:
    store = Store.open(path, fingerprint)
    if options.tile_size not in (None, store.tiles.size):
        raise StoreError(
            f"{path} holds an unfinished run with tiles of {store.tiles.size} pixels, not {options.tile_size}. "
            f"Leave the tile size out to finish it, or set overwrite to start anew."
        )
    return store


def _plan(task: Task[Any], options: Options) -> Plan:
    plan = make_plan(task, memory=options.memory, tile_size=options.tile_size, workers=options.workers)
    return plan if options.scheduler is None else replace(plan, threads=None)


def _drive(task: Task[Any], store: Store, options: Options, finished: Sequence[bool]) -> list[TileFailure]:
    """Make the tiles that are not finished."""
    from sitsinfer.cluster import map_tiles  # Dask: not to be imported where there is nothing to do

    task = _patiently(task.prepared, "all")
    plan = _plan(task, replace(options, tile_size=store.tiles.size))
    work = functools.partial(process_tile, task, store, plan)
    failures: list[TileFailure] = []
    kept = sum(finished)
    missing = (tile for tile, is_done in zip(store.tiles, finished, strict=True) if not is_done)
    options.progress(kept, len(store.tiles))
    for done, (name, outcome) in enumerate(map_tiles(work, missing, plan, options.scheduler), start=kept + 1):
        if not isinstance(outcome, TileReport):
            reason = (
                outcome.reason if isinstance(outcome, TileFailure) else f"its worker died again and again: {outcome}"
            )
            failures.append(TileFailure(name, reason))
            log.error("Tile %s failed: %s", name, reason, extra={"event": "tile failed"})
        else:
            log.debug("Tile %s is done.", name, extra={"event": "tile", "report": asdict(outcome)})
        options.progress(done, len(store.tiles))
    return failures


def _summarize(store: Store, kept: int, seconds: float) -> Summary:
    reports = list(store.reports())
    stages = {
        stage: round(sum(getattr(report, stage) for report in reports), 3) for stage in ("read", "compute", "write")
    }
    return Summary(
        unchanged=False,
        tiles=len(store.tiles),
        kept=kept,
        valid=sum(report.valid for report in reports),
        seconds={"wall": round(seconds, 3), **stages},
    )


def _failures_text(failures: list[TileFailure], tiles: int) -> str:
    first = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures[:3])
    more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
    return f"{len(failures)} of {tiles} tiles failed ({first}{more}). The same command tries just those again."
