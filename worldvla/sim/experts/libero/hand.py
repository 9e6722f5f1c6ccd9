"""The hand's orientation, and the stages that all of LIBERO's experts are made of.

LIBERO's controller forgets a rotation that it is not told again, and contact turns the hand.
So every target says which way the hand must be, and `reach` waits for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from worldvla.sim.experts.motion import Aim, Look, Scene, Target
from worldvla.sim.experts.rotation import rotation_about, rotation_of

# The hand's axes, as columns, when it points down: x is the axis along which the fingers close.
_DOWN = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
UP = np.array([0.0, 0.0, 1.0])
_TURN = 0.35  # radians asked for at once: more than the hand turns in one action, so it turns at full speed


@dataclass(frozen=True)
class Pose:
    """Where the hand should be: `position` [3] in metres, `rotation` [3, 3] with the hand's axes as columns."""

    position: np.ndarray
    rotation: np.ndarray


def fixed(pose: Pose) -> Callable[[Scene], Pose]:
    """The same pose in every scene, for `reach`."""
    return lambda _: pose


def down(yaw: float = 0.0) -> np.ndarray:
    """The hand points down; at `yaw` 0 its fingers close along y."""
    return rotation_about(UP, yaw) @ _DOWN


def down_closing_along(axis: np.ndarray) -> np.ndarray:
    """The hand points down and its fingers close along `axis` [3] or [2] (horizontal), with the least turn of the
    wrist from where an episode begins."""
    yaw = np.arctan2(-axis[0], axis[1])
    return down((yaw + np.pi / 2) % np.pi - np.pi / 2)


def turn_left(tcp: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """[3]: the rotation, about the base's axes, from the hand at pose `tcp` [7] to `rotation`."""
    left = rotation @ rotation_of(tcp).T
    angle = np.arccos(np.clip((np.trace(left) - 1) / 2, -1.0, 1.0))
    axis = np.array([left[2, 1] - left[1, 2], left[0, 2] - left[2, 0], left[1, 0] - left[0, 1]])
    return axis / max(np.linalg.norm(axis), 1e-9) * angle


def target(tcp: np.ndarray, pose: Pose, gripper: float, speed: float) -> Target:
    turn = turn_left(tcp, pose.rotation)
    return Target(pose.position, gripper, turn * min(1.0, _TURN / max(np.linalg.norm(turn), 1e-9)), speed)


def reach(
    look: Look,
    aim: Aim,
    pose_in: Callable[[Scene], Pose],
    gripper: float,
    near: float,
    speed: float = 1.0,
    straight: float = 0.12,
    patience: int = 60,
) -> Iterator[Target]:
    """Until the hand is `near` (metres) the pose, taken from the scene each time, and turned to it within `straight`
    (radians), or for `patience` actions."""
    for _ in range(patience):
        scene = look()
        pose = pose_in(scene)
        gone = np.linalg.norm(scene["tcp"][:3] - pose.position) < near
        if gone and np.linalg.norm(turn_left(scene["tcp"], pose.rotation)) < straight:
            return
        yield target(scene["tcp"], pose, gripper, speed * aim.speed)


def stay(look: Look, rotation: np.ndarray, gripper: float, actions: int) -> Iterator[Target]:
    """Holds the hand where it is now."""
    pose = Pose(look()["tcp"][:3].copy(), rotation)
    for _ in range(actions):
        yield target(look()["tcp"], pose, gripper, 1.0)


def withdraw(look: Look, rotation: np.ndarray, gripper: float, by: float = 0.1) -> Iterator[Target]:
    """Draws the hand back, against the direction in which it points, `by` metres and stays there for ever."""
    pose = Pose(look()["tcp"][:3] - by * rotation[:, 2], rotation)
    while True:
        yield target(look()["tcp"], pose, gripper, 0.6)
