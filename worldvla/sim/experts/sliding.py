"""PushCube and PullCube: the closed hand comes down beside the cube and moves it along x."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.motion import CLOSED, Aim, Look, Scene, Target, go, rest

CLEARANCE = 0.09  # metres above the table at which the hand passes over the cube
CONTACT = 0.02
STANDOFF = 0.055  # metres from the cube's centre at which the hand comes down
THROUGH = 0.16  # metres that a whole slide moves the cube; 0.1 already succeed


def slide(look: Look, aim: Aim, direction: float) -> Iterator[Target]:
    """Moves the cube along `direction` (sign of x)."""
    start = look()["cube"][:3].copy()

    def beside(height: float):
        def target(scene: Scene) -> Target:
            x, y = scene["cube"][:2] + aim.offset - np.array([direction * STANDOFF, 0.0])
            return Target(np.array([x, y, height]), CLOSED, speed=aim.speed)

        return target

    def forward(scene: Scene) -> Target:
        x = start[0] + direction * (aim.extent * THROUGH - 0.02)
        return Target(np.array([x, scene["cube"][1] + aim.offset[1], CONTACT]), CLOSED, speed=0.6 * aim.speed)

    yield from go(look, beside(CLEARANCE), near=0.03)
    yield from go(look, beside(CONTACT), near=0.015)
    yield from go(look, forward, near=0.012)
    yield from rest(look, CLOSED)


def push(look: Look, aim: Aim) -> Iterator[Target]:
    return slide(look, aim, direction=1.0)


def pull(look: Look, aim: Aim) -> Iterator[Target]:
    return slide(look, aim, direction=-1.0)
