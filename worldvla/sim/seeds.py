"""Which seeds serve which purpose: ranges that never meet.

Demonstrations and perturbed demonstrations share their seeds, so that a success and a
failure start from the same initial state and fall on the same side of every split.
Evaluation takes only initial states that hash to `heldout`, or LIBERO's shipped ones, which no
other seed yields; collection takes only those that hash to `train`; no training ever sees an
evaluation seed. Settings are chosen on the
`TUNING` range, figures are reported on `EVALUATION`.
"""

import itertools
from contextlib import closing
from itertools import islice

from worldvla.config import Curation
from worldvla.curation.splits import split_of
from worldvla.errors import UserError
from worldvla.sim import suites
from worldvla.sim.seed_ranges import BEYOND, COLLECTION, COLLECTION_STRIDE, EVALUATION, TUNING
from worldvla.sim.workers import initial_states

SHIPPED = 50  # initial states of each LIBERO task


def collection_start(iteration: str) -> int:
    """The first collection seed of an iteration: each iteration sees new initial states."""
    first = COLLECTION + int(iteration) * COLLECTION_STRIDE
    return first if first < TUNING else first - TUNING + BEYOND


def seeds_in_split(suite: str, task: str, start: int, split: str, count: int, curation: Curation) -> list[int]:
    """The first `count` seeds from `start` on whose initial state hashes to `split`.

    Only resets the simulator: no step is taken and nothing is rendered.
    """

    with closing(initial_states(suite, task, itertools.count(start))) as states:
        found = (seed for seed, state in zip(itertools.count(start), states) if split_of(state, curation) == split)
        return list(islice(found, count))


def evaluation_states(suite: str) -> str:
    """What initial states policies are compared on, for the protocol: held-out ones, but the `shipped` ones of LIBERO,
    on which the field evaluates."""
    return "shipped" if suites.is_shipped(suite, EVALUATION) else "heldout"


def evaluation_seeds(suite: str, task: str, first: int, count: int, curation: Curation) -> list[int]:
    """The first `count` seeds of `evaluation_states` from `first` on; raises `UserError` where fewer are shipped, or
    they are not to begin with the first of these."""
    if evaluation_states(suite) == "shipped":
        if first != EVALUATION:
            raise UserError(
                f"evaluation.first is {first - EVALUATION}, and {suite} is evaluated on the initial states that ship "
                "with it, from the first on: set it to 0"
            )
        if count > SHIPPED:
            raise UserError(
                f"evaluation.per_task is {count}, and {suite} ships {SHIPPED} initial states a task for evaluations: "
                f"set it to {SHIPPED} or fewer"
            )
        return list(range(EVALUATION, EVALUATION + count))
    return seeds_in_split(suite, task, first, "heldout", count, curation)
