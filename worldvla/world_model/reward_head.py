"""The reward head: whether a latent frame shows success, read beside the episode's first frame."""

import torch
from torch import nn


class RewardHead(nn.Module):
    """One scalar r̂ a frame, regressed on 1 for success and 0 otherwise.

    Convolutions first, so that where things stand to each other counts before where they
    are; the anchor is given because the arm may hide the goal.
    """

    def __init__(self, latent_channels: int, latent_size: int, width: int = 64):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(2 * latent_channels, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, stride=2),
            nn.SiLU(),
        )
        self.perceptron = nn.Sequential(
            nn.Flatten(), nn.Linear(width * (latent_size // 2) ** 2, width), nn.SiLU(), nn.Linear(width, 1)
        )

    def forward(self, latents: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
        """Latents [B, K, C, h, w] and anchor [B, C, h, w] to r̂ float32 [B, K]; about a probability, not clipped."""
        batch, frames = latents.shape[:2]
        pairs = torch.cat([latents, anchor[:, None].expand_as(latents)], dim=2).flatten(0, 1)
        return self.perceptron(self.convolutions(pairs)).float().view(batch, frames)
