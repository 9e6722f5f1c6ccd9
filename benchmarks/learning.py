"""`make benchmark-learning`: does the loop learn? The campaign `tabletop`, its ablations, and three training seeds.

Runs each through `worldvla loop`, in the project's own home or the one that is named, since all of it takes many
nights; interrupted, the same command goes on. `python -m benchmarks.learning [HOME] --report` runs nothing and
reports what the home holds. docs/learning.md describes the protocol.
"""

import itertools
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.campaign_evidence import Evidence, alike
from benchmarks.campaign_figures import (
    ALL,
    alignment_shares,
    base_figures,
    difference,
    hour_figures,
    imagined_figures,
    policy_figures,
    share,
    world_model_figures,
)
from benchmarks.campaign_measurements import Evaluation
from benchmarks.campaign_runs import main
from benchmarks.interaction_table import interaction, markdown
from benchmarks.learning_plot import PICTURE, draw
from benchmarks.outcomes import gain, success
from benchmarks.result import FOLDER, figure
from worldvla.partitions import iteration_key

CAMPAIGN = "tabletop"
ABLATIONS = {
    "tabletop-without-near-success": 2,
    "tabletop-without-reward-head": 2,
    "tabletop-without-second-iteration": 1,
    "tabletop-supervised": 1,
}
SEEDS = ("two-tasks-seed-0", "two-tasks-seed-1", "two-tasks-seed-2")
PLAN = {CAMPAIGN: 2, **ABLATIONS, **dict.fromkeys(SEEDS, 2)}
GAINS = {"0000": 0.293}
LEAST_GAIN = 0.0


def report(evidence: Evidence) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The protocol's own part, and the figures; the table and the picture are written beside them, the latter
    removed where there is nothing to show."""
    figures = world_model_figures(evidence, CAMPAIGN)
    policies = evidence.evaluations(CAMPAIGN)
    if policies:
        figures += base_figures(CAMPAIGN, policies[0].base)
        figures += policy_figures(evidence, CAMPAIGN, GAINS, LEAST_GAIN)
    figures += hour_figures(evidence, CAMPAIGN) + ablation_figures(evidence) + seed_figures(evidence)
    for name in SEEDS:
        figures += (
            world_model_figures(evidence, name) + policy_figures(evidence, name, {}) + hour_figures(evidence, name)
        )
    compared = evidence.of((CAMPAIGN, *ABLATIONS))
    rows = interaction(compared)
    unrated = [str(one) for one in compared.missing if one.asset in ("", "evaluation")]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "learning.md").write_text(markdown(rows, unrated))
    if rows:
        draw(rows, PICTURE)
    else:
        PICTURE.unlink(missing_ok=True)
    return {"interaction": rows}, figures


def ablation_figures(evidence: Evidence) -> list[dict[str, Any]]:
    """Each ablation's last world model and last policy, and how far the whole loop is ahead on the same seeds after as
    many iterations and after all.

    Where the two campaigns have base policies of their own, that lead is also theirs; `gain` is over the own one.
    """
    figures = []
    whole = evidence.evaluations(CAMPAIGN)
    for name, iterations in ABLATIONS.items():
        last_iteration = iteration_key(iterations - 1)
        if aligned := evidence.alignments(name).get(last_iteration):
            figures += alignment_shares(f"{name}, last world model, {ALL}", aligned.rows)
        found = evidence.evaluations(name)
        if len(found) < iterations:
            continue
        last = found[-1]
        figures.append(share(f"{name}: success of the last policy, {ALL}", success(last.new)))
        figures.append(difference(f"{name}: gain over its base policy, {ALL}", gain(last.base, last.new)))
        for one in whole[iterations - 1 :]:
            alike([one, last])
            compared = f"{CAMPAIGN} iteration {one.iteration} less {name}"
            figures.append(difference(f"{compared}, last policy, {ALL}", gain(last.new, one.new)))
    return figures


def seed_figures(evidence: Evidence) -> list[dict[str, Any]]:
    """Success and gain of each training seed; where all are there, mean and sample standard deviation of these and of
    what the world models reach over all tasks."""
    alike([one for name in SEEDS for one in evidence.evaluations(name)])
    figures = []
    found: dict[str, list[dict[str, Any]]] = {}
    for name in SEEDS:
        for what, one in _of_seed(name, evidence.evaluations(name)):
            figures.append(one)
            found.setdefault(what, []).append(one)
        for iteration, aligned in evidence.alignments(name).items():
            for one in imagined_figures(name, aligned.rows):
                what = f"{one['name'].removeprefix(f'{name}: ')}, iteration {iteration}"
                found.setdefault(what, []).append(one)
    for what, some in found.items():
        if len(some) == len(SEEDS):
            name, unit = f"two tasks, {len(SEEDS)} training seeds: {what}", some[0]["unit"]
            values = [one["value"] for one in some]
            figures.append(figure(f"{name}, mean", statistics.fmean(values), unit, len(some)) | {"values": values})
            figures.append(figure(f"{name}, standard deviation", statistics.stdev(values), unit, len(some)))
    return figures


def _of_seed(name: str, found: list[Evaluation]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is measured of a seed, and the figure."""
    if found:
        what = "success, base policy"
        yield what, share(f"{name}: {what}", success(found[0].base))
    for one in found:
        what = f"success, iteration {one.iteration}"
        yield what, share(f"{name}: {what}", success(one.new))
        what = f"gain over its base policy, iteration {one.iteration}"
        yield what, difference(f"{name}: {what}", gain(one.base, one.new))
    for before, after in itertools.pairwise(found):
        what = f"gain of iteration {after.iteration} over {before.iteration}"
        yield what, difference(f"{name}: {what}", gain(before.new, after.new))


if __name__ == "__main__":
    main("learning", PLAN, report)
