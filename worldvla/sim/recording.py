"""Recording: rollouts into the lake, each of them once.

What is already recorded is recognized by its origin (task, seed, actor, settings), so a
collection that was killed goes on where it stopped and a deleted episode is recorded anew.
"""

from collections.abc import Sequence

from worldvla.lake.commit import Commit
from worldvla.lake.digests import canonical_json
from worldvla.lake.episodes import episode_rows, write_episodes
from worldvla.lake.store import Lake
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.workers import collect

Origin = tuple[str, str, int, str, str, str]


def record(
    lake: Lake, requests: Sequence[RolloutRequest], workers: int, commit: Commit, description: str
) -> list[dict]:
    """Rolls out what the lake does not hold yet; returns every request's episode row, in order."""
    known = _recorded(lake)
    missing = [request for request in requests if _origin(request) not in known]
    write_episodes(lake, collect(missing, workers, description), commit)
    if missing:
        known = _recorded(lake)
    return [known[_origin(request)] for request in requests]


def _recorded(lake: Lake) -> dict[Origin, dict]:
    rows = episode_rows(lake)
    columns = ("suite", "task", "seed", "source", "actor", "settings")
    return dict(zip(rows.select(columns).iter_rows(), rows.iter_rows(named=True), strict=True))


def _origin(request: RolloutRequest) -> Origin:
    return (
        request.suite,
        request.task,
        request.seed,
        str(request.actor.source),
        request.actor.name,
        canonical_json(request.settings),
    )
