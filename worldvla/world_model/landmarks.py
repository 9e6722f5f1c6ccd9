"""Landmarks: poses that a task turns on, read from where things lie. Where they are held, where it succeeds.

A hand holds what lies between its fingers and pushes what lies before it, so what matters is the difference
of two places, to a few millimetres. A network that is given both learns thousands of episodes by heart
before it finds that. Where a hand closes to hold, and where it is when a task succeeds, is nearly linear in
the keypoints of the first picture, so it is a ridge regression (Hoerl and Kennard 1970) for each task, on
episodes that succeeded; nothing but recorded poses is asked for, so any robot and any proprioception
will do. Which tasks a picture may be of, linear discriminant analysis tells (Fisher 1936). What it is
worth: docs/experiments.md.

Shapes: E episodes, N poses, B batch, T tasks, S keypoints' coordinates, P proprioception; poses and
keypoints are normalized.
"""

import numpy as np
import torch
from torch import nn

from worldvla.episodes.frame_bank import FrameBank

FEWEST = 32  # poses that a task's landmark is fitted on
RIDGE = 1.0
SMALLEST_SPREAD = 0.1  # standard deviations of a pose: some millimetres of the hand's place
REACH = 6.0  # spreads; a hand that is farther away is simply away
LIKELY = 3.0  # nats by which another task may be less likely than the likeliest
SMALLEST_VARIANCE = 0.01  # of keypoints within a task


class Landmarks(nn.Module):
    """For each task one pose, linear in keypoints, and how far those that it was fitted on spread about it.

    Buffers `telling` [T, S + 1], `poses` [T, S + 1, P] and `spread` [T, P]; `is_known` bool [T] where there were
    poses enough.
    """

    def __init__(self, tasks: int, keypoints: int, proprio_dim: int):
        super().__init__()
        self.register_buffer("telling", torch.zeros(tasks, keypoints + 1))
        self.register_buffer("poses", torch.zeros(tasks, keypoints + 1, proprio_dim))
        self.register_buffer("spread", torch.ones(tasks, proprio_dim))
        self.register_buffer("is_known", torch.zeros(tasks, dtype=torch.bool))

    def fit(self, keypoints: torch.Tensor, task: torch.Tensor, episode: torch.Tensor, pose: torch.Tensor) -> None:
        """From keypoints [E, S] and the task int64 [E] of all episodes, and the poses [N, P] that are the task's
        landmark in some of them, `episode` int64 [N]."""
        seen = _affine(keypoints.double())
        self.telling.copy_(_discriminant(keypoints.double(), task, len(self.telling)))
        for one in range(len(self.telling)):
            rows = task[episode] == one
            self.is_known[one] = rows.sum() >= FEWEST
            if self.is_known[one]:
                solution, missed = _ridge(seen[episode[rows]], pose[rows].double())
                self.poses[one] = solution
                self.spread[one] = missed.std(0).clamp(min=SMALLEST_SPREAD)

    def forward(self, keypoints: torch.Tensor) -> torch.Tensor:
        """[B, T, P]: the landmarks in scenes of keypoints [B, S]; NaN of tasks that have none, or of which the picture
        is not."""
        with torch.autocast(keypoints.device.type, enabled=False):
            seen = _affine(keypoints.float())
            score = seen @ self.telling.T
            points = torch.einsum("bs,tsp->btp", seen, self.poses)
        may_be = self.is_known & (score >= score.amax(1, keepdim=True) - LIKELY)
        return points.masked_fill(~may_be[..., None], torch.nan)

    def away(self, normalized: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """[..., P]: how far poses [..., P] are from the nearest of points [..., T, P], in spreads and at most REACH; 0
        where none is known."""
        known = points.isfinite().all(-1)
        apart = ((normalized[..., None, :] - points) / self.spread).clamp(-REACH, REACH)
        apart = torch.where(known[..., None], apart, 0.0)
        nearest = apart.square().sum(-1).masked_fill(~known, torch.inf).argmin(-1)
        return apart.take_along_dim(nearest[..., None, None], -2).squeeze(-2)


def fit_landmarks(
    landmarks: Landmarks,
    bank: FrameBank,
    scenes: torch.Tensor,
    frames: np.ndarray,
    mean: torch.Tensor,
    std: torch.Tensor,
) -> None:
    """On the poses at these frames int64 [N] of the bank, as far as their episodes succeed, in scenes [E, S].

    `mean` and `std` [P] normalize poses.
    """
    names = sorted(set(bank.tasks))
    task = torch.tensor([names.index(one) for one in bank.tasks], device=scenes.device)
    frames = frames[bank.success[bank.episode_of_frame()[frames]] & np.isfinite(bank.proprio[frames]).all(1)]
    episode = torch.from_numpy(bank.episode_of_frame()[frames]).to(scenes.device)
    landmarks.fit(scenes, task, episode, (torch.from_numpy(bank.proprio[frames]).to(scenes.device) - mean) / std)


def _affine(keypoints: torch.Tensor) -> torch.Tensor:
    return torch.cat([keypoints, torch.ones_like(keypoints[:, :1])], dim=1)


def _discriminant(keypoints: torch.Tensor, task: torch.Tensor, tasks: int) -> torch.Tensor:
    """[T, S + 1]: the logarithm of a task's density, up to what all have in common, is linear in keypoints [E, S] where
    all tasks are normal with one covariance."""
    means = torch.stack([keypoints[task == one].mean(0) for one in range(tasks)])
    within = keypoints - means[task]
    covariance = within.T @ within / len(within)
    covariance += SMALLEST_VARIANCE * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    slopes = torch.linalg.solve(covariance, means.T).T
    return torch.cat([slopes, -0.5 * (slopes * means).sum(1, keepdim=True)], dim=1)


def _ridge(given: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The solution [S + 1, D] for `given` [N, S + 1] and `wanted` [N, D], and what it misses each row by, [N, D], when
    fitted without it."""
    gram = given.T @ given + RIDGE * torch.eye(given.shape[1], dtype=given.dtype, device=given.device)
    solution = torch.linalg.solve(gram, given.T @ wanted)
    leverage = (given * torch.linalg.solve(gram, given.T).T).sum(1, keepdim=True)
    return solution, (wanted - given @ solution) / (1 - leverage)
