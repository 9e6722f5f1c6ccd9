"""`worldvla retract`: withdraws episodes from everything that reads them, or takes that back."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldvla.cli import output
from worldvla.cli.status import row
from worldvla.errors import UserError

if TYPE_CHECKING:
    from worldvla.lake.store import Lake
    from worldvla.planner.state import NodeState

EPISODES_SHOWN = 20
LONGEST_REASON = 2000
NODE_COLUMNS = ("asset", "campaign", "iteration", "state", "reason")


def retract(
    episodes: Annotated[list[str] | None, typer.Argument(metavar="[EPISODE]…", help="Ids, or prefixes of one.")] = None,
    suite: Annotated[str | None, typer.Option(help="All episodes of this suite.")] = None,
    task: Annotated[str | None, typer.Option(help="All episodes of this task.")] = None,
    seeds: Annotated[str | None, typer.Option(help="All with this seed, or FIRST-LAST, both in it.")] = None,
    source: Annotated[str | None, typer.Option(help="All that such an actor recorded: expert, policy, …")] = None,
    policy: Annotated[str | None, typer.Option(help="All of this policy: CAMPAIGN/ITERATION, or an id.")] = None,
    after: Annotated[str | None, typer.Option(help="All recorded at this time (UTC) or later.")] = None,
    before: Annotated[str | None, typer.Option(help="All recorded before this time (UTC).")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever asks later.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the retraction of these episodes back.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell which, and what becomes stale; do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before several episodes are withdrawn.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Withdraw episodes: their bytes are kept, nothing reads them any more. Prints what is stale now.

    Name episodes, or describe them: options together select what satisfies all, as `worldvla
    audit episodes_of` lists it.
    """
    from worldvla.lake.names import ANY
    from worldvla.lake.retractions import Supposed, restore_episodes, retract_episodes
    from worldvla.lake.store import Lake
    from worldvla.locks import at_work

    if not undo and not dry_run and not (reason or "").strip():
        raise UserError("--reason is needed: say why the episodes are withdrawn")
    if len(reason or "") > LONGEST_REASON:
        raise UserError(f"--reason has {len(reason or '')} characters; {LONGEST_REASON} are the most")
    described = {"suite": suite, "task": task, "seeds": seeds, "source": source, "policy": policy}
    described |= {"after": after, "before": before}
    selection = {name: value for name, value in described.items() if value not in (None, ANY)}
    lake = Lake.default()
    found = _chosen(lake, episodes or [], selection)
    chosen = [one for one in found if (one["retracted"] is not None) == undo]
    if len(chosen) < len(found):
        state = "are not retracted" if undo else "were retracted before and keep their reason"
        output.say(f"{len(found) - len(chosen)} of {len(found)} episodes {state}")
    ids = [one["episode_id"] for one in chosen]
    if dry_run:
        withdrawn = {"restore": ids} if undo else {"retract": ids, "reason": (reason or "").strip()}
        now = _states(lake)
        changed = _changed(now, _states(Supposed(lake, **withdrawn)))
        stale = len({one.key for one in now if one.state == "stale"} - {one.key for one in changed})
        _foretell(chosen, changed, stale, undo, as_json)
        return
    if ids and selection and not yes:
        _confirm(len(ids), undo)
    with at_work():
        if undo:
            restore_episodes(lake, ids)
        elif ids:
            retract_episodes(lake, ids, reason.strip())
    what = ids[0] if len(ids) == 1 else f"{len(ids)} episodes"
    output.say(f"{'restored' if undo else 'retracted'} {what}; `worldvla rematerialize` mends what is stale:")
    stale = [row(state) for state in _states(lake) if state.state == "stale"]
    output.emit(stale, as_json, "stale now", NODE_COLUMNS)


def _chosen(lake: "Lake", episodes: list[str], selection: dict[str, str]) -> list[dict[str, Any]]:
    """Rows of the audit episodes_of: those named, or those that the selection describes; at least one."""
    from worldvla.lake.names import resolve_episode
    from worldvla.lake.query import run_audit

    if bool(episodes) == bool(selection):
        raise UserError("name episodes, or describe them with --task, --seeds, --policy, …: one of the two")
    if selection:
        rows = run_audit(lake, "episodes_of", selection)
        if rows.is_empty():
            raise UserError("no episode is " + ", ".join(f"{name} {value}" for name, value in selection.items()))
        return rows.to_dicts()
    ids = list(dict.fromkeys(resolve_episode(lake, one) for one in episodes))
    return [found for one in ids for found in run_audit(lake, "episodes_of", {"episode": one}).to_dicts()]


def _states(lake: "Lake") -> list["NodeState"]:
    from worldvla.planner.observe import snapshot

    return snapshot(lake).assess()


def _changed(before: list["NodeState"], after: list["NodeState"]) -> list["NodeState"]:
    """The states after that differ from those before."""
    known = {state.key: (state.state, state.reason) for state in before}
    return [state for state in after if known.get(state.key) != (state.state, state.reason)]


def _foretell(chosen: list[dict[str, Any]], changed: list["NodeState"], stale: int, undo: bool, as_json: bool) -> None:
    """Prints what would become of the episodes and of nodes; `stale` others are so already."""
    nodes = [row(state) for state in changed]
    if as_json:
        output.emit([{"what": "episode"} | one for one in chosen] + [{"what": "node"} | one for one in nodes], True)
        return
    verb = "restored" if undo else "retracted"
    columns = ["episode_id", "task", "seed", "source", "policy_id", "success", "recorded_at"]
    output.emit(chosen[:EPISODES_SHOWN], False, f"would be {verb}: {len(chosen)} episodes", columns)
    if len(chosen) > EPISODES_SHOWN:
        output.say(f"… and {len(chosen) - EPISODES_SHOWN} more; --json lists all")
    output.emit(nodes, False, "would change", NODE_COLUMNS)
    if stale:
        output.say(
            f"{stale} nodes are stale already, and may read them too: `worldvla audit downstream_of` lists what does"
        )


def _confirm(count: int, undo: bool) -> None:
    """Asks the person at the terminal; raises `UserError` where there is none."""
    verb = "restore" if undo else "retract"
    if not sys.stdin.isatty():
        raise UserError(f"this would {verb} {count} episodes: look at them with --dry-run, then say --yes")
    if not typer.confirm(f"{verb} {count} episodes?", err=True):
        raise UserError("nothing was changed")
