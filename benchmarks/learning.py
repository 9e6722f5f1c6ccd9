"""`make benchmark-learning`: does the loop learn? The campaign `tabletop`, its ablations, and three training seeds.

Runs each through `worldvla loop`, in the project's own home or the one that is named, since all of it takes many
nights; interrupted, the same command goes on. `python -m benchmarks.learning [HOME] --report` runs nothing and
reports what the home holds. docs/learning.md describes the protocol.
"""

import statistics
from typing import Any

from benchmarks.campaign_evidence import Evidence, alike, evaluation, evaluations, gain, success
from benchmarks.campaign_figures import (
    ALL,
    base_figures,
    difference,
    hour_figures,
    policy_figures,
    share,
    world_model_figures,
)
from benchmarks.campaign_runs import main
from benchmarks.interaction_table import interaction, markdown
from benchmarks.learning_plot import PICTURE, draw
from benchmarks.result import FOLDER, figure

CAMPAIGN = "tabletop"
ABLATIONS = {
    "tabletop-without-near-success": 2,
    "tabletop-without-reward-head": 2,
    "tabletop-without-second-iteration": 1,
    "tabletop-supervised": 2,
}
SEEDS = ("two-tasks-seed-0", "two-tasks-seed-1", "two-tasks-seed-2")
PLAN = {CAMPAIGN: 2, **ABLATIONS, **dict.fromkeys(SEEDS, 2)}
GAINS = {"0000": 0.293}
LEAST_GAIN = 0.0


def report(evidence: Evidence) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The protocol's own part, and the figures; the table and the picture are written beside them."""
    figures = world_model_figures(evidence, CAMPAIGN)
    policies = evaluations(evidence, CAMPAIGN)
    if policies:
        figures += base_figures(CAMPAIGN, policies[0].base)
        figures += policy_figures(evidence, CAMPAIGN, GAINS, LEAST_GAIN)
    figures += hour_figures(evidence, CAMPAIGN) + ablation_figures(evidence) + seed_figures(evidence)
    rows = interaction(Evidence(evidence.lake, {CAMPAIGN: 2, **ABLATIONS}, evidence.records, evidence.missing))
    if rows:
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / "learning.md").write_text(markdown(rows))
        draw(rows, PICTURE)
    return {"interaction": rows}, figures


def ablation_figures(evidence: Evidence) -> list[dict[str, Any]]:
    """What each ablation's last policy reaches, and by how much the whole loop's last one is ahead on the same seeds.

    Where the two campaigns have base policies of their own, that lead is also theirs; `gain` is over the own one.
    """
    figures = []
    whole = evaluations(evidence, CAMPAIGN)
    for name, iterations in ABLATIONS.items():
        found = evaluations(evidence, name)
        if len(found) < iterations:
            continue
        last = found[-1]
        figures.append(share(f"{name}: success of the last policy, {ALL}", success(last.new)))
        figures.append(difference(f"{name}: gain over its base policy, {ALL}", gain(last.base, last.new)))
        if len(whole) == PLAN[CAMPAIGN]:
            alike([whole[-1], last])
            figures.append(difference(f"{CAMPAIGN} less {name}, last policies, {ALL}", gain(last.new, whole[-1].new)))
    return figures


def seed_figures(evidence: Evidence) -> list[dict[str, Any]]:
    """Success of each training seed; where all of them are there, mean and sample standard deviation over them."""
    stages: dict[str, list[dict]] = {"base policy": [], "iteration 0000": [], "iteration 0001": []}
    alike([one for name in SEEDS for one in evaluations(evidence, name)])
    figures = []
    for name in SEEDS:
        found = {
            f"iteration {iteration}": evaluation(evidence, name, iteration)
            for iteration in evidence.iterations("evaluation", name)
        }
        rates = {stage: success(one.new) for stage, one in found.items()}
        if found:
            rates["base policy"] = success(next(iter(found.values())).base)
        for stage in stages:
            if stage in rates:
                stages[stage].append(rates[stage])
                figures.append(share(f"{name}: success, {stage}", rates[stage]))
    for stage, rates_of in stages.items():
        if len(rates_of) == len(SEEDS):
            values = [rate["rate"] for rate in rates_of]
            name = f"two tasks, {len(SEEDS)} training seeds, {stage}: success"
            figures.append(figure(f"{name}, mean", statistics.fmean(values), "share", len(values)) | {"values": values})
            figures.append(figure(f"{name}, standard deviation", statistics.stdev(values), "share", len(values)))
    return figures


if __name__ == "__main__":
    main("learning", PLAN, report)
