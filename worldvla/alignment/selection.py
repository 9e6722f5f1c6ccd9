"""Selection: which episodes alignment is measured on, and the success threshold calibrated on."""

from collections.abc import Iterable, Mapping

from worldvla.curation.splits import unit_hash

SALT = "worldvla alignment 1"


def choose(episodes: Iterable[Mapping], count: int) -> list[str]:
    """The ids of at most `count` episodes, as many successes as failures, tasks in turn.

    `episodes` have `episode_id`, `task` and `success`. Within a task and outcome the order
    is a hash's, so the choice is a pure function of the set and adding an episode displaces
    at most one. Where a task runs out of pairs of a success and a failure the others give
    more; fewer than asked are returned when all pairs are used, none where there is no pair.
    """
    sides: dict[str, tuple[list[str], list[str]]] = {}
    for episode in episodes:
        sides.setdefault(episode["task"], ([], []))[not episode["success"]].append(episode["episode_id"])
    pairs = {
        task: list(zip(*(sorted(side, key=lambda i: unit_hash(i, SALT)) for side in both), strict=False))
        for task, both in sorted(sides.items())
    }
    longest = max(map(len, pairs.values()), default=0)
    turns = [of_task[place] for place in range(longest) for of_task in pairs.values() if place < len(of_task)]
    return [episode for pair in turns[: count // 2] for episode in pair]
