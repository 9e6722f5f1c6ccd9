"""An akita black bowl is taken by its rim and put on something."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.libero.grasps import free_side, rim
from worldvla.sim.experts.libero.hand import UP
from worldvla.sim.experts.libero.placing import pick_and_place
from worldvla.sim.experts.motion import Aim, Look, Plan, Target

BOWL = "akita_black_bowl_1"
# What stands higher on the table than the fingers reach down beside a bowl.
TALL = ("akita_black_bowl_2", "glazed_rim_porcelain_ramekin_1", "wine_bottle_1")
# Sides of the bowl at which the wrist need not turn come first.
SIDES = np.array([[0.0, 1.0], [0.0, -1.0], [-1.0, 0.0], [1.0, 0.0]])


def bowl_onto(place: str, height: float, lift: float = 0.12) -> Plan:
    """Lets go of the bowl with its bottom `height` metres above the place's origin."""

    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        scene = look()
        places = np.stack([scene[BOWL][:2], scene[place][:2]])
        standing = np.array([scene[name][:2] for name in TALL if name in scene]).reshape(-1, 2)
        grasp = rim(BOWL, free_side(places, standing, SIDES))
        return pick_and_place(look, aim, BOWL, grasp, lambda scene: scene[place][:3] + height * UP, lift=lift * UP)

    return plan
