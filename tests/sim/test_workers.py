"""Worker processes: they change nothing but the speed, and no failure of theirs is silent."""

import os
import re
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from worldvla.episodes.episode import Source
from worldvla.errors import UserError
from worldvla.sim import suites, workers
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.protocol import SimulatorError
from worldvla.sim.rollout import RolloutRequest, rollout
from worldvla.sim.workers import collect

SUITE, TASK = "maniskill_tabletop", "PushCube-v1"


@dataclass(frozen=True)
class Failing:
    """An actor that fails as soon as it is built, by an exception or by a signal to its process."""

    signal: int | None = None
    source = Source.POLICY
    name = "failing"

    @property
    def settings(self) -> dict:
        return {}

    def build(self):
        if self.signal is not None:
            os.kill(os.getpid(), self.signal)
        raise ValueError("no such weights")


@dataclass(frozen=True)
class Mistaken(Failing):
    """An actor that the user's configuration does not let be built."""

    def build(self):
        raise UserError("scene.tasks: no scripted expert")


@dataclass(frozen=True)
class Stopped(Failing):
    """An actor whose process stands still as soon as it is built."""

    signal: int = signal.SIGSTOP


def test_a_worker_that_dies_while_it_sends_is_named():
    pool = workers._Pool(1)
    try:
        [(pipe, process)] = pool._processes.items()
        ours, theirs = Pipe()
        pool._processes = {ours: process}
        pool._given = {ours: (0, requests([13], ExpertSpec())[0])}
        os.write(theirs.fileno(), struct.pack("!i", 100) + b"half of an episode")
        theirs.close()
        process.kill()
        with pytest.raises(SimulatorError, match=f"{TASK} seed 13 was killed by signal 9"):
            pool._receive(ours)
    finally:
        pipe.close()
        pool.close()


def requests(seeds, actor) -> list[RolloutRequest]:
    return [RolloutRequest(SUITE, TASK, seed, actor, 16, 8) for seed in seeds]


def test_episodes_depend_neither_on_the_number_of_workers_nor_on_earlier_episodes():
    spec = ExpertSpec(perturbation=1.0)
    many = list(collect(requests(range(4), spec), workers=2, description="two workers"))
    assert [episode.seed for episode in many] == [0, 1, 2, 3]
    (fresh,) = collect(requests([3], spec), workers=1, description="one worker")
    assert fresh.episode_id == many[3].episode_id
    simulator = suites.make(SUITE, TASK)
    here = [rollout(simulator, spec.build(), request) for request in requests([3, 2, 3], spec)]
    assert [episode.episode_id for episode in here] == [many[i].episode_id for i in (3, 2, 3)]


def test_an_exception_in_a_worker_names_task_and_seed_and_its_cause():
    with pytest.raises(SimulatorError, match=r"(?s)PushCube-v1 seed 11 failed.*no such weights"):
        list(collect(requests([11], Failing()), workers=1, description="failing"))


def test_a_users_mistake_that_a_worker_meets_is_told_as_one():
    with pytest.raises(UserError) as told:
        list(collect(requests([11], Mistaken()), workers=1, description="mistaken"))
    assert str(told.value) == "scene.tasks: no scripted expert"


def test_a_killed_worker_is_an_error_and_not_a_hang():
    with pytest.raises(SimulatorError, match="PushCube-v1 seed 12 was killed by signal 9"):
        list(collect(requests([12], Failing(signal.SIGKILL)), workers=1, description="killed"))


def test_a_worker_that_stands_still_is_an_error_and_is_ended(monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 3.0)
    with pytest.raises(SimulatorError, match=r"PushCube-v1 seed 13 \(process \d+\)") as error:
        list(collect(requests([13], Stopped()), workers=1, description="stopped"))
    assert not Path(f"/proc/{re.search('process ([0-9]+)', str(error.value))[1]}").exists()


def test_nothing_starts_for_an_unknown_task():
    request = RolloutRequest(SUITE, "PourTea-v1", 0, ExpertSpec(), 8, 8)
    with pytest.raises(UserError, match="PourTea-v1"):
        next(collect([request], workers=1, description="unknown"))


def test_workers_end_when_their_parent_is_killed():
    program = (
        "from worldvla.sim.workers import collect\n"
        "from worldvla.sim.rollout import RolloutRequest\n"
        "from worldvla.sim.actors import ExpertSpec\n"
        f"asked = [RolloutRequest({SUITE!r}, {TASK!r}, s, ExpertSpec(), 48, 8, 'chunk') for s in range(1000)]\n"
        "for episode in collect(asked, 2, 'until killed'): print(episode.seed, flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    parent.stdout.readline()
    workers = children(parent.pid)
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_recorded_success_goes_on_for_the_chunks_it_is_given_to_settle():
    [short] = collect([RolloutRequest(SUITE, TASK, 1, ExpertSpec(), 48, 8, "chunk")], 1, "short")
    [settled] = collect([RolloutRequest(SUITE, TASK, 1, ExpertSpec(), 48, 8, "chunk", settle=1)], 1, "settled")
    assert settled.length == short.length + 8 <= 48
    np.testing.assert_array_equal(settled.actions[: short.length], short.actions)
    assert short.length % 8 == 0 and settled.reward.sum() > short.reward.sum() > 0
