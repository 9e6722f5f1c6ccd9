"""A grocery is taken between two of its sides and let down into the basket, or put somewhere else."""

from collections.abc import Iterator

from worldvla.sim.experts.libero.grasps import Sides
from worldvla.sim.experts.libero.hand import UP
from worldvla.sim.experts.libero.placing import pick_and_place
from worldvla.sim.experts.motion import Aim, Look, Plan, Target

X, Y, Z = (1, 0, 0), (0, 1, 0), (0, 0, 1)
# The narrow sides of each, and how high above its centre the hand takes it: low things near the ground, tall ones
# near the top, because the palm is 4 cm above the fingers' grip.
SIDES = {
    "alphabet_soup_1": Sides((X, Z), 0.012),
    "bbq_sauce_1": Sides((Y,), 0.022),
    "butter_1": Sides((Y,), 0.006),
    "chocolate_pudding_1": Sides((Y,), 0.006),
    "cream_cheese_1": Sides((Y,), 0.003, nearer=0.02),
    "ketchup_1": Sides((Z,), 0.04),
    "milk_1": Sides((X, Z), 0.03),
    "orange_juice_1": Sides((X, Z), 0.03),
    "salad_dressing_1": Sides((Z,), 0.04),
    "tomato_sauce_1": Sides((X, Z), 0.012),
}
BASKET = "basket_1_contain_region"
RIM = 0.08  # metres from the middle of the basket's inside to above its rim
LOW = 0.03  # metres above that middle at which a grocery is let go


def into_basket(item: str) -> Plan:
    sides = SIDES[item]
    above = RIM + 2 * sides.height  # so much reaches down below the centre of a tall one

    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        return pick_and_place(
            look,
            aim,
            item,
            sides(item),
            lambda scene: scene[BASKET][:3] + LOW * UP,
            lift=(0.1 + above) * UP,
            above=above,
        )

    return plan


def onto(item: str, place: str, height: float) -> Plan:
    """Lets go of the item with its centre `height` metres above the place's origin."""

    def plan(look: Look, aim: Aim) -> Iterator[Target]:
        return pick_and_place(look, aim, item, SIDES[item](item), lambda scene: scene[place][:3] + height * UP)

    return plan
