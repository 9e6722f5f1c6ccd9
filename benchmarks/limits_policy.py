"""What of a policy's failure is whose: its own rollouts in imagination, carried out in the simulator.

Replays of recorded episodes ask a world model what happened. Reinforcement learning asks it what would happen, under
actions that a policy chose because of what was imagined before. So the policy acts in imagination, and the very
same actions are carried out from the same initial states: where the two outcomes differ, the world model was wrong
where it is asked. A failure that it takes for a success is what a policy learns to exploit. Who says that a rollout
succeeds may be the reward head, the judge, or both (`rl.reward`): each is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.campaign_figures import share
from benchmarks.result import figure
from benchmarks.within_start import within_start
from worldvla.alignment.intervals import proportion
from worldvla.alignment.judge import THRESHOLD
from worldvla.config import Campaign
from worldvla.episodes.frame_bank import FrameBank
from worldvla.lake.models import Model
from worldvla.policy.noise import Draws
from worldvla.policy.vla import Policy
from worldvla.rl.imagined_rollouts import Judge, agreed_reward
from worldvla.rl.probes import on_tuning_seeds
from worldvla.sim.open_loop import OpenLoopSpec
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.seed_ranges import TUNING_SEEDS
from worldvla.sim.workers import collect
from worldvla.training.device import device, generator
from worldvla.training.progress import track
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.model import WorldModel

IN_IMAGINATION = "acting in imagination"


@dataclass(frozen=True)
class Acted:
    """R rollouts in imagination, F frames each: `reward` float32 [R, F] by the reward head, `seen` float32 [R, F] the
    judge's probability of success, and `actions` float32 [R, max_steps, 7]."""

    reward: np.ndarray
    seen: np.ndarray
    actions: np.ndarray

    def scores(self, threshold: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Each rollout's highest score float32 [R] and outcome bool [R], by who tells; `threshold` float32 [R] is of
        the reward head."""
        agreed = agreed_reward(self.reward, self.seen)
        return {
            "reward head": (self.reward.max(1), (self.reward >= threshold[:, None]).any(1)),
            "judge": (self.seen.max(1), (self.seen >= THRESHOLD).any(1)),
            "both": (agreed.max(1), (agreed >= threshold[:, None]).any(1)),
        }


def acting(
    name: str,
    policy: Policy,
    model: WorldModel,
    judge: Judge,
    bank: FrameBank,
    seeds: Mapping[str, int],
    config: Campaign,
    rollouts: int,
) -> list[dict]:
    """Figures of each task: what imagination makes of the policy's rollouts, and the simulator of their actions.

    The rollouts begin where the bank's episodes did, `seeds` by episode id, so many each, under `rl.noise`.
    """
    start = np.repeat(np.arange(len(bank)), rollouts)
    acted = act_in_imagination(policy, model, judge, bank, start, config)
    tasks = np.array(bank.tasks)[start]
    scores = acted.scores(np.array([model.success_threshold(task) for task in tasks], np.float32))
    scene = config.scene
    requests = [
        RolloutRequest(
            scene.suite,
            bank.tasks[first],
            seeds[bank.episode_ids[first]],
            OpenLoopSpec(acted.actions[row], IN_IMAGINATION),
            scene.max_steps,
            scene.chunk,
            render="chunk",
        )
        for row, first in enumerate(start)
    ]
    episodes = collect(requests, config.execution.workers, f"{name}: the same actions in the simulator")
    happened = np.array([episode.success for episode in episodes])
    figures = []
    for task in sorted(set(bank.tasks)):
        rows = tasks == task
        figures += _shares(f"{task}, {name}", {"the same actions succeed in the simulator": happened[rows]})
        for who, (score, told) in scores.items():
            of = f"{task}, {name}, by {who}"
            outcomes = {
                "succeeds in imagination": told[rows],
                "told right": told[rows] == happened[rows],
                "successes told as such": told[rows & happened],
                "failures told as successes": told[rows & ~happened],
            }
            figures += _shares(of, outcomes)
            figures += within_start(of, score[rows], told[rows], happened[rows], start[rows])
    return figures


def _shares(of: str, outcomes: Mapping[str, np.ndarray]) -> list[dict]:
    rates = {what: proportion(int(some.sum()), len(some)) for what, some in outcomes.items()}
    return [share(f"{of}: {what}", rate) for what, rate in rates.items() if rate["n"]]


def act_in_imagination(
    policy: Policy, model: WorldModel, judge: Judge, bank: FrameBank, start: np.ndarray, config: Campaign
) -> Acted:
    """The policy's rollouts from the episodes `start` int [R] of the bank.

    Nobody leaves with a success: an episode's end is the simulator's to say.
    """
    policy = policy.to(device()).eval()
    imagination = Imagination(model, config.imagination.denoising_steps, config.seed)
    noise = config.rl.noise
    draws = Draws(noise, len(start), policy.chunk, generator(config.seed, "limits", "act"))
    images, words = bank.images[bank.starts[start]], [bank.instructions[row] for row in start]
    state = imagination.start(images, bank.proprio[bank.starts[start]])
    rewards, seen, actions = [], [], []
    chunks = config.scene.max_steps // config.scene.chunk
    for _ in track(range(chunks), IN_IMAGINATION, chunks):
        chosen = policy.act(images, words, noise.temperature, draws.next()).actions.numpy()
        imagined = imagination.step(state, chosen)
        images, state = imagined.images[:, -1], imagined.state
        rewards.append(imagined.reward)
        seen.append(judge(imagined.images.reshape(-1, *imagined.images.shape[2:])).reshape(imagined.reward.shape))
        actions.append(chosen)
    return Acted(*(np.concatenate(parts, axis=1) for parts in (rewards, seen, actions)))


def rated(name: str, policy: Model, count: int, config: Campaign) -> list[dict]:
    """Figures of each task: the policy's success on `count` tuning seeds, at the temperature of `evaluation`.

    From the middle of them on: the first ones are those of the probes that chose the policy.
    """
    workers, first = config.execution.workers, TUNING_SEEDS // 2
    try_out = on_tuning_seeds(config.scene, config.evaluation.temperature, count, workers, first)
    tried = try_out(Policy.from_bytes(policy.config, policy.weights), f"{name} on tuning seeds")
    return [
        share(f"{task}, {name}: succeeds on tuning seeds", proportion(sum(successes), count))
        for task, successes in tried.successes.items()
    ]


def explored(history: list[dict], window: int = 5) -> list[dict]:
    """Of the first and the last updates in imagination: success, and the share of groups whose outcomes differ."""
    figures = []
    for when, updates in (("first", history[:window]), ("last", history[-window:])):
        groups = sum(update["groups"] for update in updates)
        kept = sum(update["groups_kept"] for update in updates) / groups
        success = float(np.mean([update["imagined_success"] for update in updates]))
        figures.append(
            figure(f"{when} {len(updates)} updates: groups whose outcomes differ", kept, "share", int(groups))
        )
        figures.append(figure(f"{when} {len(updates)} updates: success in imagination", success, "share"))
    return figures
