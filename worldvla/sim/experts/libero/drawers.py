"""The wooden cabinet's drawers: the hand, tilted forward, grasps a handle from the front and moves it."""

from collections.abc import Callable, Iterator

import numpy as np

from worldvla.sim.experts.libero.bowls import BOWL, SIDES
from worldvla.sim.experts.libero.grasps import rim
from worldvla.sim.experts.libero.hand import UP, Pose, down_closing_along, reach, rotation_about, rotation_of, stay
from worldvla.sim.experts.libero.placing import CLOSING, pick_and_place
from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Plan, Scene, Target

CABINET = "wooden_cabinet_1"
# The middle of each handle in the cabinet's frame when the drawer is shut; it opens along -y.
HANDLES = {"top": (-0.003, -0.1016, 0.184), "middle": (-0.003, -0.1016, 0.110), "bottom": (-0.003, -0.1016, 0.041)}
TILT = 1.2  # radians from pointing down: the other handles stay clear of the palm
STANDOFF = 0.06  # metres in front of the handle from which the hand approaches it
PULL = 0.158  # metres of a whole pull; 0.14 already count as open


def front(scene: Scene) -> np.ndarray:
    """[3]: the direction in which the drawers open."""
    return rotation_of(scene[CABINET]) @ np.array([0.0, -1.0, 0.0])


def handle(scene: Scene, drawer: str) -> np.ndarray:
    """[3]: the middle of the handle where it is now."""
    shut = scene[CABINET][:3] + rotation_of(scene[CABINET]) @ np.array(HANDLES[drawer])
    return shut + opened(scene, drawer) * front(scene)


def opened(scene: Scene, drawer: str) -> float:
    """Metres."""
    return -float(scene[f"{CABINET}_{drawer}_region/joints"][0])


def facing(scene: Scene) -> np.ndarray:
    """[3, 3]: the hand tilted towards the cabinet, its fingers above and below the handle."""
    outward = front(scene)
    return rotation_about(np.cross(UP, outward), TILT) @ down_closing_along(outward)


def pull_open(look: Look, aim: Aim, drawer: str) -> Iterator[Target]:
    rotation = facing(look())
    aside = aim.offset[0] * np.cross(UP, front(look())) + aim.offset[1] * UP

    def at(before: float) -> Callable[[Scene], Pose]:
        return lambda scene: Pose(handle(scene, drawer) + aside + before * front(scene), rotation)

    yield from reach(look, aim, at(STANDOFF), OPEN, near=0.025)
    yield from reach(look, aim, at(-0.004), OPEN, near=0.006)
    yield from stay(look, rotation, CLOSED, CLOSING + 1)
    wanted = aim.extent * PULL
    hand = look()["tcp"][:3] + (wanted + 0.02) * front(look())
    yield from reach(look, aim, lambda scene: Pose(hand, rotation), CLOSED, near=0.022, speed=0.6, patience=50)


def open_drawer(drawer: str) -> Plan:
    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        yield from pull_open(look, aim, drawer)
        rotation = facing(look())
        while True:
            yield from stay(look, rotation, CLOSED, 8)

    return plan


def bowl_into_drawer(drawer: str, height: float) -> Plan:
    """Opens the drawer, lets the bowl down into it with its bottom `height` metres above the middle of its inside."""

    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        whole = Aim(np.zeros(2), 1.0, aim.delay, aim.speed)
        yield from pull_open(look, whole, drawer)
        rotation = facing(look())
        yield from stay(look, rotation, OPEN, 4)
        back = look()["tcp"][:3] + STANDOFF * front(look())
        yield from reach(look, aim, lambda _: Pose(back, rotation), OPEN, near=0.02)
        up = back + 0.12 * UP
        yield from reach(look, aim, lambda _: Pose(up, rotation), OPEN, near=0.04, straight=4.0)
        place = f"{CABINET}_{drawer}_region"
        yield from pick_and_place(
            look,
            aim,
            BOWL,
            rim(BOWL, SIDES[0]),
            lambda scene: scene[place][:3] + height * UP,
            lift=0.28,
        )

    return plan
