"""What all experts share: a plan yields where the hand should be, one target an action.

A plan is a generator that reads the scene anew before each target, so it is closed-loop
and its stages read from top to bottom. `servo` turns a target into an action.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

OPEN, CLOSED = 1.0, -1.0
Scene = dict[str, np.ndarray]
Look = Callable[[], Scene]

TRANSLATION_GAIN = 1 / 0.03  # deflection a metre: full speed until 3 cm from the target
ROTATION_GAIN = 1 / 0.15  # deflection a radian


@dataclass(frozen=True)
class Target:
    """`position` [3] in metres; `turn` [3]: the rotation that is left, about the base's axes, in radians;
    `speed`: the largest deflection."""

    position: np.ndarray
    gripper: float
    turn: np.ndarray | None = None
    speed: float = 1.0


@dataclass(frozen=True)
class Aim:
    """How a plan is carried out. The values of a true expert: no offset, the whole extent, no delay.

    `offset` [2] displaces in metres the point where the object is touched (pushes) or put (placements);
    `extent` is the share of the motion made before the hand gives up; `delay` is the number of actions
    the gripper opens too late; `speed` scales every motion.
    """

    offset: np.ndarray
    extent: float
    delay: int
    speed: float


Plan = Callable[[Look, Aim], Iterator[Target]]


def servo(target: Target, tcp: np.ndarray) -> np.ndarray:
    """The action, float32 [7] in [-1, 1], that brings the hand from pose `tcp` [7] towards the target."""
    translation = (target.position - tcp[:3]) * TRANSLATION_GAIN
    translation *= min(1.0, target.speed / max(np.abs(translation).max(), 1e-9))
    turn = np.zeros(3) if target.turn is None else target.turn * ROTATION_GAIN
    turn *= min(1.0, 1.0 / max(np.linalg.norm(turn), 1e-9))
    return np.concatenate([translation, turn, [target.gripper]]).astype(np.float32)


def go(look: Look, aim_at: Callable[[Scene], Target], near: float, patience: int = 30) -> Iterator[Target]:
    """Yields the target, taken from the scene each time, until the hand is `near` (metres) or patience ends."""
    for _ in range(patience):
        scene = look()
        target = aim_at(scene)
        if np.linalg.norm(scene["tcp"][:3] - target.position) < near:
            return
        yield target


def hold(look: Look, gripper: float, actions: int) -> Iterator[Target]:
    """Stays where the hand is now."""
    position = look()["tcp"][:3].copy()
    for _ in range(actions):
        yield Target(position, gripper)


def rest(look: Look, gripper: float) -> Iterator[Target]:
    """Draws the hand up and stays there for ever."""
    position = look()["tcp"][:3] + np.array([0.0, 0.0, 0.06])
    while True:
        yield Target(position, gripper, speed=0.4)
