"""An akita black bowl is taken by its rim and put on something."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.libero.grasps import RIM_RADIUS, free_side, rim
from worldvla.sim.experts.libero.hand import UP
from worldvla.sim.experts.libero.placing import pick_and_place
from worldvla.sim.experts.motion import Aim, Look, Plan, Scene, Target
from worldvla.sim.experts.rotation import rotation_of

BOWL = "akita_black_bowl_1"
# What stands higher on the table than the fingers reach down beside a bowl.
TALL = ("akita_black_bowl_2", "glazed_rim_porcelain_ramekin_1", "wine_bottle_1")
WIDE, NARROW = 0.08, 0.05  # metres between the outer finger and the middle of such a thing, or the cabinet's front
ROBOT = np.array([-0.66, 0.0])  # where it stands at the table
REACH = 0.75  # metres from the robot: beyond, the arm is nearly straight and hardly bends again
CABINET = "wooden_cabinet_1"
CABINET_HEIGHT = 0.2  # metres
CABINET_FRONT = -0.11  # metres, with the handles, in the cabinet's frame
CABINET_WIDTH = (-0.09, -0.03, 0.03, 0.09)  # metres: points along its front


def sides(places: np.ndarray) -> np.ndarray:
    """[4, 2]: where to hold a bowl that goes from the first of the `places` [2, 2] to the second, best first.

    Sides at which the hand stays within the arm's reach come first; among them that which faces the middle of the
    table; the wrist must turn for the last two.
    """
    inward = -1.0 if places[1, 1] > 0 else 1.0
    preferred = np.array([[0.0, inward], [0.0, -inward], [-1.0, 0.0], [1.0, 0.0]])
    distance = np.linalg.norm(places[None] + RIM_RADIUS * preferred[:, None] - ROBOT, axis=-1).max(axis=1)
    return preferred[np.argsort(distance > REACH, kind="stable")]


def standing(scene: Scene, height: float) -> np.ndarray:
    """[S, 3]: where on the table something is in the hand's way at `height` (metres), and the room that it takes."""
    places = [np.array([*scene[name][:2], WIDE]) for name in TALL if name in scene]
    if CABINET in scene and height < scene[CABINET][2] + CABINET_HEIGHT:
        turned = rotation_of(scene[CABINET])
        front = [scene[CABINET][:3] + turned @ np.array([x, CABINET_FRONT, 0.0]) for x in CABINET_WIDTH]
        places += [np.array([*point[:2], NARROW]) for point in front]
    return np.array(places).reshape(-1, 3)


def bowl_onto(place: str, height: float, lift: float = 0.1) -> Plan:
    """Lets go of the bowl with its bottom `height` metres above the place's origin."""

    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        scene = look()
        places = np.stack([scene[BOWL][:2], scene[place][:2]])
        in_the_way = standing(scene, scene[BOWL][2])
        grasp = rim(BOWL, free_side(places, in_the_way, sides(places)))
        return pick_and_place(look, aim, BOWL, grasp, lambda scene: scene[place][:3] + height * UP, lift=lift * UP)

    return plan
