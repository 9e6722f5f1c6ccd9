"""Outcomes of policies on held-out seeds: rates, and gains on the same seeds."""

from collections.abc import Mapping
from typing import Any

from worldvla.alignment.intervals import paired_difference, proportion
from worldvla.errors import UserError

# By task and seed, whether the policy succeeded.
Outcomes = Mapping[tuple[str, int], bool]


def of_task(outcomes: Outcomes, task: str | None) -> Outcomes:
    """The outcomes of one task; of all where none is named."""
    return {key: success for key, success in outcomes.items() if task in (None, key[0])}


def tasks_of(outcomes: Outcomes) -> list[str]:
    return list(dict.fromkeys(task for task, _ in outcomes))


def success(outcomes: Outcomes) -> dict[str, Any]:
    """Successes, n, rate and its 95 % interval."""
    return proportion(sum(outcomes.values()), len(outcomes))


def gain(before: Outcomes, after: Outcomes) -> dict[str, Any]:
    """The paired difference on the same tasks and seeds; raises `UserError` where they are not the same."""
    if before.keys() != after.keys():
        raise UserError("two policies were evaluated on unlike seeds, so their success is not compared")
    _, low, high = paired_difference(list(before.values()), [after[key] for key in before])
    # From the counts: rounded rates would miss a target that they reach exactly.
    difference = (sum(after.values()) - sum(before.values())) / len(before)
    return {"difference": difference, "low": low, "high": high, "n": len(before)}
