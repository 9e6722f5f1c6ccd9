"""Where in a picture learned features lie: a spatial softmax over what a policy's stem makes of it.

Levine et al. 2016, "End-to-End Training of Deep Visuomotor Policies", section 5.1: the mean coordinates under the
softmax of a feature map are exact to a fraction of a cell. Cloning thousands of action chunks teaches a policy where
the objects are to 1 to 3 mm; the world model reads it, too (`worldvla/world_model/contact.py`).
"""

import torch
import torch.nn.functional as F
from torch import nn

STEM_STRIDE = 4
STEM_CHANNELS = 48
STEM_GROUPS = 6
KEYPOINTS = 32
KEYPOINT_CHANNELS = 64
KEYPOINT_GROUPS = 8
SPREAD = 3.0  # coordinates reach from -SPREAD to SPREAD, so that what lies in the middle half has about unit size


class Keypoints(nn.Module):
    """The keypoints of the stem's features, projected to a policy's width."""

    def __init__(self, width: int):
        super().__init__()
        self.maps = keypoint_maps()
        self.projector = nn.Sequential(nn.Linear(2 * KEYPOINTS, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[B, width] of the stem's features [B, STEM_CHANNELS, s, s]."""
        return self.projector(points(self.maps(features)))


class Sight(nn.Module):
    """What of a policy finds keypoints, by itself; pictures are seen at `image_size` pixels a side."""

    def __init__(self, image_size: int):
        super().__init__()
        self.image_size = image_size
        self.stem = stem()
        self.maps = keypoint_maps()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Keypoints float32 [B, 2 KEYPOINTS] in pictures uint8 [B, H, W, 3]; in full precision."""
        pixels = pictures.permute(0, 3, 1, 2).float()
        # Averaged over boxes, as a policy's pictures are (`worldvla/episodes/images.py`).
        pixels = F.interpolate(pixels, (self.image_size, self.image_size), mode="area")
        with torch.autocast(pictures.device.type, enabled=False):
            return points(self.maps(self.stem(pixels / 127.5 - 1)))


def stem() -> nn.Sequential:
    """Pixels [B, 3, S, S] in [-1, 1] to features [B, STEM_CHANNELS, s, s], s = S / STEM_STRIDE."""
    return nn.Sequential(
        nn.Conv2d(3, STEM_CHANNELS // 2, 3, stride=2, padding=1),
        nn.GroupNorm(STEM_GROUPS, STEM_CHANNELS // 2),
        nn.GELU(),
        nn.Conv2d(STEM_CHANNELS // 2, STEM_CHANNELS, 3, stride=2, padding=1),
        nn.GroupNorm(STEM_GROUPS, STEM_CHANNELS),
        nn.GELU(),
    )


def keypoint_maps() -> nn.Sequential:
    """Features [B, STEM_CHANNELS, s, s] to logits [B, KEYPOINTS, s, s]."""
    before, layers = STEM_CHANNELS, []
    for _ in range(2):
        layers += [nn.Conv2d(before, KEYPOINT_CHANNELS, 3, padding=1)]
        layers += [nn.GroupNorm(KEYPOINT_GROUPS, KEYPOINT_CHANNELS), nn.GELU()]
        before = KEYPOINT_CHANNELS
    return nn.Sequential(*layers, nn.Conv2d(before, KEYPOINTS, 1))


def points(maps: torch.Tensor) -> torch.Tensor:
    """float32 [B, 2 P]: column and row of each of P logit maps [B, P, s, s], the mean under its softmax."""
    line = torch.linspace(-SPREAD, SPREAD, maps.shape[-1], device=maps.device)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    share_BPS = maps.float().flatten(2).softmax(-1)
    return (share_BPS @ torch.stack([columns.flatten(), rows.flatten()], dim=1)).flatten(1)
