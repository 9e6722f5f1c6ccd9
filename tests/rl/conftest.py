"""A world of one rule for policies to learn in, and states to start from."""

from dataclasses import dataclass

import numpy as np
import pytest

from worldvla.config import ActionNoise, PolicyArchitecture, Probes, ReinforcementLearning
from worldvla.policy.vla import Policy
from worldvla.rl.starts import StartStates

CHUNK = 2
SIZE = 8


@dataclass(frozen=True)
class Positions:
    position: np.ndarray
    goal: np.ndarray

    def select(self, rows: np.ndarray) -> "Positions":
        return Positions(self.position[rows], self.goal[rows])


@dataclass(frozen=True)
class Moved:
    images: np.ndarray
    reward: np.ndarray
    state: Positions
    path: np.ndarray


class Line:
    """A point on a line that the first action dimension moves; success is beyond 1 on the side that the start's
    shade names: bright right, dark left. The picture is the start's shade, darkened a little by each step right."""

    def __init__(self) -> None:
        self.imagined_steps = 0

    def start(
        self,
        anchor: np.ndarray,
        proprio: np.ndarray,
        history: np.ndarray | None = None,
        travelled: np.ndarray | None = None,
    ) -> Positions:
        goal = np.where(anchor.mean(axis=(1, 2, 3)) > 127, 1.0, -1.0)
        return Positions(np.zeros(len(anchor)), goal)

    def step(self, state: Positions, actions: np.ndarray, decode: str = "all") -> Moved:
        path = state.position[:, None] + np.cumsum(actions[:, :, 0], axis=1)
        reward = (path * state.goal[:, None] >= 1.0).astype(np.float32)
        self.imagined_steps += reward.size
        images = picture(path if decode == "all" else path[:, -1:], state.goal[:, None])
        return Moved(images, reward, Positions(path[:, -1], state.goal), path)

    def look(self, imagined: Moved, rows: np.ndarray, frames: np.ndarray) -> np.ndarray:
        return picture(imagined.path[rows, frames], imagined.state.goal[rows])


def picture(position: np.ndarray, goal: np.ndarray) -> np.ndarray:
    shade = (127 + 100 * goal - 4 * position.clip(-5, 5)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(shade[..., None, None, None], (*shade.shape, SIZE, SIZE, 3)))


@pytest.fixture
def architecture() -> PolicyArchitecture:
    return PolicyArchitecture(
        image_size=SIZE,
        patch=4,
        width=32,
        vision_layers=1,
        language_layers=1,
        heads=2,
        bins=5,
        steps=1,
        batch_size=8,
        learning_rate=1e-3,
        label_smoothing=0.0,
    )


@pytest.fixture
def policy(architecture) -> Policy:
    return Policy.create(architecture, CHUNK, seed=0).eval()


@pytest.fixture
def starts() -> StartStates:
    """Two bright and two dark starts; the last is a keyframe two actions before the end."""
    shade = np.array([227, 27, 227, 27], dtype=np.uint8)
    images = np.ascontiguousarray(np.broadcast_to(shade[:, None, None, None], (4, SIZE, SIZE, 3)))
    return StartStates(
        images=images,
        anchor=np.arange(4),
        history=np.repeat(np.arange(4)[:, None], 2, axis=1),
        step=np.array([0, 0, 0, 2]),
        travelled=np.zeros((4, 7), np.float32),
        proprio=np.zeros((4, 2), np.float32),
        kind=["start", "start", "start", "near_failure"],
        tasks=["line"] * 4,
        instructions=["go"] * 4,
        near_failure_share=0.25,
    )


def arrived(images: np.ndarray) -> np.ndarray:
    """The judge of `Line`: whether the picture's shade says that the point is beyond 1 on its side."""
    shade = images.mean(axis=(1, 2, 3))
    goal = np.where(shade > 127, 1.0, -1.0)
    return ((127 + 100 * goal - shade) / 4 * goal >= 1.0).astype(np.float32)


@pytest.fixture
def rl() -> ReinforcementLearning:
    return ReinforcementLearning(
        start="base",
        method="grpo",
        reward="head",
        exploitation_gap=0.2,
        updates=12,
        groups=4,
        group_size=8,
        noise=ActionNoise.one_by_one(1.0),
        learning_rate=1e-2,
        clip_low=0.2,
        clip_high=0.28,
        epochs=1,
        minibatch=32,
        freeze_encoders=False,
        kl_weight=0.0,
        cloning_weight=0.0,
        probe=Probes(every=0, per_task=1, hold_weight=0.0),
    )
