"""Which plan solves which of LIBERO's tasks, by suite and task."""

from worldvla.sim.experts.libero.bottle import bottle_into_rack, bottle_onto
from worldvla.sim.experts.libero.bowls import bowl_onto
from worldvla.sim.experts.libero.drawers import bowl_into_drawer, bowl_out_of_drawer, open_drawer
from worldvla.sim.experts.libero.groceries import SIDES, into_basket, onto
from worldvla.sim.experts.libero.plate import push_plate
from worldvla.sim.experts.libero.stove import turn_on
from worldvla.sim.experts.motion import Plan

ON_PLATE = 0.016  # metres above the plate's origin at which the bowl is let go

IN_DRAWER = "in_the_top_drawer_of_the_wooden_cabinet"
SPATIAL = (
    "between_the_plate_and_the_ramekin",
    "from_table_center",
    "next_to_the_cookie_box",
    "next_to_the_plate",
    "next_to_the_ramekin",
    "on_the_cookie_box",
    "on_the_ramekin",
    "on_the_stove",
    "on_the_wooden_cabinet",
)

GOAL: dict[str, Plan] = {
    "open_the_middle_drawer_of_the_cabinet": open_drawer("middle"),
    "open_the_top_drawer_and_put_the_bowl_inside": bowl_into_drawer("top", height=0.015),
    "push_the_plate_to_the_front_of_the_stove": push_plate("main_table_stove_front_region"),
    "put_the_bowl_on_the_plate": bowl_onto("plate_1", ON_PLATE),
    "put_the_bowl_on_the_stove": bowl_onto("flat_stove_1_cook_region", height=0.04),
    "put_the_bowl_on_top_of_the_cabinet": bowl_onto("wooden_cabinet_1_top_side", height=0.02, lift=0.28),
    "put_the_cream_cheese_in_the_bowl": onto("cream_cheese_1", "akita_black_bowl_1", height=0.07),
    "put_the_wine_bottle_on_the_rack": bottle_into_rack,
    "put_the_wine_bottle_on_top_of_the_cabinet": bottle_onto("wooden_cabinet_1_top_side", height=0.01),
    "turn_on_the_stove": turn_on,
}


def plans() -> dict[tuple[str, str], Plan]:
    """By suite and task."""
    bowls = {where: bowl_onto("plate_1", ON_PLATE) for where in SPATIAL}
    bowls[IN_DRAWER] = bowl_out_of_drawer("plate_1", ON_PLATE)
    spatial = {f"pick_up_the_black_bowl_{where}_and_place_it_on_the_plate": plan for where, plan in bowls.items()}
    groceries = {f"pick_up_the_{item[:-2]}_and_place_it_in_the_basket": item for item in SIDES}
    return (
        {("libero_spatial", task): plan for task, plan in spatial.items()}
        | {("libero_object", task): into_basket(item) for task, item in groceries.items()}
        | {("libero_goal", task): plan for task, plan in GOAL.items()}
    )
