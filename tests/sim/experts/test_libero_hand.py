"""The geometry of LIBERO's experts: turns are the shortest that are left, grasps are where nothing stands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldvla.sim.experts.libero.bowls import ROBOT, sides, standing
from worldvla.sim.experts.libero.grasps import Sides, free_side, rim
from worldvla.sim.experts.libero.hand import (
    down,
    down_closing_along,
    turn_left,
)
from worldvla.sim.experts.rotation import rotation_about, rotation_of

angles = st.floats(-3.0, 3.0)
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])


def unit(vector: tuple[float, float, float]) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


def quaternion(axis: np.ndarray, angle: float) -> np.ndarray:
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * axis)])


axes = st.tuples(st.floats(0.1, 1), st.floats(-1, 1), st.floats(-1, 1)).map(unit)


@given(axes, angles)
def test_a_pose_has_the_rotation_about_its_axis(axis, angle):
    pose = np.concatenate([np.zeros(3), quaternion(axis, angle)])
    assert rotation_of(pose) == pytest.approx(rotation_about(axis, angle), abs=1e-9)
    assert rotation_about(axis, angle) @ axis == pytest.approx(axis, abs=1e-9)


@given(axes, angles, axes, angles)
def test_the_turn_that_is_left_leads_to_the_goal(axis, angle, goal_axis, goal_angle):
    tcp = np.concatenate([np.zeros(3), quaternion(axis, angle)])
    goal = rotation_about(goal_axis, goal_angle)
    turn = turn_left(tcp, goal)
    length = np.linalg.norm(turn)
    assert length <= np.pi + 1e-9
    if 1e-3 < length < 3.1:
        assert rotation_about(turn / length, length) @ rotation_of(tcp) == pytest.approx(goal, abs=1e-6)


@given(angles)
def test_the_hand_points_down_and_closes_along_the_axis_with_the_least_turn(angle):
    axis = np.array([np.cos(angle), np.sin(angle), 0.0])
    hand = down_closing_along(axis)
    assert hand[:, 2] == pytest.approx([0, 0, -1])
    assert abs(hand[:, 0] @ axis) == pytest.approx(1)
    assert hand[:, 0] @ down()[:, 0] >= -1e-9


def test_a_box_is_taken_between_its_narrow_sides_however_it_lies():
    grasp = Sides(((0, 1, 0),), height=0.01)("box")
    for angle in (0.0, 0.7, 2.0, -1.2):
        pose = np.concatenate([[0.1, 0.2, 0.3], quaternion(np.array([0.0, 0.0, 1.0]), angle)])
        at = grasp({"box": pose})
        assert at.position == pytest.approx([0.1, 0.2, 0.31])
        assert abs(at.rotation[:, 0] @ np.array([-np.sin(angle), np.cos(angle), 0])) == pytest.approx(1)


def test_a_bowl_is_held_by_its_rim_and_the_hand_leans_outwards():
    scene = {"bowl": np.array([0.0, 0.0, 0.9, *UPRIGHT])}
    at = rim("bowl", np.array([0.0, 1.0]), radius=0.05, height=0.03, tilt=0.5)(scene)
    assert at.position == pytest.approx([0, 0.05, 0.93])
    palm = -at.rotation[:, 2]
    assert palm == pytest.approx([0, np.sin(0.5), np.cos(0.5)])


def test_the_free_side_is_the_first_with_room_at_both_places():
    places = np.array([[0.0, 0.0], [0.3, 0.0]])
    preferred = np.array([[0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]])
    assert free_side(places, np.zeros((0, 3)), preferred) == pytest.approx([0, 1])
    beside_the_goal = np.array([[0.3, 0.12, 0.08]])
    assert free_side(places, beside_the_goal, preferred) == pytest.approx([0, -1])
    everywhere = np.array([[0.3, 0.12, 0.08], [0.0, -0.1, 0.08], [-0.1, 0.06, 0.08]])
    assert free_side(places, everywhere, preferred) == pytest.approx([-1, 0])


def test_a_far_bowl_is_held_on_the_side_that_faces_the_robot():
    near = np.array([[-0.1, 0.0], [-0.1, 0.1]])
    far = ROBOT + np.array([[0.78, 0.0], [0.6, 0.2]])
    assert sides(near)[0] == pytest.approx([0, -1])
    assert sides(far)[0] == pytest.approx([-1, 0])


def test_the_cabinet_is_in_the_way_beside_it_not_on_it():
    scene = {"wooden_cabinet_1": np.array([0.0, -0.25, 0.9, 0.0, 0.0, 0.0, 1.0])}
    below, above = standing(scene, 0.9), standing(scene, 1.13)
    assert len(above) == 0
    assert below[:, 1] == pytest.approx(np.full(len(below), -0.14))
