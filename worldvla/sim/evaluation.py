"""Evaluation of a policy in the real simulator, each (policy, protocol, task, seed) once.

Numbers measured under different protocols must never be compared, so the protocol, as a
digest, is part of every row's key.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl

from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.store import Lake
from worldvla.sim.actors import ActorSpec
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.workers import collect


def protocol(suite: str, max_steps: int, chunk: int, temperature: float, first_seed: int, split: str) -> dict[str, Any]:
    """Everything that shapes a success rate besides the policy and the number of seeds."""
    return {
        "suite": suite,
        "success": "any state of the episode",
        "termination": "end of the chunk with the first success",
        "max_steps": max_steps,
        "chunk": chunk,
        "temperature": temperature,
        "first_seed": first_seed,
        "split": split,
    }


def evaluate(
    lake: Lake,
    actor: ActorSpec,
    settings: dict[str, Any],
    seeds: dict[str, Sequence[int]],
    workers: int,
    commit: Commit,
    description: str,
) -> tuple[list[dict], int]:
    """Rows of table `evaluations` for `actor` on each task's seeds, by task and seed, and the real steps taken.

    `settings` is a `protocol`. What was evaluated before under the same protocol is read, not repeated;
    results are kept after every episode batch, so a killed evaluation goes on where it stopped.
    """
    name = digest(settings)
    where = f"policy_id = '{actor.name}' AND protocol = '{name}'"
    known = {(row["task"], row["seed"]): row for row in lake.read("evaluations", where=where).to_pylist()}
    wanted = [(task, seed) for task, some in seeds.items() for seed in some]
    requests = [
        RolloutRequest(
            settings["suite"], task, seed, actor, settings["max_steps"], settings["chunk"], render="chunk"
        )
        for task, seed in wanted
        if (task, seed) not in known
    ]
    steps = 0
    new: list[dict] = []
    for episode in collect(requests, workers, description):
        steps += episode.length
        row = {
            "policy_id": actor.name,
            "protocol": name,
            "task": episode.task,
            "seed": episode.seed,
            "initial_state_digest": episode.initial_state_digest,
            "success": episode.success,
            "steps": episode.length,
            "best_progress": float(episode.progress.max()),
        }
        known[(episode.task, episode.seed)] = row
        new.append(row)
        if len(new) == 16:
            lake.insert("evaluations", new, commit)
            new = []
    lake.insert("evaluations", new, commit)
    return [known[key] for key in wanted], steps


def successes(rows: Sequence[dict]) -> pl.DataFrame:
    """Successes and n by task."""
    return pl.DataFrame(list(rows)).group_by("task").agg(pl.col("success").sum(), pl.len().alias("n")).sort("task")
