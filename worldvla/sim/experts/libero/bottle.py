"""The wine bottle is taken by its neck."""

from collections.abc import Iterator

import numpy as np

from worldvla.sim.experts.libero.grasps import Sides
from worldvla.sim.experts.libero.hand import UP
from worldvla.sim.experts.libero.placing import carry, pick_and_place, take
from worldvla.sim.experts.motion import Aim, Look, Plan, Target
from worldvla.sim.experts.rotation import rotation_about, rotation_of

BOTTLE = "wine_bottle_1"
NECK = Sides(((1, 0, 0), (0, 1, 0)), 0.12)
LIFT = 0.28  # metres: over the cabinet and the rack
RACK = "wine_rack_1"
ABOVE = 0.01  # metres above the lower end of the slope at which the bottle's bottom is let go
LEAN = 0.6  # radians from upright: let go, the bottle falls back on the rack, its bottom against the stopper


def bottle_onto(place: str, height: float) -> Plan:
    """Stands the bottle down with its bottom `height` metres above the place's origin."""

    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        return pick_and_place(
            look, aim, BOTTLE, NECK(BOTTLE), lambda scene: scene[place][:3] + height * UP, lift=LIFT * UP
        )

    return plan


def bottle_into_rack(look: Look, aim: Aim) -> Iterator[Target]:
    """Lays the bottle back on the slope of the rack."""
    uphill = rotation_of(look()[RACK]) @ np.array([0.0, 1.0, 0.0])
    rotation = yield from take(look, aim, BOTTLE, NECK(BOTTLE), LIFT * UP)
    leaning = rotation_about(np.cross(UP, uphill), LEAN) @ rotation
    yield from carry(look, aim, BOTTLE, leaning, lambda scene: scene[f"{RACK}_top_region"][:3] + ABOVE * UP, above=0.06)
