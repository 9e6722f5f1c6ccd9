"""The robot's own body: where actions take it, and what it looks like there.

Actions say exactly where the arm goes; a video model that reads them as numbers has to draw
that from its blurred last frames. So they are first made a picture, as in iMaC's motion images
(arXiv 2606.09813), BridgeV2W's embodiment masks and EVAC's action maps (arXiv 2505.09723). These
render a URDF through a calibrated camera; here both steps are learned from recorded
proprioception, so any robot and any fixed camera will do:

- `Kinematics` rolls proprioception out under actions, with what the robot meets (`contact.py`).
- `EmbodimentMap` redraws an episode's first frame with the robot in another pose.
- `Embodiment` is both.

What it is worth: docs/experiments.md. Shapes: B batch, M poses, P proprioception, A action,
C latent channels, h x w latents. Proprioception that is NaN is not known.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from worldvla.training import weights
from worldvla.world_model.contact import Contact

# The change [B, P] that is met, at normalized proprioception [B, P], after action [B, A].
Met = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

WIDTH = 256  # of the kinematics
STEP_SCALE = 0.3  # of a standard deviation: what an action changes, about
OCTAVES = (1.0, 2.0, 4.0)  # of angles, whose sines draw more sharply than they themselves
POSE_WIDTH = 256
SCENE_WIDTH = 32
CHANNELS = (128, 64, 48)  # of the map, at a quarter, a half and the whole of its size


class Kinematics(nn.Module):
    """Proprioception one action later. Buffers `mean` and `std` [P] are those of the training frames."""

    def __init__(self, proprio_dim: int, action_dim: int, sight_size: int, tasks: int):
        super().__init__()
        self.contact = Contact(proprio_dim, action_dim, sight_size, tasks)
        self.step = Response(proprio_dim, action_dim)
        self.register_buffer("mean", torch.zeros(proprio_dim))
        self.register_buffer("std", torch.ones(proprio_dim))

    def forward(self, proprio: torch.Tensor, action: torch.Tensor, met: Met | None) -> torch.Tensor:
        """float32 [B, P] after action [B, A] of proprio [B, P], and of what is `met`."""
        normalized = (proprio - self.mean) / self.std
        change = self.step(torch.cat([normalized, proprio.sin(), proprio.cos()], dim=-1), action)
        if met is not None:
            change = change + met(normalized, action)
        return proprio + STEP_SCALE * self.std * change.float()

    def rollout(self, proprio: torch.Tensor, actions: torch.Tensor, met: Met | None) -> torch.Tensor:
        """float32 [B, K, P] after each of the actions [B, K, A]; in full precision, for errors add up.

        What is `met` is `contact`'s word within a scene; None where nothing is.
        """
        reached = []
        with torch.autocast(proprio.device.type, enabled=False):
            for action in actions.float().unbind(1):
                proprio = self(proprio, action, met)
                reached.append(proprio)
        return torch.stack(reached, dim=1)


class Response(nn.Module):
    """The change [B, P] that action [B, A] brings about where the robot's features [B, 3 P] say it is.

    A drive answers in proportion to what it is told, and how much depends on the pose: control-affine dynamics,
    f(x) + G(x) a, whose products a network of sums alone would have to learn one by one. `rest` learns what they miss.
    """

    def __init__(self, proprio_dim: int, action_dim: int):
        super().__init__()
        self.linear = nn.Linear(3 * proprio_dim + action_dim, proprio_dim)
        self.gains = _layers(3 * proprio_dim, 2, proprio_dim * action_dim)
        self.rest = _layers(3 * proprio_dim + action_dim, 3, proprio_dim)
        for layer in (self.linear, self.gains[-1], self.rest[-1]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        gains = self.gains(features).unflatten(-1, (-1, action.shape[-1]))
        both = torch.cat([features, action], dim=-1)
        return self.linear(both) + self.rest(both) + torch.einsum("bpa,ba->bp", gains, action)


class EmbodimentMap(nn.Module):
    """Latents of the first frame with the robot in other poses; the first frame itself where a pose is not known.

    Drawn from the pose at a quarter of the size and then larger, over what a convolution sees of the
    first frame; a mask says where the drawing covers it. Buffers `mean` and `std` [P] as of `Kinematics`.
    """

    def __init__(self, proprio_dim: int, latent_channels: int, latent_size: int):
        super().__init__()
        self.size = latent_size
        self.quarter = -(-latent_size // 4)
        wide, half, full = CHANNELS
        self.scene = nn.Conv2d(latent_channels, SCENE_WIDTH, 3, stride=2, padding=1)
        self.pose = nn.Sequential(
            nn.Linear((1 + 2 * len(OCTAVES)) * proprio_dim + SCENE_WIDTH, POSE_WIDTH),
            nn.SiLU(),
            nn.Linear(POSE_WIDTH, POSE_WIDTH),
            nn.SiLU(),
            nn.Linear(POSE_WIDTH, wide * self.quarter**2),
        )
        self.small = nn.Conv2d(wide, wide, 3, padding=1)
        self.to_middle = nn.Conv2d(wide, 4 * half, 1)
        self.middle = nn.Conv2d(half, half, 3, padding=1)
        self.to_large = nn.Conv2d(half, 4 * full, 1)
        self.background = nn.Conv2d(latent_channels, full, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(1, full, latent_size, latent_size))
        self.large = nn.Conv2d(full, full, 3, padding=1)
        self.last = nn.Conv2d(full, latent_channels + 1, 3, padding=1)
        self.register_buffer("mean", torch.zeros(proprio_dim))
        self.register_buffer("std", torch.ones(proprio_dim))

    def forward(self, anchor: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """float32 [B, M, C, h, w] of first frames [B, C, h, w] and poses [B, M, P]."""
        batch, poses = proprio.shape[:2]
        known = proprio.isfinite().all(-1)
        angles = proprio.nan_to_num()
        features = [(angles - self.mean) / self.std]
        features += [wave(octave * angles) for octave in OCTAVES for wave in (torch.sin, torch.cos)]
        anchor_last = anchor.contiguous(memory_format=torch.channels_last)
        scene = F.silu(self.scene(anchor_last)).float().mean((2, 3))
        features.append(scene[:, None].expand(-1, poses, -1))
        # In full precision: eight bits of an angle are some millimetres at the hand.
        with torch.autocast(anchor.device.type, enabled=False):
            drawn = self.pose(torch.cat(features, dim=-1)).view(batch * poses, -1, self.quarter, self.quarter)
        drawn = drawn.contiguous(memory_format=torch.channels_last)
        drawn = drawn + self.small(F.silu(drawn))
        drawn = F.pixel_shuffle(self.to_middle(F.silu(drawn)), 2)
        drawn = drawn + self.middle(F.silu(drawn))
        drawn = F.pixel_shuffle(self.to_large(F.silu(drawn)), 2)
        drawn = drawn[..., : self.size, : self.size]
        behind = self.background(anchor_last) + self.place
        drawn = drawn.unflatten(0, (batch, poses)) + behind[:, None]
        drawn = drawn.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        drawn = drawn + self.large(F.silu(drawn))
        drawn = self.last(F.silu(drawn)).float().unflatten(0, (batch, poses))
        cover = drawn[:, :, -1:].sigmoid() * known[:, :, None, None, None]
        return torch.lerp(anchor.float()[:, None].expand_as(drawn[:, :, :-1]), drawn[:, :, :-1], cover)


class Embodiment(nn.Module):
    """Kinematics and map of one robot before one camera; both are None where no proprioception is recorded.

    `config` is all that is needed to build it again: `proprio_dim`, `action_dim`, `sight_size` (pixels a side of what
    contact sees), `tasks` (in how many it knows where things are held), `latent_channels` and `latent_size`.
    """

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        proprio_dim, latent_size = config["proprio_dim"], config["latent_size"]
        self.kinematics, self.map = None, None
        if proprio_dim:
            self.kinematics = Kinematics(proprio_dim, config["action_dim"], config["sight_size"], config["tasks"])
            self.map = EmbodimentMap(proprio_dim, config["latent_channels"], latent_size)

    def to_bytes(self) -> bytes:
        """All weights and buffers as safetensors."""
        return weights.to_bytes(self.state_dict())

    @classmethod
    def from_bytes(cls, config: dict[str, Any], data: bytes) -> "Embodiment":
        """The embodiment that `to_bytes` wrote; raises `UserError` when weights and configuration disagree."""
        return weights.build(cls, config, data)


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """So many hidden layers of `WIDTH`, each normalized, and a linear one."""
    widths = [inputs] + hidden * [WIDTH]
    layers: list[nn.Module] = []
    for narrow, wide in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(narrow, wide), nn.LayerNorm(wide), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, outputs))
