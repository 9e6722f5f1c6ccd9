"""The suites by name: `maniskill_tabletop` and its tasks."""

from worldvla.errors import UserError
from worldvla.sim import maniskill, tabletop

SUITES = {maniskill.SUITE: tabletop.TASKS}


def tasks(suite: str) -> list[str]:
    """The names of the suite's tasks; `UserError` on an unknown suite."""
    if suite not in SUITES:
        raise UserError(f"scene.suite: unknown suite {suite!r}; known: {', '.join(sorted(SUITES))}")
    return list(SUITES[suite])


def check(suite: str, task: str) -> None:
    """`UserError` on an unknown suite or task."""
    known = tasks(suite)
    if task not in known:
        raise UserError(f"scene.tasks: suite {suite} has no task {task!r}; known: {', '.join(known)}")


def version(suite: str) -> int:
    """Part of every episode's identity: grows when the suite's cameras, action scale or progress change."""
    tasks(suite)
    return tabletop.VERSION


def instruction(suite: str, task: str) -> str:
    check(suite, task)
    return SUITES[suite][task].instruction


def horizon(suite: str, task: str) -> int:
    """How many actions an expert may need: the least sensible `scene.max_steps`."""
    check(suite, task)
    return SUITES[suite][task].horizon


def make(suite: str, task: str, rendering: bool = True) -> maniskill.ManiSkillSimulator:
    """A simulator of the task; takes seconds the first time in a process. Without `rendering` it cannot render."""
    check(suite, task)
    return maniskill.ManiSkillSimulator(task, rendering)
