"""Which plan solves which task."""

from worldvla.errors import UserError
from worldvla.sim.experts.libero.tasks import plans as libero_plans
from worldvla.sim.experts.lifting import lift_upright
from worldvla.sim.experts.motion import Plan
from worldvla.sim.experts.placing import place_sphere, stack
from worldvla.sim.experts.poking import poke
from worldvla.sim.experts.sliding import pull, push

PLANS: dict[tuple[str, str], Plan] = {
    ("maniskill_tabletop", "PushCube-v1"): push,
    ("maniskill_tabletop", "PullCube-v1"): pull,
    ("maniskill_tabletop", "StackCube-v1"): stack,
    ("maniskill_tabletop", "PlaceSphere-v1"): place_sphere,
    ("maniskill_tabletop", "PokeCube-v1"): poke,
    ("maniskill_tabletop", "LiftPegUpright-v1"): lift_upright,
} | libero_plans()


def plan_for(suite: str, task: str) -> Plan:
    """`UserError` when nobody wrote an expert for the task."""
    if (suite, task) not in PLANS:
        known = ", ".join(name for its_suite, name in PLANS if its_suite == suite)
        raise UserError(f"scene.tasks: no scripted expert for {suite}/{task}; experts exist for: {known or 'none'}")
    return PLANS[suite, task]
