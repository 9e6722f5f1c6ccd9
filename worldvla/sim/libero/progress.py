"""How far along a state is towards a LIBERO goal: LIBERO itself says only yes or no.

Each predicate of the goal is a distance that the task must bring to zero, taken from the same
quantities as LIBERO's predicate. Coming near what must be moved counts 0.2, the covered share
of the distance the rest; a goal of several predicates is their mean.
"""

from dataclasses import dataclass

import numpy as np

ALMOST = 0.99  # the most progress a state that is no success can show
HAND = 0.2  # what coming near counts
ON_TOP = 0.03  # metres between the centres within which LIBERO takes one object to be on another
RESTING = 0.02  # metres above the lower one's origin at which an object's bottom may rest


@dataclass(frozen=True)
class Distance:
    """Of one predicate: `left` to go (metres or radians), and `hand`, metres from the hand to what it must move."""

    left: float
    hand: float


def progress(now: list[Distance], initial: list[Distance], satisfied: list[bool]) -> float:
    """In [0, 1): the mean over the goal's predicates, of which a satisfied one counts 1."""
    shares = [
        1.0 if done else _share(distance, start) for distance, start, done in zip(now, initial, satisfied, strict=True)
    ]
    return min(float(np.mean(shares)), ALMOST)


def _share(now: Distance, initial: Distance) -> float:
    moved = float(np.clip(1.0 - now.left / max(initial.left, 1e-6), 0.0, 1.0))
    return HAND * max(float(np.exp(-now.hand / 0.1)), moved) + (1.0 - HAND) * moved


def distances(env) -> list[Distance]:
    """Of each predicate in the goal of `env`, a LIBERO problem."""
    return [_distance(env, predicate, names) for predicate, *names in env.parsed_problem["goal_state"]]


def satisfied(env) -> list[bool]:
    return [bool(env._eval_predicate(state)) for state in env.parsed_problem["goal_state"]]


def _distance(env, predicate: str, names: list[str]) -> Distance:
    hand = env.sim.data.site_xpos[env.robots[0].eef_site_id]
    if predicate in ("on", "in"):
        item, goal = (env.object_states_dict[name] for name in names)
        place = item.get_geom_state()["pos"]
        left = _inside(env, place, goal) if predicate == "in" else _on_top(env, item, place, goal)
        return Distance(left, float(np.linalg.norm(place - hand)))
    joints, bound = _articulation(env, predicate, names[0])
    data, model = env.sim.data, env.sim.model
    left = max if predicate in ("close", "turnoff") else min
    angles = [abs(float(data.qpos[model.get_joint_qpos_addr(joint)]) - bound) for joint in joints]
    bodies = [model.jnt_bodyid[model.joint_name2id(joint)] for joint in joints]
    parts = data.geom_xpos[np.isin(model.geom_bodyid, bodies)]
    return Distance(left(angles), float(np.linalg.norm(parts - hand, axis=1).min()))


def _inside(env, place: np.ndarray, goal) -> float:
    """Metres from a point to the box of a site, as `SiteObject.in_box` has it."""
    size = np.abs(env.sim.data.get_site_xmat(goal.object_name) @ env.object_sites_dict[goal.object_name].size)
    offset = place - env.sim.data.get_site_xpos(goal.object_name)
    below = size + np.array([0.0, 0.0, 0.01])
    return float(np.linalg.norm(np.maximum(np.maximum(offset - size, -offset - below), 0.0)))


def _on_top(env, item, place: np.ndarray, goal) -> float:
    """Metres from where `ObjectState.check_ontop` or `SiteObject.under` would hold, contact aside."""
    bottom = place + np.array([0.0, 0.0, env.get_object(item.object_name).bottom_offset[2]])
    if goal.object_state_type == "site":
        site = env.object_sites_dict[goal.object_name]
        offset = env.sim.data.get_site_xmat(goal.object_name) @ (place - env.sim.data.get_site_xpos(goal.object_name))
        aside = np.maximum(np.abs(offset[:2]) - site.size[:2], 0.0)
        above = max(bottom[2] - env.sim.data.get_site_xpos(goal.object_name)[2] - site.size[2] - RESTING, 0.0)
    else:
        centre = goal.get_geom_state()["pos"]
        aside = max(float(np.linalg.norm(place[:2] - centre[:2])) - ON_TOP, 0.0)
        above = max(bottom[2] - centre[2] - RESTING, 0.0)
    return float(np.linalg.norm(np.append(aside, above)))


def _articulation(env, predicate: str, name: str) -> tuple[list[str], float]:
    """The joints that decide `predicate` of a fixture or of one of its regions, and the value they must pass."""
    state = env.object_states_dict[name]
    if state.object_state_type == "site":
        joints, owner = env.object_sites_dict[name].joints, env.get_object(state.parent_name)
    else:
        joints, owner = env.get_object(name).joints, env.get_object(name)
    ranges = owner.object_properties["articulation"]
    opposite = {"open": "close", "close": "open", "turnon": "turnoff", "turnoff": "turnon"}[predicate]
    away = np.mean(ranges[f"default_{opposite}_ranges"])
    wanted = ranges[f"default_{predicate}_ranges"]
    return joints, min(wanted, key=lambda bound: abs(bound - away))
