"""Open-loop replays: whose actions are carried out from where, and that they are carried out as recorded."""

import numpy as np
import pytest

from worldvla.episodes.episode import Source
from worldvla.sim import suites
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.open_loop import OpenLoopSpec, Replay, plan_replays
from worldvla.sim.rollout import RolloutRequest, rollout

SUITE, TASK = "maniskill_tabletop", "PushCube-v1"
STEPS, CHUNK = 40, 8


def row(seed: int, place: float, success: bool = True, name: str = "") -> dict:
    return {"episode_id": name or f"e{seed}", "seed": seed, "initial_state": [place, 0.0], "success": success}


def test_the_nearest_other_states_lend_their_actions():
    rows = [row(0, 0.0), row(1, 0.1), row(2, 0.2), row(3, 5.0)]
    assert plan_replays(rows, ["train"] * 4, 4, nearest=1) == [
        Replay(0, "e1"),
        Replay(1, "e0"),
        Replay(2, "e1"),
        Replay(3, "e2"),
    ]


def test_no_split_learns_of_another():
    rows = [row(seed, seed / 10) for seed in range(20)]
    splits = ["heldout" if seed % 3 == 0 else "train" for seed in range(20)]
    replays = plan_replays(rows, splits, 60, nearest=3)
    assert len(replays) > 20
    for replay in replays:
        assert splits[replay.seed] == splits[int(replay.actions_of[1:])]


def test_an_episode_of_the_same_initial_state_lends_nothing():
    assert plan_replays([row(0, 1.0, name="expert"), row(0, 1.0, name="policy")], ["train"] * 2, 5, nearest=2) == []
    assert plan_replays([], [], 5, nearest=2) == []


def test_most_lenders_succeeded_and_a_plan_repeats_itself():
    rows = [row(seed, seed / 10, success=seed % 2 == 0) for seed in range(100)]
    replays = plan_replays(rows, ["train"] * 100, 300, nearest=8)
    assert replays == plan_replays(rows, ["train"] * 100, 300, nearest=8)
    assert len(set(replays)) == len(replays) > 200
    share = np.mean([int(replay.actions_of[1:]) % 2 == 0 for replay in replays])
    assert 0.75 < share < 0.95  # 0.7, and half of the others


@pytest.fixture
def simulator():
    simulator = suites.make(SUITE, TASK)
    yield simulator
    simulator.close()


def test_actions_are_carried_out_as_recorded_and_then_the_arm_stands_still(simulator):
    def record(seed, actor):
        return rollout(simulator, actor.build(), RolloutRequest(SUITE, TASK, seed, actor, STEPS, CHUNK))

    expert = record(0, ExpertSpec())
    again = record(0, OpenLoopSpec(expert.actions, expert.episode_id))
    np.testing.assert_array_equal(again.actions, expert.actions)
    np.testing.assert_array_equal(again.proprio, expert.proprio)
    assert again.success
    assert (again.source, again.settings["actions_of"]) == (Source.OPEN_LOOP, expert.episode_id)
    short = record(1, OpenLoopSpec(expert.actions[:5], expert.episode_id))
    np.testing.assert_array_equal(short.actions[:5], expert.actions[:5])
    np.testing.assert_array_equal(short.actions[5:, :6], 0)
    assert (short.actions[5:, 6] == expert.actions[4, 6]).all()
    assert short.initial_state_digest != expert.initial_state_digest
