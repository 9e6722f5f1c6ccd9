"""`worldvla rematerialize`: runs exactly what is stale, in order."""

from typing import Annotated

import typer

from worldvla.cli import output
from worldvla.cli.carry_out import EXIT_GATE, carry_out
from worldvla.cli.status import row
from worldvla.errors import UserError


def rematerialize(
    assets: Annotated[list[str] | None, typer.Argument(metavar="[ASSET]…", help="Only these; otherwise all.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign; otherwise all that have a record.")] = None,
    iteration: Annotated[str | None, typer.Option(help="Only this iteration, for example 1 or 0001.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would run and why, and run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Make everything that is stale fresh again, upstream first.

    What was never materialized is left alone, except where something stale needs it: that is
    `worldvla loop`. What comes out as it was leaves everything downstream of it fresh.
    """
    from worldvla.lake.store import Lake
    from worldvla.planner.graph import GRAPH
    from worldvla.planner.observe import snapshot
    from worldvla.planner.partitions import iteration_key
    from worldvla.planner.plan import Selection, plan

    if unknown := sorted(set(assets or ()) - GRAPH.keys()):
        raise UserError(f"no asset {', '.join(unknown)}; the assets are {', '.join(GRAPH)}")
    if iteration is not None and not iteration.isdigit():
        raise UserError(f"--iteration {iteration!r}: give its number, for example 1 or 0001")
    lake = Lake.default()
    seen = snapshot(lake, None if campaign is None else [campaign])
    selection = Selection(
        assets=frozenset(assets) if assets else None,
        campaigns=frozenset(seen.campaigns),
        iterations=None if iteration is None else frozenset({iteration_key(int(iteration))}),
    )
    states = seen.assess()
    runs = plan(states, selection)
    planned = [
        {"campaign": run.campaign, "iteration": run.iteration or None, "asset": asset, "reason": run.reasons[asset]}
        for run in runs
        for asset in run.assets
    ]
    if dry_run or not planned:
        blocked = [state for state in states if state.blocked and selection.wants(state)]
        for state in blocked:
            output.say(f"left out: {state.asset} of {state.campaign} {state.iteration}".rstrip() + f", {state.reason}")
        if not planned:
            output.say("nothing else is stale" if blocked else "nothing is stale")
        if planned or as_json:
            output.emit(planned, as_json, "would run, in this order")
        if blocked and not dry_run:
            raise typer.Exit(EXIT_GATE)
        return
    names = sorted({run.campaign for run in runs})
    again = "worldvla rematerialize" + (f" --campaign {campaign}" if campaign else "")
    _, status = carry_out(names, selection, 0, again)
    touched = {(one["asset"], one["campaign"], one["iteration"] or "") for one in planned}
    after = [row(state) for state in snapshot(lake, names).assess() if state.key in touched]
    output.emit(after, as_json, "rematerialized", ["asset", "campaign", "iteration", "version", "state", "reason"])
    if status:
        raise typer.Exit(status)
