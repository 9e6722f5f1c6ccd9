"""Episodes: demonstrations, perturbed demonstrations, exploration rollouts, open-loop replays, and their union."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

import dagster as dg

from assets.actors import policy_actor
from assets.metadata import table
from assets.publication import Content, Step, loop_asset
from worldvla.config import ActionNoise, Scene
from worldvla.curation.splits import split_of
from worldvla.lake.episodes import episode_rows, load_bank, set_members, write_set
from worldvla.quality.recording import Recording, record
from worldvla.sim import suites
from worldvla.sim.actors import ActorSpec, ExpertSpec
from worldvla.sim.open_loop import OpenLoopSpec, plan_replays
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.seed_ranges import DEMONSTRATION, EXPLORATION

# An expert that fails this much more often than it is asked to succeed is broken, not unlucky.
_ATTEMPTS_PER_DEMONSTRATION = 3


def demonstrations(step: Step) -> Content:
    """Scripted experts with privileged state: episodes that succeed."""
    kept, refused, attempts = [], [], 0
    for task in step.config.scene.tasks:
        wanted = step.config.demonstrations.of(task)
        successes: list[dict] = []
        seed = DEMONSTRATION
        while len(successes) < wanted:
            seeds = range(seed, seed + wanted - len(successes))
            # All of them are drawn whole: a policy is cloned from every frame.
            recording = record_rollouts(step, task, [(seed, ExpertSpec()) for seed in seeds], camera_stride=1)
            successes += [row for row in recording.rows if row["success"]]
            refused += recording.refused
            attempts += recording.steps
            seed = seeds.stop
            if len(successes) < wanted and seed - DEMONSTRATION > _ATTEMPTS_PER_DEMONSTRATION * wanted:
                raise dg.Failure(_too_few(step.config.scene, task, len(successes), seed - DEMONSTRATION))
        kept += successes
    return episode_content(step, Recording(kept, refused, attempts))


def _too_few(scene: Scene, task: str, successes: int, attempts: int) -> str:
    needed, allowed = suites.horizon(scene.suite, task), scene.max_steps
    short = f"; it may need {needed} actions, and scene.max_steps is {allowed}" if needed > allowed else ""
    return f"the expert of {task} succeeded {successes} times in {attempts}{short}"


def perturbed_demonstrations(step: Step) -> Content:
    """Scripted experts that aim wrongly, from the demonstrations' initial states: near-success and failure."""
    count = step.config.perturbed.per_task
    seeds = range(DEMONSTRATION, DEMONSTRATION + count)
    return recorded(step, [(task, seeds, ExpertSpec(perturbation=1.0)) for task in step.config.scene.tasks])


def exploration_rollouts(step: Step) -> Content:
    """What the base policy does by itself: the world model must know the states it gets into."""
    settings = step.config.exploration
    seeds = range(EXPLORATION, EXPLORATION + settings.per_task)
    return rolled_out(step, step.parents["base_policy"], settings.noises, dict.fromkeys(step.config.scene.tasks, seeds))


def open_loop_replays(step: Step) -> Content:
    """Actions of the episodes recorded so far, carried out blindly from other initial states."""
    settings, curation = step.config.open_loop, step.config.curation
    ids = set(step.members("demonstrations")) | set(step.members("exploration_rollouts"))
    lending, parts = episode_rows(step.lake, sorted(ids)), []
    for task in step.config.scene.tasks:
        rows = lending.filter(lending["task"] == task).to_dicts()
        splits = [split_of(row["initial_state_digest"], curation) for row in rows]
        replays = plan_replays(rows, splits, settings.per_task, settings.nearest)
        lenders = sorted({replay.actions_of for replay in replays})
        bank = load_bank(step.lake, lenders, image_size=None)
        actions = {name: bank.actions[bank.frames_of(index)][:-1] for index, name in enumerate(lenders)}
        plan = [(replay.seed, OpenLoopSpec(actions[replay.actions_of], replay.actions_of)) for replay in replays]
        parts.append(record_rollouts(step, task, plan))
    return episode_content(step, together(parts))


def raw_episodes(step: Step) -> Content:
    """All episodes that the campaign starts from, audited."""
    ids = [episode for parent in step.node.parents for episode in step.members(parent)]
    return episode_content(step, Recording(episode_rows(step.lake, ids).to_dicts(), [], 0))


def record_rollouts(
    step: Step, task: str, plan: Iterable[tuple[int, ActorSpec]], camera_stride: int | None = None
) -> Recording:
    """Rolls each actor out on its seed, each episode once; quality rules may keep some of them out.

    Every `camera_stride`-th state is drawn, by default as the campaign's scene says.
    """
    scene, execution = step.config.scene, step.config.execution
    requests = [
        RolloutRequest(
            scene.suite,
            task,
            seed,
            actor,
            scene.max_steps,
            scene.chunk,
            settle=scene.settle,
            camera_stride=camera_stride or scene.camera_stride,
        )
        for seed, actor in plan
    ]
    return record(step.lake, requests, execution.workers, step.commit, f"{step.node.name} {task}")


def recorded(step: Step, plan: Iterable[tuple[str, Sequence[int], ActorSpec]]) -> Content:
    """The content of an asset that keeps every episode it rolls out."""
    parts = [record_rollouts(step, task, [(seed, actor) for seed in seeds]) for task, seeds, actor in plan]
    return episode_content(step, together(parts))


def rolled_out(step: Step, policy: str, noises: Iterable[ActionNoise], seeds: Mapping[str, Sequence[int]]) -> Content:
    """The content of an asset that keeps what a policy does under each of the noises, on these seeds of each task."""
    with ExitStack() as stack:
        actors = [stack.enter_context(policy_actor(step, policy, noise)) for noise in noises]
        return recorded(step, [(task, some, actor) for task, some in seeds.items() for actor in actors])


def together(parts: Sequence[Recording]) -> Recording:
    """Several recordings as one."""
    return Recording(
        [row for part in parts for row in part.rows],
        [episode for part in parts for episode in part.refused],
        sum(part.steps for part in parts),
    )


def episode_content(step: Step, recording: Recording) -> Content:
    """The set of the episodes that may be members; `details["quarantined"]` names those that may not."""
    version = write_set(step.lake, [row["episode_id"] for row in recording.rows], step.commit)
    members = set(set_members(step.lake, version))
    rows = [row for row in recording.rows if row["episode_id"] in members]
    refused = {"quarantined": sorted(recording.refused)} if recording.refused else {}
    command = f"{len(recording.refused)} episodes: `worldvla quarantine list --campaign {step.campaign}`"
    return Content(
        version,
        details={**counts(rows), **refused},
        metadata={
            **table_metadata(rows),
            **({"quarantined": dg.MetadataValue.md(command)} if recording.refused else {}),
        },
        real_steps=recording.steps,
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
    counted = (
        {"task": task, "source": source, "episodes": len(group), "successes": sum(row["success"] for row in group)}
        for (task, source), group in sorted(groups.items())
    )
    return {
        "dagster/row_count": sum(len(group) for group in groups.values()),
        "by task and source": table(counted),
    }


ASSETS: list[dg.AssetsDefinition] = [
    loop_asset(demonstrations),
    loop_asset(perturbed_demonstrations),
    loop_asset(exploration_rollouts),
    loop_asset(open_loop_replays),
    loop_asset(raw_episodes),
]
