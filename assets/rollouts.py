"""Deployment in the real simulator: evaluation on held-out states, and collection of what goes back."""

from contextlib import ExitStack

import dagster as dg

from assets.actors import policy_actor
from assets.checks import Check
from assets.episodes import counts, rolled_out, table_metadata
from assets.metadata import table
from assets.publication import Content, Step, loop_asset
from worldvla.alignment.intervals import by_task, comparison
from worldvla.config import ActionNoise
from worldvla.lake.digests import rows_version
from worldvla.lake.episodes import episode_rows, write_set
from worldvla.lake.models import has_model
from worldvla.partitions import iteration_key
from worldvla.rl.exploitation import verdict
from worldvla.sim.evaluation import evaluate, protocol
from worldvla.sim.seed_ranges import EVALUATION
from worldvla.sim.seeds import collection_start, evaluation_seeds, evaluation_states, seeds_in_split

GAINS = "imagined success {imagined_gain:+.1%}, as the judge sees it {shown_gain:+.1%}, real {real_gain:+.1%}"


def evaluation(step: Step) -> Content:
    """Base and new policy on the same initial states, which no training saw; decides who is champion, which
    `iteration_record` tells MLflow."""
    scene, settings = step.config.scene, step.config.evaluation
    first, count, curation = EVALUATION + settings.first, settings.per_task, step.config.curation
    seeds = {task: evaluation_seeds(scene.suite, task, first, count, curation) for task in scene.tasks}
    states = evaluation_states(scene.suite)
    conditions = protocol(scene.suite, scene.max_steps, scene.chunk, settings.temperature, first, states)
    base, new, trained = step.parents["base_policy"], step.parents["rl_policy"], step.details("rl_policy")
    reigning = reigning_policy(step, base)
    with ExitStack() as stack:
        contenders = dict.fromkeys((base, new, reigning))
        noise = ActionNoise.one_by_one(settings.temperature)
        actors = [stack.enter_context(policy_actor(step, policy, noise)) for policy in contenders]
        workers = step.config.execution.workers
        rows = evaluate(step.lake, actors, conditions, seeds, workers, step.commit, "evaluation")
    compared = compare(rows[base], rows[new])
    contest = compare(rows[reigning], rows[new])["difference"]
    chosen = new if contest["low"] > 0 else reigning
    found = None
    if imagined := trained["imagined"]:
        found = verdict(trained["history"], imagined, compared, trained["stopped"])
        found |= {"rested": sorted({task for probe in trained["probes"] for task in probe["resting"]})}
    details = {
        "protocol": conditions,
        **compared,
        "exploitation": found,
        "champion": {"before": reigning, "after": chosen, "difference": contest},
    }
    rates = [
        {
            "policy": name,
            "id": policy[:12],
            **{key: details[name][key] for key in ("successes", "n", "rate", "low", "high")},
        }
        for name, policy in (("base", base), ("new", new))
    ]
    return Content(
        rows_version([row for policy in (base, new) for row in rows[policy]]),
        details=details,
        metadata={
            "success": table(rates),
            "paired difference": compared["difference"]["difference"],
            "champion": chosen,
        },
        checks=(_exploitation(found),),
        real_steps=steps_taken(step.iteration, rows[base], rows[new]),
    )


def steps_taken(iteration: str, base: list[dict], new: list[dict]) -> int:
    """Real steps that an iteration's evaluation cost, whichever attempt or campaign took them: those of its new policy,
    and in the first iteration those of the base policy, which the others read."""
    rows = [*base, *new] if iteration == iteration_key(0) else new
    return sum(row["steps"] for row in rows)


def reigning_policy(step: Step, base: str) -> str:
    """The champion that the new policy has to beat: whom the evaluation before this iteration's chose, the base policy
    where there was none, or where the lake has that policy no longer."""
    evaluations = [
        (iteration, record)
        for (asset, campaign, iteration), record in step.records.items()
        if (asset, campaign) == ("evaluation", step.campaign) and iteration < step.iteration
    ]
    chosen = max(evaluations)[1].details["champion"]["after"] if evaluations else base
    return chosen if has_model(step.lake, chosen) else base


def _exploitation(found: dict | None) -> Check:
    """Warns: the loop goes on, since the failures of a policy that exploits its world model are what mends that."""
    if found is None:
        return Check("exploitation", True, "the policy was not trained in imagination")
    said = GAINS.format(**found)
    for task, of in found["tasks"].items():
        if of["exploited"] and len(found["tasks"]) > 1:
            said += f"; exploited in {task}: {GAINS.format(**of)}"
    if found["stopped"]:
        said += f"; stopped after {found['updates']} updates"
    if found["rested"]:
        said += f"; worse in the simulator than it began, as a probe found: {', '.join(found['rested'])}"
    return Check("exploitation", True, said, warned=bool(found["exploited"] or found["stopped"] or found["rested"]))


def policy_rollouts(step: Step) -> Content:
    """The new policy on collection seeds, which no evaluation uses: recorded whole, and published to the next
    iteration, whose SANS contains them. Successes too: a world model that only saw this policy fail would expect it.
    And under the noise of its training, where the next one asks the world model what this policy does."""
    scene, settings = step.config.scene, step.config.collection
    first = collection_start(step.iteration)
    seeds = {
        task: seeds_in_split(scene.suite, task, first, "train", settings.per_task, step.config.curation)
        for task in scene.tasks
    }
    return rolled_out(step, step.parents["rl_policy"], settings.noises, seeds)


def failure_rollouts(step: Step) -> Content:
    """The rollouts that failed, as a set of their own: what asks for failures finds them by it."""
    rows = episode_rows(step.lake, step.members("policy_rollouts")).sort("episode_id")
    failures = [row for row in rows.iter_rows(named=True) if not row["success"]]
    version = write_set(step.lake, [row["episode_id"] for row in failures], step.commit)
    return Content(version, details=counts(failures), metadata=table_metadata(failures))


def compare(base: list[dict], new: list[dict]) -> dict:
    """Success of both on the same tasks and seeds, and the paired difference: over all and of each of the `tasks`."""

    pairs = list(zip(base, new, strict=True))

    def of(cases: list[int]) -> dict:
        return comparison([pairs[case][0]["success"] for case in cases], [pairs[case][1]["success"] for case in cases])

    return by_task([row["task"] for row in base], of)


ASSETS: list[dg.AssetsDefinition] = [
    loop_asset(evaluation, checks=("exploitation",), recalled=False),
    loop_asset(policy_rollouts),
    loop_asset(failure_rollouts),
]
