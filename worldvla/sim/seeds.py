"""Which seeds serve which purpose: ranges that never meet.

Demonstrations and perturbed demonstrations share their seeds, so that a success and a
failure start from the same initial state and fall on the same side of every split.
Evaluation takes only initial states that hash to `heldout`, collection only those that
hash to `train`; no training ever sees an evaluation seed. Settings are chosen on the
`TUNING` range, figures are reported on `EVALUATION`.
"""

from collections.abc import Iterator

from worldvla.config import Curation
from worldvla.curation.splits import split_of
from worldvla.sim.seed_ranges import COLLECTION, COLLECTION_STRIDE
from worldvla.sim.workers import initial_states

# How many seeds are reset at once while looking for those of a split.
_SCAN = 256


def collection_start(iteration: str) -> int:
    """The first collection seed of an iteration: each iteration sees new initial states."""
    return COLLECTION + int(iteration) * COLLECTION_STRIDE


def seeds_in_split(suite: str, task: str, start: int, split: str, count: int, curation: Curation) -> list[int]:
    """The first `count` seeds from `start` on whose initial state hashes to `split`.

    Only resets the simulator: no step is taken and nothing is rendered.
    """

    def matching() -> Iterator[int]:
        first = start
        while True:
            seeds = list(range(first, first + _SCAN))
            for seed, state in zip(seeds, initial_states(suite, task, seeds), strict=True):
                if split_of(state, curation) == split:
                    yield seed
            first += _SCAN

    found = matching()
    return [next(found) for _ in range(count)]
