"""PokeCube: grasp the rear of a peg that lies along x, put it in front of the cube, push."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.motion import CLOSED, OPEN, Aim, Look, Scene, Target, go, hold

HALF_LENGTH = 0.12
GRIP = np.array([-0.09, 0.0, 0.0])  # from the peg's centre: the cube lies near the end of the arm's reach
HOVER = np.array([0.0, 0.0, 0.1])
PUSH = 0.075  # metres that a whole poke moves the cube; 0.05 already succeed


def poke(look: Look, aim: Aim) -> Iterator[Target]:
    """Steers the peg, not the hand: the grasp is never exactly where it was meant to be."""
    start = look()
    meeting = start["cube"][0] - 0.02 - HALF_LENGTH

    def over_peg(above: np.ndarray):
        return lambda scene: Target(scene["peg"][:3] + GRIP + above, OPEN, speed=aim.speed)

    def peg_to(scene: Scene, x: float, y: float, speed: float) -> Target:
        way = np.array([x, y, 0.028]) - scene["peg"][:3]
        return Target(scene["tcp"][:3] + way, CLOSED, speed=speed * aim.speed)

    def aligned(scene: Scene) -> Target:
        return peg_to(scene, start["peg"][0], scene["cube"][1] + aim.offset[1], speed=1.0)

    def forward(scene: Scene) -> Target:
        return peg_to(scene, meeting + PUSH * aim.extent, scene["peg"][1], speed=0.7)

    yield from go(look, over_peg(HOVER), near=0.025)
    yield from go(look, over_peg(np.zeros(3)), near=0.01)
    yield from hold(look, CLOSED, 3)
    yield from go(look, aligned, near=0.008)
    yield from go(look, forward, near=0.006)
    while True:
        yield from hold(look, CLOSED, 8)
