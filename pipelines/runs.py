"""The runs of campaigns as Dagster knows them: how they are tagged, requested, and what the last one says."""

from collections.abc import Mapping

import dagster as dg

from assets.partitions import partition_key
from pipelines.daemon import daemon_is_alive
from pipelines.dead_runs import TAG as PROCESS_TAG
from pipelines.dead_runs import settle_dead_runs
from pipelines.instance import add_partitions
from worldvla.lake.store import Lake
from worldvla.locks import held_by
from worldvla.planner.night import Night
from worldvla.planner.observe import snapshot

CAMPAIGN_TAG = "worldvla/campaign"
ITERATION_TAG = "worldvla/iteration"
# What started a run that nobody watches: the night's date, or the automation's name.
NIGHT_TAG = "worldvla/night"
DEADLINE_TAG = "worldvla/deadline"
AUTOMATION_TAG = "worldvla/automation"

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def run_tags(campaign: str, iteration: str) -> dict[str, str]:
    return {CAMPAIGN_TAG: campaign, ITERATION_TAG: iteration}


def night_tags(night: Night) -> dict[str, str]:
    return {NIGHT_TAG: night.name, DEADLINE_TAG: night.deadline.isoformat()}


def run_request(
    instance: dg.DagsterInstance,
    campaign: str,
    iteration: str,
    assets: tuple[str, ...],
    run_key: str,
    tags: Mapping[str, str],
    job: str | None = None,
) -> dg.RunRequest:
    """A run of these assets of one partition; Dagster starts one run a key."""
    add_partitions(instance, campaign, iteration)
    return dg.RunRequest(
        run_key=run_key,
        job_name=job,
        partition_key=partition_key(campaign, iteration),
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        tags={**run_tags(campaign, iteration), **tags},
    )


def last_run(instance: dg.DagsterInstance, campaign: str) -> dg.DagsterRun | None:
    found = instance.get_runs(dg.RunsFilter(tags={CAMPAIGN_TAG: campaign}), limit=1)
    return found[0] if found else None


def in_flight(instance: dg.DagsterInstance, campaign: str) -> str | None:
    """Who is at work on the campaign: an unfinished run of Dagster, or a command that holds it."""
    settle_dead_runs(instance)
    unfinished = instance.get_runs(dg.RunsFilter(tags={CAMPAIGN_TAG: campaign}, statuses=list(UNFINISHED)), limit=1)
    if unfinished:
        return f"run {unfinished[0].run_id} still runs ({unfinished[0].status.value.lower()})"
    holder = held_by(campaign)
    return f"the campaign {holder}" if holder else None


def served_run(instance: dg.DagsterInstance, campaign: str) -> dg.DagsterRun | None:
    """An unfinished run of the campaign that a living daemon sees to; without one, such a run is nobody's."""
    if not daemon_is_alive(instance):
        return None
    unfinished = instance.get_runs(dg.RunsFilter(tags={CAMPAIGN_TAG: campaign}, statuses=list(UNFINISHED)))
    return next((run for run in unfinished if PROCESS_TAG not in run.tags), None)


def unsettled_run(instance: dg.DagsterInstance, campaign: str) -> str | None:
    """Why the campaign's last run forbids another, or None."""
    busy = in_flight(instance, campaign)
    if busy:
        return busy
    run = last_run(instance, campaign)
    if run is not None and run.status is dg.DagsterRunStatus.FAILURE and not _made(run):
        return f"run {run.run_id} failed; mend its cause, then `{command_to_go_on(run)}` goes on"
    return None


def _made(run: dg.DagsterRun) -> bool:
    """Whether all that a failed run was to make is fresh: it was killed after it had published the last of it, or what
    it failed at has come right without another run."""
    campaign, iteration = run.tags[CAMPAIGN_TAG], run.tags.get(ITERATION_TAG, "")
    wanted = {key.path[-1] for key in run.asset_selection or ()}
    states = snapshot(Lake.default(), [campaign]).assess()
    return bool(wanted) and wanted <= {one.asset for one in states if one.iteration == iteration and one.settled}


def command_to_go_on(run: dg.DagsterRun) -> str:
    """What a person types to carry on after this run, whoever started it."""
    campaign, iteration = run.tags[CAMPAIGN_TAG], run.tags.get(ITERATION_TAG, "")
    if AUTOMATION_TAG in run.tags:
        return f"worldvla rematerialize --campaign {campaign}"
    return f"worldvla loop --campaign {campaign} --iterations {int(iteration or 0) + 1}"
