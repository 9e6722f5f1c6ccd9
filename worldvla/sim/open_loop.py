"""Open-loop replays: recorded actions, carried out blindly from another initial state.

Whoever looks where he acts leaves nothing else on record: an expert lifts what it holds, and a policy
that imitates it hovers where it holds nothing. In such episodes a lift proves the grasp, so a world
model learns to make things held by lifting them, and a policy inside it to lift (Ortega et al. 2021,
arXiv 2110.10819, call it delusion). Actions that know nothing of what happens break that proof: they
miss by as much as the two initial states differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldvla.episodes.episode import Source
from worldvla.sim.protocol import Observation, Simulator

OPEN_LOOP_VERSION = 1  # part of every replay's identity: raise it when lenders or actions are chosen differently
SUCCESSFUL = 0.7  # the share of replays whose actions come from a success: near ones miss by little


@dataclass(frozen=True, eq=False)
class OpenLoopSpec:
    """Carries out float32 [T, 7] `actions` of episode `actions_of`, then stands still with the gripper as it was."""

    actions: np.ndarray
    actions_of: str

    @property
    def source(self) -> Source:
        return Source.OPEN_LOOP

    @property
    def name(self) -> str:
        return f"open-loop-{OPEN_LOOP_VERSION}"

    @property
    def settings(self) -> dict:
        return {"actions_of": self.actions_of}

    def build(self) -> "OpenLoop":
        return OpenLoop(self.actions)


class OpenLoop:
    """Emits one action at a time, whatever it is shown."""

    needs_image = False

    def __init__(self, actions: np.ndarray):
        self._actions = actions

    def reset(self, simulator: Simulator, seed: int) -> None:
        self._taken = 0

    def act(self, observation: Observation) -> np.ndarray:
        self._taken += 1
        if self._taken <= len(self._actions):
            return self._actions[self._taken - 1][None]
        still = np.zeros_like(self._actions[-1:])
        still[:, -1] = self._actions[-1, -1]
        return still


@dataclass(frozen=True)
class Replay:
    """From which seed's initial state whose actions are carried out."""

    seed: int
    actions_of: str


def plan_replays(episodes: Sequence[Mapping], splits: Sequence[str], count: int, nearest: int) -> list[Replay]:
    """`count` replays among the `episodes` of one task: rows with episode_id, seed, initial_state and success.

    Every seed's initial state serves in turn. Its actions come from one of the `nearest` episodes that began
    elsewhere in the same of the `splits`, one an episode, so that no split learns of another. Seeds without such
    an episode are left out; there are fewer replays, each only once, where there are few episodes.
    """
    seeds = np.array([row["seed"] for row in episodes])
    states = np.array([row["initial_state"] for row in episodes], dtype=np.float64)
    success, split = np.array([row["success"] for row in episodes], dtype=bool), np.array(splits)
    firsts = {int(seed): index for index, seed in reversed(list(enumerate(seeds)))}
    replays: dict[Replay, None] = {}
    for number in range(count if firsts else 0):
        seed = sorted(firsts)[number % len(firsts)]
        random = np.random.default_rng([OPEN_LOOP_VERSION, seed, number // len(firsts)])
        distance = np.linalg.norm(states - states[firsts[seed]], axis=1)
        lends = (split == split[firsts[seed]]) & (distance > 0)
        if random.uniform() < SUCCESSFUL and (lends & success).any():
            lends &= success
        candidates = np.flatnonzero(lends)
        candidates = candidates[np.argsort(distance[candidates], kind="stable")[:nearest]]
        if len(candidates):
            replays[Replay(seed, episodes[int(random.choice(candidates))]["episode_id"])] = None
    return list(replays)
