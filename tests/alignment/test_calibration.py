"""Which predicted reward counts as success, by task."""

import numpy as np
import pytest

from tests.alignment.pushing import bank
from tests.alignment.test_replay import IMAGINATION, architecture
from tests.sight import untrained_sight
from worldvla.alignment.calibration import FEWEST, area, best_threshold, calibrate, calibrate_judge, outcome_area
from worldvla.alignment.judge import THRESHOLD
from worldvla.alignment.replay import dream
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.progress import ignore
from worldvla.world_model.imagination import Imagination
from worldvla.world_model.model import DEFAULT_SUCCESS_THRESHOLD
from worldvla.world_model.training import pretrain


@pytest.fixture(scope="module")
def world_model():
    return pretrain(bank(), untrained_sight(), architecture(), 4, 0, Checkpointer(None), ignore)


def test_the_threshold_lies_between_the_outcomes():
    score = np.array([0.1, 0.3, 0.35, 0.6, 0.7, 0.9])
    assert 0.35 < best_threshold(score, score > 0.5) < 0.6


def test_outcomes_weigh_alike_however_many_there_are():
    random = np.random.default_rng(0)
    score = np.concatenate([random.normal(0.7, 0.05, 20), random.normal(0.3, 0.05, 2000)])
    assert 0.4 < best_threshold(score, np.arange(2020) < 20) < 0.65


def test_scores_that_say_nothing_give_some_threshold():
    assert 0 < best_threshold(np.full(6, 0.5), np.arange(6) < 3) < 1


def test_every_task_gets_a_threshold_that_the_model_then_uses(world_model):
    thresholds = calibrate(world_model, bank(episodes=24), ["toy", "rare"], IMAGINATION, 0)
    assert set(thresholds) == {"toy", "other", "rare"}
    assert bank(episodes=24).success[np.array(bank(episodes=24).tasks) == "toy"].sum() >= FEWEST
    assert world_model.success_threshold("toy") == DEFAULT_SUCCESS_THRESHOLD
    world_model.config["success_thresholds"] = thresholds
    assert world_model.success_threshold("toy") == thresholds["toy"]
    assert world_model.success_threshold("unheard of") == DEFAULT_SUCCESS_THRESHOLD


def test_a_task_of_few_episodes_takes_the_threshold_of_all(world_model):
    few = bank(episodes=12)
    assert len(set(calibrate(world_model, few, [], IMAGINATION, 0).values())) == 1


def test_without_both_outcomes_nothing_is_calibrated(world_model):
    whole = bank()
    assert calibrate(world_model, whole.select(np.flatnonzero(whole.success)), ["toy"], IMAGINATION, 0) == {}
    assert calibrate(world_model, whole.select(np.array([], np.int64)), ["toy"], IMAGINATION, 0) == {}


def test_the_judge_is_calibrated_on_what_the_world_model_imagines(world_model):
    class Redness:
        """Sees the mean of the red channel, which in what is imagined lies far from one half."""

        def probabilities(self, images):
            return images[..., 0].mean((1, 2)) / 2550

    seen = bank(episodes=24)
    dreams = dream(Imagination(world_model, IMAGINATION.denoising_steps, 0), seen)
    score = np.array([Redness().probabilities(one.images).max() for one in dreams])
    threshold = calibrate_judge(world_model, Redness(), seen, IMAGINATION, 0)
    assert threshold == best_threshold(score, seen.success) < 0.2
    one_sided = seen.select(np.flatnonzero(seen.success))
    assert calibrate_judge(world_model, Redness(), one_sided, IMAGINATION, 0) == THRESHOLD


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    value, error = area(np.array([0.9, 0.4, 0.5, 0.1]), np.array([True, True, False, False]))
    assert value == 0.75
    assert 0 < error < 0.5
    assert area(np.full(6, 0.5), np.arange(6) < 3)[0] == 0.5
    assert area(np.arange(6), np.arange(6) > 2) == (1.0, 0.0)


def test_the_area_says_less_of_fewer_episodes():
    score = np.array([0.2, 0.6, 0.4, 0.8])
    few, many = (area(np.tile(score, n), np.tile([False, False, True, True], n)) for n in (2, 20))
    assert few[0] == many[0] == 0.75
    assert many[1] < few[1] / 2


def test_tasks_weigh_alike_in_the_area_and_those_of_one_outcome_say_nothing(world_model):
    together = outcome_area(world_model, bank(episodes=24), IMAGINATION, 0)
    assert 0 <= together[0] <= 1
    episodes = bank(episodes=24)
    successes = episodes.select(np.flatnonzero(episodes.success))
    assert outcome_area(world_model, successes, IMAGINATION, 0) == (0.5, 0.5)
