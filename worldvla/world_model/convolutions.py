"""What is done latent by latent, around the tokens of `dynamics.py`: look before them, draw after.

Tokens are coarse: one of 4 x 4 latents has room for half of what its noise, anchor and history
say. So convolutions look at these first, and the frame is drawn by convolutions from what the
tokens decide and from what the first ones saw, as U-ViT's skip and last convolution do
(Bao et al. 2023, arXiv 2209.12152): where the arm goes is the tokens' matter, its edges are
there to be copied.

And what moves keeps its looks. So for every latent two displacements are predicted, one into
the latest frame and one into the anchor, and what lies there is drawn from as well (Finn et al.
2016, arXiv 1605.07157, "Unsupervised Learning for Physical Interaction through Video
Prediction", whose pixels are moved; bilinear sampling as in Jaderberg et al. 2015, arXiv
1506.02025). What each part is worth: docs/experiments.md.

Shapes: N frames, one after the other; C latent channels, h x w latents.
"""

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS = 64  # of every latent between the first convolution and the last
MOVED_CHANNELS = 32  # of what is moved, for each of its sources
SOURCES = 2  # the latest frame and the anchor
NORM_GROUPS = 8


class Look(nn.Module):
    """Features [N, CHANNELS, h, w] of stacked inputs [N, `inputs`, h, w] and of embeddings [N, `width`]."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.first = _convolution(inputs, CHANNELS)
        self.second = _convolution(CHANNELS, CHANNELS)
        self.third = _convolution(CHANNELS, CHANNELS)
        self.norm_second = nn.GroupNorm(NORM_GROUPS, CHANNELS)
        self.norm_third = nn.GroupNorm(NORM_GROUPS, CHANNELS)
        self.modulation = nn.Linear(width, 2 * CHANNELS)
        for layer in (self.modulation, self.third):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, stacked: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        features = F.silu(self.first(_channels_last(stacked)))
        scale, shift = self.modulation(embedded)[:, :, None, None].chunk(2, dim=1)
        residual = self.second(F.silu(self.norm_second(features)))
        residual = F.silu(torch.addcmul(shift, self.norm_third(residual), 1 + scale))
        return features + self.third(_channels_last(residual))


class Draw(nn.Module):
    """Latents [N, C, h, w] from what the tokens decided and what `Look` saw, both [N, CHANNELS, h, w], and from the
    robot's body [N, C, h, w]. It starts as zero."""

    def __init__(self, latent_channels: int):
        super().__init__()
        self.join = _convolution(2 * CHANNELS, CHANNELS)
        self.transport = Transport(latent_channels)
        self.redraw = _convolution(CHANNELS + SOURCES * MOVED_CHANNELS + latent_channels, CHANNELS)
        self.last = _convolution(CHANNELS, latent_channels)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self, decided: torch.Tensor, seen: torch.Tensor, body: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """`sources` [B, SOURCES, C, h, w] are the latest frames and the anchors; each serves N / B frames."""
        joined = F.silu(self.join(_channels_last(torch.cat([decided, seen], dim=1))))
        moved = self.transport(joined, sources)
        redrawn = F.silu(self.redraw(_channels_last(torch.cat([joined, moved, body.to(joined.dtype)], dim=1))))
        return self.last(redrawn)


class Transport(nn.Module):
    """Features of the sources, each latent's taken from where its displacement points.

    Displacements are in latents and start as zero; beyond the edge lies what lies at the edge.
    """

    def __init__(self, latent_channels: int):
        super().__init__()
        self.features = _convolution(latent_channels, MOVED_CHANNELS)
        self.displacement = _convolution(CHANNELS, 2 * SOURCES)
        nn.init.zeros_(self.displacement.weight)
        nn.init.zeros_(self.displacement.bias)

    def forward(self, joined: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """[N, SOURCES · MOVED_CHANNELS, h, w] from features [N, CHANNELS, h, w] and `sources` as of `Draw`."""
        height, width = sources.shape[-2:]
        frames = len(joined) // len(sources)
        features = F.silu(self.features(sources.flatten(0, 1))).float().unflatten(0, (-1, SOURCES))
        # The kernel's coordinates: -1 and 1 are the centres of the first and last latents.
        unit = joined.new_tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)], dtype=torch.float32)
        rows = torch.linspace(-1, 1, height, device=joined.device)
        columns = torch.linspace(-1, 1, width, device=joined.device)
        here = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        displacement = self.displacement(joined).float().unflatten(1, (SOURCES, 2)).permute(1, 0, 3, 4, 2)
        moved = [
            F.grid_sample(
                features[:, source].repeat_interleave(frames, dim=0),
                here + unit * displacement[source],
                padding_mode="border",
                align_corners=True,
            )
            for source in range(SOURCES)
        ]
        return torch.cat(moved, dim=1).to(joined.dtype)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _channels_last(features: torch.Tensor) -> torch.Tensor:
    """As convolutions are fastest on a processor."""
    return features.contiguous(memory_format=torch.channels_last)
