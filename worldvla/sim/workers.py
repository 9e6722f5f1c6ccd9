"""Rollouts in parallel: worker processes, each with one simulator a task.

An episode depends on its request alone, so results depend neither on the number of workers
nor on who made which episode. The workers are fresh interpreters rather than forks: Lance
and torch do not survive a fork, and `multiprocessing`'s own spawn would import the parent's
main module again in each. A worker ends when its pipe to the parent does, however the
parent ended.
"""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from worldvla.episodes.episode import Episode, initial_state_digest
from worldvla.errors import UserError
from worldvla.sim import suites
from worldvla.sim.protocol import SimulatorError
from worldvla.sim.rollout import RolloutRequest
from worldvla.training.progress import track

# No episode takes so long, not even 520 actions on an overloaded machine; the first may wait for LIBERO's meshes.
PATIENCE_SECONDS = 3600.0
AHEAD = 8  # episodes a worker may finish ahead of the oldest one that is missing: bounds what is held in memory


def default_workers() -> int:
    """One per core this process may use."""
    return len(os.sched_getaffinity(0))


def collect(requests: Iterable[RolloutRequest], workers: int, description: str) -> Iterator[Episode]:
    """Episodes in request order, as they are made. `workers` 0 means one per core.

    Raises `UserError` before anything starts when a task is unknown, and when a worker meets
    one, such as a missing mesh; `SimulatorError` naming task and seed when an episode fails,
    a worker dies, or none answers for `PATIENCE_SECONDS`. Leaving the iteration ends the workers.
    """
    requests = list(requests)
    for suite, task in {(request.suite, request.task) for request in requests}:
        suites.check(suite, task)
    if not requests:
        return
    pool = _Pool(min(workers or default_workers(), len(requests)))
    try:
        yield from track(pool.run(requests), description, total=len(requests))
    finally:
        pool.close()


def initial_states(suite: str, task: str, seeds: Iterable[int]) -> Generator[str, None, None]:
    """The `initial_state_digest` of each seed, as its episode will have it.

    Nothing is rendered and nothing is stepped, so it runs here: 100 to 500 seeds a second are
    faster than a worker starts.
    """
    simulator = suites.make(suite, task, rendering=False)
    try:
        for seed in seeds:
            yield initial_state_digest(suite, task, simulator.initial_state(seed))
    finally:
        simulator.close()


class _Pool:
    """Worker processes by the pipe to each, and the request each one has."""

    def __init__(self, workers: int) -> None:
        self._processes: dict[Connection, subprocess.Popen] = {}
        self._given: dict[Connection, tuple[int, RolloutRequest]] = {}
        # LP_NUM_THREADS: llvmpipe rasterizes; with one worker a core its own threads only contend.
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "LP_NUM_THREADS": "1",
        }
        stderr = 2  # where a simulator's chatter goes, whatever this process has put in place of sys.stderr
        for _ in range(workers):
            ours, theirs = Pipe()
            command = [sys.executable, "-m", "worldvla.sim.worker", str(theirs.fileno())]
            self._processes[ours] = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=stderr, env=environment
            )
            theirs.close()

    def run(self, requests: list[RolloutRequest]) -> Iterator[Episode]:
        waiting = deque(enumerate(requests))
        finished: dict[int, Episode] = {}
        for due in range(len(requests)):
            self._hand_out(waiting, due)
            while due not in finished:
                answered = wait(list(self._given), PATIENCE_SECONDS)
                if not answered:
                    raise self._silence()
                for pipe in answered:
                    index, episode = self._receive(pipe)
                    finished[index] = episode
                self._hand_out(waiting, due)
            yield finished.pop(due)

    def close(self) -> None:
        for pipe in self._processes:
            pipe.close()
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _hand_out(self, waiting: deque[tuple[int, RolloutRequest]], due: int) -> None:
        for pipe in self._processes:
            if pipe in self._given or not waiting or waiting[0][0] >= due + AHEAD * len(self._processes):
                continue
            self._given[pipe] = waiting.popleft()
            try:
                pipe.send(self._given[pipe][1])
            except BrokenPipeError:
                raise self._death(pipe) from None

    def _receive(self, pipe: Connection) -> tuple[int, Episode]:
        try:
            result = pipe.recv()
        except (EOFError, OSError):  # OSError where it was killed while it sent
            raise self._death(pipe) from None
        index, request = self._given.pop(pipe)
        if isinstance(result, UserError):
            raise result
        if isinstance(result, str):
            raise SimulatorError(f"{request.suite}/{request.task} seed {request.seed} failed in a worker:\n{result}")
        return index, result

    def _silence(self) -> SimulatorError:
        stuck = [
            f"{request.suite}/{request.task} seed {request.seed} (process {self._processes[pipe].pid})"
            for pipe, (_, request) in self._given.items()
        ]
        return SimulatorError(
            f"no worker has finished an episode for {PATIENCE_SECONDS:g} s, so they are ended; at work were "
            f"{', '.join(stuck)}. The same command makes these episodes anew"
        )

    def _death(self, pipe: Connection) -> SimulatorError:
        _, request = self._given[pipe]
        code = self._processes[pipe].wait(timeout=30)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        return SimulatorError(
            f"the worker that rolled out {request.suite}/{request.task} seed {request.seed} {how}; "
            "its own message, if any, is above (signal 9 usually means that memory ran out)"
        )
