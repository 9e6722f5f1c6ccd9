"""Supervised fine-tuning: behaviour cloning of successful demonstrations.

Every frame t of every episode that has a picture is a sample (`camera_stride`): the actions
t .. t + K - 1 are its targets, those past the episode's end have no weight. The loss is cross-entropy over bins, with
label smoothing (Szegedy et al. 2016, section 7), which leaves the policy enough entropy
for reinforcement learning to explore.
"""

from collections.abc import Collection

import numpy as np
import torch
from torch.nn import functional as F

from worldvla.config import PolicyArchitecture
from worldvla.episodes.frame_bank import FrameBank
from worldvla.errors import UserError
from worldvla.policy.discretization import to_tokens
from worldvla.policy.vla import Policy
from worldvla.training.checkpoint import Checkpointer, load_optimizer_tensors, optimizer_tensors
from worldvla.training.device import device, generator
from worldvla.training.divergence import refuse_divergence
from worldvla.training.progress import Log, ignore, track
from worldvla.training.schedule import warmed_up_cosine

STAGE = "sft"
MAX_SHIFT = 2
WEIGHT_DECAY = 0.01
LOG_EVERY = 20


def fine_tune(
    bank: FrameBank,
    architecture: PolicyArchitecture,
    chunk: int,
    seed: int,
    checkpointer: Checkpointer,
    log: Log = ignore,
    start: Policy | None = None,
) -> Policy:
    """A policy cloned from `bank`, or a copy of `start` cloned further; raises UserError when the bank holds no action
    or the training diverges.

    A pure function of its arguments on one machine, interrupted or not: batches and
    augmentation depend on (seed, step) alone.
    """
    new = Policy.from_bytes(start.config, start.to_bytes()) if start else Policy.create(architecture, chunk, seed)
    policy = new.to(device()).train()
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=architecture.learning_rate, betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY
    )
    first = 0
    if saved := checkpointer.load(STAGE):
        first, groups = saved
        policy.load_state_dict(groups["policy"])
        load_optimizer_tensors(optimizer, groups["optimizer"])
    samples = ChunkSamples(policy, bank, architecture)
    for step in track(range(first, architecture.steps), "policy fine-tuning", architecture.steps, first):
        random = generator(seed, STAGE, step)
        loss = samples.loss(policy, architecture.batch_size, random)
        for group in optimizer.param_groups:
            group["lr"] = architecture.learning_rate * warmed_up_cosine(step, architecture.steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        refuse_divergence(STAGE, step + 1, norm.item())
        if (step + 1) % LOG_EVERY == 0:
            log(step + 1, {"sft/loss": loss.item(), "sft/gradient_norm": norm.item()})
        checkpointer.save(STAGE, step + 1, {"policy": policy.state_dict(), "optimizer": optimizer_tensors(optimizer)})
    return policy.eval()


class ChunkSamples:
    """Every frame of a bank that has an action, with the actions that follow it: what cloning draws from, and what a
    policy is held on."""

    def __init__(self, policy: Policy, bank: FrameBank, architecture: PolicyArchitecture):
        """Pictures and targets as `policy` takes them, on its device; raises UserError where no episode acts."""
        frames, targets, valid = chunk_targets(bank, policy.chunk)
        if not len(frames):
            raise UserError("policy: no successful demonstration to learn from; raise demonstrations.per_task")
        where = policy.device
        self._frames = torch.from_numpy(frames).to(where)
        self._images = policy.pixels(bank.images)
        self._tokens = to_tokens(torch.from_numpy(targets), policy.bins).to(where)
        self._weight = torch.from_numpy(valid).float().to(where)
        episode = bank.episode_of_frame()[frames]
        self._instructions = [bank.instructions[one] for one in episode]
        self._tasks = np.array([bank.tasks[one] for one in episode])
        self._smoothing = architecture.label_smoothing

    def loss(self, policy: Policy, count: int, random: torch.Generator) -> torch.Tensor:
        """`chunk_loss` of `count` samples drawn with replacement, their pictures shifted; with gradients."""
        drawn = torch.randint(len(self._frames), (count,), generator=random)
        rows = drawn.to(policy.device)
        pixels = shift(self._images[self._frames[rows]], random)
        logits = policy(pixels, *policy.text([self._instructions[row] for row in drawn.tolist()]))
        return chunk_loss(logits, self._tokens[rows], self._weight[rows], self._smoothing)

    def pictures(self, count: int, tasks: Collection[str], random: torch.Generator) -> tuple[np.ndarray, list[str]]:
        """Pictures uint8 [count, S, S, 3] of these tasks, drawn with replacement and shifted, and their instructions.

        None of either where none of the tasks has a sample.
        """
        rows = torch.from_numpy(np.flatnonzero(np.isin(self._tasks, list(tasks))))
        drawn = rows[torch.randint(max(1, len(rows)), (count if len(rows) else 0,), generator=random)]
        pixels = shift(self._images[self._frames[drawn.to(self._frames.device)]], random)
        return pixels.permute(0, 2, 3, 1).cpu().numpy(), [self._instructions[row] for row in drawn.tolist()]


def chunk_targets(bank: FrameBank, chunk: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every frame that has a picture and an action: int64 [S] frame indices, float32 [S, K, 7] the actions
    that follow, and bool [S, K] whether each lies within the episode."""
    last = bank.starts + bank.lengths - 1
    episode = bank.episode_of_frame()
    frames = np.flatnonzero((np.arange(bank.frame_count) < last[episode]) & bank.drawn())
    index = frames[:, None] + np.arange(chunk)
    valid = index < last[episode[frames]][:, None]
    return frames, bank.actions[np.where(valid, index, frames[:, None])], valid


def chunk_loss(logits: torch.Tensor, tokens: torch.Tensor, valid: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Mean cross-entropy of logits [B, K, 7, bins] and tokens [B, K, 7] over the actions where `valid` [B, K] is 1."""
    loss = F.cross_entropy(logits.flatten(0, 2), tokens.flatten(), reduction="none", label_smoothing=smoothing)
    return (loss.view(tokens.shape).mean(-1) * valid).sum() / valid.sum()


def shift(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """uint8 [B, 3, S, S], each moved by up to MAX_SHIFT pixels with its edge repeated (Kostrikov et al. 2020, DrQ)."""
    size = images.shape[-1]
    padded = F.pad(images.float(), (MAX_SHIFT,) * 4, mode="replicate").to(images.dtype)
    offsets = torch.randint(2 * MAX_SHIFT + 1, (2, len(images), 1), generator=random)
    rows, columns = (offsets + torch.arange(size)).to(images.device)
    batch = torch.arange(len(images), device=images.device)
    return padded.permute(0, 2, 3, 1)[batch[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
