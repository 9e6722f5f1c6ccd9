"""Eyes for a world model whose base policy does not matter: they find keypoints at random, the same ones every time."""

import torch

from worldvla.policy.keypoints import Sight


def untrained_sight(image_size: int = 32) -> Sight:
    """On a GPU or not, its weights are the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Sight(image_size).eval()
