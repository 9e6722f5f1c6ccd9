"""Episodes: demonstrations, perturbed demonstrations, exploration rollouts, and their union."""

from collections.abc import Iterable, Sequence

import dagster as dg
import polars as pl

from assets.actors import policy_actor
from assets.checks import suite_check
from assets.publication import Content, Step, loop_asset
from worldvla.curation.frame_facts import frame_facts
from worldvla.lake.episodes import episode_rows, write_set
from worldvla.lake.store import is_in
from worldvla.sim.actors import ActorSpec, ExpertSpec
from worldvla.sim.recording import record
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.seeds import DEMONSTRATION, EXPLORATION

# An expert that fails this much more often than it is asked to succeed is broken, not unlucky.
_ATTEMPTS_PER_DEMONSTRATION = 3
_FACT_COLUMNS = ["episode_id", "step", "image", "action", "reward", "progress"]
# Episodes whose encoded frames are in memory at once.
_FACT_BATCH = 64


def demonstrations(step: Step) -> Content:
    """Scripted experts with privileged state: episodes that succeed."""
    wanted = step.config.demonstrations.per_task
    kept, attempts = [], 0
    for task in step.config.scene.tasks:
        successes: list[dict] = []
        seed = DEMONSTRATION
        while len(successes) < wanted:
            seeds = range(seed, seed + wanted - len(successes))
            rows = record_rollouts(step, task, seeds, ExpertSpec())
            successes += [row for row in rows if row["success"]]
            attempts += sum(row["length"] for row in rows)
            seed = seeds.stop
            if seed - DEMONSTRATION > _ATTEMPTS_PER_DEMONSTRATION * wanted:
                raise dg.Failure(f"the expert of {task} succeeded {len(successes)} times in {seed - DEMONSTRATION}")
        kept += successes
    return episode_content(step, kept, attempts)


def perturbed_demonstrations(step: Step) -> Content:
    """Scripted experts that aim wrongly, from the demonstrations' initial states: near-success and failure."""
    count = step.config.perturbed.per_task
    seeds = range(DEMONSTRATION, DEMONSTRATION + count)
    return recorded(step, ((task, seeds) for task in step.config.scene.tasks), ExpertSpec(perturbation=1.0))


def exploration_rollouts(step: Step) -> Content:
    """What the base policy does by itself: the world model must know the states it gets into."""
    settings = step.config.exploration
    seeds = range(EXPLORATION, EXPLORATION + settings.per_task)
    with policy_actor(step, step.parents["base_policy"], settings.temperature) as actor:
        return recorded(step, ((task, seeds) for task in step.config.scene.tasks), actor)


def raw_episodes(step: Step) -> Content:
    """All episodes that the campaign starts from, audited."""
    ids = [episode for parent in step.node.parents for episode in step.members(parent)]
    rows = episode_rows(step.lake, ids)
    facts = pl.concat(
        frame_facts(step.lake.read("frames", _FACT_COLUMNS, is_in("episode_id", ids[first : first + _FACT_BATCH])))
        for first in range(0, len(ids), _FACT_BATCH)
    )
    chunk = step.config.scene.chunk
    checks = (
        suite_check("episodes", rows, chunk=chunk),
        suite_check("frames", facts.join(rows.select("episode_id", "length"), on="episode_id")),
    )
    return Content(
        write_set(step.lake, ids, step.commit),
        details=counts(rows.iter_rows(named=True)),
        metadata=table_metadata(rows.iter_rows(named=True)),
        checks=checks,
    )


def record_rollouts(step: Step, task: str, seeds: Sequence[int], actor: ActorSpec) -> list[dict]:
    """Rolls the actor out on these seeds, each episode once; returns their rows in order."""
    scene, execution = step.config.scene, step.config.execution
    requests = [
        RolloutRequest(scene.suite, task, seed, actor, scene.max_steps, scene.chunk, settle=scene.settle)
        for seed in seeds
    ]
    return record(step.lake, requests, execution.workers, step.commit, f"{step.node.name} {task}")


def recorded(step: Step, plan: Iterable[tuple[str, Sequence[int]]], actor: ActorSpec) -> Content:
    """The content of an asset that keeps every episode it rolls out."""
    rows = [row for task, seeds in plan for row in record_rollouts(step, task, seeds, actor)]
    return episode_content(step, rows, sum(row["length"] for row in rows))


def episode_content(step: Step, rows: list[dict], real_steps: int) -> Content:
    return Content(
        write_set(step.lake, [row["episode_id"] for row in rows], step.commit),
        details=counts(rows),
        metadata=table_metadata(rows),
        real_steps=real_steps,
    )


def counts(rows: Iterable[dict]) -> dict:
    rows = list(rows)
    return {
        "episodes": len(rows),
        "successes": sum(row["success"] for row in rows),
        "steps": sum(row["length"] for row in rows),
    }


def table_metadata(rows: Iterable[dict]) -> dict[str, dg.MetadataValue]:
    """Counts by task and source, for a person."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["source"]), []).append(row)
    records = [
        dg.TableRecord(
            {"task": task, "source": source, "episodes": len(group), "successes": sum(row["success"] for row in group)}
        )
        for (task, source), group in sorted(groups.items())
    ]
    return {
        "dagster/row_count": sum(len(group) for group in groups.values()),
        "by task and source": dg.MetadataValue.table(records) if records else dg.MetadataValue.text("none"),
    }


ASSETS: list[dg.AssetsDefinition] = [
    loop_asset(demonstrations),
    loop_asset(perturbed_demonstrations),
    loop_asset(exploration_rollouts),
    loop_asset(raw_episodes, checks=("episodes", "frames")),
]
