"""Where the hand takes hold of a thing, from its pose.

Sizes are those of LIBERO's collision shapes, in metres, in the thing's own frame.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from worldvla.sim.experts.libero.hand import Pose, down_closing_along, rotation_of
from worldvla.sim.experts.motion import Scene

Grasp = Callable[[Scene], Pose]

# An akita black bowl: its wall stands this far from the centre, this high above the bottom, where the fingers close.
RIM_RADIUS = 0.048
RIM_HEIGHT = 0.03


@dataclass(frozen=True)
class Sides:
    """A thing taken from above between two of its sides.

    `axes` [3] each, in the thing's frame: the fingers may close along any; the one that asks for
    the least turn of the wrist is taken. `height` of the hand above the thing's origin.
    """

    axes: tuple[tuple[int, int, int], ...]
    height: float

    def __call__(self, item: str) -> Grasp:
        def grasp(scene: Scene) -> Pose:
            rotation = rotation_of(scene[item])
            along = max((rotation @ np.array(axis) for axis in self.axes), key=lambda axis: abs(axis[1]))
            position = scene[item][:3] + np.array([0.0, 0.0, self.height])
            return Pose(position, down_closing_along(along))

        return grasp


def rim(bowl: str, direction: np.ndarray, radius: float = RIM_RADIUS, height: float = RIM_HEIGHT) -> Grasp:
    """One finger in the bowl, one outside, where its rim is furthest along `direction` [2] (of length 1)."""
    offset = np.array([*(radius * direction), height])
    rotation = down_closing_along(direction)
    return lambda scene: Pose(scene[bowl][:3] + offset, rotation)


def free_side(scene: Scene, bowl: str, others: Iterable[str], directions: np.ndarray, reach: float = 0.1) -> np.ndarray:
    """The first of the `directions` [N, 2] along which nothing stands where the outer finger goes down, or else that
    which leaves it the most room."""
    finger = scene[bowl][:2] + reach * directions
    standing = np.array([scene[name][:2] for name in others]).reshape(-1, 2)
    if not len(standing):
        return directions[0]
    room = np.linalg.norm(finger[:, None] - standing[None], axis=-1).min(axis=1)
    return directions[int(np.argmax(np.minimum(room, 0.08)))]
