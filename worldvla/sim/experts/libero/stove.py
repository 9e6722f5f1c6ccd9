"""The stove's knob: the fingers grasp its ridge from above and the wrist turns it."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.libero.hand import Pose, down, reach, rotation_of, stay
from worldvla.sim.experts.libero.placing import CLOSING, HOVER
from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Scene, Target

STOVE = "flat_stove_1"
RIDGE = 0.036  # metres above the stove's origin at which the fingers hold the ridge
LEAD = 0.3  # radians by which the wrist leads the knob: further, the fingers would slip off the ridge
TURN = 0.75  # radians of a whole turn; 0.5 already count as on


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

    yield from reach(look, aim, over, OPEN, near=0.03, straight=0.2)
    yield from reach(look, aim, at, OPEN, near=0.01)
    yield from stay(look, down(straight(look())), CLOSED, CLOSING - 2)
    start, wanted = angle(look()), aim.extent * TURN

    def turning(scene: Scene) -> Pose:
        left = np.clip(start + wanted - angle(scene), 0.0, LEAD)
        return Pose(knob(scene, RIDGE), down(straight(scene) + left))

    yield from reach(look, aim, turning, CLOSED, near=0.05, straight=0.08, patience=60)
    while True:
        yield from stay(look, down(straight(look())), CLOSED, 8)
