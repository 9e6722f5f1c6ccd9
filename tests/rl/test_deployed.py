from dataclasses import replace

import numpy as np
import pytest

from tests.rl.conftest import Line, arrived
from worldvla.alignment.intervals import proportion
from worldvla.rl.deployed import Deployed, compare, deployed
from worldvla.training.device import generator

MAX_STEPS = 4
COUNT = 60
THRESHOLD = np.full(4, 0.5, np.float32)


@pytest.fixture
def told(policy, starts):
    def tell(starts=starts, judge=arrived, temperature=1.0):
        world = Line()
        found = deployed(policy, world, starts, COUNT, MAX_STEPS, temperature, THRESHOLD, judge, generator(3))
        assert found.imagined_steps == world.imagined_steps > 0
        return found

    return tell


def test_the_same_random_numbers_make_pairs(told):
    def blind(images: np.ndarray) -> np.ndarray:
        return np.zeros(len(images), np.float32)

    seen, unseen = told(), told(judge=blind)
    assert np.array_equal(seen.succeeded, unseen.succeeded) and 0 < seen.succeeded.mean() < 1
    assert seen.shown.any() and not unseen.shown.any()
    assert len(seen.succeeded) == len(seen.shown) == COUNT


def test_rollouts_begin_at_first_frames_in_equal_parts(told, starts):
    found = told(replace(starts, tasks=["right", "left", "far", "keyframe"], near_failure_share=1.0))
    assert {task: found.tasks.count(task) for task in set(found.tasks)} == {"right": 20, "left": 20, "far": 20}


def test_a_policy_that_is_always_sure_does_the_same_from_the_same_start(told, starts):
    found = told(replace(starts, tasks=["right", "left", "far", "keyframe"]), temperature=0.0)
    by_task = [found.succeeded[[one == task for one in found.tasks]] for task in ("right", "left", "far")]
    assert all(outcomes.all() or not outcomes.any() for outcomes in by_task)


def test_policies_are_compared_over_all_tasks_and_of_each():
    tasks = ["push", "pull", "push"]
    base = Deployed(tasks, np.array([False, True, False]), np.array([False, True, True]), 1)
    new = Deployed(tasks, np.array([True, True, False]), np.array([False, True, True]), 1)
    told = compare(base, new)
    assert (told["reward"]["base"], told["reward"]["new"]) == (proportion(1, 3), proportion(2, 3))
    assert told["judge"]["base"] == told["judge"]["new"] == proportion(2, 3)
    assert told["tasks"]["push"]["reward"]["difference"]["difference"] == 0.5
    assert told["tasks"]["pull"]["judge"]["new"] == proportion(1, 1)
