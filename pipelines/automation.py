"""Automation: what is stale is made fresh again, one run after the other, as `worldvla rematerialize` would.

Switched off until somebody switches it on. Each evaluation looks at the lake anew and, for
each campaign that nobody is at work on, asks for the first run of the plan: what comes after
it depends on how it ends. A run that failed is not asked for again until something changed.
"""

from collections.abc import Iterator

import dagster as dg

from pipelines.jobs import campaign_job, iteration_job
from pipelines.runs import AUTOMATION_TAG, run_request, unsettled_run
from worldvla.lake.digests import digest
from worldvla.lake.store import Lake
from worldvla.planner.execute import first_run
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH
from worldvla.planner.observe import Snapshot, snapshot
from worldvla.planner.plan import Run, Selection

NAME = "rematerialize_stale"


@dg.sensor(
    name=NAME,
    jobs=[campaign_job, iteration_job],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Rematerializes whatever is stale, upstream first, one run a campaign at a time.",
)
def rematerialize_stale(context: dg.SensorEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
    decided = list(_decide(context.instance))
    requests = [one for one in decided if isinstance(one, dg.RunRequest)]
    reasons = [one for one in decided if isinstance(one, str)]
    return requests or dg.SkipReason("; ".join(reasons) or "nothing is stale")


def _decide(instance: dg.DagsterInstance) -> Iterator[dg.RunRequest | str]:
    """The first run of each campaign's plan, and why a campaign with something stale gets none."""
    seen = snapshot(Lake.default())
    yield from seen.unknown.values()
    states = seen.assess()
    for campaign in seen.campaigns:
        selection = Selection(campaigns=frozenset({campaign}))
        run = first_run(states, selection)
        if run is None:
            yield from (f"{campaign}: {state.reason}" for state in states if state.blocked and selection.wants(state))
            continue
        unsettled = unsettled_run(instance, campaign)
        if unsettled:
            yield f"{campaign}: {unsettled}"
            continue
        job = (iteration_job if run.iteration else campaign_job).name
        tags = {AUTOMATION_TAG: NAME}
        yield run_request(instance, campaign, run.iteration, run.assets, _key(seen, run), tags, job)


def _key(seen: Snapshot, run: Run) -> str:
    """Equal for equal reasons on equal records and settings: Dagster starts no second run for it."""
    records = [seen.records.get((asset, run.campaign, run.iteration)) for asset in run.assets]
    made = [record and record.materialized_at.isoformat() for record in records]
    asked = [config_digest(GRAPH[asset], seen.campaigns[run.campaign]) for asset in run.assets]
    return f"{NAME}/{run.campaign}/{run.iteration}/{digest([list(run.assets), run.reasons, made, asked])[:16]}"
