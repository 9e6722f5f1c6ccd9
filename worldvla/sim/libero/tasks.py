"""LIBERO's tasks: names, instructions and horizons, read without importing LIBERO."""

import re
from functools import cache

from worldvla.sim.libero.installation import package

VERSION = 2  # raise it when an episode of the same seed and actor would come out differently

# Actions an episode may take; what the field's evaluations allow, rounded up to whole chunks of 8.
HORIZONS = {
    "libero_spatial": 224,
    "libero_object": 280,
    "libero_goal": 304,
    "libero_10": 520,
    "libero_90": 400,
}
SUITES = tuple(HORIZONS)


@cache
def tasks(suite: str) -> tuple[str, ...]:
    """The names of the suite's BDDL files, in alphabetical order."""
    return tuple(sorted(path.stem for path in (package() / "bddl_files" / suite).glob("*.bddl")))


def instruction(task: str) -> str:
    """What LIBERO's benchmark tells a policy: the task's name without the scene it may begin with."""
    return re.sub(r"^[A-Z_]+SCENE\d+_", "", task).replace("_", " ")


def horizon(suite: str, task: str) -> int:
    return HORIZONS[suite]
