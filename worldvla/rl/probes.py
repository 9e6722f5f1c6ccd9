"""Probes: the real simulator is asked, every few updates, what imagination has taught so far.

Where the world model is wrong, imagined success rises and real success falls, and what is
imagined cannot tell. A probe can: the policy acts in the simulator on tuning seeds, the same
ones each time, so that any two probes of a training are pairs. They decide two things: a task
rests while the policy is worse in it than it began (`resting`), and of the policies that were
probed the best one is kept (`Probing.kept`), which is also where the training goes on from when
every task is worse.
"""

import math
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from worldvla.alignment.intervals import proportion
from worldvla.config import ActionNoise, Scene
from worldvla.policy.actor import PolicySpec
from worldvla.policy.vla import Policy
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.seed_ranges import TUNING, TUNING_SEEDS
from worldvla.sim.workers import collect
from worldvla.training.checkpoint import Tensors

BY_TASK = "successes/"


@dataclass(frozen=True)
class Tried:
    """What a policy did in the simulator: `successes` by task, bool in the order of the seeds, in so many `steps`."""

    successes: Mapping[str, list[bool]]
    steps: int

    @property
    def rate(self) -> float:
        """The mean of the tasks' success rates."""
        return float(np.mean([np.mean(some) for some in self.successes.values()]))


Try = Callable[[Policy, str], Tried]


def on_tuning_seeds(scene: Scene, temperature: float, per_task: int, workers: int, first: int = 0) -> Try:
    """A function of a policy and a description that says how the policy fares on `per_task` tuning seeds of each task,
    from the `first` one on, its actions drawn one by one. Raises as `collect` does."""
    seeds = [TUNING + place % TUNING_SEEDS for place in range(first, first + per_task)]

    def tried(policy: Policy, description: str) -> Tried:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "policy.safetensors"
            path.write_bytes(policy.to_bytes())
            actor = PolicySpec(str(path), policy.config, "probe", ActionNoise.one_by_one(temperature))
            requests = [
                RolloutRequest(scene.suite, task, seed, actor, scene.max_steps, scene.chunk, render="chunk")
                for task in scene.tasks
                for seed in seeds
            ]
            episodes = [(one.task, one.success, one.length) for one in collect(requests, workers, description)]
        successes = {task: [bool(success) for of, success, _ in episodes if of == task] for task in scene.tasks}
        return Tried(successes, sum(length for *_, length in episodes))

    return tried


@dataclass(frozen=True)
class Probe(Tried):
    """What the policy did after `update` updates."""

    update: int


def resting(probes: Sequence[Probe]) -> set[str]:
    """The tasks in which the last probe is worse than the first, which is of the policy as it began: of the seeds whose
    outcome differs it lost more than it won by more than one standard error, the root of their number (McNemar 1947).

    They teach nothing for now; what the others teach, or that the policy is held, may bring them back.
    """
    if not probes:
        return set()
    first, last = probes[0].successes, probes[-1].successes
    return {task for task in last if _lost(first[task], last[task])}


def all_rest(probes: Sequence[Probe], tasks: Collection[str]) -> bool:
    """Whether every one of `tasks` rests that the probes try. Of imported episodes a policy may imagine tasks that are
    not the campaign's own, which nobody tries."""
    tried = set(tasks).intersection(*(probe.successes for probe in probes[-1:]))
    return bool(probes) and bool(tried) and resting(probes) >= tried


def turned_back(probes: Sequence[Probe], tasks: Collection[str]) -> int:
    """How many of the probes found all of `tasks` to rest."""
    return sum(all_rest(probes[: row + 1], tasks) for row in range(len(probes)))


def _lost(first: Sequence[bool], last: Sequence[bool]) -> bool:
    lost = sum(before and not after for before, after in zip(first, last, strict=True))
    won = sum(after and not before for before, after in zip(first, last, strict=True))
    return lost - won > math.sqrt(lost + won)


def summary(probes: Sequence[Probe]) -> list[dict]:
    """A row a probe: its update, `rate` and `steps`, the rate of each of the `tasks` as it is reported everywhere, and
    the tasks that rest from it on."""
    return [
        {
            "update": probe.update,
            "rate": probe.rate,
            "steps": probe.steps,
            "tasks": {task: proportion(sum(some), len(some)) for task, some in probe.successes.items()},
            "resting": sorted(resting(probes[: row + 1])),
        }
        for row, probe in enumerate(probes)
    ]


class Probing:
    """The probes of one training so far, and the best policy among the probed ones."""

    def __init__(self, try_out: Try | None, every: int):
        """`every` so many updates one probe; without `try_out`, or where `every` is 0, there are none."""
        self._try_out = try_out if every else None
        self._every = every
        self._best: Tensors = {}
        self.probes: list[Probe] = []

    @property
    def best(self) -> Probe | None:
        """The probe with the highest mean over tasks; of equals the first, which has learned least from imagination."""
        return max(self.probes, key=lambda probe: probe.rate, default=None)

    def look(self, policy: Policy, update: int, ends: bool = False) -> Probe | None:
        """Probes the policy where it is time, or where the training `ends`; at most once an update."""
        if self._try_out is None or (update % self._every and not ends):
            return None
        if self.probes and self.probes[-1].update == update:
            return None
        tried = self._try_out(policy, f"real success after {update} updates")
        self.probes.append(probe := Probe(tried.successes, tried.steps, update))
        if self.best is probe:
            self._best = {name: tensor.detach().clone() for name, tensor in policy.state_dict().items()}
        return probe

    def kept(self, policy: Policy) -> Policy:
        """The policy with the weights of the best probe; unchanged where there was none."""
        if self._best:
            policy.load_state_dict(self._best)
        return policy

    def tensors(self) -> dict[str, Tensors]:
        """Groups of tensors for a checkpoint; empty where nothing is probed."""
        if not self.probes:
            return {}
        columns: dict[str, list] = {
            "update": [probe.update for probe in self.probes],
            "steps": [probe.steps for probe in self.probes],
        }
        columns |= {
            BY_TASK + task: [probe.successes[task] for probe in self.probes] for task in self.probes[0].successes
        }
        return {"probes": {name: torch.tensor(column) for name, column in columns.items()}, "best": self._best}

    def load(self, groups: Mapping[str, Tensors]) -> None:
        """Takes back what `tensors` gave."""
        if "probes" not in groups:
            return
        columns = {name: column.tolist() for name, column in groups["probes"].items()}
        by_task = {name.removeprefix(BY_TASK): column for name, column in columns.items() if name.startswith(BY_TASK)}
        self.probes = [
            Probe({task: column[row] for task, column in by_task.items()}, steps, update)
            for row, (update, steps) in enumerate(zip(columns["update"], columns["steps"], strict=True))
        ]
        self._best = dict(groups["best"])
