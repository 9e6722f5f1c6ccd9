"""The suites by name: `maniskill_tabletop` and LIBERO's, and their tasks."""

from worldvla.errors import UserError
from worldvla.sim import maniskill, tabletop
from worldvla.sim.libero import tasks as libero
from worldvla.sim.protocol import Simulator
from worldvla.sim.seed_ranges import BEYOND, EVALUATION

SUITES = (maniskill.SUITE, *libero.SUITES)


def tasks(suite: str) -> list[str]:
    """The names of the suite's tasks; `UserError` on an unknown suite."""
    if suite not in SUITES:
        raise UserError(f"scene.suite: unknown suite {suite!r}; known: {', '.join(sorted(SUITES))}")
    return list(tabletop.TASKS if suite == maniskill.SUITE else libero.tasks(suite))


def check(suite: str, task: str) -> None:
    """`UserError` on an unknown suite or task."""
    known = tasks(suite)
    if task not in known:
        raise UserError(f"scene.tasks: suite {suite} has no task {task!r}; known: {', '.join(known)}")


def version(suite: str) -> int:
    """Part of every episode's identity: grows when the suite's cameras, action scale or progress change."""
    tasks(suite)
    return tabletop.VERSION if suite == maniskill.SUITE else libero.VERSION


def instruction(suite: str, task: str) -> str:
    check(suite, task)
    return tabletop.TASKS[task].instruction if suite == maniskill.SUITE else libero.instruction(task)


def horizon(suite: str, task: str) -> int:
    """How many actions an expert may need: the least sensible `scene.max_steps`."""
    check(suite, task)
    return tabletop.TASKS[task].horizon if suite == maniskill.SUITE else libero.horizon(suite, task)


def is_shipped(suite: str, seed: int) -> bool:
    """Whether the seed stands for an initial state that ships with the suite, and that no other seed yields."""
    tasks(suite)
    return suite in libero.SUITES and EVALUATION <= seed < BEYOND


def make(suite: str, task: str, rendering: bool = True) -> Simulator:
    """A simulator of the task; takes seconds the first time in a process. Without `rendering` it cannot render."""
    check(suite, task)
    if suite == maniskill.SUITE:
        return maniskill.ManiSkillSimulator(task, rendering)
    from worldvla.sim.libero.simulator import LiberoSimulator

    return LiberoSimulator(suite, task, rendering)
