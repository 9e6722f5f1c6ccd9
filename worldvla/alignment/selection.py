"""Selection: which episodes alignment is measured on, and which decide on weights and thresholds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from worldvla.curation.splits import unit_hash
from worldvla.episodes.episode import Source

SALT = "worldvla alignment 1"
SCRIPTED = (Source.EXPERT, Source.PERTURBED)


def choose(episodes: Iterable[Mapping], count: int) -> list[str]:
    """The ids of at most `count` episodes, as many successes as failures, tasks in turn.

    `episodes` have `episode_id`, `task`, `success` and `initial_state_digest`. Within a task
    and outcome one of each initial state comes before a second of any, for those that begin
    alike are not independent; beyond that the order is a hash's, so the choice is a pure
    function of the set and adding an episode displaces at most one. Where a task runs out of
    pairs of a success and a failure the others give more; fewer than asked are returned when
    all pairs are used, none where there is no pair.
    """
    sides: dict[str, tuple[list[Mapping], list[Mapping]]] = {}
    for episode in episodes:
        sides.setdefault(episode["task"], ([], []))[not episode["success"]].append(episode)
    pairs = {task: list(zip(*map(_in_turn, both), strict=False)) for task, both in sorted(sides.items())}
    longest = max(map(len, pairs.values()), default=0)
    turns = [of_task[place] for place in range(longest) for of_task in pairs.values() if place < len(of_task)]
    return [episode for pair in turns[: count // 2] for episode in pair]


def choose_deciding(episodes: Sequence[Mapping], count: int) -> list[str]:
    """As `choose`, of episodes that have a `source`, too; scripted ones fill up what the others leave.

    Experts hardly fail and grasp where a policy never would, so what parts successes from failures among scripted
    episodes also parts experts from policies, and policies alone are imagined.
    """
    chosen = choose((one for one in episodes if one["source"] not in SCRIPTED), count)
    scripted = choose((one for one in episodes if one["source"] in SCRIPTED), count - len(chosen))
    return chosen + scripted


def _in_turn(episodes: list[Mapping]) -> list[str]:
    """Their ids: of every initial state the first, then the seconds, and so on; each time as a hash has them."""
    seen: Counter[str] = Counter()
    turns = []
    for episode in sorted(episodes, key=lambda one: unit_hash(one["episode_id"], SALT)):
        turns.append((seen[episode["initial_state_digest"]], len(turns), episode["episode_id"]))
        seen[episode["initial_state_digest"]] += 1
    return [name for *_, name in sorted(turns)]
