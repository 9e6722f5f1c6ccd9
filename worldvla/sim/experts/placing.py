"""StackCube and PlaceSphere: grasp the item from above, carry it over the base, let go, draw back."""

import math
from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Scene, Target, go, hold, rest

HOVER = 0.09  # metres above an object's centre at which the hand approaches it
CARRY = 0.12


def yaw_of(pose: np.ndarray) -> float:
    """Rotation about z of a pose [7] whose z axis is vertical, in radians."""
    w, x, y, z = pose[3:]
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def square_turn(tcp: np.ndarray, item: np.ndarray) -> np.ndarray:
    """The least turn [3] about z that lines the fingers up with a face of a cube."""
    # The hand points down: its x axis, projected on the table, gives its yaw.
    w, x, y, z = tcp[3:]
    hand = math.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))
    left = yaw_of(item) - hand
    return np.array([0.0, 0.0, (left + math.pi / 4) % (math.pi / 2) - math.pi / 4])


def place(look: Look, aim: Aim, height: float, align: bool) -> Iterator[Target]:
    """Puts the item `height` above the base's centre; `align` turns the hand to the item's faces."""

    def turn(scene: Scene) -> np.ndarray | None:
        return square_turn(scene["tcp"], scene["item"]) if align else None

    def over_item(above: float):
        return lambda scene: Target(scene["item"][:3] + np.array([0.0, 0.0, above]), OPEN, turn(scene), speed=aim.speed)

    def over_base(above: float, speed: float):
        # The grasp is never exactly central: steer the item, not the hand.
        def target(scene: Scene) -> Target:
            goal = scene["base"][:3] + np.array([*aim.offset, height + above])
            return Target(goal + scene["tcp"][:3] - scene["item"][:3], CLOSED, speed=speed * aim.speed)

        return target

    def lifted(scene: Scene) -> Target:
        position = scene["tcp"][:3].copy()
        position[2] = scene["base"][2] + height + CARRY
        return Target(position, CLOSED, speed=aim.speed)

    yield from go(look, over_item(HOVER), near=0.025)
    while align and abs(square_turn(look()["tcp"], look()["item"])[2]) > 0.08:
        yield over_item(HOVER)(look())
    yield from go(look, over_item(0.0), near=0.008)
    yield from hold(look, CLOSED, 3)
    yield from go(look, lifted, near=0.06)
    yield from go(look, over_base(0.04, 1.0), near=0.012)
    yield from go(look, over_base(0.003, 0.5), near=0.004, patience=8)
    yield from hold(look, CLOSED, aim.delay)
    yield from hold(look, OPEN, 2)
    yield from rest(look, OPEN)


def stack(look: Look, aim: Aim) -> Iterator[Target]:
    return place(look, aim, height=0.04, align=True)


def place_sphere(look: Look, aim: Aim) -> Iterator[Target]:
    return place(look, aim, height=0.0225, align=False)
