"""Processes that train: one per device, or several on a CPU. With one, the work is done in this process.

A worker process that is killed ends the work with an error; when this process is killed, its workers end.
"""

import functools
import itertools
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import loky
import torch

from dataset.errors import PipelineError
from model.training.device import use_one_of_devices
from model.training.trainer import Epoch

_POLL_S = 0.2
Work = Callable[[str, Callable[[Epoch], None]], object]
"""What a worker does: it gets the device, "cpu" or "cuda", and what to call after every epoch. It can be pickled."""
Ended = Iterator[tuple[int, PipelineError | None]]


class Workers:
    """Processes that do work, each on one device with a number of CPU threads. They start with the first work."""

    def __init__(self, jobs: int, threads: int, devices: Sequence[str] = ()) -> None:
        """Make the workers.

        Args:
            jobs: how much work is done at the same time.
            threads: CPU threads of each worker.
            devices: the devices that the workers use in turn; none for the CPU.
        """
        self._jobs, self._threads, self._devices = jobs, threads, tuple(devices) or ("cpu",)
        self._numbers, self._pool = itertools.count(), None
        self._epochs: Any = None
        self._held: Connection | None = None

    def run(self, works: Sequence[Work], on_epoch: Callable[[int, Epoch], None] = lambda number, epoch: None) -> Ended:
        """Do the works; yield the place of each with its error when it has ended.

        Raises:
            PipelineError: a worker's process was killed.
        """
        if self._jobs > 1 and (len(works) > 1 or self._pool):
            return self._run_in_processes(works, on_epoch)
        return self._run_here(works, on_epoch)

    def _run_here(self, works: Sequence[Work], on_epoch: Callable[[int, Epoch], None]) -> Ended:
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            for place, work in enumerate(works):
                try:
                    work(use_one_of_devices(self._devices[0]), functools.partial(on_epoch, place))
                    yield place, None
                except PipelineError as error:
                    yield place, error
        finally:
            torch.set_num_threads(before)

    def _run_in_processes(self, works: Sequence[Work], on_epoch: Callable[[int, Epoch], None]) -> Ended:
        pool = self._started()
        places = {next(self._numbers): place for place in range(len(works))}
        with _without_ctrl_c():  # the first work starts all workers
            running = {pool.submit(_do, number, works[place]): place for number, place in places.items()}
        while running:
            try:
                ended, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                while not self._epochs.empty():
                    number, epoch = self._epochs.get()
                    if number in places:
                        on_epoch(places[number], epoch)
                for future in ended:
                    error = future.exception()
                    if error is not None and not isinstance(error, PipelineError):
                        raise error
                    yield running.pop(future), error
            except loky.process_executor.TerminatedWorkerError:
                raise PipelineError(
                    "a run's process was killed, perhaps because memory ran out; "
                    "finished runs are kept: run the same command again with fewer --jobs"
                ) from None

    def _started(self) -> loky.ProcessPoolExecutor:
        """Return the processes, started if they are not (spawned, because a fork hangs once torch has run)."""
        if self._pool is None:
            context = loky.backend.get_context("loky")
            self._epochs = context.Queue()
            devices: Any = self._devices[0]
            if len(set(self._devices)) > 1:
                devices = context.Queue()
                for number in range(self._jobs):
                    devices.put(self._devices[number % len(self._devices)])
            lifeline, self._held = multiprocessing.Pipe(duplex=False)  # closed when this process ends, even by SIGKILL
            given = (self._epochs, devices, self._threads, lifeline)
            self._pool = loky.ProcessPoolExecutor(self._jobs, initializer=_start_worker, initargs=given)
        return self._pool

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)
        if self._held is not None:
            self._held.close()
        self._pool = self._held = None


@contextmanager
def open_workers(jobs: int, threads: int, devices: Sequence[str] = ()) -> Iterator[Workers]:
    """Yield workers, and end their processes when the block ends; see `Workers`."""
    workers = Workers(jobs, threads, devices)
    try:
        yield workers
    finally:
        workers.close()


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block. Processes that start in the block never receive it."""
    multiprocessing.resource_tracker.ensure_running()  # if it started in the block, it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_epochs: Any = None  # in a worker: the queue that its epochs go to
_device = "cpu"  # in a worker: the device that it uses


def _start_worker(epochs: Any, devices: Any, threads: int, lifeline: Connection) -> None:
    """Prepare a worker process. It ends when its parent does, even if that is killed.

    Args:
        epochs: the queue that its epochs go to.
        devices: its device; or a queue, from which each worker takes one.
        threads: its CPU threads.
        lifeline: a pipe whose other end the parent holds.
    """
    global _epochs, _device
    _epochs = epochs
    _device = use_one_of_devices(devices if isinstance(devices, str) else devices.get())
    torch.set_num_threads(threads)
    threading.Thread(target=_exit_with_parent, args=(lifeline,), daemon=True).start()


def _exit_with_parent(lifeline: Connection) -> None:
    with suppress(EOFError):
        lifeline.recv()
    os._exit(1)


def _do(number: int, work: Work) -> None:
    work(_device, lambda epoch: _epochs.put((number, epoch)))
