"""The suites as LIBERO has them, read without importing it."""

import pytest

from worldvla.errors import UserError
from worldvla.sim import suites
from worldvla.sim.libero.installation import prepare
from worldvla.sim.libero.tasks import SUITES


@pytest.mark.parametrize("suite", SUITES)
def test_tasks_and_instructions_are_those_of_liberos_benchmark(suite):
    prepare()
    from libero.libero.benchmark import task_maps

    theirs = {name: task.language for name, task in task_maps[suite].items()}
    assert {task: suites.instruction(suite, task) for task in suites.tasks(suite)} == theirs


def test_unknown_tasks_are_answered_with_the_known_ones():
    with pytest.raises(UserError, match="libero_goal has no task 'make_tea'; known: open_the_middle_drawer"):
        suites.make("libero_goal", "make_tea")
