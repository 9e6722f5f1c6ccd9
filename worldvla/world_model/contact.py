"""What the robot meets: how far fingers close depends on what lies between them.

The recorded pose at the moment a hand closes tells whether it will hold: one that landed on an
object stands a few millimetres higher. A pose that is rolled out in imagination knows nothing of
that. So here it is read from a picture of the episode's first frame and from where the rollout
has brought the hand; pixels, for the autoencoder's latents hide the few millimetres from as many
examples as there are. What that is worth: docs/experiments.md.

Shapes: B batch, P proprioception, A action, S scene, h x w latents.
"""

import torch
import torch.nn.functional as F
from torch import nn

SCENE_WIDTH = 32
CHANNELS = 32
WIDTH = 192


class Contact(nn.Module):
    """What things seen in the first frame change about one action's effect.

    It reads nothing that a free rollout could not know, so it generalizes from some hundreds of grasps
    where the hand's position [3] is part of proprioception; from joint angles alone it learns by heart.
    """

    def __init__(self, proprio_dim: int, action_dim: int, image_size: int, latent_size: int):
        super().__init__()
        self.fold = image_size // latent_size
        seen = (-(-latent_size // 4)) ** 2
        self.eye = nn.Sequential(
            nn.Conv2d(3 * self.fold**2, CHANNELS, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(CHANNELS * seen, SCENE_WIDTH),
            nn.SiLU(),
        )
        self.step = nn.Sequential(
            nn.Linear(proprio_dim + action_dim + SCENE_WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, proprio_dim),
        )
        nn.init.zeros_(self.step[-1].weight)
        nn.init.zeros_(self.step[-1].bias)

    def look(self, pictures: torch.Tensor) -> torch.Tensor:
        """The scene, float32 [B, S], in pictures uint8 [B, H, W, 3]; in full precision, for a grasp is a pixel wide."""
        folded = F.pixel_unshuffle(pictures.permute(0, 3, 1, 2).float() / 255 - 0.5, self.fold)
        with torch.autocast(pictures.device.type, enabled=False):
            return self.eye(folded)

    def forward(self, normalized: torch.Tensor, action: torch.Tensor, scene: torch.Tensor) -> torch.Tensor:
        """The change [B, P] to the kinematics' step at normalized proprioception [B, P], in its units."""
        return self.step(torch.cat([normalized, action, scene], dim=-1))
