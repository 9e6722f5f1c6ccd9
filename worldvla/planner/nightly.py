"""What a night should run for one campaign, or why nothing; and how long a campaign may go without."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from worldvla import campaigns
from worldvla.config import Nightly
from worldvla.errors import UserError
from worldvla.lake.store import Lake
from worldvla.partitions import CAMPAIGN_SCOPE, iteration_key
from worldvla.planner.observe import Snapshot, current, snapshot
from worldvla.planner.plan import Selection, plan

RECORD = "iteration_record"


@dataclass(frozen=True)
class Due:
    """One run: these assets, parents first; `iteration` is empty for what a campaign needs once."""

    iteration: str
    assets: tuple[str, ...]


@dataclass(frozen=True)
class Overdue:
    """Whether the newest iteration of a campaign is on time."""

    campaign: str
    iteration: str
    on_time: bool
    reason: str


def settings_of_all() -> tuple[dict[str, Nightly], dict[str, str]]:
    """The nightly section of every campaign and variant, and why some cannot be read."""
    readable, broken = {}, {}
    for name in campaigns.campaign_names():
        try:
            readable[name] = campaigns.load(name).nightly
        except UserError as error:
            broken[name] = str(error)
    return readable, broken


def due_tonight(lake: Lake, campaign: str) -> list[Due] | str:
    """The runs of one night, in order: the campaign's own assets where they are not fresh, then its next iteration.

    The next iteration is the first that was never completed. An earlier one that has become
    stale is a person's decision, so it is named as the reason to skip.
    """
    due, stops = night_of(lake, campaign)
    return due or stops


def night_of(lake: Lake, campaign: str) -> tuple[list[Due], str]:
    """The runs of one night, and why nothing follows them; without a reason, the next iteration is among them."""
    seen = snapshot(lake, [campaign])
    done = _done(seen, campaign)
    limit = seen.campaigns[campaign].nightly.iterations
    states = snapshot(lake, [campaign], min(done + 1, limit)).assess()
    runs = plan(states, Selection.loop(campaign, min(done + 1, limit)))
    # What no iteration follows is not made anew by itself.
    tonight = (CAMPAIGN_SCOPE, iteration_key(done)) if done < limit else ()
    due = [Due(run.iteration, run.assets) for run in takewhile(lambda run: run.iteration in tonight, runs)]
    if due and due[-1].iteration:
        return due, ""
    if rest := runs[len(due) :]:
        asset, reason = next(iter(rest[0].reasons.items()))
        what = f"iteration {rest[0].iteration}" if rest[0].iteration else "what it made once"
        return due, f"{what} is stale ({asset}: {reason}); `worldvla rematerialize --campaign {campaign}` mends it"
    blocked = next((state for state in states if state.blocked), None)
    if blocked is not None:
        return due, blocked.reason
    return due, f"all {limit} iterations it asks for are done; raise nightly.iterations"


def overdue(lake: Lake, campaign: str, settings: Nightly, now: datetime) -> Overdue | None:
    """Whether the newest iteration is at most `fresh_hours` old.

    None where nothing is promised: no hours are given, there is no iteration yet, or all
    that were asked for are done.
    """
    records = current(lake)
    done = [record for (asset, name, _), record in records.items() if (asset, name) == (RECORD, campaign)]
    if settings.fresh_hours is None or not done or len(done) >= settings.iterations:
        return None
    newest = max(done, key=lambda record: record.iteration)
    since = newest.materialized_at + timedelta(hours=settings.fresh_hours)
    hours = (now - newest.materialized_at) / timedelta(hours=1)
    reason = f"{hours:.1f} hours old, the newest of the campaign; nightly.fresh_hours is {settings.fresh_hours:g}"
    return Overdue(campaign, newest.iteration, now <= since, reason)


def _done(seen: Snapshot, campaign: str) -> int:
    """How many iterations were completed before the first that was not."""
    keys = map(iteration_key, range(seen.iterations[campaign]))
    return sum(1 for _ in takewhile(lambda key: (RECORD, campaign, key) in seen.records, keys))
