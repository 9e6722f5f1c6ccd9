"""`worldvla retract`: withdraws an episode from everything that reads it."""

from typing import Annotated

import typer

from worldvla.cli import output
from worldvla.cli.status import row


def retract(
    episode: Annotated[str, typer.Argument(help="The episode's id, or a prefix that only it has.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
) -> None:
    """Withdraw an episode: its bytes are kept, nothing reads it any more. Prints what is stale now."""
    from worldvla.lake import episodes
    from worldvla.lake.names import resolve_episode
    from worldvla.lake.store import Lake
    from worldvla.planner.observe import snapshot

    lake = Lake.default()
    found = resolve_episode(lake, episode)
    episodes.retract(lake, found, reason)
    output.say(f"retracted {found}; `worldvla rematerialize` mends what is stale:")
    stale = [row(state) for state in snapshot(lake).assess() if state.state == "stale"]
    output.emit(stale, as_json, "stale now", ["asset", "campaign", "iteration", "reason"])
