"""The table of real interaction: steps of the real simulator that a policy was learned from, against its success."""

from typing import Any

from benchmarks.campaign_evidence import Evaluation, Evidence, alike, evaluation, gain, success
from worldvla.lake.query import run_audit
from worldvla.planner.partitions import iteration_key

SOURCES = {
    "demonstrations": ("demonstrations", "perturbed_demonstrations"),
    "exploration": ("exploration_rollouts", "open_loop_replays"),
    "collection": ("policy_rollouts",),
    "probes": ("rl_policy",),
}
# Spent in the iteration itself, not in those before it.
AT_ONCE = ("rl_policy",)
HEADINGS = (
    "campaign, iteration",
    "demonstrations",
    "exploration",
    "collection",
    "probes",
    "real steps",
    "imagined steps",
    "success",
    "gain over its base policy",
)


def interaction(evidence: Evidence, together: bool = True) -> list[dict[str, Any]]:
    """One row an evaluated (campaign, iteration), and one a base policy before any iteration (its iteration is "").

    `real_steps` is the sum of `demonstrations`, `exploration`, `collection` and `probes`; what is collected in an
    iteration is learned from in the next one. A base policy learns from the demonstrations that succeed alone, which is
    all its row counts. What evaluating cost is apart. With `together` the rows are compared, which unlike protocols
    forbid.
    """
    found = [
        evaluation(evidence, name, one) for name in evidence.plan for one in evidence.iterations("evaluation", name)
    ]
    if together:
        alike(found)
    spent = {(row["campaign"], row["iteration"]): row for row in run_audit(evidence.lake, "interaction", {}).to_dicts()}
    rows = []
    for one in found:
        if one.base_policy not in {row["policy"] for row in rows}:
            rows.append(_base_row(evidence, one))
        audited = spent[one.campaign, one.iteration]
        rows.append(
            {
                "campaign": one.campaign,
                "iteration": one.iteration,
                "policy": evidence.records["rl_policy", one.campaign, one.iteration].data_version,
                **{name: _steps(evidence, one, assets) for name, assets in SOURCES.items()},
                **{name: audited[name] for name in ("real_steps", "imagined_steps", "evaluation_steps")},
                "success": success(one.new),
                "gain": gain(one.base, one.new),
            }
        )
    return rows


def _base_row(evidence: Evidence, one: Evaluation) -> dict[str, Any]:
    steps = evidence.records["demonstrations", one.campaign, ""].real_steps
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


def _steps(evidence: Evidence, one: Evaluation, assets: tuple[str, ...]) -> int:
    """Real steps of assets that this iteration's policy was made with."""
    number = int(one.iteration)
    records = (
        evidence.records.get((asset, one.campaign, iteration))
        for asset in assets
        for iteration in ("", *map(iteration_key, range(number + (asset in AT_ONCE))))
    )
    return sum(record.real_steps for record in records if record)


def markdown(rows: list[dict[str, Any]], missing: list[str]) -> str:
    """The rows as a Markdown table, and below it what it lacks."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    for row in rows:
        steps = ("demonstrations", "exploration", "collection", "probes", "real_steps", "imagined_steps")
        cells = [f"{row['campaign']} {row['iteration'] or '(base policy)'}", *(f"{row[name]:,}" for name in steps)]
        rate, gained = row["success"], row["gain"]
        cells.append(f"{rate['rate']:.1%} ({rate['low']:.1%} to {rate['high']:.1%}, n = {rate['n']})")
        points = gained and [f"{100 * gained[name]:+.1f}" for name in ("difference", "low", "high")]
        cells.append(f"{points[0]} points ({points[1]} to {points[2]})" if points else "")
        lines.append(f"| {' | '.join(cells)} |")
    if missing:
        lines += ["", "Missing:", "", *(f"- {one}" for one in missing)]
    return "\n".join(lines) + "\n"
