"""Computations that were begun and not published: under way, or stopped and to be resumed.

While an asset is computed, the seconds spent on it stand in a file that its fingerprint names
(`worldvla.training.spent`), in the home of the machine that computes. A node that could be
computed now and has such a file was begun.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from worldvla.home import spent_file
from worldvla.lake.store import Lake
from worldvla.partitions import CAMPAIGN_SCOPE
from worldvla.planner.graph import GRAPH
from worldvla.planner.observe import Snapshot, step_fingerprint
from worldvla.planner.state import Key, NodeState
from worldvla.training.spent import EVERY_SECONDS, read_spent

SILENCE = 3 * EVERY_SECONDS  # after which a clock has stopped


@dataclass(frozen=True)
class Attempt:
    """`seconds` of all attempts so far; `running` while the latest one's clock goes on."""

    seconds: float
    running: bool


def attempts(lake: Lake, seen: Snapshot, states: Iterable[NodeState]) -> dict[Key, Attempt]:
    """What this machine has begun of `states`, as `seen.assess()` returned them all."""
    states = list(states)
    if not any(spent_file("*").parent.glob(spent_file("*").name)):
        return {}
    by_key = {state.key: state for state in states}
    found = {}
    for state in states:
        if state.state == "fresh" or state.blocked or GRAPH[state.asset].feedback_from:
            continue
        parents = [by_key[_parent(state, name)] for name in GRAPH[state.asset].parents]
        if all(parent.settled and parent.version for parent in parents):
            versions = {parent.asset: parent.version or "" for parent in parents}
            campaign = seen.campaigns[state.campaign]
            fingerprint = step_fingerprint(lake, GRAPH[state.asset], campaign, state.iteration, versions)
            if attempt := _read(spent_file(fingerprint)):
                found[state.key] = attempt
    return found


def _parent(state: NodeState, name: str) -> Key:
    return name, state.campaign, state.iteration if GRAPH[name].scope == "iteration" else CAMPAIGN_SCOPE


def _read(path: Path) -> Attempt | None:
    found = read_spent(path)
    if found is None:
        return None
    seconds, ended = found
    try:
        return Attempt(seconds, not ended and time.time() - path.stat().st_mtime < SILENCE)
    except OSError:
        return None
