"""What of a world model's error is whose: held episodes imagined again, each time told more of the truth.

An oracle's gain is the share of what it was told. Told the recorded poses at the start of every chunk, nothing of
the kinematics' drift is left; told the real frames, nothing of the pictures' drift; what both leave is a single
chunk's error. The autoencoder's own pictures of the real frames are the ceiling of every imagined one, and the reward
head on them that of every imagined outcome.

What counts as success was calibrated on imagined frames. Each oracle gets thresholds of its own, for what it shows is
less blurred: of each half of the episodes one that parts the other half best.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.campaign_figures import mean, share
from benchmarks.result import figure
from worldvla.alignment.calibration import area, best_threshold
from worldvla.alignment.intervals import Z_95, proportion
from worldvla.alignment.perceptual import psnr, ssim
from worldvla.alignment.replay import BATCH
from worldvla.config import Imagination as ImaginationConfig
from worldvla.episodes.frame_bank import FrameBank
from worldvla.training.device import device
from worldvla.training.progress import track
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.model import WorldModel

AS_IT_IS = "imagined"
# By name, whether the recorded poses and the real frames are told at the start of every chunk.
ORACLES = {
    AS_IT_IS: (False, False),
    "told poses": (True, False),
    "told frames": (False, True),
    "told both": (True, True),
}
CEILING = "autoencoder"
DRIFT_AFTER = (1, 2, 4, 8)  # chunks


@dataclass(frozen=True)
class Seen:
    """One episode as a model has it: images uint8 [F, H, W, 3] and reward float32 [F] of every `frame_stride`-th frame,
    and the error of the pose after each chunk, float32 [chunks]: that of its worst number, in standard deviations."""

    images: np.ndarray
    reward: np.ndarray
    drift: np.ndarray


def world_model_limits(model: WorldModel, bank: FrameBank, settings: ImaginationConfig, seed: int) -> list[dict]:
    """Figures of each task of the bank, which is decoded at the model's image size."""
    views = {CEILING: decoded(model, bank)}
    for name, (poses, frames) in ORACLES.items():
        imagination = Imagination(model, settings.denoising_steps, seed)
        views[name] = imagined(imagination, bank, poses, frames, name)
    figures = []
    for task in sorted(set(bank.tasks)):
        rows = [row for row, name in enumerate(bank.tasks) if name == task]
        for name, episodes in views.items():
            figures += _pictures(f"{task}, {name}", model, bank, rows, episodes)
            threshold = model.success_threshold(task) if name == AS_IT_IS else None
            figures += _outcomes(f"{task}, {name}", threshold, bank, rows, episodes)
        figures += _drift(task, model, rows, views[AS_IT_IS])
    return figures


def imagined(imagination: Imagination, bank: FrameBank, poses: bool, frames: bool, description: str) -> list[Seen]:
    """Every episode imagined under its recorded actions; see `ORACLES` for what is told."""
    groups = [np.arange(first, min(first + BATCH, len(bank))) for first in range(0, len(bank), BATCH)]
    return [
        episode
        for group in track(groups, description, len(groups))
        for episode in _imagined_group(imagination, bank, group, poses, frames)
    ]


def _imagined_group(
    imagination: Imagination, bank: FrameBank, group: np.ndarray, poses: bool, frames: bool
) -> list[Seen]:
    chunk, travelled = imagination.model.chunk, bank.travelled()
    parts: dict[int, list[tuple[np.ndarray, np.ndarray, float]]] = {index: [] for index in group.tolist()}
    active, done = group, 0
    state = imagination.start(bank.images[bank.starts[group]], bank.proprio[bank.starts[group]])
    while len(active):
        first = bank.starts[active]
        now = first + done
        if frames:
            sensed = state.proprio.cpu().numpy()
            state = imagination.start(
                bank.images[first], sensed, bank.images[_latest(imagination.model, first, now)], travelled[now]
            )
        if poses:
            truth = imagination.model.sensed(bank.proprio[now])
            state = replace(state, proprio=torch.from_numpy(truth).to(state.proprio.device))
        seen = imagination.step(state, bank.actions[now[:, None] + np.arange(chunk)])
        done += chunk
        drift = _pose_errors(imagination.model, seen.state.proprio, bank.proprio[first + done])
        for row, index in enumerate(active.tolist()):
            parts[index].append((seen.images[row], seen.reward[row], drift[row]))
        going = np.flatnonzero(bank.lengths[active] - 1 > done)
        state, active = seen.state.select(going), active[going]
    return [
        Seen(np.concatenate(images), np.concatenate(reward), np.array(drift, np.float32))
        for images, reward, drift in (zip(*parts[index], strict=True) for index in group.tolist())
    ]


def _latest(model: WorldModel, first: np.ndarray, now: np.ndarray) -> np.ndarray:
    """int64 [B, history]: the latest frames at `now`, the first repeated where there are fewer."""
    back = model.frame_stride * np.arange(1 - model.history, 1)
    return np.maximum(now[:, None] + back, first[:, None])


def _pose_errors(model: WorldModel, reached: torch.Tensor, truth: np.ndarray) -> np.ndarray:
    """float32 [B]: of proprioception [B, P] that was rolled out, the error of the worst number."""
    kinematics = model.embodiment.kinematics
    if kinematics is None:
        return np.full(len(truth), np.nan, np.float32)
    error = (reached.cpu() - torch.from_numpy(model.sensed(truth))).abs() / kinematics.std.cpu()
    return error.amax(1).numpy()


@torch.inference_mode()
def decoded(model: WorldModel, bank: FrameBank) -> list[Seen]:
    """Every episode as the autoencoder gives its real frames back, and the reward head's word on their latents."""
    model = model.to(device()).eval()
    episodes = []
    for index in track(range(len(bank)), CEILING, len(bank)):
        frames = bank.images[bank.frames_of(index)][:: model.frame_stride]
        latents = model.autoencoder.encode(torch.from_numpy(np.ascontiguousarray(frames)).to(device()))
        images = model.autoencoder.decode(latents[1:]).cpu().numpy()
        reward = model.reward_head(latents[None, 1:], latents[:1])[0].clamp(0, 1)
        episodes.append(Seen(images, reward.float().cpu().numpy(), np.zeros(0, np.float32)))
    return episodes


def _pictures(name: str, model: WorldModel, bank: FrameBank, rows: list[int], episodes: list[Seen]) -> list[dict]:
    distances = []
    for row in rows:
        real = bank.images[bank.frames_of(row)][model.frame_stride :: model.frame_stride]
        shown = episodes[row].images
        distances.append({"psnr": float(psnr(real, shown).mean()), "ssim": float(ssim(real, shown).mean())})
    return [mean(f"{name}: PSNR", distances, "psnr", "dB"), mean(f"{name}: SSIM", distances, "ssim", "")]


def _outcomes(name: str, threshold: float | None, bank: FrameBank, rows: list[int], episodes: list[Seen]) -> list[dict]:
    """How often the reward tells the outcome right, by `threshold` or `told_by_halves`, and how well it orders outcomes
    whatever the threshold."""
    best, success = np.array([episodes[row].reward.max() for row in rows]), bank.success[rows]
    told = told_by_halves(best, success) if threshold is None else best >= threshold
    figures = [share(f"{name}: outcomes told right", proportion(int((told == success).sum()), len(rows)))]
    if 0 < success.sum() < len(rows):
        value, error = area(best, success)
        interval = value - Z_95 * error, value + Z_95 * error
        figures.append(figure(f"{name}: area under the curve", value, "of 1", len(rows), interval))
    return figures


def told_by_halves(score: np.ndarray, success: np.ndarray) -> np.ndarray:
    """bool [N]: scores float [N] of each half told by the threshold that parts `success` bool [N] of the other best.

    Both halves have as many of each outcome, but for one. Where an outcome has a single episode, or none, the half
    without it is told by what parts all.
    """
    place = np.zeros(len(score), np.int64)
    for outcome in (True, False):
        place[success == outcome] = np.arange((success == outcome).sum())
    told = np.zeros(len(score), bool)
    for half in (0, 1):
        mine, other = place % 2 == half, place % 2 != half
        parted = other if success[other].any() and not success[other].all() else np.ones(len(score), bool)
        told[mine] = score[mine] >= best_threshold(score[parted], success[parted])
    return told


def _drift(task: str, model: WorldModel, rows: list[int], episodes: list[Seen]) -> list[dict]:
    """How far the worst number of the pose is off, where an episode lasts so long: nine in ten are better."""
    figures = []
    for chunks in DRIFT_AFTER:
        errors = [episodes[row].drift[chunks - 1] for row in rows if len(episodes[row].drift) >= chunks]
        if errors and np.isfinite(errors).any():
            name = f"{task}: pose error after {chunks * model.chunk} actions, nine in ten below"
            figures.append(figure(name, float(np.nanquantile(errors, 0.9)), "standard deviations", len(errors)))
    return figures
