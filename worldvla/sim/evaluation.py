"""Evaluation of a policy in the real simulator, each (policy, protocol, task, seed) once.

Numbers measured under different protocols must never be compared, so the protocol, as a
digest, is part of every row's key.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from worldvla.episodes.episode import Episode
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.store import Lake, is_in
from worldvla.policy.actor import acting
from worldvla.sim import suites
from worldvla.sim.actors import ActorSpec
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.workers import collect

# Episodes whose results one commit holds.
_BATCH = 16


def protocol(suite: str, max_steps: int, chunk: int, temperature: float, first_seed: int, split: str) -> dict[str, Any]:
    """Everything that shapes a success rate besides the policy and the number of seeds."""
    return {
        "suite": suite,
        "suite_version": suites.version(suite),
        "success": "any state of the episode",
        "termination": "end of the chunk with the first success",
        "max_steps": max_steps,
        "chunk": chunk,
        "temperature": temperature,
        "first_seed": first_seed,
        "split": split,
        **acting(),
    }


def evaluate(
    lake: Lake,
    actors: Sequence[ActorSpec],
    settings: dict[str, Any],
    seeds: dict[str, Sequence[int]],
    workers: int,
    commit: Commit,
    description: str,
) -> dict[str, list[dict]]:
    """By actor name, rows of table `evaluations` on each task's seeds, by task and seed.

    `settings` is a `protocol`. What was evaluated before under the same protocol is read, not
    repeated, and results are kept as they come, so a killed evaluation goes on where it stopped.
    """
    name = digest(settings)
    where = f"protocol = '{name}' AND {is_in('policy_id', [actor.name for actor in actors])}"
    known = {_key(row): row for row in lake.read("evaluations", where=where).to_pylist()}
    wanted = [(task, seed) for task, some in seeds.items() for seed in some]
    requests = [
        RolloutRequest(settings["suite"], task, seed, actor, settings["max_steps"], settings["chunk"], render="chunk")
        for actor in actors
        for task, seed in wanted
        if (actor.name, task, seed) not in known
    ]
    episodes = collect(requests, workers, description)
    while batch := list(islice(episodes, _BATCH)):
        rows = [_row(name, episode) for episode in batch]
        lake.insert("evaluations", rows, commit)
        known |= {_key(row): row for row in rows}
    return {actor.name: [known[(actor.name, *key)] for key in wanted] for actor in actors}


def _row(protocol_digest: str, episode: Episode) -> dict[str, Any]:
    return {
        "policy_id": episode.actor,
        "protocol": protocol_digest,
        "task": episode.task,
        "seed": episode.seed,
        "initial_state_digest": episode.initial_state_digest,
        "success": episode.success,
        "steps": episode.length,
        "best_progress": float(episode.progress.max()),
    }


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["policy_id"], row["task"], row["seed"]
