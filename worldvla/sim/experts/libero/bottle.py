"""The wine bottle is taken by its neck."""

from collections.abc import Iterator

from worldvla.sim.experts.libero.grasps import Sides
from worldvla.sim.experts.libero.hand import UP
from worldvla.sim.experts.libero.placing import pick_and_place
from worldvla.sim.experts.motion import Aim, Look, Plan, Target

BOTTLE = "wine_bottle_1"
NECK = Sides(((1, 0, 0), (0, 1, 0)), 0.12)


def bottle_onto(place: str, height: float) -> Plan:
    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        return pick_and_place(
            look, aim, BOTTLE, NECK(BOTTLE), lambda scene: scene[place][:3] + height * UP, lift=0.28 * UP
        )

    return plan
