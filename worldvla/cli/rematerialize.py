"""`worldvla rematerialize`: runs exactly what is stale, in order."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldvla.cli import output
from worldvla.cli.carry_out import EXIT_GATE, Via, carry_out
from worldvla.cli.folding import MOST, folded
from worldvla.cli.selecting import Assets, Campaigns, Downstream, Iteration, OnlyCause, Upstream, select
from worldvla.cli.status import row

if TYPE_CHECKING:
    from worldvla.planner.cost import Expected
    from worldvla.planner.forecast import Forecast
    from worldvla.planner.plan import Plan, Run, Selection
    from worldvla.planner.state import Key, NodeState

COLUMNS = ["campaign", "iteration", "asset", "expected_seconds", "expected_real_steps", "past_runs", "reason"]


def rematerialize(
    assets: Assets = None,
    campaign: Campaigns = None,
    iteration: Iteration = None,
    upstream: Upstream = False,
    downstream: Downstream = False,
    only_cause: OnlyCause = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would run and why, and run nothing.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="In --json, also what is left out and why, and the totals of cost.")
    ] = False,
    via: Via = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Make everything that is stale fresh again, upstream first.

    What was never materialized is left alone, except where something stale needs it or with
    --only-cause missing. A selected asset that reads something stale which is not selected is
    reported and not run: add --upstream. What comes out as it was leaves everything
    downstream of it fresh.
    """
    from worldvla.lake.store import Lake
    from worldvla.planner.cost import expected
    from worldvla.planner.forecast import forecast, in_scope
    from worldvla.planner.memory import collector_paused
    from worldvla.planner.observe import snapshot
    from worldvla.planner.plan import decide

    lake = Lake.default()
    missing = "missing" in (only_cause or ())
    with collector_paused():
        seen, selection = select(lake, assets, campaign, iteration, upstream, downstream, only_cause, extend=missing)
        states = seen.assess()
        plan = decide(states, selection, selection.choose(states))
        costs = expected(lake, (state.key for state in in_scope(states, plan.runs)), seen.campaigns)
        cast = forecast(states, plan.runs, costs)
        _say_missing(states, selection, plan)
        if dry_run or not plan.runs:
            _report(plan, states, costs, cast, as_json, explain)
    if dry_run or not plan.runs:
        if plan.blocked and not dry_run:
            raise typer.Exit(EXIT_GATE)
        return
    _say_held(plan)
    for sentence in _sentences(cast, len(plan.runs)):
        output.say(sentence)
    names = sorted({run.campaign for run in plan.runs})
    again = _command(assets, campaign, iteration, upstream, downstream, only_cause)
    if only_cause:
        # What it chose may be stale by another cause once what that reads has been made.
        planned = list(dict.fromkeys(asset for run in plan.runs for asset in run.assets))
        again = _command(planned, names, iteration, upstream, downstream, ["missing"] if missing else None)
    _, status = carry_out({name: seen.iterations[name] for name in names}, selection, again, via)
    touched = {key for run in plan.runs for key in run.keys}
    after = [row(state) for state in snapshot(lake, names).assess() if state.key in touched]
    output.emit(after, as_json, "rematerialized", ["asset", "campaign", "iteration", "version", "state", "reason"])
    if status:
        raise typer.Exit(status)


def _report(
    plan: "Plan",
    states: list["NodeState"],
    costs: dict["Key", "Expected"],
    cast: "Forecast",
    as_json: bool,
    explain: bool,
) -> None:
    """What would run, what is left out and why, and what it costs and spares."""
    from worldvla.planner.causes import chains

    links = chains(states)
    by_key = {state.key: state for state in states}
    planned = [
        {"kind": "node", "run": number, **_planned(run, by_key[key], costs[key], links)}
        for number, run in enumerate(plan.runs, 1)
        for key in run.keys
    ]
    if as_json and not explain:
        output.emit(planned, True)
        return
    if as_json:
        held = [
            {"kind": "held", **row(one.state, links[one.state.key]), "waits_for": row(one.waits_for)}
            for one in plan.held
        ]
        blocked = [{"kind": "blocked", **row(state, links[state.key])} for state in plan.blocked]
        totals = [{"kind": "total", "runs": len(plan.runs), **_figures(cast)}] if planned else []
        output.emit([*planned, *held, *blocked, *totals], True)
        return
    for state in plan.blocked[:MOST]:
        output.say(f"left out: {_name(state)}, {state.reason}")
    _say_held(plan)
    if not planned:
        others = sum(1 for state in states if state.state == "stale")
        nothing = f"nothing of what was chosen is stale; {others} others are" if others else "nothing is stale"
        output.say("nothing else can run" if plan.blocked or plan.held else nothing)
        return
    table = folded(planned, ("cause", "cause_kind", "past_runs"), sums=("expected_seconds", "expected_real_steps"))
    output.emit(table[:MOST], False, "would run, in this order", COLUMNS)
    if len(table) > MOST:
        output.say(f"{len(table) - MOST} more lines: --json has all")
    for sentence in _sentences(cast, len(plan.runs)):
        print(sentence)


def _planned(run: "Run", state: "NodeState", cost: "Expected", links: dict) -> dict[str, Any]:
    return {
        **row(state, links[state.key]),
        "reason": run.reasons[state.asset],
        "certain": state.cause != "upstream",
        "expected_seconds": cost.seconds,
        "expected_real_steps": cost.real_steps,
        "expected_imagined_steps": cost.imagined_steps,
        "past_runs": cost.runs,
        "past_runs_share": cost.basis,
    }


def _figures(cast: "Forecast") -> dict[str, Any]:
    totals = {"planned": cast.planned, "certain": cast.certain, "full_rerun": cast.full, "spared": cast.spared}
    figures = {f"{name}_{key}": value for name, one in totals.items() for key, value in vars(one).items()}
    return figures | {"stay_fresh_nodes": cast.fresh, "may_stay_fresh_nodes": cast.may_stay_fresh}


def _sentences(cast: "Forecast", runs: int) -> list[str]:
    """The forecast in words."""
    planned, spared = cast.planned, cast.spared
    unknown = f"; {planned.unknown} of them never ran before, so their cost is unknown" if planned.unknown else ""
    sentences = [
        f"expected: {output.duration(planned.seconds)} and {planned.real_steps:,} simulator steps "
        f"for {planned.nodes:,} nodes in {runs:,} runs, as past runs took{unknown}"
    ]
    if cast.may_stay_fresh:
        sentences.append(
            f"at least: {output.duration(cast.certain.seconds)}: {cast.may_stay_fresh:,} of them run only because of "
            "others, and turn out fresh where those come out as they were"
        )
    sentences.append(
        f"spared: {output.duration(spared.seconds)} and {spared.real_steps:,} simulator steps against running "
        f"everything again; {cast.fresh:,} nodes stay fresh"
    )
    return sentences


def _say_missing(states: list["NodeState"], selection: "Selection", plan: "Plan") -> None:
    """Assets that were asked for by name and never made: who names one expects it."""
    planned = {key for run in plan.runs for key in run.keys} | {state.key for state in plan.blocked}
    named = [state for state in states if selection.assets and selection.matches(state) and state.key not in planned]
    missing = [state for state in named if state.state == "missing" and not selection.makes(state)]
    for state in missing[:MOST]:
        output.say(f"left out: {_name(state)}, never materialized; add --only-cause missing, or use worldvla loop")
    if len(missing) > MOST:
        output.say(f"left out: {len(missing) - MOST} more that were never materialized")


def _say_held(plan: "Plan") -> None:
    for one in plan.held[:MOST]:
        output.say(
            f"left out: {_name(one.state)}, which depends on {_name(one.waits_for)}: {one.waits_for.state} "
            "and not selected; add --upstream"
        )
    if len(plan.held) > MOST:
        output.say(f"left out: {len(plan.held) - MOST} more")


def _name(state: "NodeState") -> str:
    return f"{state.asset} of {state.campaign} {state.iteration}".rstrip()


def _command(
    assets: list[str] | None,
    campaigns: list[str] | None,
    iteration: str | None,
    upstream: bool,
    downstream: bool,
    only_cause: list[str] | None,
) -> str:
    """The command that goes on where this one stops."""
    words = ["worldvla", "rematerialize", *(assets or ())]
    for name, values in (("--campaign", campaigns), ("--iteration", [iteration]), ("--only-cause", only_cause)):
        words += [word for value in values or () if value for word in (name, value)]
    words += [name for name, given in (("--upstream", upstream), ("--downstream", downstream)) if given]
    return shlex.join(words)
