"""How often a policy succeeds in imagination as it is deployed: its actions drawn one by one.

Reinforcement learning explores under noise that nobody deploys, so the share of its
rollouts that succeed is no forecast of the simulator's. This one is of the same kind as
the evaluation there; both policies begin at the same starts and draw at the same places.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from worldvla.alignment.intervals import by_task, comparison
from worldvla.config import ActionNoise
from worldvla.policy.vla import Policy
from worldvla.rl.imagined_rollouts import Dynamics, Judge, imagine
from worldvla.rl.starts import StartStates


@dataclass(frozen=True)
class Deployed:
    """Of R rollouts, each from another start as far as there are enough: its task, `succeeded` bool [R] by the reward,
    `shown` bool [R] as the judge sees it."""

    tasks: list[str]
    succeeded: np.ndarray
    shown: np.ndarray
    imagined_steps: int


def deployed(
    policy: Policy,
    dynamics: Dynamics,
    starts: StartStates,
    rollouts: int,
    max_steps: int,
    temperature: float,
    success_threshold: np.ndarray,
    judge: Judge,
    random: torch.Generator,
) -> Deployed:
    """One rollout each from `rollouts` of the starts that are first frames, where there are any; as of `imagine`."""
    drawn = replace(starts, near_failure_share=0.0).draw(rollouts, random)
    noise = ActionNoise.one_by_one(temperature)
    imagined = imagine(policy, dynamics, starts, drawn, 1, max_steps, noise, success_threshold, judge, random)
    returns, shown = imagined.returns[:, 0].numpy(), imagined.shown[:, 0].numpy()
    tasks = [starts.tasks[row] for row in drawn]
    return Deployed(tasks, returns > 0, shown > 0, dynamics.imagined_steps)


def compare(base: Deployed, new: Deployed) -> dict[str, Any]:
    """Both policies' rollouts from the same starts, by the `reward` and as the `judge` sees them: a `comparison` each,
    over all `tasks` and of each of these."""

    def of(rows: list[int]) -> dict[str, dict]:
        return {
            "reward": comparison(base.succeeded[rows].tolist(), new.succeeded[rows].tolist()),
            "judge": comparison(base.shown[rows].tolist(), new.shown[rows].tolist()),
        }

    return by_task(base.tasks, of)
