"""Rollouts of a policy inside a world model: groups that share a start.

As in the simulator, the policy looks once a chunk, at the last frame imagined, and acts
blindly between. A trajectory leaves the batch once it succeeded or used up its steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch

from worldvla.alignment.judge import THRESHOLD
from worldvla.config import ActionNoise
from worldvla.policy.noise import Draws
from worldvla.policy.vla import Policy
from worldvla.rl.grpo import outcomes
from worldvla.rl.starts import StartStates


class State(Protocol):
    """Where B imagined rollouts stand."""

    def select(self, rows: np.ndarray) -> "State":
        """The state of these rollouts alone, in this order."""
        ...


class Imagined(Protocol):
    """`images` uint8 [B, F or 1, H, W, 3] and `reward` float32 [B, F] of the F frames imagined of a chunk, evenly
    spaced and the last one its last; and the state after it."""

    @property
    def images(self) -> np.ndarray: ...

    @property
    def reward(self) -> np.ndarray: ...

    @property
    def state(self) -> Any: ...


class Dynamics(Protocol):
    """What the rollouts need of `worldvla.world_model.imagination.Imagination`."""

    @property
    def imagined_steps(self) -> int: ...

    def start(
        self,
        anchor: np.ndarray,
        proprio: np.ndarray,
        history: np.ndarray | None = None,
        travelled: np.ndarray | None = None,
    ) -> Any: ...

    def step(self, state: Any, actions: np.ndarray, decode: Literal["all", "last"] = "all") -> Imagined: ...


class Viewable(Dynamics, Protocol):
    """Dynamics whose frames can be looked at one by one, as those of `Imagination`."""

    def look(self, imagined: Any, rows: np.ndarray, frames: np.ndarray) -> np.ndarray: ...


# Of frames uint8 [B, H, W, 3], the probability float32 [B] that each shows success.
Judge = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Judged:
    """`Imagined`, with a reward in which a judge has a say."""

    images: np.ndarray
    reward: np.ndarray
    state: Any


class JudgedDynamics:
    """Dynamics in whose reward a judge has a say: it is what he sees in the imagined frames, in place of the reward
    head's word; or, where a reward is given from which on it may be `agreed`, the reward head's where it reaches that
    and he sees success as well, and 0 elsewhere. No other frame is decoded for him then."""

    def __init__(self, dynamics: Viewable, judge: Judge, agreed: float | None = None):
        self.dynamics = dynamics
        self.judge = judge
        self.agreed = agreed

    @property
    def imagined_steps(self) -> int:
        return self.dynamics.imagined_steps

    def start(
        self,
        anchor: np.ndarray,
        proprio: np.ndarray,
        history: np.ndarray | None = None,
        travelled: np.ndarray | None = None,
    ) -> Any:
        return self.dynamics.start(anchor, proprio, history, travelled)

    def step(self, state: Any, actions: np.ndarray, decode: Literal["all", "last"] = "all") -> Judged:
        if self.agreed is not None:
            imagined = self.dynamics.step(state, actions, decode)
            rows, frames = np.nonzero(imagined.reward >= self.agreed)
            seen = np.zeros_like(imagined.reward)
            seen[rows, frames] = self.judge(self.dynamics.look(imagined, rows, frames))
            return Judged(imagined.images, agreed_reward(imagined.reward, seen), imagined.state)
        imagined = self.dynamics.step(state, actions, "all")
        seen = self.judge(imagined.images.reshape(-1, *imagined.images.shape[2:])).reshape(imagined.reward.shape)
        return Judged(imagined.images if decode == "all" else imagined.images[:, -1:], seen, imagined.state)


def agreed_reward(reward: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The reward head's word of each frame where the judge's probability says success as well, else 0; float32, of the
    shape of both."""
    return np.where(seen >= THRESHOLD, reward, np.float32(0))


@dataclass(frozen=True)
class Rollouts:
    """R = G * N trajectories, group by group, and the M chunks that the policy emitted in them.

    Shapes: `images` uint8 [M, H, W, 3], what the policy saw; `tokens` int64 and `log_prob`
    float32 [M, K, 7]; `trajectory` and `first_step` int64 [M]; `returns` float32 [G, N];
    `shown` float32 [G, N], 1 where the judge saw success at the end of a chunk;
    `valid_length` int64 [R], actions up to the first success; `starts` int64 [G], rows of
    the start states.
    """

    images: np.ndarray
    instructions: list[str]
    tokens: torch.Tensor
    log_prob: torch.Tensor
    trajectory: torch.Tensor
    first_step: torch.Tensor
    returns: torch.Tensor
    shown: torch.Tensor
    valid_length: torch.Tensor
    starts: np.ndarray


def imagine(
    policy: Policy,
    dynamics: Dynamics,
    starts: StartStates,
    drawn: np.ndarray,
    group_size: int,
    max_steps: int,
    noise: ActionNoise,
    success_threshold: np.ndarray,
    judge: Judge,
    random: torch.Generator,
) -> Rollouts:
    """Rolls out `group_size` trajectories from each start in `drawn` int64 [G], none beyond step `max_steps`.

    The policy acts under `noise`; `Rollouts.log_prob` is each action's own, which coherence leaves as it is.
    `success_threshold` float32 [N] is the reward that counts as success, for each of the `starts`.
    """
    rows = np.repeat(drawn, group_size)
    threshold = success_threshold[rows]
    chunks = np.maximum((max_steps - starts.step[rows]) // policy.chunk, 1)
    reward = np.zeros((len(rows), chunks.max() * policy.chunk), dtype=np.float32)
    shown = np.zeros(len(rows), dtype=np.float32)
    active = np.arange(len(rows))
    images = starts.images[starts.history[rows, -1]]
    draws = Draws(noise, len(rows), policy.chunk, random)
    # A group's rollouts share their start, which is encoded and seen once.
    state = dynamics.start(
        starts.images[starts.anchor[drawn]],
        starts.proprio[drawn],
        starts.images[starts.history[drawn]],
        starts.travelled[drawn],
    ).select(np.repeat(np.arange(len(drawn)), group_size))
    seen, acted, actors, begun = [], [], [], []
    for chunk in range(chunks.max()):
        steps = slice(chunk * policy.chunk, (chunk + 1) * policy.chunk)
        words = [starts.instructions[row] for row in rows[active]]
        action = policy.act(images, words, noise.temperature, draws.next()[active])
        imagined = dynamics.step(state, action.actions.numpy(), decode="last")
        stride = policy.chunk // imagined.reward.shape[1]
        reward[active, steps.start + stride - 1 : steps.stop : stride] = imagined.reward
        shown[active[judge(imagined.images[:, -1]) >= THRESHOLD]] = 1
        seen.append(images)
        acted.append(action)
        actors.append(active)
        begun.append(np.full(len(active), steps.start))
        going = np.flatnonzero((imagined.reward < threshold[active, None]).all(axis=1) & (chunk + 1 < chunks[active]))
        if not len(going):
            break
        active, images, state = active[going], imagined.images[going, -1], imagined.state.select(going)
    trajectory = np.concatenate(actors)
    returns, valid_length = outcomes(
        torch.from_numpy(reward), torch.from_numpy(chunks * policy.chunk), torch.from_numpy(threshold)
    )
    return Rollouts(
        images=np.concatenate(seen),
        instructions=[starts.instructions[row] for row in rows[trajectory]],
        tokens=torch.cat([action.tokens for action in acted]),
        log_prob=torch.cat([action.log_prob for action in acted]),
        trajectory=torch.from_numpy(trajectory),
        first_step=torch.from_numpy(np.concatenate(begun)),
        returns=returns.view(len(drawn), group_size),
        shown=torch.from_numpy(shown).view(len(drawn), group_size),
        valid_length=valid_length,
        starts=drawn,
    )
