"""The nightly schedule: the next iteration of each campaign that asks for it.

A campaign is skipped, with the reason in the tick, while its last run still runs, after a
run that failed, when a gate keeps its world model back, when an earlier iteration is stale,
and once it has made all iterations it asked for.
"""

import os
from typing import Any

import dagster as dg

from assets.partitions import partition_key
from pipelines.dead_runs import settle_dead_runs
from pipelines.instance import add_partitions
from pipelines.jobs import campaign_job, iteration_job
from worldvla import campaigns
from worldvla.lake.store import Lake
from worldvla.planner.nightly import Due, due_tonight

CRON = "0 1 * * *"
TIME_ZONE = os.environ.get("WORLDVLA_TIME_ZONE", "UTC")
CAMPAIGN_TAG = "worldvla/campaign"
UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def _nightly(name: str, job: Any, for_iterations: bool, description: str) -> dg.ScheduleDefinition:
    """A schedule starts runs of one job, so what a campaign needs once and its iterations have one each."""

    @dg.schedule(name=name, job=job, cron_schedule=CRON, execution_timezone=TIME_ZONE, description=description)
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        requests, reasons = [], []
        for campaign in campaigns.campaign_names():
            if not campaigns.load(campaign).nightly.enabled:
                continue
            due = unsettled_run(context.instance, campaign) or due_tonight(Lake.default(), campaign)
            if isinstance(due, str):
                reasons.append(f"{campaign}: {due}")
            elif bool(due.iteration) == for_iterations:
                occasion = context.scheduled_execution_time.isoformat()
                requests.append(run_request(context.instance, campaign, due, occasion))
            else:
                reasons.append(
                    f"{campaign}: {'its own assets come first' if for_iterations else 'its own assets are fresh'}"
                )
        return requests or dg.SkipReason(
            "; ".join(reasons) or "no campaign has nightly.enabled; see pipelines/campaigns.yaml"
        )

    return schedule


nightly = _nightly("nightly", iteration_job, True, "Starts the next iteration of each campaign with `nightly.enabled`.")
nightly_campaigns = _nightly(
    "nightly_campaigns",
    campaign_job,
    False,
    "Starts what a campaign with `nightly.enabled` needs once, where it is due.",
)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[campaign_job],
    request_job=iteration_job,
    description="When a campaign's own assets are made, its first due iteration starts.",
)
def iteration_after_campaign(context: dg.RunStatusSensorContext) -> dg.SkipReason | dg.RunRequest:
    campaign = context.dagster_run.tags.get(CAMPAIGN_TAG)
    if campaign is None or not campaigns.load(campaign).nightly.enabled:
        return dg.SkipReason("the campaign does not have nightly.enabled")
    due = due_tonight(Lake.default(), campaign)
    if isinstance(due, str):
        return dg.SkipReason(f"{campaign}: {due}")
    return run_request(context.instance, campaign, due, context.dagster_run.run_id)


def unsettled_run(instance: dg.DagsterInstance, campaign: str) -> str | None:
    """Why the campaign's last run forbids another, or None."""
    settle_dead_runs(instance)
    last = instance.get_runs(dg.RunsFilter(tags={CAMPAIGN_TAG: campaign}), limit=1)
    if not last:
        return None
    run = last[0]
    if run.status in UNFINISHED:
        return f"run {run.run_id} still runs ({run.status.value.lower()})"
    if run.status is dg.DagsterRunStatus.FAILURE:
        return f"run {run.run_id} failed; mend its cause, then `worldvla loop --campaign {campaign}` goes on"
    return None


def run_request(instance: dg.DagsterInstance, campaign: str, due: Due, occasion: str) -> dg.RunRequest:
    """A run of everything that is due, once an occasion."""
    add_partitions(instance, campaign, due.iteration)
    return dg.RunRequest(
        run_key=f"{campaign}/{due.iteration}/{occasion}",
        partition_key=partition_key(campaign, due.iteration),
        asset_selection=[dg.AssetKey(asset) for asset in due.assets],
        tags={CAMPAIGN_TAG: campaign, "worldvla/iteration": due.iteration},
    )
