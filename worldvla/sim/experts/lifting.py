"""LiftPegUpright: the hand, leaning back, grasps a peg that lies along x and turns forward until the peg stands."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Scene, Target, go, hold, rest
from worldvla.sim.experts.rotation import rotation_about, rotation_of

HALF_LENGTH = 0.12
HALF_WIDTH = 0.025
# The arm turns the hand about 1.1 radians forward where it is stretched and half a radian back where it is folded, no
# more: the hand grasps near the base, leaning back, and carries the peg outwards while it turns.
GRASP = -0.05  # x in metres at which the hand would grasp
LEAST, MOST = -0.05, 0.04  # metres from the peg's centre to the grasp
LEAN = 0.5  # radians
STAND = 0.16  # x in metres of the hand when the peg stands
HOVER = np.array([0.0, 0.0, 0.1])
AHEAD = 0.3  # radians by which the hand leads the peg: more than it turns in one action
LIFT, CLEARANCE = 0.06, 0.03  # metres above the table before and while it turns: one that touches turns in the fingers
PITCH_A_METRE = 5.0  # radians of pitch that a wrong aim of one metre is worth
UPRIGHT = np.pi / 2
Y = np.array([0.0, 1.0, 0.0])


def pitch_of(peg: np.ndarray) -> float:
    """Radians between the table and the axis of a peg at pose [7]."""
    return float(np.arcsin(np.clip(rotation_of(peg)[2, 0], -1.0, 1.0)))


def lift_upright(look: Look, aim: Aim) -> Iterator[Target]:
    """Steers the peg, not the hand: the grasp is never exactly where it was meant to be."""
    start = look()["peg"]
    grasp = np.clip(GRASP - start[0], LEAST, MOST) + aim.offset[0]
    goal = (UPRIGHT - abs(aim.offset[1]) * PITCH_A_METRE) * aim.extent

    def over_grasp(above: np.ndarray):
        def target(scene: Scene) -> Target:
            hand = rotation_of(scene["tcp"])[:, 2]
            turn = LEAN + np.arctan2(hand[0], -hand[2])
            return Target(scene["peg"][:3] + [grasp, 0.0, 0.0] + above, OPEN, turn * Y, speed=aim.speed)

        return target

    def lifted(scene: Scene) -> Target:
        position = scene["tcp"][:3].copy()
        position[2] += HALF_WIDTH + LIFT - scene["peg"][2]
        return Target(position, CLOSED, speed=aim.speed)

    def turned(pitch: float, height: float):
        """The hand's target that brings the peg to `pitch`, its foot `height` above the table."""

        def target(scene: Scene) -> Target:
            left = pitch - pitch_of(scene["peg"])
            turn = -np.clip(left, -AHEAD, AHEAD)
            ahead = rotation_about(Y, turn)
            axis = ahead @ rotation_of(scene["peg"])[:, 0]
            lowest = height + HALF_WIDTH * np.hypot(axis[0], axis[1])
            grip = ahead @ (scene["tcp"][:3] - scene["peg"][:3])
            height_of_hand = lowest + HALF_LENGTH * axis[2] + grip[2]
            return Target(np.array([STAND, start[1], height_of_hand]), CLOSED, turn * Y, speed=aim.speed)

        return target

    yield from go(look, over_grasp(HOVER), near=0.025)
    yield from go(look, over_grasp(np.zeros(3)), near=0.01)
    yield from hold(look, CLOSED, 3)
    yield from go(look, lifted, near=0.02)
    for _ in range(30):
        if goal - pitch_of(look()["peg"]) < 0.03:
            break
        yield turned(goal, CLEARANCE)(look())
    yield from go(look, turned(goal, 0.0), near=0.004, patience=8)
    yield from hold(look, CLOSED, aim.delay)
    yield from hold(look, OPEN, 2)
    yield from rest(look, OPEN)
