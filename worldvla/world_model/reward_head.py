"""The reward head: how far the task has come in a latent frame, read beside the episode's first frame."""

import numpy as np
import torch
from torch import nn

NOT_YET = 0.6  # of 1, what is almost done is worth


def worth(progress: np.ndarray) -> np.ndarray:
    """What r̂ is regressed on, of the same shape: 1 at success, where alone progress is 1, else NOT_YET of the progress.

    A peg that leans, or a ball above its bin and not let go, has a progress of .8 to .99. Regressed on that, with an
    imagined future that is not sure, it cannot be told from a success, and to come near is what a policy learns.
    """
    return np.where(progress < 1, np.float32(NOT_YET) * progress, progress)


class RewardHead(nn.Module):
    """One scalar r̂ a frame, regressed on what the progress of the task is `worth`.

    Regressed on success itself, r̂ has few frames to learn from, and none says how near a
    miss was. From which r̂ on a frame counts as success is calibrated afterwards
    (`worldvla.alignment.calibration`).

    Every place of the latent grid judges its neighbourhood with the same weights and says
    how much its word counts; r̂ is the mean by those softmax weights. What matters is how
    things stand to each other, not where: a perceptron on the flattened latents knew the
    outcome of 81 % of held-out PushCube episodes (balanced, real frames, 168 to train on),
    this head of 98 %. The anchor is given because the arm may hide the goal. Every `stride`-th
    place a side judges: of finer latents the places overlap anyway.
    """

    def __init__(self, latent_channels: int, stride: int = 1, width: int = 96):
        super().__init__()
        self.judgement = nn.Sequential(
            nn.Conv2d(2 * latent_channels, width, 3, stride=stride, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 2, 1),
        )

    def forward(self, latents: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
        """Latents [B, F, C, h, w] and anchor [B, C, h, w] to r̂ float32 [B, F]; about in [0, 1], not clipped."""
        batch, frames = latents.shape[:2]
        pairs = torch.cat([latents, anchor[:, None].expand_as(latents)], dim=2).flatten(0, 1)
        value, attention = self.judgement(pairs).float().flatten(2).unbind(1)
        return (value * attention.softmax(-1)).sum(-1).view(batch, frames)
