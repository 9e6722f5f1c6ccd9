"""What a night should run for one campaign, or why nothing."""

from dataclasses import dataclass

from worldvla.lake.store import Lake
from worldvla.planner.observe import snapshot
from worldvla.planner.partitions import CAMPAIGN_SCOPE, iteration_key
from worldvla.planner.plan import Selection, plan

RECORD = "iteration_record"


@dataclass(frozen=True)
class Due:
    """One run: these assets, parents first; `iteration` is empty for what a campaign needs once."""

    iteration: str
    assets: tuple[str, ...]


def due_tonight(lake: Lake, campaign: str) -> Due | str:
    """The campaign's own assets where they are not fresh, else its next iteration.

    The next iteration is the first that was never completed. An earlier one that has become
    stale is a person's decision, so it is named as the reason to skip.
    """
    seen = snapshot(lake, [campaign])
    done = sum((RECORD, campaign, iteration_key(number)) in seen.records for number in range(seen.iterations[campaign]))
    limit = seen.campaigns[campaign].nightly.iterations
    states = snapshot(lake, [campaign], min(done + 1, limit)).assess()
    runs = plan(states, Selection.loop(campaign, min(done + 1, limit)))
    if runs:
        first = runs[0]
        if first.iteration not in (CAMPAIGN_SCOPE, iteration_key(done)):
            asset, reason = next(iter(first.reasons.items()))
            return (
                f"iteration {first.iteration} is stale ({asset}: {reason}); "
                f"`worldvla rematerialize --campaign {campaign}` mends it"
            )
        return Due(first.iteration, first.assets)
    blocked = next((state for state in states if state.blocked), None)
    if blocked is not None:
        return blocked.reason
    return f"all {limit} iterations it asks for are done; raise nightly.iterations"
