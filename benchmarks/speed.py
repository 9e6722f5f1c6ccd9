"""`make benchmark-speed`: how fast the loop trains and imagines, against what this machine can multiply and simulate.

One run measures everything: the largest matrix product in the machine's fast precision, training
steps a second of autoencoder, video transformer and policy, frames that the world model imagines
a second beside those that one simulator process renders, and GRPO updates a minute. A world model
that imagines every n-th frame (`world_model.frame_stride`) carries out n actions a frame: frames
are compared with frames, all of them decoded to pictures. The actions are given beside them, as
reinforcement learning carries them out, which looks at the last frame of a chunk alone. Each with the settings of the
presets named; the share of the matrix throughput counts the matrix arithmetic that a step really
does (forward, backward, orthogonalization). Where a preset compiles its kernels
(`execution.compile`), what that changes is measured without it, too.
`python -m benchmarks.speed PRESET ...` measures other campaigns than `demo` and `tabletop`.
"""

import copy
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.result import figure, write
from worldvla import campaigns
from worldvla.alignment.judge import Judge
from worldvla.config import Campaign
from worldvla.episodes.frame_bank import FrameBank
from worldvla.episodes.images import decode_image, resize
from worldvla.policy.sft import ChunkSamples, fine_tune
from worldvla.policy.vla import Policy
from worldvla.rl.imagined_rollouts import imagine
from worldvla.rl.starts import StartStates
from worldvla.rl.training import learn
from worldvla.sim import suites
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.rollout import RolloutRequest, rollout
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import device, fast_dtype, generator
from worldvla.training.fusion import fusing
from worldvla.training.progress import Log, ignore
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.model import WorldModel
from worldvla.world_model.training import pretrain

CAMPAIGNS = ("demo", "tabletop")
EPISODES = 8
MATRIX = 2048
STEPS = 60
# Steps before the clock starts: kernels are chosen and memory is taken in the first ones.
WARM_UP = 25
ROLLOUTS = 64
UPDATES = 2
NEVER = 2.0  # a reward that no frame reaches: every rollout is imagined to its last step
TARGET_SHARE, TARGET_RATIO = 0.25, 20

Measured = dict[str, float]


def main() -> None:
    names = sys.argv[1:] or list(CAMPAIGNS)
    peak = matrix_throughput()
    figures = [figure(f"{MATRIX}³ matrix product, {fast_dtype()}", peak / 1e9, "GFLOP/s")]
    settings = {}
    for name in names:
        config = campaigns.load(name)
        settings[name] = config.model_dump(mode="json", include={"scene", "world_model", "imagination", "policy", "rl"})
        figures += measure(name, config, peak)
    protocol = {
        "threads": torch.get_num_threads(),
        "device": str(device()),
        "episodes": EPISODES,
        "training steps timed": STEPS - WARM_UP,
        "rollouts imagined at once": ROLLOUTS,
        "imagined": "every imagined frame decoded; of the actions imagined, the last frame of each chunk alone",
        "GRPO": f"the faster of {UPDATES} updates",
        "simulator": "one process, the scripted expert, every step rendered",
        "campaigns": settings,
    }
    print(write("speed", protocol, figures))


def measure(name: str, config: Campaign, peak: float) -> list[dict[str, Any]]:
    """The figures of one campaign's settings."""
    frames, rendered = simulated(config)
    bank = bank_of(frames, config.world_model.image_size)
    flop = matrix_arithmetic(bank, config)
    without = []
    if config.execution.compile:
        model, rates = trained_world_model(bank, config)
        without = [
            figure(f"{name}: world model training, not compiled", rates["wm"], "steps/s"),
            figure(f"{name}: imagined, not compiled", imagined_frames(model, bank, config), "frames/s"),
            figure(f"{name}: GRPO, not compiled", grpo_updates(model, bank, config), "updates/min"),
        ]
    with fusing(config.execution.compile):
        model, rates = trained_world_model(bank, config)
        imagined, actions = imagined_frames(model, bank, config), imagined_actions(model, bank, config)
        updates = grpo_updates(model, bank, config)
    shares = {stage: rate * flop[stage] / peak for stage, rate in rates.items()}
    share = "share of the matrix throughput"
    policy = policy_steps(bank_of(frames, config.policy.image_size), config)
    return [
        *without,
        figure(f"{name}: autoencoder training", rates["ae"], "steps/s"),
        figure(f"{name}: autoencoder training, {share}", shares["ae"], "share"),
        figure(f"{name}: world model training", rates["wm"], "steps/s"),
        figure(f"{name}: world model training, {share}", shares["wm"], "share", at_least=TARGET_SHARE),
        figure(f"{name}: policy fine-tuning", policy, "steps/s"),
        figure(f"{name}: one simulator process", rendered, "frames/s"),
        figure(f"{name}: imagined", imagined, "frames/s"),
        figure(f"{name}: actions imagined", actions, "actions/s"),
        figure(f"{name}: imagined against simulated", imagined / rendered, "times", at_least=TARGET_RATIO),
        figure(f"{name}: GRPO", updates, "updates/min"),
    ]


def matrix_throughput() -> float:
    """FLOP/s of the best of some products of bf16 (or what is fast here) matrices."""
    where = device()
    left, right = (torch.randn(MATRIX, MATRIX, device=where).to(fast_dtype(where)) for _ in range(2))

    def product() -> None:
        left @ right
        if where.type == "cuda":
            torch.cuda.synchronize()

    return 2 * MATRIX**3 / min(seconds(product) for _ in range(20))


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def simulated(config: Campaign) -> tuple[list, float]:
    """Expert episodes of the campaign's first task, and the frames a second at which one process made them."""
    scene = config.scene
    simulator = suites.make(scene.suite, scene.tasks[0])
    episodes, spent = [], 0.0
    actor = ExpertSpec()
    for seed in range(EPISODES + 1):
        request = RolloutRequest(scene.suite, scene.tasks[0], seed, actor, scene.max_steps, scene.chunk, settle=1)
        begin = time.perf_counter()
        episode = rollout(simulator, actor.build(), request)
        if seed:  # the first starts the renderer
            episodes.append(episode)
            spent += time.perf_counter() - begin
    simulator.close()
    return episodes, sum(episode.length + 1 for episode in episodes) / spent


def bank_of(episodes: list, image_size: int) -> FrameBank:
    lengths = np.array([episode.length + 1 for episode in episodes])
    pad = [np.concatenate([episode.actions, np.zeros((1, 7), np.float32)]) for episode in episodes]
    return FrameBank(
        episode_ids=[episode.episode_id for episode in episodes],
        tasks=[episode.task for episode in episodes],
        instructions=[episode.instruction for episode in episodes],
        success=np.array([episode.success for episode in episodes]),
        images=np.stack([resize(decode_image(image), image_size) for one in episodes for image in one.images]),
        actions=np.concatenate(pad),
        proprio=np.concatenate([episode.proprio for episode in episodes]),
        reward=np.concatenate([episode.reward for episode in episodes]),
        progress=np.concatenate([episode.progress for episode in episodes]),
        starts=np.concatenate([[0], np.cumsum(lengths)[:-1]]),
        lengths=lengths,
    )


def trained_world_model(bank: FrameBank, config: Campaign) -> tuple[WorldModel, Measured]:
    """A barely trained world model; steps a second of the stages `ae` and `wm`."""
    marks: dict[str, dict[int, float]] = {}

    def log(step: int, metrics: dict[str, float]) -> None:
        marks.setdefault(next(iter(metrics)).partition("/")[0], {})[step] = time.perf_counter()

    model = train(bank, config, STEPS, STEPS, log)
    return model, {name: (STEPS - WARM_UP) / (marks[name][STEPS] - marks[name][WARM_UP]) for name in ("ae", "wm")}


def matrix_arithmetic(bank: FrameBank, config: Campaign) -> Measured:
    """FLOP of the matrix arithmetic of one training step of `ae` and `wm`."""

    def counted(autoencoder: int, dynamics: int) -> int:
        with FlopCounterMode(display=False) as counter:
            train(bank, config, autoencoder, dynamics, ignore)
        return counter.get_total_flops()

    least = counted(1, 4)
    return {"ae": counted(2, 4) - least, "wm": (counted(1, 8) - least) / 4}


def train(bank: FrameBank, config: Campaign, autoencoder: int, dynamics: int, log: Log) -> WorldModel:
    architecture = config.world_model.model_copy(
        update={
            "autoencoder": config.world_model.autoencoder.model_copy(update={"steps": autoencoder}),
            "embodiment": config.world_model.embodiment.model_copy(
                update={"kinematics_steps": 1, "contact_steps": 1, "map_steps": 1}
            ),
            "pretrain_steps": dynamics,
        }
    )
    sight = Policy.create(config.policy, config.scene.chunk, config.seed).sight()
    return pretrain(bank, sight, architecture, config.scene.chunk, config.seed, Checkpointer(None), log)


def imagined_frames(model: WorldModel, bank: FrameBank, config: Campaign) -> float:
    """Frames a second of ROLLOUTS rollouts imagined at once, each of them decoded to a picture."""
    return imagining(model, bank, config, "all") / model.frame_stride


def imagined_actions(model: WorldModel, bank: FrameBank, config: Campaign) -> float:
    """Actions a second of ROLLOUTS rollouts imagined at once, one frame a chunk decoded, as RL does."""
    return imagining(model, bank, config, "last")


def imagining(model: WorldModel, bank: FrameBank, config: Campaign, decode: Literal["all", "last"]) -> float:
    """Actions a second."""
    world = Imagination(model, config.imagination.denoising_steps, config.seed)
    first = np.resize(bank.starts, ROLLOUTS)
    state = world.start(bank.images[first], bank.proprio[first])
    random = np.random.default_rng(config.seed)
    actions = random.uniform(-1, 1, (ROLLOUTS, model.chunk, bank.actions.shape[1])).astype(np.float32)
    for _ in range(2):  # kernels are compiled where they are to be
        state = world.step(state, actions, decode=decode).state
    before = world.imagined_steps
    begin = time.perf_counter()
    for _ in range(config.scene.max_steps // model.chunk):
        state = world.step(state, actions, decode=decode).state
    return (world.imagined_steps - before) / (time.perf_counter() - begin)


def policy_steps(bank: FrameBank, config: Campaign) -> float:
    """Steps a second of supervised fine-tuning."""
    marks: dict[int, float] = {}
    architecture = config.policy.model_copy(update={"steps": STEPS})
    fine_tune(
        bank,
        architecture,
        config.scene.chunk,
        config.seed,
        Checkpointer(None),
        lambda step, _: marks.update({step: time.perf_counter()}),
    )
    first, last = min(marks), max(marks)
    return (last - first) / (marks[last] - marks[first])


def grpo_updates(model: WorldModel, bank: FrameBank, config: Campaign) -> float:
    """Updates a minute: rollouts to their last step, watched by a judge, then gradient steps of groups that all differ.

    What the campaign weighs besides, cloning and the divergence from the policy of before, is part of a step.
    """
    rl, random = config.rl, generator(config.seed, "speed")
    rows = [{"episode_id": one, "step": 0, "kind": "start", "task": ""} for one in bank.episode_ids]
    starts = StartStates.from_bank(bank, rows, model.history, model.frame_stride, 0.0)
    policy = Policy.create(config.policy, config.scene.chunk, config.seed).to(device())
    optimizer = torch.optim.AdamW(policy.parameters(), lr=rl.learning_rate)
    world = Imagination(model, config.imagination.denoising_steps, config.seed)
    judge = Judge({"image_size": model.image_size, "channels": config.judge.channels}).to(device()).eval()
    samples = ChunkSamples(policy, bank, config.policy) if rl.cloning_weight else None
    reference = copy.deepcopy(policy).eval() if rl.kl_weight else None

    def update(_: int) -> None:
        rollouts = imagine(
            policy,
            world,
            starts,
            starts.draw(rl.groups, random),
            rl.group_size,
            config.scene.max_steps,
            rl.noise,
            np.full(len(starts), NEVER, np.float32),
            judge.probabilities,
            random,
        )
        outcomes = (torch.arange(rl.group_size) % 2).float().expand(rl.groups, -1)
        learn(policy, optimizer, replace(rollouts, returns=outcomes), rl, random, samples, reference)

    update(0)
    return 60 / min(seconds(partial(update, number)) for number in range(UPDATES))


if __name__ == "__main__":
    main()
