"""Take a thing, carry it over where it belongs, lower it, let go, draw back."""

from collections.abc import Callable, Generator, Iterator

import numpy as np

from worldvla.sim.experts.libero.grasps import Grasp
from worldvla.sim.experts.libero.hand import UP, Pose, fixed, reach, stay, withdraw
from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Scene, Target

HOVER = 0.08  # metres above the grasp at which the hand turns as it must
CLOSING = 9  # actions until the fingers of a wide open hand meet
OPENING = 6  # actions until what was held is free
DESCENT = 0.1  # metres beside the goal from which on the item comes down
ATTEMPTS = 3
LIFTED = 0.02  # metres that a thing rises when it is really held


def take(look: Look, aim: Aim, item: str, grasp: Grasp, lift: np.ndarray) -> Generator[Target, None, np.ndarray]:
    """Takes the item and moves the hand by `lift` [3] metres, again where it slipped. Returns the hand's rotation
    [3, 3]."""

    def above(scene: Scene) -> Pose:
        at = grasp(scene)
        return Pose(at.position + HOVER * UP, at.rotation)

    for _ in range(ATTEMPTS):
        yield from reach(look, aim, above, OPEN, near=0.03, straight=0.2)
        yield from reach(look, aim, grasp, OPEN, near=0.008)
        rotation, before = grasp(look()).rotation, look()[item][2]
        yield from stay(look, rotation, CLOSED, CLOSING)
        top = Pose(look()["tcp"][:3] + lift, rotation)
        yield from reach(look, aim, fixed(top), CLOSED, near=0.03)
        if look()[item][2] > before + LIFTED:
            break
    return rotation


def carry(
    look: Look,
    aim: Aim,
    item: str,
    rotation: np.ndarray,
    goal: Callable[[Scene], np.ndarray],
    above: float,
) -> Iterator[Target]:
    """Brings the item's origin to the `goal` [3], from `above` it (metres), lets go and draws back.

    It steers the item, not the hand: no grasp is quite where it was meant to be. On the way the item keeps the height
    it was lifted to, and with an `extent` below 1 it is put down short of its goal.
    """
    start = look()[item][:3].copy()

    def item_to(height: float) -> Callable[[Scene], Pose]:
        def pose(scene: Scene) -> Pose:
            end = goal(scene) + np.array([*aim.offset, height])
            end[:2] = start[:2] + aim.extent * (end[:2] - start[:2])
            if np.linalg.norm(end[:2] - scene[item][:2]) > DESCENT:
                end[2] = max(end[2], start[2])
            return Pose(end + scene["tcp"][:3] - scene[item][:3], rotation)

        return pose

    yield from reach(look, aim, item_to(above), CLOSED, near=0.015)
    yield from reach(look, aim, item_to(0.0), CLOSED, near=0.008, speed=0.6, patience=20)
    yield from stay(look, rotation, CLOSED, aim.delay)
    yield from stay(look, rotation, OPEN, OPENING)
    yield from withdraw(look, rotation, OPEN)


def pick_and_place(
    look: Look,
    aim: Aim,
    item: str,
    grasp: Grasp,
    goal: Callable[[Scene], np.ndarray],
    lift: np.ndarray = 0.12 * UP,
    above: float = 0.04,
) -> Iterator[Target]:
    rotation = yield from take(look, aim, item, grasp, lift)
    yield from carry(look, aim, item, rotation, goal, above)
