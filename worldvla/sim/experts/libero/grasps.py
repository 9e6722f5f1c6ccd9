"""Where the hand takes hold of a thing, from its pose.

Sizes are those of LIBERO's collision shapes, in metres, in the thing's own frame.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldvla.sim.experts.libero.hand import UP, Pose, down_closing_along
from worldvla.sim.experts.motion import Scene
from worldvla.sim.experts.rotation import rotation_about, rotation_of

Grasp = Callable[[Scene], Pose]

# An akita black bowl: its wall stands this far from the centre, this high above the bottom, where the fingers close.
RIM_RADIUS = 0.048
RIM_HEIGHT = 0.03
FINGER = 0.1  # metres from the bowl's centre to the outer finger of an open hand


@dataclass(frozen=True)
class Sides:
    """A thing taken from above between two of its sides.

    `axes` [3] each, in the thing's frame: the fingers may close along any; the one that asks for
    the least turn of the wrist is taken. `height` of the hand above the thing's origin, and how much
    `nearer` to the robot (metres) it takes a thing beside which a tall one stands.
    """

    axes: tuple[tuple[int, int, int], ...]
    height: float
    nearer: float = 0.0

    def __call__(self, item: str) -> Grasp:
        def grasp(scene: Scene) -> Pose:
            rotation = rotation_of(scene[item])
            along = max((rotation @ np.array(axis) for axis in self.axes), key=lambda axis: abs(axis[1]))
            position = scene[item][:3] + np.array([-self.nearer, 0.0, self.height])
            return Pose(position, down_closing_along(along))

        return grasp


def rim(
    bowl: str, side: np.ndarray, radius: float = RIM_RADIUS, height: float = RIM_HEIGHT, tilt: float = 0.0
) -> Grasp:
    """One finger in the bowl, one outside, where its rim is furthest along `side` [2] (of length 1). With a `tilt`
    (radians) the hand leans over to that side."""
    outward = np.array([*side, 0.0])
    offset = radius * outward + height * UP
    rotation = rotation_about(np.cross(UP, outward), tilt) @ down_closing_along(side)
    return lambda scene: Pose(scene[bowl][:3] + offset, rotation)


def free_side(places: np.ndarray, standing: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """The first of the `sides` [N, 2] along which nothing stands beside any of the `places` [P, 2], the bowl's now
    and later, where the outer finger goes down; or else that which leaves it the most room. `standing` [S, 3]: where
    something stands, and how many metres the finger must keep from there."""
    if not len(standing):
        return sides[0]
    fingers = places[None] + FINGER * sides[:, None]
    distance = np.linalg.norm(fingers[:, :, None] - standing[None, None, :, :2], axis=-1)
    return sides[int(np.argmax(np.minimum(distance - standing[:, 2], 0.0).min(axis=(1, 2))))]
