"""The plate is moved over the table, held by its rim.

Its rim slopes: fingers that only press against it from inside climb over it, and behind it the
cabinet leaves the hand no room to push.
"""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.libero.grasps import rim
from worldvla.sim.experts.libero.hand import Pose, down_closing_along, reach, stay, withdraw
from worldvla.sim.experts.libero.placing import ATTEMPTS, CLOSING, HOVER, OPENING
from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Plan, Scene, Target

PLATE = "plate_1"
RADIUS = 0.062  # metres from the plate's centre at which the fingers close on its rim
HEIGHT = 0.008  # metres above the plate's origin: the fingertips just above the table
LEADING = np.array([0.0, 1.0])  # the side on which the plate is held


def push_plate(place: str) -> Plan:
    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        start = look()[PLATE][:2].copy()
        goal = start + aim.extent * (look()[place][:2] + aim.offset - start)
        over = rim(PLATE, LEADING, RADIUS, HEIGHT + HOVER)
        at = rim(PLATE, LEADING, RADIUS, HEIGHT)
        rotation = down_closing_along(LEADING)

        def along(scene: Scene) -> Pose:
            hand = scene["tcp"][:2] + goal - scene[PLATE][:2]
            return Pose(np.array([*hand, scene[PLATE][2] + HEIGHT]), rotation)

        for _ in range(ATTEMPTS):
            yield from reach(look, aim, over, OPEN, near=0.03)
            yield from reach(look, aim, at, OPEN, near=0.006)
            yield from stay(look, rotation, CLOSED, CLOSING)
            yield from reach(look, aim, along, CLOSED, near=0.01, speed=0.6, patience=45)
            yield from stay(look, rotation, OPEN, OPENING)
            if np.linalg.norm(look()[PLATE][:2] - goal) < 0.03:
                break
        yield from withdraw(look, rotation, OPEN)

    return plan
