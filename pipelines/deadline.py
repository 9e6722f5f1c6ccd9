"""The deadline of a night: after it nothing of that night starts, and what runs ends by policy."""

import dagster as dg

from pipelines import clock
from pipelines.notices import names, tell
from pipelines.runs import DEADLINE_TAG, NIGHT_TAG, RETRY_TAG, UNFINISHED, command_to_go_on, is_reexecuted, place_of
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.notifications.notification import Notification
from worldvla.planner.night import moment

# Marks a run whose deadline was dealt with, so that people hear of it once.
PASSED_TAG = "worldvla/deadline_passed"
WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)


@dg.sensor(
    name="nightly_deadline",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes runs of a night that has ended out of the queue; ends or reports those that run, by policy.",
)
def nightly_deadline(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    done = []
    for record in late_runs(context.instance):
        run = record.dagster_run
        try:
            done.append(enforce(context, record))
        except Exception as error:  # the others are late all the same, and this one is tried again
            context.log.error(f"run {run.run_id} is past its deadline and could not be dealt with: {error}")
            done.append(f"run {run.run_id}: {error}")
    return dg.SkipReason("; ".join(done) or "no run is past its deadline")


def late_runs(instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    """Unfinished runs of nights that have ended, which were not dealt with yet.

    One that Dagster starts again has the tags of the one that died, so it may say that it was. One that a person starts
    again has them, too, and is no night's.
    """
    now = clock.now()
    return [
        record
        for record in instance.get_run_records(dg.RunsFilter(statuses=list(UNFINISHED)))
        if NIGHT_TAG in (tags := record.dagster_run.tags)
        and not is_reexecuted(record.dagster_run)
        and now >= moment(tags[DEADLINE_TAG])
        and (PASSED_TAG not in tags or (RETRY_TAG in tags and moment(tags[PASSED_TAG]) < record.create_timestamp))
    ]


def enforce(context: dg.SensorEvaluationContext, record: dg.RunRecord) -> str:
    """Deals with one late run and tells people; returns what was done."""
    instance, run = context.instance, record.dagster_run
    campaign, iteration = place_of(run)
    # In place of one whose process died: Dagster knows of no deadline.
    again = RETRY_TAG in run.tags and record.create_timestamp >= moment(run.tags[DEADLINE_TAG])
    waiting, ends = run.status in WAITING or again, _policy(campaign) == "terminate"
    if waiting or ends:
        instance.run_coordinator.cancel_run(run.run_id)
    # Not before: where it could not be ended, the next evaluation tries again.
    instance.add_run_tags(run.run_id, {PASSED_TAG: clock.now().isoformat()})
    if again:
        reason = "It was started again after its night had ended, and was terminated. What it published stays."
    elif waiting:
        reason = "It had not started when its night ended, and was taken out of the queue."
    elif ends:
        reason = "It was still running when its night ended, and was terminated. What it published stays."
    else:
        reason = "It was still running when its night ended, and goes on. Nothing more of that night starts."
    command = command_to_go_on(run) if waiting or ends else f"worldvla status --campaign {campaign}"
    notification = Notification("deadline", campaign, iteration, reason, command, run_id=run.run_id)
    tell(context.log, names(campaign), notification)
    return f"{campaign}, run {run.run_id}: {reason}"


def _policy(campaign: str) -> str:
    try:
        return campaigns.load(campaign).nightly.at_deadline
    except UserError:
        return "finish"
