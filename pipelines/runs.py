"""The runs of campaigns as Dagster knows them: how they are tagged, requested, and what the last one says."""

from collections.abc import Mapping

import dagster as dg

from assets.partitions import CAMPAIGN, ITERATION, partition_key
from pipelines.daemon import daemon_is_alive
from pipelines.dead_runs import TAG as PROCESS_TAG
from pipelines.dead_runs import is_executed, settle_dead_runs
from pipelines.failures import of_run
from pipelines.instance import add_partitions
from worldvla.lake.store import Lake
from worldvla.locks import held_by
from worldvla.planner.night import Night
from worldvla.planner.observe import snapshot

# Dagster's, of every run of one partition, whoever asked for it: a schedule, a command, or a button in the UI.
PARTITION_TAG = "dagster/partition"
CAMPAIGN_TAG, ITERATION_TAG = f"{PARTITION_TAG}/{CAMPAIGN}", f"{PARTITION_TAG}/{ITERATION}"
# Dagster's, of a run that is another one again, with the other one's tags; the number is of those that Dagster itself
# starts again because their process died.
AGAIN_TAG, RETRY_TAG = "dagster/parent_run_id", "dagster/retry_number"
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


def place(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """Campaign and iteration of a run by its tags, the iteration empty where the campaign alone is its partition; None
    where a run is of no one partition."""
    if CAMPAIGN_TAG in tags:
        return tags[CAMPAIGN_TAG], tags.get(ITERATION_TAG, "")
    return (tags[PARTITION_TAG], "") if PARTITION_TAG in tags else None


def place_of(run: dg.DagsterRun) -> tuple[str, str]:
    """The same of a run that has one."""
    found = place(run.tags)
    if found is None:
        raise ValueError(f"run {run.run_id} is of no one partition")
    return found


def tags_of(campaign: str) -> tuple[dict[str, str], dict[str, str]]:
    """What the runs of a campaign have of tags: those of its iterations, and those of what it makes once."""
    return {CAMPAIGN_TAG: campaign}, {PARTITION_TAG: campaign}


def is_reexecuted(run: dg.DagsterRun) -> bool:
    """Whether a person started it in the place of another, of whose night or automation it has the tags."""
    return AGAIN_TAG in run.tags and RETRY_TAG not in run.tags


def unattended(run: dg.DagsterRun) -> bool:
    """Whether nobody watches it: a night or the automation started it."""
    return (NIGHT_TAG in run.tags or AUTOMATION_TAG in run.tags) and not is_reexecuted(run)


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
        tags=tags,
    )


def last_run(instance: dg.DagsterInstance, campaign: str) -> dg.DagsterRun | None:
    found = [one for tags in tags_of(campaign) for one in instance.get_run_records(dg.RunsFilter(tags=tags), limit=1)]
    return max(found, key=lambda record: record.storage_id).dagster_run if found else None


def unfinished_runs(instance: dg.DagsterInstance, campaign: str) -> list[dg.DagsterRun]:
    filters = (dg.RunsFilter(tags=tags, statuses=list(UNFINISHED)) for tags in tags_of(campaign))
    return [run for one in filters for run in instance.get_runs(one)]


def in_flight(instance: dg.DagsterInstance, campaign: str) -> str | None:
    """Who is at work on the campaign: an unfinished run of Dagster, or a command that holds it."""
    settle_dead_runs(instance)
    if unfinished := unfinished_runs(instance, campaign):
        return f"run {unfinished[0].run_id} still runs ({unfinished[0].status.value.lower()})"
    holder = held_by(campaign)
    return f"the campaign {holder}" if holder else None


def served_run(instance: dg.DagsterInstance, campaign: str) -> dg.DagsterRun | None:
    """An unfinished run of the campaign that a living daemon sees to, or a code server that outlived its own; without
    either, such a run is nobody's."""
    served = [run for run in unfinished_runs(instance, campaign) if PROCESS_TAG not in run.tags]
    if not served or daemon_is_alive(instance):
        return next(iter(served), None)
    return next(filter(is_executed, served), None)


def unsettled_run(instance: dg.DagsterInstance, campaign: str) -> str | None:
    """Why the campaign's last run forbids another, or None."""
    busy = in_flight(instance, campaign)
    if busy:
        return busy
    run = last_run(instance, campaign)
    if run is None or run.status is not dg.DagsterRunStatus.FAILURE or _stopped(instance, run) or _made(run):
        return None
    return f"run {run.run_id} failed; mend its cause, then `{command_to_go_on(run)}` goes on"


def _stopped(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a command's run was stopped or killed while no asset had failed: there is no cause to mend."""
    return PROCESS_TAG in run.tags and not any(problem.asset for problem in of_run(instance, run.run_id))


def _made(run: dg.DagsterRun) -> bool:
    """Whether all that a failed run was to make is fresh: it was killed after it had published the last of it, or what
    it failed at has come right without another run."""
    campaign, iteration = place_of(run)
    wanted = {key.path[-1] for key in run.asset_selection or ()}
    states = snapshot(Lake.default(), [campaign]).assess()
    return bool(wanted) and wanted <= {one.asset for one in states if one.iteration == iteration and one.settled}


def command_to_go_on(run: dg.DagsterRun) -> str:
    """What a person types to carry on after this run, whoever started it."""
    campaign, iteration = place_of(run)
    if AUTOMATION_TAG in run.tags:
        return f"worldvla rematerialize --campaign {campaign}"
    return f"worldvla loop --campaign {campaign} --iterations {int(iteration or 0) + 1}"
