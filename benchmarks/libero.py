"""`make benchmark-libero`: the loop on two tasks of each of three LIBERO suites, on the states that ship with them.

Runs the three campaigns through `worldvla loop`, in the project's own home or the one that is named; interrupted, the
same command goes on. `python -m benchmarks.libero [HOME] --report` runs nothing and reports what the home holds.
docs/learning.md describes the protocol.
"""

from typing import Any

from benchmarks.campaign_evidence import Evidence, alike
from benchmarks.campaign_figures import difference, hour_figures, policy_figures, rises, share, world_model_figures
from benchmarks.campaign_measurements import Evaluation
from benchmarks.campaign_runs import main
from benchmarks.interaction_table import interaction
from benchmarks.outcomes import Outcomes, gain, success
from worldvla import campaigns

PLAN = {"libero-spatial": 2, "libero-object": 2, "libero-goal": 2}
GAINS = {"0000": 0.127, "0001": 0.293}
# What differs between suites and between nothing else.
OF_A_SUITE = ("suite", "suite_version", "max_steps")
AVERAGE = "average of the suites"
THEIRS = (
    "World-VLA-Loop reports, for two tasks a suite, bases of 83.9 and 87.9 % (Spatial), 73.9 and 73.9 % (Object), 91.9 "
    "and 86.1 % (Goal), and a mean gain of 12.7 points (arXiv 2602.06508). WoVR reports bases of 61.5 (Spatial), 36.3 "
    "(Object), 48.2 (Goal) and 13.7 % (Long), 39.9 on average, and 69.2 % after two rounds in a world model fine-tuned "
    "from a pre-trained one of 5 billion parameters, on 1,500 rollouts of the base policy and 1,000 of the evolved one "
    "(arXiv 2602.13977). The first target here is the former's gain, the second the latter's. Their tasks, "
    "demonstrations, pictures, sampling temperature, termination and numbers of evaluation states are theirs: success "
    "rates are not comparable with those here, and gains from bases that differ are so only roughly."
)


def report(evidence: Evidence) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The protocol's own part, and the figures by task, by suite and averaged over the suites."""
    figures = average_figures(evidence)
    for name in PLAN:
        figures += policy_figures(evidence, name, {})
        figures += world_model_figures(evidence, name)
        figures += hour_figures(evidence, name)
    rows = interaction(evidence, together=False)
    return {"bases and budgets": {"theirs": THEIRS, "ours": ours()}, "interaction": rows}, figures


def average_figures(evidence: Evidence) -> list[dict[str, Any]]:
    """Over all suites: base, each iteration's policy and gain, the second iteration's gain; where every suite has them.

    Every suite has as many episodes, so the rate over all of them is the mean of the suites' rates.
    """
    found = {name: {one.iteration: one for one in evidence.evaluations(name)} for name in PLAN}
    figures: list[dict[str, Any]] = []
    before: Outcomes = {}
    for iteration, target in GAINS.items():
        if not all(iteration in of_suite for of_suite in found.values()):
            continue
        ones = alike([of_suite[iteration] for of_suite in found.values()], apart_from=OF_A_SUITE)
        base, new = pooled(ones, "base"), pooled(ones, "new")
        if not before:
            figures.append(share(f"{AVERAGE}: success of the base policy", success(base)))
        figures.append(share(f"{AVERAGE}, iteration {iteration}: success of the policy", success(new)))
        name = f"{AVERAGE}, iteration {iteration}: gain over the base policy"
        figures.append(difference(name, gain(base, new), target))
        if before:
            figures.append(rises(f"{AVERAGE}: gain of iteration {iteration} over the one before", gain(before, new)))
        before = new
    return figures


def pooled(ones: list[Evaluation], which: str) -> Outcomes:
    """The outcomes of several suites' policies; a task's name is unique to its suite."""
    return {key: outcome for one in ones for key, outcome in getattr(one, which).items()}


def ours() -> dict[str, dict[str, Any]]:
    """By campaign, what its base policy and its loop are given, from its settings."""
    given = {}
    for name in PLAN:
        config = campaigns.load(name)
        given[name] = {
            "tasks": config.scene.tasks,
            "models": "all small and trained from scratch on this campaign's episodes alone; nothing is pre-trained",
            "pictures": f"{config.policy.image_size} x {config.policy.image_size} pixels",
            "demonstrations a task": f"{config.demonstrations.per_task}, of a scripted expert",
            "attempts a task with perturbed aim": config.perturbed.per_task,
            "rollouts of the base policy a task": config.exploration.rollouts,
            "open-loop replays a task": config.open_loop.per_task,
            "rollouts of the new policy a task and iteration": config.collection.rollouts,
            "evaluation": f"{config.evaluation.per_task} shipped initial states a task, each once, at temperature "
            f"{config.evaluation.temperature:g}, at most {config.scene.max_steps} actions",
        }
    return given


if __name__ == "__main__":
    main("libero", PLAN, report)
