"""LIBERO through the protocol: repeatable, exact to restore, faithful to robosuite and to LIBERO's states."""

import dataclasses

import numpy as np
import pytest

from worldvla.sim import suites
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.libero.initial import shipped_states
from worldvla.sim.protocol import SimulatorError
from worldvla.sim.rollout import RolloutRequest, rollout
from worldvla.sim.seed_ranges import EVALUATION
from worldvla.sim.workers import collect, initial_states

SUITE = "libero_spatial"
STOVE = "pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate"  # its bowl stands on a fixture that moves


@pytest.fixture(scope="module")
def stove():
    return suites.make(SUITE, STOVE)


def actions(count: int) -> np.ndarray:
    drawn = np.random.default_rng(0).uniform(-1, 1, (count, 7)).astype(np.float32)
    drawn[::3, 3:6] = 0  # the controller then turns back to the last orientation it was sent
    return drawn


def test_an_episode_is_the_same_with_and_without_rendering_and_after_other_episodes(stove):
    def play(render: bool) -> tuple[list[np.ndarray], np.ndarray]:
        stove.reset(3, render=render)
        states = [stove.state()]
        for action in actions(8):
            stove.step(action, render=render)
            states.append(stove.state())
        return states, stove.render()

    states, image = play(render=True)
    for other in (4, EVALUATION):
        stove.reset(other, render=False)
        for action in actions(10):
            stove.step(action, render=False)
        again, image_again = play(render=False)
        assert all(np.array_equal(a, b) for a, b in zip(states, again, strict=True))
        assert np.array_equal(image, image_again)


def test_a_restored_episode_goes_on_as_if_never_interrupted(stove):
    stove.reset(5, render=False)
    for action in actions(11):
        stove.step(action, render=False)
    snapshot, image = stove.snapshot(), stove.render()

    def go_on() -> tuple:
        results = [stove.step(action, render=False) for action in actions(21)[11:]]
        return stove.state(), results[-1].observation.proprio, stove.progress(), stove.render()

    uninterrupted = go_on()
    stove.reset(EVALUATION + 6, render=False)
    stove.step(actions(1)[0], render=False)
    assert np.array_equal(stove.restore(snapshot).image, image)
    for a, b in zip(uninterrupted, go_on(), strict=True):
        assert np.array_equal(a, b)


def test_a_snapshot_of_elsewhere_is_refused(stove):
    stove.reset(5, render=False)
    snapshot = stove.snapshot()
    with pytest.raises(SimulatorError, match="on_the_stove.* seed 6: the seed puts the fixtures elsewhere"):
        stove.restore(dataclasses.replace(snapshot, seed=6))
    with pytest.raises(SimulatorError, match="on_the_ramekin"):
        stove.restore(dataclasses.replace(snapshot, task=STOVE.replace("on_the_stove", "on_the_ramekin")))
    with pytest.raises(SimulatorError, match="is needed"):
        stove.restore(dataclasses.replace(snapshot, state=snapshot.state[:-1]))


def test_a_step_is_robosuites_own_to_the_bit(stove):
    def places() -> np.ndarray:
        return np.concatenate([stove._data.qpos, stove._data.qvel])

    stove.reset(5, render=False)
    ours = [(stove.step(action, render=False), places())[1] for action in actions(8)]
    stove.reset(5, render=False)
    for action, expected in zip(actions(8), ours, strict=True):
        theirs = np.append(action[:6], -action[6]).astype(np.float64)
        stove._env.step(theirs)
        assert np.array_equal(places(), expected)


def test_the_hand_goes_and_turns_where_the_action_says(stove):
    for axis in range(6):
        stove.reset(0, render=False)
        before = stove.privileged()["tcp"]
        for _ in range(4):
            stove.step(np.eye(7, dtype=np.float32)[axis], render=False)
        after = stove.privileged()["tcp"]
        moved = after[:3] - before[:3] if axis < 3 else rotation_vector(before[3:], after[3:])
        assert np.argmax(np.abs(moved)) == axis % 3
        assert moved[axis % 3] > 0.03


def rotation_vector(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The rotation about the base's axes that takes quaternion `before` (w x y z) to `after`, for small angles."""
    w0, v0 = before[0], -before[1:]
    w1, v1 = after[0], after[1:]
    w, v = w1 * w0 - v1 @ v0, w1 * v0 + w0 * v1 + np.cross(v1, v0)
    return 2 * v * np.sign(w)


def test_the_gripper_opens_at_1_and_closes_at_minus_1(stove):
    stove.reset(0, render=False)
    assert stove.privileged()["gripper"][0] > 0.035  # it opens while things settle
    for grip, low, high in ((-1.0, -0.001, 0.005), (1.0, 0.035, 0.041)):
        for _ in range(16):
            stove.step(np.array([0, 0, 0, 0, 0, 0, grip]), render=False)
        assert low < stove.privileged()["gripper"][0] < high


def test_evaluation_seeds_are_the_shipped_states_and_no_other_seed_is(stove):
    shipped = shipped_states(SUITE, STOVE)
    joints = stove._model.nq
    assert shipped.shape == (50, 1 + joints + stove._model.nv)
    for index in (0, 7, 49):
        assert np.array_equal(stove.initial_state(EVALUATION + index)[:joints], shipped[index, 1 : 1 + joints])
        assert np.array_equal(stove.initial_state(EVALUATION + 50 + index)[:joints], shipped[index, 1 : 1 + joints])
    drawn = [stove.initial_state(seed)[:joints] for seed in range(60)]
    everything = {state.tobytes() for state in [*drawn, *shipped[:, 1 : 1 + joints]]}
    assert len(everything) == 60 + 50


def test_initial_states_are_those_of_the_episodes_and_precede_what_settles(stove):
    spec = ExpertSpec()
    digests = list(initial_states(SUITE, STOVE, [7, 8, 7]))
    episodes = [
        rollout(stove, spec.build(), RolloutRequest(SUITE, STOVE, seed, spec, 8, 8, render="chunk")) for seed in (7, 8)
    ]
    assert digests == [episodes[0].initial_state_digest, episodes[1].initial_state_digest, digests[0]]
    assert digests[0] != digests[1]
    stove.reset(7, render=False)
    assert not np.array_equal(stove._data.qpos, stove.initial_state()[: stove._model.nq])


def test_episodes_depend_neither_on_the_number_of_workers_nor_on_earlier_episodes(stove):
    spec = ExpertSpec(perturbation=1.0)
    asked = [RolloutRequest(SUITE, STOVE, seed, spec, 8, 8) for seed in (0, 1, EVALUATION)]
    many = list(collect(asked, workers=2, description="two workers"))
    here = [rollout(stove, spec.build(), request) for request in reversed(asked)]
    assert [episode.episode_id for episode in here] == [episode.episode_id for episode in reversed(many)]


def test_a_picture_costs_nothing_where_none_is_wanted():
    blind = suites.make("libero_object", "pick_up_the_milk_and_place_it_in_the_basket", rendering=False)
    assert blind.reset(0, render=False).image is None
    assert blind.step(np.zeros(7), render=False).observation.image is None
    with pytest.raises(SimulatorError, match="made without rendering"):
        blind.render()


def test_pictures_do_not_depend_on_what_else_is_drawn_or_closed(stove):
    """Nor on a simulator of another kind, which imports MuJoCo too and draws in its own way."""
    cube = suites.make("maniskill_tabletop", "PushCube-v1")
    cube_image = cube.reset(0).image
    other = suites.make("libero_object", "pick_up_the_milk_and_place_it_in_the_basket")
    image, other_image = stove.reset(0).image, other.reset(0).image
    assert np.array_equal(stove.render(), image)
    other.close()
    assert np.array_equal(stove.render(), image)
    assert np.array_equal(other.render(), other_image)
    assert np.array_equal(cube.render(), cube_image)
    other.close()
    cube.close()
