"""What the robot meets: how far fingers close depends on what lies between them.

The recorded pose at the moment a hand closes tells whether it will hold: one that landed on an
object stands a few millimetres higher. A pose that is rolled out in imagination knows nothing of
that. So here it is read from where the rollout has brought the hand, and from where things lie in
a picture of the episode's first frame: the keypoints of the base policy, which thousands of cloned
chunks have taught to the millimetre. Keypoints learned from the closings alone, of which there are
some thousands, are not as exact: docs/experiments.md.

Some thousands are few for a network, too. So it is told how far the hand is from where things are
held (`landmarks.py`), which it would learn by heart instead; and what one network learns is
chance's choice, so several learn apart, and their mean is taken (Lakshminarayanan et al. 2017,
arXiv 1612.01474).

Shapes: B batch, P proprioception, A action, S scene, T tasks.
"""

from collections.abc import Callable

import torch
from torch import nn

from worldvla.policy.keypoints import KEYPOINTS, Sight
from worldvla.world_model.landmarks import Landmarks

SCENE = 2 * KEYPOINTS
PLACES = 32  # numbers that say what matters of a scene
WIDTH = 192
MEMBERS = 3
SMALLEST_SPREAD = 0.01  # of keypoints over episodes: where one stands still rounding must not be magnified


class Contact(nn.Module):
    """What things seen in the first frame change about one action's effect.

    It reads nothing that a free rollout could not know, so it generalizes from some hundreds of grasps
    where the hand's position [3] is part of proprioception; from joint angles alone it learns by heart.
    Buffers `scene_mean` and `scene_std` [S] are those of the training episodes' keypoints.
    """

    def __init__(self, proprio_dim: int, action_dim: int, sight_size: int, tasks: int):
        super().__init__()
        self.sight = Sight(sight_size).requires_grad_(False)
        self.register_buffer("scene_mean", torch.zeros(SCENE))
        self.register_buffer("scene_std", torch.ones(SCENE))
        self.grasp_points = Landmarks(tasks, SCENE, proprio_dim)
        self.members = nn.ModuleList(Member(proprio_dim, action_dim) for _ in range(MEMBERS))

    def look(self, pictures: torch.Tensor) -> torch.Tensor:
        """The scene, float32 [B, S], in pictures uint8 [B, H, W, 3]: keypoints, to about unit size."""
        return self._to_unit_size(self.sight(pictures))

    def accustom(self, keypoints: torch.Tensor) -> torch.Tensor:
        """Sets mean and spread to those of keypoints [E, S] that `sight` found, and returns their scenes."""
        self.scene_mean.copy_(keypoints.mean(0))
        self.scene_std.copy_(keypoints.std(0, correction=0).clamp(min=SMALLEST_SPREAD))
        return self._to_unit_size(keypoints)

    def _to_unit_size(self, keypoints: torch.Tensor) -> torch.Tensor:
        return (keypoints - self.scene_mean) / self.scene_std

    def within(self, scene: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """What is met in scenes [B, S], as `Kinematics.rollout` asks for it: the mean of what the members say."""
        points = self.grasp_points(scene)

        def met(normalized: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            away = self.grasp_points.away(normalized, points)
            return torch.stack([member(normalized, action, scene, away) for member in self.members]).mean(0)

        return met

    def apart_within(
        self, scene: torch.Tensor, misread: torch.Tensor
    ) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """As `within`, but each member alone says it of its own of MEMBERS equal shares of the rows, and poses are told
        wrongly by `misread` [B, P]."""
        points = self.grasp_points(scene)

        def met(normalized: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            told = normalized + misread
            away = self.grasp_points.away(told, points)
            shares = (rows.chunk(MEMBERS) for rows in (told, action, scene, away))
            return torch.cat([member(*share) for member, *share in zip(self.members, *shares, strict=True)])

        return met


class Member(nn.Module):
    """One network's word on what an action changes; at first, nothing."""

    def __init__(self, proprio_dim: int, action_dim: int):
        super().__init__()
        self.places = nn.Linear(SCENE, PLACES)
        self.step = nn.Sequential(
            nn.Linear(2 * proprio_dim + action_dim + PLACES, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, proprio_dim),
        )
        nn.init.zeros_(self.step[-1].weight)
        nn.init.zeros_(self.step[-1].bias)

    def forward(
        self, normalized: torch.Tensor, action: torch.Tensor, scene: torch.Tensor, away: torch.Tensor
    ) -> torch.Tensor:
        """The change [B, P] to the kinematics' step, in its units, at normalized proprioception [B, P], so far `away`
        [B, P] from where things are held, after action [B, A], in scene [B, S]."""
        return self.step(torch.cat([normalized, action, self.places(scene), away], dim=-1))
