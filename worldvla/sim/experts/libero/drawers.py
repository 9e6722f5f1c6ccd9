"""The wooden cabinet's drawers: the hand, tilted forward, grasps a handle from the front and moves it."""

from collections.abc import Callable, Iterator

import numpy as np

from worldvla.sim.experts.libero.bowls import BOWL, CABINET
from worldvla.sim.experts.libero.grasps import rim
from worldvla.sim.experts.libero.hand import (
    UP,
    Pose,
    down_closing_along,
    fixed,
    reach,
    stay,
)
from worldvla.sim.experts.libero.placing import CLOSING, pick_and_place
from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Plan, Scene, Target
from worldvla.sim.experts.rotation import rotation_about, rotation_of

# The middle of each handle in the cabinet's frame when the drawer is shut; it opens along -y.
HANDLES = {"top": (-0.003, -0.1016, 0.184), "middle": (-0.003, -0.1016, 0.110), "bottom": (-0.003, -0.1016, 0.041)}
TILT = 1.2  # radians from pointing down: the other handles stay clear of the palm
STANDOFF = 0.06  # metres in front of the handle from which the hand approaches it
LEAN = 0.5  # radians by which the hand leans to the front while it takes a bowl from below an open drawer
OVER = 0.06  # metres above and in front of the handle where the hand turns down to the bowl
LIFT, OUT = 0.25, 0.14  # metres up and forward: out from under the drawer and over its front
ROOM = 0.14  # metres that a drawer must be open for the bowl
NARROW = 0.036  # metres from the centre of a bowl in a drawer to the hand, less than to its wall
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


def pull_open(look: Look, aim: Aim, drawer: str, pull: float) -> Iterator[Target]:
    """Pulls the drawer `pull` metres; the fingers stay closed on its handle."""
    rotation = facing(look())
    aside = aim.offset[0] * np.cross(UP, front(look())) + aim.offset[1] * UP

    def at(before: float) -> Callable[[Scene], Pose]:
        return lambda scene: Pose(handle(scene, drawer) + aside + before * front(scene), rotation)

    yield from reach(look, aim, at(STANDOFF), OPEN, near=0.025)
    yield from reach(look, aim, at(-0.004), OPEN, near=0.006)
    yield from stay(look, rotation, CLOSED, CLOSING + 1)
    hand = look()["tcp"][:3] + (aim.extent * pull + 0.02) * front(look())
    yield from reach(look, aim, fixed(Pose(hand, rotation)), CLOSED, near=0.022, speed=0.8, patience=50)


def open_drawer(drawer: str) -> Plan:
    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        yield from pull_open(look, aim, drawer, PULL)
        rotation = facing(look())
        while True:
            yield from stay(look, rotation, CLOSED, 8)

    return plan


def bowl_into_drawer(drawer: str, height: float) -> Plan:
    """Opens the drawer, then lets the bowl down into it, its bottom `height` metres above the middle of its inside.

    The open drawer hangs over the bowl: the hand leans away from it, and pulls no further than the bowl needs.
    """
    place = f"{CABINET}_{drawer}_region"

    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        start = look()
        side = front(start)[:2]
        grasp = rim(BOWL, side, tilt=LEAN)
        yield from pull_open(look, Aim(np.zeros(2), 1.0, 0, aim.speed), drawer, ROOM)
        yield from stay(look, facing(start), OPEN, 4)
        back = look()["tcp"][:3] + STANDOFF * front(start)
        yield from reach(look, aim, fixed(Pose(back, facing(start))), OPEN, near=0.02)
        over = np.array([*grasp(start).position[:2], back[2]]) + OVER * (UP + front(start))
        yield from reach(look, aim, fixed(Pose(over, grasp(start).rotation)), OPEN, near=0.04, straight=0.5)
        yield from pick_and_place(
            look,
            aim,
            BOWL,
            grasp,
            lambda scene: scene[place][:3] + height * UP,
            lift=LIFT * UP + OUT * front(start),
            above=0.04,
        )

    return plan


def bowl_out_of_drawer(place: str, height: float) -> Plan:
    """Takes the bowl from an open drawer, whose walls leave the outer finger little room."""

    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        across = rotation_of(look()[CABINET]) @ np.array([1.0, 0.0, 0.0])
        towards_robot = -np.sign(across[0]) * across[:2]
        grasp = rim(BOWL, towards_robot, radius=NARROW)
        return pick_and_place(look, aim, BOWL, grasp, lambda scene: scene[place][:3] + height * UP)

    return plan
