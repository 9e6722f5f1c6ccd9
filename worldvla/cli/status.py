"""`worldvla status`: what is fresh, stale or missing, and why."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldvla.cli import output

if TYPE_CHECKING:
    from worldvla.planner.state import NodeState

WIDE = 120  # columns of a terminal on which a table with dates leaves room for reasons


def status(
    campaign: Annotated[str | None, typer.Option(help="Only this campaign; otherwise all that have a record.")] = None,
    iterations: Annotated[int, typer.Option(min=0, help="Look at this many iterations at least.")] = 0,
    unsettled: Annotated[bool, typer.Option("--stale", help="Leave out what is fresh.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Tell the state of every asset of every campaign and iteration, through the back edge."""
    from worldvla.lake.store import Lake
    from worldvla.planner.observe import snapshot

    seen = snapshot(Lake.default(), None if campaign is None else [campaign], iterations)
    for name, reason in seen.unknown.items():
        output.say(f"campaign {name} has records but no configuration: {reason}")
    rows = [row(state) for state in seen.assess() if not (unsettled and state.state == "fresh")]
    if not rows and not as_json:
        output.say(
            "everything is fresh" if seen.records else "nothing was ever materialized: `worldvla loop --campaign demo`"
        )
        return
    if as_json:
        output.emit(rows, True)
        return
    names = sorted({one["campaign"] for one in rows})
    dates = ["materialized_at"] if output.width() >= WIDE else []
    columns = ["iteration", "asset", "state", "version", *dates, "reason"]
    for name in names:
        output.emit([_short(one) for one in rows if one["campaign"] == name], False, f"status of {name}", columns)


def row(state: "NodeState") -> dict[str, Any]:
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
    }


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """Versions as people compare them."""
    return row | {"version": row["version"] and row["version"][:8]}
