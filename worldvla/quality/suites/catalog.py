"""Every suite by the name of its table.

A table that nobody has written a suite for is held to its keys, so none is without.
"""

from worldvla.lake.tables import TABLES
from worldvla.quality.suites import episodes, outcomes, records, training
from worldvla.quality.suites.suite import Suite

_WRITTEN: tuple[Suite, ...] = (
    episodes.EPISODES,
    episodes.FRAMES,
    episodes.FACTS,
    episodes.SETS,
    training.SANS,
    training.KEYFRAMES,
    training.MODELS,
    training.MEMBERSHIP,
    outcomes.ALIGNMENTS,
    outcomes.EVALUATIONS,
    records.MATERIALIZATIONS,
    records.ITERATIONS,
    records.RETRACTIONS,
    records.QUARANTINE,
    records.RELEASES,
)

SUITES: dict[str, Suite] = {name: records.for_any_table(name) for name in TABLES} | {one.name: one for one in _WRITTEN}
