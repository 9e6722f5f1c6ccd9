"""LIBERO's predicates and the progress towards them, on states that are set by hand."""

import numpy as np
import pytest

from worldvla.sim import suites
from worldvla.sim.libero.progress import ALMOST, HAND

PLATE = "put_the_bowl_on_the_plate"


@pytest.fixture(scope="module")
def goal():
    made = {}

    def make(suite: str, task: str):
        if task not in made:
            made[task] = suites.make(suite, task)
        made[task].reset(0, render=False)
        return made[task]

    return make


def put(simulator, name: str, place) -> None:
    """The object's origin at `place`, upright, at rest."""
    env = simulator._env
    [joint] = env.get_object(name).joints
    address = simulator._model.joint(joint).qposadr[0]
    speed = simulator._model.joint(joint).dofadr[0]
    simulator._data.qpos[address : address + 3] = place
    simulator._data.qvel[speed : speed + 6] = 0
    simulator._arrive()


def turn(simulator, joint: str, value: float) -> None:
    simulator._data.qpos[simulator._model.joint(joint).qposadr[0]] = value
    simulator._arrive()


def judge(simulator) -> tuple[bool, float]:
    success, progress = simulator.success(), simulator.progress()
    assert 0 <= progress <= 1 and (progress == 1) == success
    return success, progress


@pytest.mark.parametrize(
    ("task", "joint", "ways"),
    [
        ("open_the_middle_drawer_of_the_cabinet", "wooden_cabinet_1_middle_level", (-0.03, -0.1, -0.139, -0.141)),
        ("turn_on_the_stove", "flat_stove_1_button", (0.1, 0.3, 0.49, 0.51)),
    ],
)
def test_an_articulated_part_makes_progress_as_it_turns_and_succeeds_at_liberos_bound(goal, task, joint, ways):
    simulator = goal("libero_goal", task)
    before = judge(simulator)
    assert not before[0] and before[1] < HAND
    answers = []
    for way in ways:
        turn(simulator, joint, way)
        answers.append(judge(simulator))
    assert [success for success, _ in answers] == [False, False, False, True]
    assert sorted(progress for _, progress in answers) == [progress for _, progress in answers]
    assert answers[2][1] > 0.9


def test_the_wrong_drawer_is_no_progress(goal):
    simulator = goal("libero_goal", "open_the_middle_drawer_of_the_cabinet")
    turn(simulator, "wooden_cabinet_1_top_level", -0.15)
    assert judge(simulator)[1] < HAND


def test_an_object_makes_progress_as_it_nears_the_basket_and_succeeds_inside(goal):
    simulator = goal("libero_object", "pick_up_the_milk_and_place_it_in_the_basket")
    start = simulator.privileged()["milk_1"][:3].copy()
    basket = simulator.privileged()["basket_1_contain_region"][:3].copy()
    answers = []
    for share in (0.0, 0.3, 0.6):
        put(simulator, "milk_1", start + share * (basket + np.array([0, 0, 0.2]) - start))
        answers.append(judge(simulator))
    put(simulator, "milk_1", basket)
    answers.append(judge(simulator))
    assert [success for success, _ in answers] == [False, False, False, True]
    assert sorted(progress for _, progress in answers) == [progress for _, progress in answers]


def test_a_bowl_over_the_plate_is_almost_there_and_on_it_a_success(goal):
    simulator = goal("libero_goal", PLATE)
    plate = simulator.privileged()["plate_1"][:3].copy()
    aside = judge(simulator)[1]
    put(simulator, "akita_black_bowl_1", plate + np.array([0, 0, 0.15]))
    success, above = judge(simulator)
    assert not success and aside < above
    put(simulator, "akita_black_bowl_1", plate + np.array([0, 0, 0.03]))
    success, near = judge(simulator)
    assert not success and above < near <= ALMOST
    for _ in range(10):
        simulator.step(np.array([0, 0, 0, 0, 0, 0, 1.0]), render=False)
    assert judge(simulator) == (True, 1.0)


def test_a_bowl_on_a_region_needs_the_contact_of_its_fixture(goal):
    simulator = goal("libero_goal", "put_the_bowl_on_the_stove")
    cook = simulator.privileged()["flat_stove_1_cook_region"][:3].copy()
    put(simulator, "akita_black_bowl_1", cook + np.array([0, 0, 0.05]))
    assert not judge(simulator)[0]
    for _ in range(10):
        simulator.step(np.array([0, 0, 0, 0, 0, 0, 1.0]), render=False)
    assert judge(simulator) == (True, 1.0)


def test_the_picture_is_upright_and_not_mirrored(goal):
    """The camera faces the robot: what lies at greater y is on the right, what lies at greater x nearer, so lower."""
    simulator = goal("libero_goal", PLATE)
    height = simulator.privileged()["akita_black_bowl_1"][2]
    put(simulator, "akita_black_bowl_1", (0.0, 0.0, -5.0))
    without = simulator.render().astype(int)

    def seen(x: float, y: float) -> np.ndarray:
        put(simulator, "akita_black_bowl_1", (x, y, height))
        rows, columns = np.nonzero(np.abs(simulator.render().astype(int) - without).sum(axis=2) > 90)
        return np.array([rows.mean(), columns.mean()])

    row, column = seen(0.0, 0.1) - seen(0.0, -0.1)
    assert column > 10 and abs(row) < 5
    row, column = seen(0.1, 0.0) - seen(-0.1, 0.0)
    assert row > 10 and abs(column) < 5
    assert simulator.render().shape == (128, 128, 3)
