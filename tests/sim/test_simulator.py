"""ManiSkill through the protocol: repeatable, exact to restore, honest about success."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.maniskill_simulator import use_maniskills_controller
from worldvla.episodes.episode import Episode
from worldvla.errors import UserError
from worldvla.sim import suites
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.inverse_kinematics import damped_least_squares
from worldvla.sim.protocol import Observation, Simulator, SimulatorError
from worldvla.sim.rollout import RolloutRequest, rollout
from worldvla.sim.workers import initial_states

SUITE = "maniskill_tabletop"
PUSH = "PushCube-v1"


@pytest.fixture(scope="module")
def push() -> Simulator:
    return suites.make(SUITE, PUSH)


def actions(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, 7)).astype(np.float32)


def test_an_episode_is_the_same_with_and_without_rendering_and_after_other_episodes(push):
    def play(render: bool) -> tuple[list[np.ndarray], np.ndarray]:
        push.reset(3, render=render)
        states = [push.state()]
        for action in actions(12):
            push.step(action, render=render)
            states.append(push.state())
        return states, push.render()

    states, image = play(render=True)
    push.reset(4, render=False)
    for action in actions(20):
        push.step(action, render=False)
    again, image_again = play(render=False)
    assert all(np.array_equal(a, b) for a, b in zip(states, again, strict=True))
    assert np.array_equal(image, image_again)


def test_drawing_some_states_alone_changes_nothing_else(push):
    def recorded(stride: int) -> Episode:
        request = RolloutRequest(SUITE, PUSH, 3, ExpertSpec(), max_steps=16, chunk=8, camera_stride=stride)
        return rollout(push, ExpertSpec().build(), request)

    whole, sparse = recorded(1), recorded(4)
    assert "camera_stride" not in whole.settings and sparse.camera_stride == 4
    assert [bool(image) for image in sparse.images] == [step % 4 == 0 for step in range(len(whole.images))]
    assert sparse.images[::4] == whole.images[::4]
    for name in ("proprio", "actions", "reward", "progress"):
        assert np.array_equal(getattr(sparse, name), getattr(whole, name))
    with pytest.raises(UserError, match="camera_stride: 3 does not divide scene.chunk, 8"):
        recorded(3)


def test_an_arm_told_to_go_further_than_it_reaches_goes_as_near_as_it_can(push):
    push.reset(3, render=False)
    forward = np.array([1, 0, 0, 0, 0, 0, -1], dtype=np.float32)
    reached = []
    for _ in range(30):
        push.step(forward, render=False)
        reached.append(push.privileged()["tcp"][0])
    moved = np.diff(reached)
    assert moved.min() > 0 and moved[15:].max() < 0.002  # stretched, and it still goes on
    from_here = push.privileged()["tcp"][2]
    for _ in range(5):
        push.step(np.array([1, 0, -1, 0, 0, 0, -1], dtype=np.float32), render=False)
    assert push.privileged()["tcp"][2] < from_here - 0.03  # the part of an action that can be followed is


def test_a_stretched_arm_answers_alike_a_millimetre_on(push):
    push.reset(3, render=False)
    for _ in range(30):
        push.step(np.array([1, 0, 0, 0, 0, 0, -1], dtype=np.float32), render=False)
    stretched = push._env.agent.robot.get_qpos()[0].numpy()
    controller = push._env.agent.controller.controllers["arm"]
    told = controller._clip_and_scale_action(torch.tensor([[0.5, 0, 0.5, 0, 0, 0]]))
    target = controller.compute_target_pose(controller.ee_pose_at_base, told).sp.to_transformation_matrix()
    find_joints = damped_least_squares(controller.kinematics)

    def step(joints: np.ndarray) -> np.ndarray:
        return find_joints(joints, target) - joints[:7]

    for joint in range(7):
        beside = stretched.copy()
        beside[joint] += 1e-3
        assert np.abs(step(beside) - step(stretched)).max() < 0.02


def test_joints_are_told_to_the_bit_what_maniskill_tells_them(push):
    push.reset(5, render=False)
    controller = push._env.agent.controller.controllers["arm"]
    ours = controller.set_action
    use_maniskills_controller(push)
    for action in 1.5 * actions(40):  # beyond one, where ManiSkill clips
        told = []
        for set_action in (ours, controller.set_action):
            set_action(torch.from_numpy(action[None, :6]))
            told.append([float(joint.drive_target[0, 0]) for joint in controller.joints])
        assert told[0] == told[1]
        push.step(action, render=False)


def test_a_restored_episode_goes_on_as_if_never_interrupted(push):
    push.reset(5, render=False)
    for action in actions(10):
        push.step(action, render=False)
    snapshot, image = push.snapshot(), push.render()

    def go_on() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        results = [push.step(action, render=False) for action in actions(15)[10:]]
        return push.state(), results[-1].observation.proprio, push.render()

    uninterrupted = go_on()
    push.reset(6, render=False)
    assert np.array_equal(push.restore(snapshot).image, image)
    for a, b in zip(uninterrupted, go_on(), strict=True):
        assert np.array_equal(a, b)


def test_a_picture_is_the_same_with_what_is_outside_it_left_out(push):
    push.reset(5, render=False)
    for action in actions(10):
        image = push.step(action).observation.image
        left_out = [body for _, body, _, _ in push._culling._spheres if not body.is_enabled]
        assert left_out
        for body in left_out:
            body.enable()
        push._culling, culling = lambda: None, push._culling
        assert np.array_equal(push.render(), image)
        push._culling = culling


def test_a_snapshot_that_cannot_be_reached_is_refused(push):
    push.reset(5, render=False)
    snapshot = push.snapshot()
    with pytest.raises(SimulatorError, match="PushCube-v1 seed 5"):
        push.restore(dataclasses.replace(snapshot, state=snapshot.state + 1e-9))
    with pytest.raises(SimulatorError, match="StackCube-v1"):
        push.restore(dataclasses.replace(snapshot, task="StackCube-v1"))


def test_the_hand_goes_and_turns_where_the_action_says(push):
    for axis in range(6):
        push.reset(0, render=False)
        before = push.privileged()["tcp"]
        for _ in range(4):
            push.step(np.eye(7, dtype=np.float32)[axis], render=False)
        after = push.privileged()["tcp"]
        if axis < 3:
            moved = after[:3] - before[:3]
        else:
            moved = rotation_vector(before[3:], after[3:])
        assert np.argmax(np.abs(moved)) == axis % 3
        assert moved[axis % 3] > 0.04


def rotation_vector(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The rotation about the base's axes that takes quaternion `before` (w x y z) to `after`, for small angles."""
    w0, v0 = before[0], -before[1:]
    w1, v1 = after[0], after[1:]
    w, v = w1 * w0 - v1 @ v0, w1 * v0 + w0 * v1 + np.cross(v1, v0)
    return 2 * v * np.sign(w)


def test_initial_states_are_those_of_the_episodes(push):
    spec = ExpertSpec()
    digests = list(initial_states(SUITE, PUSH, [7, 8, 7]))
    episodes = [
        rollout(push, spec.build(), RolloutRequest(SUITE, PUSH, seed, spec, 8, 8, render="chunk")) for seed in (7, 8)
    ]
    assert digests == [episodes[0].initial_state_digest, episodes[1].initial_state_digest, digests[0]]
    assert digests[0] != digests[1]


class Watcher:
    """An actor that looks at what it acts on, and stands still."""

    needs_image = True

    def reset(self, simulator: Simulator, seed: int) -> None: ...

    def act(self, observation: Observation) -> np.ndarray:
        assert observation.image is not None
        return np.zeros((8, 7), np.float32)


def test_what_nobody_looks_at_is_not_drawn(push, monkeypatch):
    draw, drawn = push.render, []
    monkeypatch.setattr(push, "render", lambda: drawn.append(draw()) or drawn[-1])
    episode = rollout(push, Watcher(), RolloutRequest(SUITE, PUSH, 7, ExpertSpec(), 24, 8, render="chunk"))
    assert episode.length == 24 and len(drawn) == 3


@pytest.mark.parametrize("task", suites.tasks(SUITE))
def test_the_expert_succeeds_and_progress_is_one_exactly_at_success(task):
    simulator, spec = suites.make(SUITE, task), ExpertSpec()
    for seed in (0, 1):
        request = RolloutRequest(SUITE, task, seed, spec, suites.horizon(SUITE, task), 8, render="chunk")
        episode = rollout(simulator, spec.build(), request)
        assert episode.success
        assert episode.progress[0] < 0.5
        assert np.array_equal(episode.progress == 1, episode.reward == 1)
        assert episode.length % 8 == 0
        assert np.argmax(episode.reward) > episode.length - 8


def test_a_recorded_episode_has_a_picture_of_every_state(push):
    spec = ExpertSpec(perturbation=1.0)
    episode = rollout(push, spec.build(), RolloutRequest(SUITE, PUSH, 1, spec, 8, 8))
    assert len(episode.images) == len(episode.proprio) == len(episode.reward) == episode.length + 1
    assert episode.settings["perturbation"] == 1.0


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(UserError, match="maniskill_tabletop"):
        suites.make("maniskill_kitchen", PUSH)
    with pytest.raises(UserError, match="PushCube-v1, PullCube-v1"):
        suites.make(SUITE, "PourTea-v1")
