"""The plate is pushed over the table by fingers that press against its rim from inside."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.libero.hand import Pose, down, reach, withdraw
from worldvla.sim.experts.libero.placing import UP
from worldvla.sim.experts.motion import CLOSED, Aim, Look, Scene, Target

PLATE = "plate_1"
INSIDE = 0.035  # metres from the plate's centre at which the fingers come down
FLOOR = 0.011  # metres from the plate's origin to the hand, the fingertips just above its floor
LEAD = 0.06  # metres by which the hand's target leads the plate


def push_plate(place: str):
    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        start = look()[PLATE][:2].copy()
        goal = start + aim.extent * (look()[place][:2] + aim.offset - start)

        def ahead(scene: Scene) -> np.ndarray:
            way = goal - scene[PLATE][:2]
            return way / max(np.linalg.norm(way), 1e-6)

        def inside(height: float):
            return lambda scene: Pose(
                np.array([*(scene[PLATE][:2] + INSIDE * ahead(scene)), scene[PLATE][2] + height]), down()
            )

        yield from reach(look, aim, inside(0.09), CLOSED, near=0.03)
        yield from reach(look, aim, inside(FLOOR), CLOSED, near=0.012)

        def forward(scene: Scene) -> Pose:
            way = goal - scene[PLATE][:2]
            step = way * min(1.0, LEAD / max(np.linalg.norm(way), 1e-6))
            return Pose(np.array([*(scene["tcp"][:2] + step), scene[PLATE][2] + FLOOR]), down())

        yield from reach(look, aim, forward, CLOSED, near=0.01, speed=0.7, patience=90)
        yield from withdraw(look, down(), CLOSED, 0.1 * UP)

    return plan
