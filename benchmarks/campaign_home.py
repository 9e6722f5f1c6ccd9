"""What a home holds of some campaigns: their fresh records, and the measured rows that these published.

Figures come from fresh nodes alone. What is stale was measured on other code, settings or data than those that the
protocol beside the figures names, so it is listed as missing, with the planner's reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.campaign_measurements import Alignment, Evaluation, Made, Measurements, named
from benchmarks.outcomes import gain, success
from benchmarks.result import commit, machine
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.lake.digests import digest, rows_version
from worldvla.lake.materializations import Materialization, NodeKey, history, latest
from worldvla.lake.query import run_audit
from worldvla.lake.store import Lake, is_in, quoted
from worldvla.partitions import iteration_key
from worldvla.planner.observe import snapshot

# What figures are read from: an iteration's record is there when everything in it is, and its hours with it.
MEASURED = ("alignment", "evaluation", "iteration_record")
ALIGNED = (
    "episode_id",
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
# Where real steps were spent that a policy owes something to.
SOURCES = {
    "demonstrations": ("demonstrations", "perturbed_demonstrations"),
    "exploration": ("exploration_rollouts", "open_loop_replays"),
    "collection": ("policy_rollouts",),
    "probes": ("rl_policy",),
}
# Spent in the iteration itself, not in those before it.
AT_ONCE = ("rl_policy",)

# By campaign, the iterations that a benchmark wants of it.
Plan = Mapping[str, int]


@dataclass(frozen=True)
class Missing:
    """A planned node without figures, or a whole campaign, and why; in words by `str`."""

    campaign: str
    why: str
    iteration: str = ""
    asset: str = ""

    def __str__(self) -> str:
        return f"{' '.join(filter(None, (self.campaign, self.iteration, self.asset)))}: {self.why}"


@dataclass(frozen=True)
class Home:
    """Fresh records of the planned campaigns and iterations, what of them is missing, and the data versions of what is
    there and stale."""

    lake: Lake
    plan: Plan
    records: dict[NodeKey, Materialization]
    missing: list[Missing]
    stale: Mapping[NodeKey, str]

    def iterations(self, asset: str, campaign: str) -> list[str]:
        """The planned iterations whose `asset` is there."""
        planned = map(iteration_key, range(self.plan[campaign]))
        return [one for one in planned if (asset, campaign, one) in self.records]


def look(lake: Lake, plan: Plan) -> Home:
    """Looks at the planned campaigns in a lake; raises `UserError` where nothing was ever made in it."""
    if not lake.exists("materializations"):
        raise UserError("this home holds no loop: name the home that does, or run `worldvla loop` in it first")
    wanted = {(name, iteration_key(number)) for name, count in plan.items() for number in range(count)}
    states = snapshot(lake, plan, plan).assess()
    mine = [state for state in states if not state.iteration or (state.campaign, state.iteration) in wanted]
    fresh = {state.key for state in mine if state.state == "fresh"}
    missing = [
        Missing(state.campaign, f"{state.state} ({state.reason})", state.iteration, state.asset)
        for state in mine
        if state.asset in MEASURED and state.key not in fresh
    ]
    published = latest(lake)
    return Home(
        lake,
        plan,
        records={key: one for key, one in published.items() if key in fresh},
        missing=missing,
        stale={key: one.data_version for key, one in published.items() if key[1] in plan and key not in fresh},
    )


def measurements(home: Home, campaign: str) -> Measurements:
    """All that a benchmark reads of a campaign. Raises `UserError` where rows are not those that were published."""
    config = campaigns.load(campaign)
    mine = {(asset, one): record for (asset, name, one), record in home.records.items() if name == campaign}
    took = seconds_taken(home.lake, campaign)
    evaluations = {one: evaluation(home, campaign, one) for one in home.iterations("evaluation", campaign)}
    return Measurements(
        campaign=campaign,
        date=datetime.now(UTC).date().isoformat(),
        commit=commit(),
        machine=machine(),
        settings=config.model_dump(mode="json"),
        nodes={record.asset: Made(code=record.code_version, settings=record.config_digest) for record in mine.values()},
        versions={
            named(asset, one): record.data_version for (asset, one), record in sorted(mine.items()) if asset in MEASURED
        },
        evaluations=evaluations,
        alignments={one: alignment(home, campaign, one) for one in home.iterations("alignment", campaign)},
        closed=home.iterations("iteration_record", campaign),
        gates={
            named(asset, one): record.blocking_failure
            for (asset, one), record in sorted(mine.items())
            if record.blocking_failure
        },
        seconds={named(*node): round(took[*node, record.data_version], 1) for node, record in mine.items()},
        interaction=_interaction(home, list(evaluations.values())),
    )


def seconds_taken(lake: Lake, campaign: str) -> dict[tuple[str, str, str], float]:
    """By asset, iteration and data version, the most that any publication of a campaign's content took: to publish it
    anew of rows that are there takes no time."""
    took: dict[tuple[str, str, str], float] = {}
    for record in history(lake, f"campaign = {quoted(campaign)}"):
        made = record.asset, record.iteration, record.data_version
        took[made] = max(record.seconds, took.get(made, 0.0))
    return took


def evaluation(home: Home, campaign: str, iteration: str) -> Evaluation:
    """The rows that an iteration's evaluation published, no others that its policies may have under its protocol.

    Raises `UserError` where the table does not hold exactly those.
    """
    record = home.records["evaluation", campaign, iteration]
    config = campaigns.load(campaign)
    conditions = record.details["protocol"]
    policies = (record.parents["base_policy"], record.parents["rl_policy"])
    where = f"protocol = {quoted(digest(conditions))} AND {is_in('policy_id', policies)}"
    known: dict[str, dict[tuple[str, int], dict]] = {policy: {} for policy in policies}
    for row in home.lake.frame("evaluations", where=where).to_dicts():
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
    return Evaluation(
        campaign=campaign,
        iteration=iteration,
        protocol=conditions,
        exploitation=record.details.get("exploitation"),
        base_policy=policies[0],
        base=base,
        new=new,
    )


def alignment(home: Home, campaign: str, iteration: str) -> Alignment:
    """One row a held-out episode that the iteration's world model replayed, with the `source` that recorded it; raises
    `UserError` where some are gone."""
    record = home.records["alignment", campaign, iteration]
    where = f"alignment_version = {quoted(record.data_version)}"
    rows = home.lake.frame("alignments", list(ALIGNED), where).to_dicts()
    if len(rows) != record.details["rows"]:
        raise UserError(
            f"table alignments: {campaign} {iteration} published {record.details['rows']} rows, {len(rows)} are there; "
            f"`worldvla rematerialize alignment --campaign {campaign}` measures them again"
        )
    where = is_in("episode_id", [row["episode_id"] for row in rows])
    source = dict(home.lake.frame("episodes", ["episode_id", "source"], where).iter_rows())
    for row in rows:
        row["source"] = source.get(row.pop("episode_id"))
    return Alignment(protocol=record.details["protocol"], rows=rows)


def _interaction(home: Home, found: list[Evaluation]) -> list[dict[str, Any]]:
    """A row of the base policy before any iteration (its iteration is ""), and one an evaluated iteration.

    `real_steps` is the sum of `demonstrations`, `exploration`, `collection` and `probes`; what is collected in an
    iteration is learned from in the next one. A base policy learns from the demonstrations that succeed alone, which is
    all its row counts. What evaluating cost is apart.
    """
    spent = {(row["campaign"], row["iteration"]): row for row in run_audit(home.lake, "interaction", {}).to_dicts()}
    rows = [_base_row(home, one) for one in found[:1]]
    for one in found:
        audited = spent[one.campaign, one.iteration]
        rows.append(
            {
                "campaign": one.campaign,
                "iteration": one.iteration,
                "policy": home.records["rl_policy", one.campaign, one.iteration].data_version,
                **{name: _steps(home, one, assets) for name, assets in SOURCES.items()},
                **{name: audited[name] for name in ("real_steps", "imagined_steps", "evaluation_steps")},
                "success": success(one.new),
                "gain": gain(one.base, one.new),
            }
        )
    return rows


def _base_row(home: Home, one: Evaluation) -> dict[str, Any]:
    steps = home.records["demonstrations", one.campaign, ""].real_steps
    return {
        "campaign": one.campaign,
        "iteration": "",
        "policy": one.base_policy,
        "demonstrations": steps,
        "exploration": 0,
        "collection": 0,
        "probes": 0,
        "real_steps": steps,
        "imagined_steps": 0,
        "evaluation_steps": 0,
        "success": success(one.base),
        "gain": None,
    }


def _steps(home: Home, one: Evaluation, assets: tuple[str, ...]) -> int:
    """Real steps of assets that this iteration's policy was made with."""
    number = int(one.iteration)
    records = (
        home.records.get((asset, one.campaign, iteration))
        for asset in assets
        for iteration in ("", *map(iteration_key, range(number + (asset in AT_ONCE))))
    )
    return sum(record.real_steps for record in records if record)
