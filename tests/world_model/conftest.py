"""A toy world to imagine: a square that the actions push over a patterned floor."""

import numpy as np
import pytest
import torch

from tests.sight import untrained_sight
from worldvla.config import WorldModelArchitecture, WorldModelFineTuning
from worldvla.episodes.frame_bank import FrameBank
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.training import pretrain

IMAGE_SIZE = 32
CHUNK = 4
STRIDE = 2
FRAMES = CHUNK // STRIDE  # imagined of a chunk
FINE_TUNING = WorldModelFineTuning(
    steps=6,
    learning_rate=1e-3,
    sampling={"success": 0.4, "near_success": 0.4, "failure": 0.2},
    validate_every=2,
    calibration_episodes=4,
)


def toy_bank(episodes: int = 6, length: int = 9, seed: int = 0) -> FrameBank:
    """Episodes of `length` frames; every other one ends with the square in the right half, which is success.

    The robot is the square itself; it senses where that is, and a constant."""
    random = np.random.default_rng(seed)
    floor = random.integers(60, 120, (IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    images, actions, places, rewards = [], [], [], []
    for episode in range(episodes):
        push = np.zeros((length, 7), dtype=np.float32)
        push[:-1, 0] = random.uniform(0.5, 1.0, length - 1) * (1 if episode % 2 else -0.2)
        x = 6 + 2 * np.concatenate([[0], push[:-1, 0].cumsum()])
        frames = np.repeat(floor[None], length, axis=0)
        for frame, at in zip(frames, x.round().astype(int), strict=True):
            frame[12:20, at : at + 6] = (220, 30, 30)
        images.append(frames)
        actions.append(push)
        places.append(np.stack([x, np.full(length, 0.5)], axis=1).astype(np.float32) / IMAGE_SIZE)
        rewards.append((x >= IMAGE_SIZE // 2).astype(np.float32))
    lengths = np.full(episodes, length, dtype=np.int64)
    reward = np.concatenate(rewards)
    return FrameBank(
        episode_ids=[f"{index:04d}" for index in range(episodes)],
        tasks=["toy"] * episodes,
        instructions=["push the square to the right"] * episodes,
        success=np.array([values.any() for values in rewards]),
        images=np.concatenate(images),
        actions=np.concatenate(actions),
        proprio=np.concatenate(places),
        reward=reward,
        progress=reward,
        starts=np.arange(episodes, dtype=np.int64) * length,
        lengths=lengths,
    )


def toy_architecture(
    autoencoder_steps: int = 12, pretrain_steps: int = 12, body_steps: int = 6
) -> WorldModelArchitecture:
    return WorldModelArchitecture(
        image_size=IMAGE_SIZE,
        frame_stride=STRIDE,
        autoencoder={
            "patch": 4,
            "latent_channels": 4,
            "channels": [8, 8],
            "layers_per_block": 1,
            "frames": 1000,
            "steps": autoencoder_steps,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "motion_weight": 4.0,
            "kl_weight": 1e-6,
        },
        embodiment={
            "kinematics_steps": body_steps,
            "kinematics_learning_rate": 3e-3,
            "horizon": 4,
            "contact_steps": body_steps,
            "contact_learning_rate": 3e-3,
            "map_steps": body_steps,
            "map_learning_rate": 3e-3,
            "batch_size": 8,
        },
        transformer={"layers": 1, "heads": 2, "head_dim": 16, "patch": 2, "history": 2},
        training={
            "batch_size": 4,
            "learning_rate": 3e-3,
            "ema_decay": 0.9,
            "context_noise": 0.3,
            "reward_weight": 1.0,
            "shift": 1,
        },
        pretrain_steps=pretrain_steps,
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Models this small lose more to waiting threads than they gain from them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def bank() -> FrameBank:
    return toy_bank()


@pytest.fixture(scope="session")
def model(bank):
    return pretrain(bank, untrained_sight(), toy_architecture(), CHUNK, 0, Checkpointer(None), ignore)
