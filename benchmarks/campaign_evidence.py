"""What a home holds of some campaigns: their fresh records, and the measured rows that these published.

Figures come from fresh nodes alone. What is stale was measured on other code, settings or data than those that the
protocol beside the figures names, so it is listed as missing, with the planner's reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worldvla import campaigns
from worldvla.alignment.intervals import paired_difference, proportion
from worldvla.errors import UserError
from worldvla.lake.digests import digest, rows_version
from worldvla.lake.materializations import Materialization, NodeKey, latest
from worldvla.lake.store import Lake, is_in, quoted
from worldvla.planner.observe import snapshot
from worldvla.planner.partitions import iteration_key

# What figures are read from: an iteration's record is there when everything in it is, and its hours with it.
MEASURED = ("alignment", "evaluation", "iteration_record")
ALIGNED = (
    "task",
    "true_success",
    "judged_success_imagined",
    "judged_success_real",
    "reward_success",
    "ssim",
    "psnr",
    "static_psnr",
    "flip",
)

# By campaign, the iterations that a benchmark wants of it.
Plan = Mapping[str, int]
# By task and seed, whether the policy succeeded.
Outcomes = dict[tuple[str, int], bool]


@dataclass(frozen=True)
class Evidence:
    """Fresh records of the planned campaigns and iterations, and in words what of them is missing."""

    lake: Lake
    plan: Plan
    records: dict[NodeKey, Materialization]
    missing: list[str]

    def iterations(self, asset: str, campaign: str) -> list[str]:
        """The planned iterations whose `asset` is there."""
        planned = map(iteration_key, range(self.plan[campaign]))
        return [one for one in planned if (asset, campaign, one) in self.records]


@dataclass(frozen=True)
class Evaluation:
    """Base and new policy of one iteration on the same held-out seeds, under one protocol."""

    campaign: str
    iteration: str
    protocol: dict[str, Any]
    base_policy: str
    base: Outcomes
    new: Outcomes


def look(lake: Lake, plan: Plan) -> Evidence:
    """Looks at the planned campaigns in a lake; raises `UserError` where nothing was ever made in it."""
    if not lake.exists("materializations"):
        raise UserError("this home holds no loop: run the benchmark without --report, or name the home that does")
    wanted = {(name, iteration_key(number)) for name, count in plan.items() for number in range(count)}
    states = snapshot(lake, plan, max(plan.values())).assess()
    mine = [state for state in states if not state.iteration or (state.campaign, state.iteration) in wanted]
    fresh = {state.key for state in mine if state.state == "fresh"}
    missing = [
        f"{state.campaign} {state.iteration} {state.asset}: {state.state} ({state.reason})"
        for state in mine
        if state.asset in MEASURED and state.key not in fresh
    ]
    return Evidence(lake, plan, {key: one for key, one in latest(lake).items() if key in fresh}, missing)


def evaluation(evidence: Evidence, campaign: str, iteration: str) -> Evaluation:
    """The rows that an iteration's evaluation published, no others that its policies may have under its protocol.

    Raises `UserError` where the table does not hold exactly those.
    """
    record = evidence.records["evaluation", campaign, iteration]
    config = campaigns.load(campaign)
    conditions = record.details["protocol"]
    policies = (record.parents["base_policy"], record.parents["rl_policy"])
    where = f"protocol = {quoted(digest(conditions))} AND {is_in('policy_id', policies)}"
    known: dict[str, dict[tuple[str, int], dict]] = {policy: {} for policy in policies}
    for row in evidence.lake.frame("evaluations", where=where).to_dicts():
        known[row["policy_id"]][row["task"], row["seed"]] = row
    common = known[policies[0]].keys() & known[policies[1]].keys()
    keys = []
    for task in config.scene.tasks:
        seeds = sorted(seed for name, seed in common if name == task)
        keys += [(task, seed) for seed in seeds[: config.evaluation.per_task]]
    if rows_version(known[policy][key] for policy in policies for key in keys) != record.data_version:
        raise UserError(
            f"table evaluations: its rows are not those that {campaign} {iteration} published; "
            "`worldvla doctor --deep` says what is damaged"
        )
    base, new = ({key: known[policy][key]["success"] for key in keys} for policy in policies)
    return Evaluation(campaign, iteration, conditions, policies[0], base, new)


def evaluations(evidence: Evidence, campaign: str) -> list[Evaluation]:
    """Of a campaign's planned iterations those that are there, under one protocol."""
    found = [evaluation(evidence, campaign, one) for one in evidence.iterations("evaluation", campaign)]
    return alike(found)


def alike(found: list[Evaluation], apart_from: Iterable[str] = ()) -> list[Evaluation]:
    """The evaluations, which may be set beside each other; raises `UserError` where their protocols differ.

    Fields of `apart_from` may: figures of several suites are averaged, never subtracted.
    """
    for other in found[1:]:
        fields = (found[0].protocol.keys() | other.protocol.keys()) - set(apart_from)
        unlike = [
            f"{name} {found[0].protocol.get(name)} against {other.protocol.get(name)}"
            for name in sorted(fields)
            if found[0].protocol.get(name) != other.protocol.get(name)
        ]
        if unlike:
            raise UserError(
                f"{found[0].campaign} {found[0].iteration} and {other.campaign} {other.iteration} were evaluated under "
                f"unlike protocols, so they are not compared: {'; '.join(unlike)}"
            )
    return found


def aligned(evidence: Evidence, campaign: str, iteration: str) -> list[dict[str, Any]]:
    """One row a held-out episode that the iteration's world model replayed; raises `UserError` where some are gone."""
    record = evidence.records["alignment", campaign, iteration]
    where = f"alignment_version = {quoted(record.data_version)}"
    rows = evidence.lake.frame("alignments", list(ALIGNED), where).to_dicts()
    if len(rows) != record.details["rows"]:
        raise UserError(
            f"table alignments: {campaign} {iteration} published {record.details['rows']} rows, {len(rows)} are there; "
            f"`worldvla rematerialize alignment --campaign {campaign}` measures them again"
        )
    return rows


def of_task(outcomes: Outcomes, task: str | None) -> Outcomes:
    """The outcomes of one task; of all where none is named."""
    return {key: success for key, success in outcomes.items() if task in (None, key[0])}


def success(outcomes: Outcomes) -> dict[str, Any]:
    """Successes, n, rate and its 95 % interval."""
    return proportion(sum(outcomes.values()), len(outcomes))


def gain(before: Outcomes, after: Outcomes) -> dict[str, Any]:
    """The paired difference on the same tasks and seeds; raises `UserError` where they are not the same."""
    if before.keys() != after.keys():
        raise UserError("two policies were evaluated on unlike seeds, so their success is not compared")
    _, low, high = paired_difference(list(before.values()), [after[key] for key in before])
    # From the counts: rounded rates would miss a target that they reach exactly.
    difference = (sum(after.values()) - sum(before.values())) / len(before)
    return {"difference": difference, "low": low, "high": high, "n": len(before)}


def tasks_of(outcomes: Mapping[tuple[str, int], Any]) -> list[str]:
    return list(dict.fromkeys(task for task, _ in outcomes))
