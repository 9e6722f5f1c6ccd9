"""Which initial states policies are compared on."""

import pytest

from tests.curation.synthetic import CURATION
from worldvla.curation.splits import split_of
from worldvla.errors import UserError
from worldvla.sim import suites
from worldvla.sim.evaluation import protocol
from worldvla.sim.seed_ranges import (
    BEYOND,
    COLLECTION,
    COLLECTION_STRIDE,
    DEMONSTRATION,
    EVALUATION,
    EXPLORATION,
    TUNING,
)
from worldvla.sim.seeds import collection_start, evaluation_seeds, evaluation_states, seeds_in_split
from worldvla.sim.workers import initial_states

SUITE, TASK = "maniskill_tabletop", "PushCube-v1"


def test_seeds_in_a_split_are_the_first_whose_states_hash_to_it():
    found = seeds_in_split(SUITE, TASK, COLLECTION, "train", 9, CURATION)
    scanned = range(COLLECTION, found[-1] + 1)
    states = list(initial_states(SUITE, TASK, scanned))
    assert found == [seed for seed, state in zip(scanned, states, strict=True) if split_of(state, CURATION) == "train"]
    for first in (EVALUATION, found[0]):
        expected = seeds_in_split(SUITE, TASK, first, "heldout", 3, CURATION)
        assert evaluation_seeds(SUITE, TASK, first, 3, CURATION) == expected


def test_libero_is_evaluated_on_the_states_that_ship_with_it():
    task = "put_the_bowl_on_the_plate"
    assert evaluation_seeds("libero_goal", task, EVALUATION, 50, CURATION) == list(range(EVALUATION, EVALUATION + 50))
    with pytest.raises(UserError, match="evaluation.per_task is 150, and libero_goal ships 50"):
        evaluation_seeds("libero_goal", task, EVALUATION, 150, CURATION)
    with pytest.raises(UserError, match="evaluation.first is 7, and libero_goal is evaluated on the initial"):
        evaluation_seeds("libero_goal", task, EVALUATION + 7, 50, CURATION)
    assert evaluation_states("libero_goal") == "shipped" and evaluation_states(SUITE) == "heldout"
    one, other = (
        protocol("libero_goal", 96, 8, 1.0, EVALUATION, states)
        for states in ("heldout", evaluation_states("libero_goal"))
    )
    assert one != other


def test_no_seed_that_is_recorded_means_an_evaluated_state():
    starts = [DEMONSTRATION, EXPLORATION, *(collection_start(f"{iteration:04d}") for iteration in range(10_000))]
    assert len(set(starts)) == len(starts)
    for first in starts:
        last = first + COLLECTION_STRIDE - 1
        assert last < TUNING or first >= BEYOND
        assert not suites.is_shipped("libero_goal", first) and not suites.is_shipped("libero_goal", last)
    assert suites.is_shipped("libero_goal", EVALUATION) and not suites.is_shipped(SUITE, EVALUATION)
