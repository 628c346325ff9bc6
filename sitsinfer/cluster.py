"""Tiles through Dask, a bounded number at a time: the only file that knows it.

By default the cluster is this process: one worker with a few threads that opens no port. Worker processes on this
machine, or any Dask cluster by its scheduler's address, run the same function.
"""

import itertools
import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from distributed import Client, KilledWorker, Nanny, Scheduler, SpecCluster, Worker, as_completed

from sitsinfer.errors import DeviceError
from sitsinfer.grid import Tile
from sitsinfer.plan import Plan

Outcome = TypeVar("Outcome")

CONNECT_SECONDS = 20
CLOSE_SECONDS = 5


def map_tiles(
    work: Callable[[Tile], Outcome], tiles: Iterable[Tile], plan: Plan, scheduler: str | None = None
) -> Iterator[tuple[str, Outcome | KilledWorker]]:
    """Run a function on tiles, in any order, and yield what it returns as it comes.

    Args:
        work: The function; with worker processes it must pickle.
        tiles: Taken as workers get free.
        plan: How many workers, and how many tiles each has under way.
        scheduler: Address of a Dask scheduler to run on instead of workers of our own.

    Yields:
        The name of a tile, and what ``work`` returned for it, or the error that says that its worker died, and the
        next ones as well.

    Raises:
        DeviceError: If the scheduler does not answer or has no workers.
        Exception: Whatever ``work`` raises.
    """
    waiting = iter(tiles)
    with _connected(scheduler) if scheduler else _own(plan) as client:
        in_flight = sum(client.nthreads().values())

        def submit(tile: Tile) -> Any:
            return client.submit(work, tile, key=f"tile-{tile.name}", pure=False)

        running = as_completed([submit(tile) for tile in itertools.islice(waiting, in_flight)])
        for future in running:
            name = future.key.removeprefix("tile-")
            try:
                outcome = future.result()
            except KilledWorker as error:
                outcome = error
            future.release()
            running.update([submit(tile) for tile in itertools.islice(waiting, 1)])
            yield name, outcome


@contextmanager
def _own(plan: Plan) -> Iterator[Any]:
    """A client of workers on this machine: processes, or threads of this one."""
    # What Dask logs is of its own life; errors that matter to a run come back with its futures.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    options: dict[str, Any] = {"nthreads": plan.in_flight, "memory_limit": 0}
    if plan.processes:
        options |= {"worker_class": _ProcessWorker, "host": "127.0.0.1", "silence_logs": logging.CRITICAL}
        worker = {"cls": Nanny, "options": options}
        scheduler = {"cls": _QuietScheduler, "options": {"host": "127.0.0.1", "port": 0}}
    else:
        worker = {"cls": _QuietWorker, "options": {**options, "protocol": "inproc://"}}
        scheduler = {"cls": _QuietScheduler, "options": {"protocol": "inproc://", "port": 0}}
    cluster = SpecCluster(dict.fromkeys(range(plan.workers), worker), scheduler, silence_logs=logging.CRITICAL)
    try:
        with Client(cluster) as client:
            if plan.processes:
                _forward_log(client)
            yield client
    finally:
        # A thread may compute for long yet: whatever ends the run is not to wait for it, nor to give way to a time-out.
        with suppress(TimeoutError):
            cluster.close(timeout=CLOSE_SECONDS)


class _Portless:
    """A part of a cluster that serves no web pages: by itself each would listen on all interfaces."""

    def start_http_server(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


class _QuietScheduler(_Portless, Scheduler):
    pass


class _QuietWorker(_Portless, Worker):
    pass


class _ProcessWorker(_QuietWorker):
    """A worker with a process to itself, which Ctrl+C in a terminal reaches too: whether to stop is not its matter."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        super().__init__(*args, **kwargs)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"No Dask scheduler answers at {address} ({error}). Start one, or leave the address out."
        ) from error
    with client:
        if not client.nthreads():
            raise DeviceError(f"The Dask scheduler at {address} has no workers. Start some first.")
        _forward_log(client)
        yield client


def _forward_log(client: Client) -> None:
    """Have what we log in worker processes logged in this one, as far as anybody listens."""
    ours = logging.getLogger("sitsinfer")
    client.forward_logging(ours.name, ours.getEffectiveLevel())
