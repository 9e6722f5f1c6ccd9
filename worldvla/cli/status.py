"""`worldvla status`: what is fresh, stale or missing, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldvla.cli import output
from worldvla.cli.folding import MOST, folded
from worldvla.cli.selecting import Assets, Campaigns, Downstream, Iteration, OnlyCause, Upstream, select
from worldvla.partitions import MOST_ITERATIONS

if TYPE_CHECKING:
    from worldvla.planner.attempts import Attempt
    from worldvla.planner.causes import Link
    from worldvla.planner.observe import Snapshot
    from worldvla.planner.state import NodeState

WIDE = 120  # columns of a terminal on which a table with dates leaves room for reasons


def status(
    assets: Assets = None,
    campaign: Campaigns = None,
    iteration: Iteration = None,
    iterations: Annotated[
        int, typer.Option(min=0, max=MOST_ITERATIONS, help="Look at this many iterations at least.")
    ] = 0,
    upstream: Upstream = False,
    downstream: Downstream = False,
    only_cause: OnlyCause = None,
    unsettled: Annotated[bool, typer.Option("--stale", help="Leave out what is fresh.")] = False,
    why: Annotated[bool, typer.Option("--why", help="Show the whole chain down to the root cause.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Tell the state of every asset of every campaign and iteration, through the back edge.

    Of the nodes chosen by asset, campaign and iteration, --downstream adds what depends on
    them, --only-cause keeps those with that root cause, --upstream adds what the rest needs.
    """
    from worldvla.lake.store import Lake
    from worldvla.planner.attempts import attempts
    from worldvla.planner.causes import chains
    from worldvla.planner.memory import collector_off

    collector_off()
    lake = Lake.default()
    seen, selection = select(lake, assets, campaign, iteration, upstream, downstream, only_cause, iterations)
    states = seen.assess()
    begun = attempts(lake, seen, states)
    chosen = selection.choose(states)
    links = chains(states)
    shown = [state for state in states if state.key in chosen and not (unsettled and state.state == "fresh")]
    if as_json:
        _print_json(row(state, links.get(state.key, ()), begun.get(state.key)) for state in shown)
        return
    rows = [row(state, links.get(state.key, ()), begun.get(state.key)) for state in shown]
    if not rows:
        output.say(_nothing(seen, states))
        return
    names = sorted({one["campaign"] for one in rows})
    dates = ["materialized_at"] if output.width() >= WIDE else []
    columns = ["iteration", "asset", "state", "version", *dates, "why" if why else "reason"]
    stopped = sorted({one["campaign"] for one in rows if one["attempt"] and not one["attempt"]["running"]})
    for name in names:
        same = ("state", "cause", "cause_kind", "blocked", "attempt")
        table = folded([one for one in rows if one["campaign"] == name], same)
        output.emit([_short(one) for one in table[:MOST]], False, f"status of {name}", columns)
        if len(table) > MOST:
            output.say(f"{len(table) - MOST} more lines: choose with --stale, --iteration or assets, or read --json")
    for name in stopped:
        output.say(f"what stopped {name}: `worldvla tonight --campaign {name}`")


def _nothing(seen: "Snapshot", states: Sequence["NodeState"]) -> str:
    """Why there is nothing to show."""
    from worldvla.home import lake_root

    if not seen.records and not seen.unknown:
        return f"nothing was ever materialized in {lake_root()}: `worldvla loop --campaign demo`"
    if unsettled := sum(1 for state in states if state.state != "fresh"):
        return f"none of what was chosen is shown; {unsettled} others are stale or missing: `worldvla status --stale`"
    return "everything else is fresh" if seen.unknown else "everything is fresh"


def row(state: "NodeState", links: Sequence["Link"] | None = None, attempt: "Attempt | None" = None) -> dict[str, Any]:
    """A node as commands print it. `links` is its chain of causes; without it, `why` and `causes` are none.
    `attempt` is what was begun of it and not published."""
    return {
        "asset": state.asset,
        "campaign": state.campaign,
        "iteration": state.iteration or None,
        "version": state.version,
        "materialized_at": state.materialized_at,
        "state": state.state,
        "reason": state.reason,
        "cause": state.cause,
        "blocked": state.blocked,
        "cause_kind": state.kind,
        "why": _line(links) if links else None if links is None else "",
        "causes": None if links is None else [link.row for link in links],
        "attempt": attempt and asdict(attempt),
    }


def _print_json(rows: Iterator[dict[str, Any]]) -> None:
    """What `output.emit` prints, for a hundred thousand rows: one at a time, and in a third of the time."""
    from pydantic_core import to_json

    def texts() -> Iterator[dict[str, Any]]:
        for one in rows:
            at = one["materialized_at"]
            one["materialized_at"] = at and at.isoformat()
            yield one

    print(to_json(texts()).decode())


def _line(links: Sequence["Link"]) -> str:
    from worldvla.planner.causes import line

    return line(links)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """Versions as people compare them, and what was begun beside the reason to do so."""
    short = row | {"version": row["version"] and row["version"][:8]}
    if attempt := row["attempt"]:
        spent = output.duration(attempt["seconds"])
        begun = f"under way, {spent} so far" if attempt["running"] else f"stopped after {spent}"
        short |= {column: f"{row[column]}; {begun}" for column in ("reason", "why") if row[column]}
    return short
