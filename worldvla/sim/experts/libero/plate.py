"""The plate is moved over the table, held by its rim.

Its rim slopes: fingers that only press against it from inside climb over it, and behind it the
cabinet leaves the hand no room to push.
"""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.libero.grasps import rim
from worldvla.sim.experts.libero.hand import UP, Pose, reach, stay, withdraw
from worldvla.sim.experts.libero.placing import CLOSING, HOVER
from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Plan, Scene, Target

PLATE = "plate_1"
RADIUS = 0.06  # metres from the plate's centre at which the fingers close on its rim
HEIGHT = 0.009  # metres above the plate's origin: the fingertips just above the table
LEADING = np.array([0.0, 1.0])  # the side on which the plate is held


def push_plate(place: str) -> Plan:
    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        start = look()[PLATE][:2].copy()
        goal = start + aim.extent * (look()[place][:2] + aim.offset - start)
        over = rim(PLATE, LEADING, RADIUS, HEIGHT + HOVER)
        at = rim(PLATE, LEADING, RADIUS, HEIGHT)
        yield from reach(look, aim, over, OPEN, near=0.03)
        yield from reach(look, aim, at, OPEN, near=0.008)
        rotation, height = at(look()).rotation, look()["tcp"][2]
        yield from stay(look, rotation, CLOSED, CLOSING)

        def along(scene: Scene) -> Pose:
            hand = scene["tcp"][:2] + goal - scene[PLATE][:2]
            return Pose(np.array([*hand, height]), rotation)

        yield from reach(look, aim, along, CLOSED, near=0.01, speed=0.8)
        yield from stay(look, rotation, OPEN, 4)
        yield from withdraw(look, rotation, OPEN, 0.1 * UP)

    return plan
