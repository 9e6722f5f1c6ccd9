"""Recording: rollouts into the lake, each of them once.

What is already recorded is recognized by its origin (task, seed, actor, settings), so a
collection that was killed goes on where it stopped and a deleted episode is recorded anew.
What quality rules refuse is recognized likewise: it is not rolled out again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from worldvla.episodes.episode import ORIGIN
from worldvla.lake.commit import Commit
from worldvla.lake.digests import canonical_json
from worldvla.lake.episodes import episode_rows
from worldvla.lake.store import Lake
from worldvla.quality.admission import admit, judge_again
from worldvla.quality.quarantine import lengths, origins_held
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.workers import collect

Origin = tuple[str, str, int, str, str, str]


@dataclass(frozen=True)
class Recording:
    """What came of the requests, in their order: the rows of `episodes` that may become members of a set, the ids
    of the episodes that quality rules keep out, and the simulator steps that all of them took."""

    rows: list[dict]
    refused: list[str]
    steps: int


def record(lake: Lake, requests: Sequence[RolloutRequest], workers: int, commit: Commit, description: str) -> Recording:
    """Rolls out what neither the lake nor its quarantine holds yet, and judges every episode by today's rules."""
    known = origins_held(lake) | _recorded(lake)
    missing = [request for request in requests if _origin(request) not in known]
    admit(lake, collect(missing, workers, description), commit)
    if missing:
        known = origins_held(lake) | _recorded(lake)
    ids = [known[_origin(request)] for request in requests]
    verdicts = judge_again(lake, ids, commit)
    rows = episode_rows(lake, verdicts.admitted).to_dicts()
    steps = sum(row["length"] for row in rows) + sum(lengths(lake, verdicts.refused).values())
    return Recording(rows, verdicts.refused, steps)


def _recorded(lake: Lake) -> dict[Origin, str]:
    rows = lake.frame("episodes", ["episode_id", *ORIGIN])
    return dict(zip(rows.select(ORIGIN).iter_rows(), rows["episode_id"], strict=True))


def _origin(request: RolloutRequest) -> Origin:
    return (
        request.suite,
        request.task,
        request.seed,
        str(request.actor.source),
        request.actor.name,
        canonical_json(request.settings),
    )
