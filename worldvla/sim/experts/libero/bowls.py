"""An akita black bowl is taken by its rim and put on something."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.libero.grasps import free_side, rim
from worldvla.sim.experts.libero.hand import UP, rotation_of
from worldvla.sim.experts.libero.placing import pick_and_place
from worldvla.sim.experts.motion import Aim, Look, Plan, Scene, Target

BOWL = "akita_black_bowl_1"
# What stands higher on the table than the fingers reach down beside a bowl.
TALL = ("akita_black_bowl_2", "glazed_rim_porcelain_ramekin_1", "wine_bottle_1")
CABINET = "wooden_cabinet_1"
CABINET_HEIGHT = 0.2  # metres
CABINET_FRONT = -0.11  # metres, with the handles, in the cabinet's frame
CABINET_WIDTH = (-0.09, -0.03, 0.03, 0.09)  # metres: points along its front


def sides(towards: np.ndarray) -> np.ndarray:
    """[4, 2]: where to hold the bowl, best first, when it goes `towards` [2].

    The side that faces the middle of the table comes first, that which faces the robot second, for which the wrist
    must turn: tables are nearly as deep as the arm is long.
    """
    inward = -1.0 if towards[1] > 0 else 1.0
    return np.array([[0.0, inward], [-1.0, 0.0], [0.0, -inward], [1.0, 0.0]])


def standing(scene: Scene, height: float) -> np.ndarray:
    """[S, 2]: where on the table something is in the hand's way at `height` (metres)."""
    places = [scene[name][:2] for name in TALL if name in scene]
    if CABINET in scene and height < scene[CABINET][2] + CABINET_HEIGHT:
        turned = rotation_of(scene[CABINET])
        places += [(scene[CABINET][:3] + turned @ np.array([x, CABINET_FRONT, 0.0]))[:2] for x in CABINET_WIDTH]
    return np.array(places).reshape(-1, 2)


def bowl_onto(place: str, height: float, lift: float = 0.1) -> Plan:
    """Lets go of the bowl with its bottom `height` metres above the place's origin."""

    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        scene = look()
        places = np.stack([scene[BOWL][:2], scene[place][:2]])
        in_the_way = standing(scene, scene[BOWL][2])
        grasp = rim(BOWL, free_side(places, in_the_way, sides(places[1])))
        return pick_and_place(look, aim, BOWL, grasp, lambda scene: scene[place][:3] + height * UP, lift=lift * UP)

    return plan
