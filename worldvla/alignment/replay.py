"""Replay: held-out episodes imagined again from their first frame, under their recorded actions, to their end."""

from dataclasses import dataclass

import numpy as np

from worldvla.alignment.judge import THRESHOLD, Judge
from worldvla.alignment.perceptual import flip, psnr, ssim
from worldvla.alignment.strips import strip, video
from worldvla.config import Imagination as ImaginationConfig
from worldvla.episodes.frame_bank import FrameBank
from worldvla.training.progress import track
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.model import WorldModel
from worldvla.world_model.reward_head import worth

BATCH = 32  # episodes imagined at once
PICTURES = 6  # episodes of which a strip and a video are kept


@dataclass(frozen=True)
class Dream:
    """One episode imagined: frames uint8 [T / s, H, W, 3], reward float32 [T / s] of steps s, 2s, .. T."""

    images: np.ndarray
    reward: np.ndarray


def replay(
    world_model: WorldModel,
    judge: Judge,
    bank: FrameBank,
    imagination: ImaginationConfig,
    seed: int,
    judge_threshold: float,
    pictures: int = PICTURES,
) -> list[dict]:
    """Rows of table `alignments`, in the order of `bank`, without `alignment_version`, `model_id` and `protocol`.

    `bank` is decoded at the world model's image size. Curves have one value for each imagined
    frame, `frame_stride` steps apart; an outcome is success when any of them reaches the world
    model's threshold for the task, for the judge `judge_threshold`, and `THRESHOLD` of real frames.
    The true reward of an imagined frame is the highest since the one before it. The *static*
    figures are those of the first frame repeated: what a world model must beat.
    """
    if bank.images.shape[1] != world_model.image_size:
        raise ValueError(f"frames of {bank.images.shape[1]} pixels for a world model of {world_model.image_size}")
    dreams = dream(Imagination(world_model, imagination.denoising_steps, seed), bank)
    shown = set(illustrated(bank.success, pictures))
    return [
        _row(bank, index, world_model, dreams[index], judge, judge_threshold, index in shown)
        for index in track(range(len(bank)), "comparing imagined with real", len(bank))
    ]


def dream(imagination: Imagination, bank: FrameBank) -> list[Dream]:
    """Every episode of the bank imagined, chunk by chunk; ValueError where a length is no multiple of the chunk."""
    chunk = imagination.model.chunk
    if (bank.lengths - 1).min(initial=chunk) < chunk or ((bank.lengths - 1) % chunk).any():
        raise ValueError(f"an episode's length is no positive multiple of the world model's chunk of {chunk}")
    dreams: dict[int, Dream] = {}
    groups = [np.arange(first, min(first + BATCH, len(bank))) for first in range(0, len(bank), BATCH)]
    for group in track(groups, "imagining", len(groups)):
        dreams |= _dream_group(imagination, bank, group, chunk)
    return [dreams[index] for index in range(len(bank))]


def illustrated(success: np.ndarray, count: int) -> list[int]:
    """The first episodes of either outcome in turn, at most `count`."""
    sides = [np.flatnonzero(success).tolist(), np.flatnonzero(~np.asarray(success, bool)).tolist()]
    turns = [side[place] for place in range(len(success)) for side in sides if place < len(side)]
    return turns[:count]


def _dream_group(imagination: Imagination, bank: FrameBank, group: np.ndarray, chunk: int) -> dict[int, Dream]:
    images: dict[int, list[np.ndarray]] = {index: [] for index in group.tolist()}
    reward: dict[int, list[np.ndarray]] = {index: [] for index in group.tolist()}
    active, done = group, 0
    first = bank.starts[group]
    state = imagination.start(bank.images[first], bank.proprio[first])
    while len(active):
        actions = np.stack([bank.actions[s + done : s + done + chunk] for s in bank.starts[active]])
        imagined = imagination.step(state, actions)
        for row, index in enumerate(active.tolist()):
            images[index].append(imagined.images[row])
            reward[index].append(imagined.reward[row])
        done += chunk
        going = np.flatnonzero(bank.lengths[active] - 1 > done)
        state, active = imagined.state.select(going), active[going]
    return {index: Dream(np.concatenate(images[index]), np.concatenate(reward[index])) for index in images}


def _row(
    bank: FrameBank,
    index: int,
    world_model: WorldModel,
    dream: Dream,
    judge: Judge,
    judge_threshold: float,
    shown: bool,
) -> dict:
    stride, threshold = world_model.frame_stride, world_model.success_threshold(bank.tasks[index])
    frames = bank.frames_of(index)
    real = bank.images[frames][stride::stride]
    true_reward = bank.reward[frames][1:].reshape(-1, stride).max(1)
    static = np.repeat(bank.images[frames.start][None], len(real), axis=0)
    curves = {
        "psnr_curve": psnr(real, dream.images),
        "ssim_curve": ssim(real, dream.images),
        "flip_curve": flip(real, dream.images),
        "static_psnr_curve": psnr(real, static),
        "reward_curve": dream.reward,
        "judge_curve": judge.probabilities(dream.images),
        "judge_real_curve": judge.probabilities(real),
        "true_reward_curve": true_reward,
    }
    taught = worth(bank.highest(bank.progress, stride))[frames][stride::stride]
    rewards = {"true": taught, "reward head": dream.reward, "judge": curves["judge_curve"]}
    return {
        "episode_id": bank.episode_ids[index],
        "task": bank.tasks[index],
        "true_success": bool(bank.success[index]),
        "judged_success_imagined": bool((curves["judge_curve"] >= judge_threshold).any()),
        "judged_success_real": bool((curves["judge_real_curve"] >= THRESHOLD).any()),
        "reward_success": bool((dream.reward >= threshold).any()),
        "success_threshold": threshold,
        "judge_threshold": judge_threshold,
        "frame_stride": stride,
        "psnr": float(curves["psnr_curve"].mean()),
        "psnr_last": float(curves["psnr_curve"][-1]),
        "static_psnr": float(curves["static_psnr_curve"].mean()),
        "static_psnr_last": float(curves["static_psnr_curve"][-1]),
        "ssim": float(curves["ssim_curve"].mean()),
        "flip": float(curves["flip_curve"].mean()),
        "lpips": None,
        **{name: [float(value) for value in curve] for name, curve in curves.items()},
        "strip": strip(real, dream.images, rewards, stride, threshold) if shown else None,
        "video": video(real, dream.images, rewards, stride) if shown else None,
    }
