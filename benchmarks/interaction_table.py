"""The table of real interaction: steps of the real simulator that a policy owes something to, against its success."""

from typing import Any

from benchmarks.campaign_evidence import Evidence, alike
from benchmarks.campaign_home import SOURCES

HEADINGS = ("campaign, iteration", *SOURCES, "real steps", "imagined steps", "success", "gain over its base policy")


def interaction(evidence: Evidence, together: bool = True) -> list[dict[str, Any]]:
    """The rows of all campaigns, a base policy that several begin with once.

    With `together` they are compared, which unlike protocols forbid: `UserError`.
    """
    if together:
        alike([one for name in evidence.plan for one in evidence.evaluations(name)])
    rows: list[dict[str, Any]] = []
    for name in evidence.plan:
        evaluated = {"", *(one.iteration for one in evidence.evaluations(name))}
        known = {row["policy"] for row in rows if not row["iteration"]}
        of_campaign = evidence.measured[name].interaction if name in evidence.measured else []
        rows += [
            row
            for row in of_campaign
            if row["iteration"] in evaluated and (row["iteration"] or row["policy"] not in known)
        ]
    return rows


def markdown(rows: list[dict[str, Any]], missing: list[str]) -> str:
    """The rows as a Markdown table, and below it what it lacks."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    for row in rows:
        cells = [f"{row['campaign']} {row['iteration'] or '(base policy)'}"]
        cells += [f"{row[name]:,}" for name in (*SOURCES, "real_steps", "imagined_steps")]
        rate, gained = row["success"], row["gain"]
        cells.append(f"{rate['rate']:.1%} ({rate['low']:.1%} to {rate['high']:.1%}, n = {rate['n']})")
        points = gained and [f"{100 * gained[name]:+.1f}" for name in ("difference", "low", "high")]
        cells.append(f"{points[0]} points ({points[1]} to {points[2]})" if points else "")
        lines.append(f"| {' | '.join(cells)} |")
    if missing:
        lines += ["", "Missing:", "", *(f"- {one}" for one in missing)]
    return "\n".join(lines) + "\n"
