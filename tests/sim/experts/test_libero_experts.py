"""LIBERO's experts on the real simulator: a family a task; and what makes their episodes worth imitating."""

import numpy as np
import pytest

from worldvla.episodes.episode import Episode
from worldvla.errors import UserError
from worldvla.sim import suites
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.experts.plans import PLANS, plan_for
from worldvla.sim.rollout import RolloutRequest, rollout
from worldvla.sim.seed_ranges import EVALUATION

BOWL = ("libero_spatial", "pick_up_the_black_bowl_between_the_plate_and_the_ramekin_and_place_it_on_the_plate")
FAMILIES = [
    ("libero_spatial", "pick_up_the_black_bowl_in_the_top_drawer_of_the_wooden_cabinet_and_place_it_on_the_plate"),
    ("libero_object", "pick_up_the_milk_and_place_it_in_the_basket"),
    ("libero_object", "pick_up_the_butter_and_place_it_in_the_basket"),
    ("libero_goal", "open_the_middle_drawer_of_the_cabinet"),
    ("libero_goal", "open_the_top_drawer_and_put_the_bowl_inside"),
    ("libero_goal", "push_the_plate_to_the_front_of_the_stove"),
    ("libero_goal", "put_the_cream_cheese_in_the_bowl"),
    ("libero_goal", "put_the_wine_bottle_on_the_rack"),
    ("libero_goal", "turn_on_the_stove"),
]


@pytest.fixture(scope="module")
def bowl():
    return suites.make(*BOWL, rendering=False)


def play(simulator, seed: int, spec: ExpertSpec, settle: int = 0) -> Episode:
    horizon = suites.horizon(simulator.suite, simulator.task)
    request = RolloutRequest(simulator.suite, simulator.task, seed, spec, horizon, 8, render="chunk", settle=settle)
    return rollout(simulator, spec.build(), request)


def longest_idle(episode: Episode) -> int:
    """Actions in a row during which neither the hand nor the fingers move (0.5 mm)."""
    fingers, hand = episode.proprio[:, 7:9], episode.proprio[:, 18:21]
    still = (np.abs(np.diff(hand, axis=0)).max(axis=1) < 5e-4) & (np.abs(np.diff(fingers, axis=0)).max(axis=1) < 5e-4)
    longest = run = 0
    for idle in still:
        run = run + 1 if idle else 0
        longest = max(longest, run)
    return longest


def test_each_of_the_thirty_tasks_has_a_plan():
    tasks = {
        (suite, task) for suite in ("libero_spatial", "libero_object", "libero_goal") for task in suites.tasks(suite)
    }
    assert {key for key in PLANS if key[0].startswith("libero")} == tasks
    assert len(tasks) == 30
    with pytest.raises(UserError, match="no scripted expert for libero_10"):
        plan_for("libero_10", suites.tasks("libero_10")[0])


@pytest.mark.parametrize("seed", [EVALUATION, 3])
def test_the_bowl_gets_to_the_plate_and_stays_there(bowl, seed):
    episode = play(bowl, seed, ExpertSpec(), settle=2)
    assert episode.success
    assert episode.reward[-1] == 1
    assert episode.length < 140
    assert longest_idle(episode) < 6


def test_a_demonstration_is_a_function_of_its_seed(bowl):
    first, other, again = (play(bowl, seed, ExpertSpec()) for seed in (5, 6, 5))
    assert np.array_equal(first.actions, again.actions)
    assert np.array_equal(first.proprio, again.proprio)
    assert not np.array_equal(first.actions[:20], other.actions[:20])


def test_perturbed_experts_fail_on_the_way(bowl):
    best = [play(bowl, seed, ExpertSpec(perturbation=1.0)).progress.max() for seed in range(4)]
    assert min(best) < 1
    assert max(best) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "task"), FAMILIES)
def test_each_family_succeeds_and_success_lasts(suite, task):
    simulator = suites.make(suite, task, rendering=False)
    episodes = [play(simulator, seed, ExpertSpec(), settle=2) for seed in (EVALUATION, 2)]
    assert all(episode.success for episode in episodes)
    assert all(episode.reward[-1] == 1 for episode in episodes)
    assert all(np.abs(episode.actions).max() <= 1 for episode in episodes)
