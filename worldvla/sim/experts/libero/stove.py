"""The stove's knob: the fingers grasp its ridge from above and the wrist turns it."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.libero.hand import Pose, down, fixed, reach, stay
from worldvla.sim.experts.libero.placing import ATTEMPTS, CLOSING, HOVER, OPENING
from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Scene, Target
from worldvla.sim.experts.rotation import rotation_of

STOVE = "flat_stove_1"
RIDGE = 0.036  # metres above the stove's origin at which the fingers hold the ridge
TURN = 1.1  # radians that the wrist turns: the fingers slip a little on the ridge
ON = 0.5  # radians from which on LIBERO calls the stove on


def turn_on(look: Look, aim: Aim) -> Iterator[Target]:
    def knob(scene: Scene, height: float) -> np.ndarray:
        return scene[STOVE][:3] + np.array([*aim.offset, height])

    def straight(scene: Scene) -> float:
        """Radians about z at which the fingers lie on either side of the ridge."""
        along = rotation_of(scene[STOVE]) @ np.array([1.0, 0.0, 0.0])
        return float(np.arctan2(along[1], along[0])) + angle(scene)

    def angle(scene: Scene) -> float:
        return float(scene[f"{STOVE}/joints"][0])

    def over(scene: Scene) -> Pose:
        return Pose(knob(scene, RIDGE + HOVER), down(straight(scene)))

    def at(scene: Scene) -> Pose:
        return Pose(knob(scene, RIDGE), down(straight(scene)))

    yield from reach(look, aim, over, OPEN, near=0.012)
    for _ in range(ATTEMPTS):
        yield from reach(look, aim, at, OPEN, near=0.006)
        yield from stay(look, down(straight(look())), CLOSED, CLOSING - 2)
        turned = down(straight(look()) + aim.extent * TURN)
        yield from reach(look, aim, fixed(Pose(knob(look(), RIDGE), turned)), CLOSED, near=0.05)
        if angle(look()) > ON * aim.extent:
            break
        yield from stay(look, turned, OPEN, OPENING)
    while True:
        yield from stay(look, turned, CLOSED, 8)
