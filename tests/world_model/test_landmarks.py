"""Landmarks are found from where things lie, in the right scene, and from episodes that succeed alone."""

import numpy as np
import pytest
import torch

from tests.world_model.test_contact import LENGTH, SIZE, grasps
from worldvla.world_model.contact_training import _kept_closings
from worldvla.world_model.embodiment import Kinematics
from worldvla.world_model.landmarks import FEWEST, REACH, SMALLEST_SPREAD, Landmarks, fit_landmarks

KEYPOINTS, POSE = 8, 5


def scenes(task: int, count: int, seed: int) -> torch.Tensor:
    """Keypoints of a task's pictures: about a place of its own, of which the first two tell where the thing lies."""
    random = torch.Generator().manual_seed(seed)
    return 3 * task + torch.randn(count, KEYPOINTS, generator=random) * torch.tensor([1.0, 1.0, *[0.1] * 6])


def held_at(task: int, seen: torch.Tensor) -> torch.Tensor:
    """The first number of the pose is where the thing is, on another side in each task; the last is anything."""
    random = torch.Generator().manual_seed(1)
    side = 1 - 2 * task
    place = side * (seen[:, :1] - 3 * task)
    return torch.cat([place, -place, torch.zeros(len(seen), 2), torch.randn(len(seen), 1, generator=random)], dim=1)


@pytest.fixture
def fitted() -> Landmarks:
    """Of three tasks; in the third nothing was ever held."""
    keypoints = torch.cat([scenes(task, 200, task) for task in range(3)])
    task = torch.arange(3).repeat_interleave(200)
    episode = torch.arange(400)
    pose = torch.cat([held_at(one, keypoints[task == one]) for one in range(2)])
    points = Landmarks(3, KEYPOINTS, POSE)
    points.fit(keypoints, task, episode, pose)
    return points


def test_a_scene_tells_where_its_thing_is_held(fitted: Landmarks) -> None:
    for task in range(2):
        unseen = scenes(task, 50, 10 + task)
        points = fitted(unseen)
        assert points[:, 1 - task].isnan().all() and points[:, 2].isnan().all()
        error = points[:, task] - held_at(task, unseen)
        assert error[:, :4].abs().max() < 0.15
        assert fitted.spread[task, :4].tolist() == pytest.approx([SMALLEST_SPREAD] * 4)
        assert fitted.spread[task, 4] == pytest.approx(1, abs=0.2), "what varies as it likes says little"


def test_how_far_the_hand_is_has_a_sign_and_an_end(fitted: Landmarks) -> None:
    unseen = scenes(0, 4, 20)
    pose = held_at(0, unseen)
    pose[:, 4] = 0
    pose[:, 0] += torch.tensor([0.0, 0.3, -0.3, 50.0])
    away = fitted.away(pose, fitted(unseen))
    assert away[:, 0].tolist() == pytest.approx([0, 3, -3, REACH], abs=1)
    assert away[:, 1:4].abs().max() < 1


def test_poses_of_several_frames_are_as_far_as_each_by_itself(fitted: Landmarks) -> None:
    unseen = scenes(1, 4, 21)
    poses, points = torch.randn(4, 3, POSE), fitted(unseen)
    away = fitted.away(poses, points[:, None])
    for frame in range(3):
        assert torch.equal(away[:, frame], fitted.away(poses[:, frame], points))


def test_where_nothing_is_known_the_hand_is_nowhere_near_nor_far(fitted: Landmarks) -> None:
    pose = torch.randn(4, POSE, requires_grad=True)
    away = fitted.away(pose, fitted(scenes(2, 4, 30)))
    assert (away == 0).all()
    away.sum().backward()
    assert (pose.grad == 0).all()


def test_of_two_tasks_of_one_scene_the_nearest_point_counts() -> None:
    keypoints = torch.cat([scenes(0, 200, 1), scenes(0, 200, 2)])
    task = torch.arange(2).repeat_interleave(200)
    pose = torch.zeros(400, POSE)
    pose[:, 0] = torch.where(task == 0, -1.0, 1.0)
    points = Landmarks(2, KEYPOINTS, POSE)
    points.fit(keypoints, task, torch.arange(400), pose)
    hand = torch.zeros(2, POSE)
    hand[:, 0] = torch.tensor([-0.9, 0.8])
    away = points.away(hand, points(scenes(0, 2, 3)))
    assert away[:, 0].tolist() == pytest.approx([1, -2], abs=0.2)


def test_too_few_closings_tell_nothing() -> None:
    keypoints = scenes(0, 100, 1)
    points = Landmarks(1, KEYPOINTS, POSE)
    for count, known in ((FEWEST - 1, False), (FEWEST, True)):
        points.fit(keypoints, torch.zeros(100, dtype=torch.int64), torch.arange(count), held_at(0, keypoints[:count]))
        assert bool(points.is_known) == known == bool(points(keypoints).isfinite().all())


def test_closings_count_that_last_and_succeed() -> None:
    bank = grasps(80, 0)
    brief, failed, long = 0, *np.flatnonzero(~bank.success)[:1], np.flatnonzero(bank.success)[-1]
    bank.success[brief] = True
    bank.actions[bank.starts[brief] + 6, -1] = 1
    frames = _kept_closings(bank)
    episodes = bank.episode_of_frame()[frames].tolist()
    assert brief not in episodes and failed in episodes and long in episodes
    assert ((frames - bank.starts[episodes]) == 4).all()
    kinematics = Kinematics(3, 7, SIZE, 1)
    scene = torch.randn(len(bank), 64)
    fit_landmarks(kinematics.contact.grasp_points, bank, scene, frames, kinematics.mean, kinematics.std)
    assert bool(kinematics.contact.grasp_points.is_known) == (bank.success.sum() - 1 >= FEWEST)
    assert LENGTH - 1 - 4 >= 6
