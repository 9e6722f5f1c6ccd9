"""What the schedule may start tonight: a campaign's next iteration, or the reason why nothing."""

from dataclasses import dataclass

from worldvla import campaigns
from worldvla.lake.store import Lake
from worldvla.planner.observe import snapshot
from worldvla.planner.plan import Selection, plan
from worldvla.planner.state import NodeState


@dataclass(frozen=True)
class Due:
    """One run: assets of one partition; `iteration` is empty for what a campaign needs once."""

    iteration: str
    assets: tuple[str, ...]


def due_tonight(lake: Lake, campaign: str) -> Due | str:
    """The first run that the campaign lacks, or why it must wait.

    The schedule makes what is new; what has become stale is a person's decision.
    """
    wanted = campaigns.load(campaign).nightly.iterations
    states = snapshot(lake, [campaign], wanted).assess()
    return _due(states, campaign, wanted)


def _due(states: list[NodeState], campaign: str, wanted: int) -> Due | str:
    for state in states:
        where = f"{state.asset} of iteration {state.iteration}" if state.iteration else state.asset
        if state.blocked:
            return f"{where} is {state.reason}"
        if state.state == "stale":
            return f"{where} is stale ({state.reason}): run `worldvla rematerialize --campaign {campaign}` first"
    runs = plan(states, Selection.loop(campaign, wanted))
    return Due(runs[0].iteration, runs[0].assets) if runs else f"all {wanted} iterations are made"
