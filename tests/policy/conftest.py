"""A tiny policy and a bank whose images tell the action."""

import numpy as np
import pytest

from worldvla.config import PolicyArchitecture
from worldvla.episodes.frame_bank import FrameBank
from worldvla.policy.vla import Policy

CHUNK = 4


@pytest.fixture(scope="session")
def architecture() -> PolicyArchitecture:
    return PolicyArchitecture(
        image_size=16,
        patch=4,
        width=32,
        vision_layers=1,
        language_layers=2,
        heads=2,
        bins=5,
        steps=40,
        batch_size=16,
        learning_rate=3e-3,
        label_smoothing=0.05,
    )


@pytest.fixture
def policy(architecture) -> Policy:
    """Untrained; its head is made lively, so that logits differ visibly."""
    policy = Policy.create(architecture, CHUNK, seed=0).eval()
    policy.head.weight.data.mul_(30)
    return policy


@pytest.fixture(scope="session")
def bank() -> FrameBank:
    """Eight episodes of 1 to 8 actions; a bright image asks for +1 in each dimension, a dark one for -1."""
    lengths = np.arange(1, 9) + 1
    bright = np.arange(len(lengths)) % 2
    shade = np.repeat(bright, lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    actions = np.repeat((2.0 * shade - 1)[:, None], 7, axis=1).astype(np.float32)
    actions[starts + lengths - 1] = 0
    images = np.random.default_rng(0).integers(0, 40, (len(shade), 16, 16, 3)) + 200 * shade[:, None, None, None]
    return FrameBank(
        episode_ids=[f"episode-{i}" for i in range(len(lengths))],
        tasks=["T"] * len(lengths),
        instructions=["push the cube"] * len(lengths),
        success=np.ones(len(lengths), dtype=bool),
        images=images.astype(np.uint8),
        actions=actions,
        proprio=np.zeros((len(shade), 2), dtype=np.float32),
        reward=np.zeros(len(shade), dtype=np.float32),
        progress=np.zeros(len(shade), dtype=np.float32),
        starts=starts,
        lengths=lengths,
    )
