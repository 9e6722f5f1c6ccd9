"""Reinforcement learning of a policy inside a world model: nothing is learned from a step of the simulator.

Each update draws start states, imagines a group of rollouts from each, and takes gradient
steps on the clipped surrogate over the chunks of groups whose outcomes differ. Probes in the
simulator, where they are asked for, say which tasks rest and which policy is kept. In tasks
that rest the policy is held to how it began; where all would, the training goes back to the
best probed policy and on from there with half the learning rate. In the end both policies are
imagined as they are deployed.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch

from worldvla.alignment.judge import THRESHOLD
from worldvla.config import Imagination as ImaginationConfig
from worldvla.config import ReinforcementLearning
from worldvla.policy.sft import ChunkSamples
from worldvla.policy.vla import Policy
from worldvla.rl import grpo
from worldvla.rl.deployed import Deployed, deployed
from worldvla.rl.exploitation import counts, exploits, rates
from worldvla.rl.imagined_rollouts import Dynamics, Judge, JudgedDynamics, Rollouts, imagine
from worldvla.rl.keyframes import NEAR_FAILURE
from worldvla.rl.probes import Probe, Probing, Try, all_rest, resting, turned_back
from worldvla.rl.starts import StartStates
from worldvla.training.checkpoint import Checkpointer, load_optimizer_tensors, optimizer_tensors
from worldvla.training.device import device, generator
from worldvla.training.divergence import refuse_divergence
from worldvla.training.progress import Log, Stopwatch, ignore, track
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.model import WorldModel

STAGE = "rl"
# Divergence from the reference policy is measured, and samples are cloned, on so many times fewer chunks than a
# gradient step has, and as many of each task that rests: their weights are small, and so is what chance adds to them.
ASIDE = 4
# What is averaged over an update's gradient steps; `held` is the divergence in the tasks that rest.
MEASURED = ("loss", "ratio", "clip_fraction", "entropy", "gradient_norm", "kl", "held", "cloning_loss")


@dataclass(frozen=True)
class RLResult:
    """The improved policy, what it cost, and one dict of metrics an update in `history`.

    `stopped` says whether there are fewer updates than were asked for, since the policy began to exploit the world
    model; None where the judge, who tells, had a say in the reward and is no witness. The `policy` is that of the best
    of the `probes`, after `kept` updates, or without probes the last one. `real_steps` are those of the probes. `base`
    and `new` are what imagination makes of the base policy and the improved one, as many rollouts each as an update
    has.
    """

    policy: Policy
    imagined_steps: int
    real_steps: int
    stopped: bool | None
    kept: int
    history: list[dict[str, float]]
    probes: list[Probe]
    base: Deployed
    new: Deployed


def train(
    policy: Policy,
    world_model: WorldModel,
    starts: StartStates,
    rl: ReinforcementLearning,
    imagination: ImaginationConfig,
    judge: Judge,
    chunk: int,
    max_steps: int,
    seed: int,
    checkpointer: Checkpointer,
    log: Log = ignore,
    samples: ChunkSamples | None = None,
    base: Policy | None = None,
    try_out: Try | None = None,
    temperature: float | None = None,
) -> RLResult:
    """Improves a copy of `policy` in imagination; a pure function of its arguments, interrupted or not.

    `judge` watches, and gives the reward where `rl.reward` says so; `samples`, if any, are cloned beside it with
    `rl.cloning_weight`, and hold what rests with `rl.probe.hold_weight`. `try_out` probes the policy in the simulator,
    as `rl.probe` says. In the end the result is compared with `base`, which by default is `policy` itself, both at the
    `temperature` of deployment, by default that of `rl.noise`. Raises ValueError when policy and world model disagree
    about `chunk`.
    """
    if not policy.chunk == world_model.chunk == chunk:
        raise ValueError(f"chunk is {chunk}, the policy's {policy.chunk}, the world model's {world_model.chunk}")

    thresholds = [THRESHOLD if rl.reward == "judge" else world_model.success_threshold(task) for task in starts.tasks]
    threshold = np.array(thresholds, np.float32)

    def open_imagination(update: int) -> Dynamics:
        noise = generator(seed, STAGE, "imagination", update).initial_seed()
        world = Imagination(world_model, imagination.denoising_steps, noise)
        if rl.reward == "head":
            return world
        return JudgedDynamics(world, judge, agreed=float(threshold.min()) if rl.reward == "both" else None)

    return improve(
        policy,
        open_imagination,
        starts,
        rl,
        threshold,
        judge,
        max_steps,
        seed,
        checkpointer,
        log,
        samples,
        base,
        try_out,
        temperature,
    )


def improve(
    policy: Policy,
    dynamics: Callable[[int], Dynamics],
    starts: StartStates,
    rl: ReinforcementLearning,
    success_threshold: np.ndarray,
    judge: Judge,
    max_steps: int,
    seed: int,
    checkpointer: Checkpointer,
    log: Log = ignore,
    samples: ChunkSamples | None = None,
    base: Policy | None = None,
    try_out: Try | None = None,
    temperature: float | None = None,
) -> RLResult:
    """`train` with any dynamics: `dynamics(update)` opens those of one update, the last two those that compare both
    policies; `success_threshold` as of `imagine`.

    Raises `UserError` where the training diverges.
    """
    reference = policy.to(device()).eval()
    base = reference if base is None else base.to(device()).eval()
    policy = Policy.from_bytes(policy.config, policy.to_bytes()).to(device())
    if rl.freeze_encoders:
        policy.freeze_encoders()
    learning = [weights for weights in policy.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=rl.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    first, history, probing = 0, [], Probing(try_out, rl.probe.every)
    if saved := checkpointer.load(STAGE):
        first, groups = saved
        policy.load_state_dict(groups["policy"])
        load_optimizer_tensors(optimizer, groups["optimizer"])
        columns = {name: column.tolist() for name, column in groups["history"].items()}
        history = [{name: column[update] for name, column in columns.items()} for update in range(first)]
        probing.load(groups)

    def save(force: bool = False) -> None:
        names = history[0] if history else ()
        columns = {name: torch.tensor([row[name] for row in history], dtype=torch.float64) for name in names}
        groups = {"policy": policy.state_dict(), "optimizer": optimizer_tensors(optimizer), "history": columns}
        checkpointer.save(STAGE, len(history), groups | probing.tensors(), force)

    def look(update: int, ends: bool = False) -> None:
        if probe := probing.look(policy, update, ends):
            rates = {f"rl/real_success/{task}": float(np.mean(some)) for task, some in probe.successes.items()}
            log(update, {"rl/real_success": probe.rate} | rates)
            if all_rest(probing.probes, starts.tasks):
                probing.kept(policy)
                optimizer.state.clear()
            # A probe costs more than the updates between two savings.
            save(force=True)

    # A judge that has a say in the reward is no witness of what it rewards.
    stopped = False if rl.reward == "head" else None
    for update in track(range(first, rl.updates), "policy in imagination", rl.updates, first):
        if stopped is not None and exploits(history, rl.exploitation_gap):
            stopped = True
            break
        look(update)
        rest = set() if all_rest(probing.probes, starts.tasks) else resting(probing.probes)
        for group in optimizer.param_groups:
            group["lr"] = rl.learning_rate / 2 ** turned_back(probing.probes, starts.tasks)
        watch = Stopwatch()
        random = generator(seed, STAGE, "rollouts", update)
        world = dynamics(update)
        drawn = starts.draw(rl.groups, random, rest)
        rollouts = imagine(
            policy, world, starts, drawn, rl.group_size, max_steps, rl.noise, success_threshold, judge, random
        )
        seconds_imagining = watch()
        metrics = summary(rollouts, starts) | learn(
            policy,
            optimizer,
            rollouts,
            rl,
            generator(seed, STAGE, "order", update),
            samples,
            reference,
            rest,
        )
        # A policy whose logits are no numbers acts alike in all of a group, which then has no gradient.
        refuse_divergence(STAGE, update + 1, metrics["gradient_norm"] + rollouts.log_prob.mean().item())
        of = [starts.tasks[row] for row in np.repeat(rollouts.starts, rl.group_size)]
        metrics |= counts(starts.tasks, of, rollouts.returns.numpy().ravel() > 0, rollouts.shown.numpy().ravel() > 0)
        metrics |= {"imagined_steps": float(world.imagined_steps)}
        metrics |= {"seconds_imagining": seconds_imagining, "seconds": watch()}
        history.append(metrics)
        log(update + 1, {f"rl/{name}": value for name, value in (metrics | by_task(metrics)).items()})
        save()
    look(len(history), ends=True)
    policy = probing.kept(policy)
    # Of the same starts and at the same places, so that the two are pairs.
    before, after = (
        deployed(
            one,
            dynamics(rl.updates),
            starts,
            rl.groups * rl.group_size,
            max_steps,
            rl.noise.temperature if temperature is None else temperature,
            success_threshold,
            judge,
            generator(seed, STAGE, "deployed"),
        )
        for one in track((base, policy.eval()), "base and new policy in imagination", 2)
    )
    imagined_steps = int(sum(row["imagined_steps"] for row in history)) + before.imagined_steps + after.imagined_steps
    return RLResult(
        policy,
        imagined_steps,
        sum(probe.steps for probe in probing.probes),
        stopped=stopped,
        kept=probing.best.update if probing.best else len(history),
        history=history,
        probes=probing.probes,
        base=before,
        new=after,
    )


def learn(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    rollouts: Rollouts,
    rl: ReinforcementLearning,
    random: torch.Generator,
    samples: ChunkSamples | None = None,
    reference: Policy | None = None,
    resting: Collection[str] = (),
) -> dict[str, float]:
    """Gradient steps over the chunks of informative groups, in like minibatches; does nothing where there are none.

    Each minibatch's loss is an unbiased estimate of the mean over the kept trajectories. With `samples` each step also
    clones a few of them, weighted by `rl.cloning_weight`. With `reference` it also draws the policy back to that one:
    weighted by `rl.kl_weight` where any of the rollouts came by, since groups that are alike say nothing against what
    the others unlearn, and by `rl.probe.hold_weight` on samples of the `resting` tasks, of which there are no rollouts.
    """
    kept = grpo.informative_groups(rollouts.returns)
    metrics = dict.fromkeys(MEASURED, 0.0)
    metrics |= {"groups": float(len(kept)), "groups_kept": float(kept.sum())}
    if not kept.any():
        return metrics | {"ratio": 1.0}
    group_size = rollouts.returns.shape[1]
    advantage = grpo.group_advantages(rollouts.returns).flatten()[rollouts.trajectory]
    chunk = rollouts.tokens.shape[1]
    weight = grpo.step_weights(rollouts.valid_length[rollouts.trajectory], rollouts.first_step, chunk)
    weight /= kept.sum() * group_size
    chunks = torch.nonzero(kept[rollouts.trajectory // group_size])[:, 0]
    where, few = policy.device, max(1, rl.minibatch // ASIDE)

    def drawn_back(images: np.ndarray, instructions: list[str], weight: float) -> float:
        if not len(images):
            return 0.0
        divergence = _divergence(policy, reference, images, instructions, rl.noise.temperature)
        (weight * divergence).backward()
        return divergence.item()

    measured = []
    for _ in range(rl.epochs):
        for rows in chunks[torch.randperm(len(chunks), generator=random)].tensor_split(-(-len(chunks) // rl.minibatch)):
            log_prob, entropy = policy.log_prob(
                rollouts.images[rows.numpy()],
                [rollouts.instructions[row] for row in rows.tolist()],
                rollouts.tokens[rows],
                rl.noise.temperature,
            )
            surrogate = grpo.surrogate(
                log_prob,
                rollouts.log_prob[rows].to(where),
                advantage[rows].to(where),
                weight[rows].to(where) * (len(chunks) / len(rows)),
                rl.clip_low,
                rl.clip_high,
            )
            optimizer.zero_grad(set_to_none=True)
            surrogate.loss.backward()
            kl = held = cloned = 0.0
            if reference is not None and rl.kl_weight:
                anywhere = torch.randint(len(rollouts.images), (few,), generator=random)
                words = [rollouts.instructions[row] for row in anywhere.tolist()]
                kl = drawn_back(rollouts.images[anywhere.numpy()], words, rl.kl_weight)
            if reference is not None and samples is not None and resting and rl.probe.hold_weight:
                held = drawn_back(*samples.pictures(few * len(resting), resting, random), rl.probe.hold_weight)
            if samples is not None and rl.cloning_weight:
                cloning_loss = samples.loss(policy, few, random)
                (rl.cloning_weight * cloning_loss).backward()
                cloned = cloning_loss.item()
            norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
            measured.append(
                {
                    "loss": surrogate.loss.item(),
                    "ratio": surrogate.ratio,
                    "clip_fraction": surrogate.clip_fraction,
                    "entropy": entropy.mean().item(),
                    "gradient_norm": norm.item(),
                    "kl": kl,
                    "held": held,
                    "cloning_loss": cloned,
                }
            )
    return metrics | {name: float(np.mean([row[name] for row in measured])) for name in measured[0]}


def _divergence(
    policy: Policy, reference: Policy, images: np.ndarray, instructions: list[str], temperature: float
) -> torch.Tensor:
    """`grpo.divergence` of the policies on pictures uint8 [B, H, W, 3], with gradients."""
    with torch.no_grad():
        before = reference.log_probs(images, instructions, temperature)
    return grpo.divergence(policy.log_probs(images, instructions, temperature), before)


def by_task(metrics: dict[str, float]) -> dict[str, float]:
    """Share of imagined successes of each task that an update had: what one task learns another may unlearn."""
    return {f"imagined_success/{task}": imagined for task, (imagined, _) in rates([metrics]).items()}


def summary(rollouts: Rollouts, starts: StartStates) -> dict[str, float]:
    """Share of imagined successes, from episode starts and from near-failure keyframes apart (0 where none), the share
    in which the judge sees one, and the mean number of actions until success or the end."""
    near = torch.tensor([starts.kind[row] == NEAR_FAILURE for row in rollouts.starts])
    success = rollouts.returns.mean(dim=1)
    return {
        "imagined_success": success.mean().item(),
        "imagined_success_start": success[~near].mean().item() if not near.all() else 0.0,
        "imagined_success_near_failure": success[near].mean().item() if near.any() else 0.0,
        "shown_success": rollouts.shown.mean().item(),
        "valid_length": rollouts.valid_length.float().mean().item(),
    }
