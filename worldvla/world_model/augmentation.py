"""Windows seen from elsewhere: all latent frames of one moved by the same few cells, edges repeated.

A few hundred episodes show each place of the table a handful of times, and a transformer with
learned positions learns them by heart. Contact is the same wherever it happens: moved windows
say so (random shifts as in DrQ, Kostrikov et al. 2020, arXiv 2004.13649, on latents). Actions
are displacements in the robot's frame and stay as they are.
"""

import torch


def draw_offsets(count: int, most: int, random: torch.Generator) -> torch.Tensor:
    """int64 [count, 2]: (rows, columns) by which to look further, each from -most to most."""
    return torch.randint(-most, most + 1, (count, 2), generator=random)


def shift(latents: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Latents [B, F, C, h, w], those of each b moved up by offsets[b, 0] and left by offsets[b, 1] cells."""
    height, width = latents.shape[-2:]
    down, right = offsets.to(latents.device).split(1, dim=1)
    rows = (torch.arange(height, device=latents.device) + down).clamp(0, height - 1)
    columns = (torch.arange(width, device=latents.device) + right).clamp(0, width - 1)
    moved = latents.take_along_dim(rows[:, None, None, :, None], dim=-2)
    return moved.take_along_dim(columns[:, None, None, None, :], dim=-1)
