"""Tells people what happened to runs that nobody watches: a night's and the automation's.

A run that a person started is reported where it was started. One that Dagster starts again
because its process died has not failed yet.
"""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from pipelines.failures import Problem, of_run
from pipelines.jobs import campaign_job, iteration_job
from pipelines.runs import command_to_go_on, place_of, unattended
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.notifications.notification import Notification, send_all
from worldvla.notifications.registry import notifiers

WILL_RETRY_TAG = "dagster/will_retry"


@dg.run_failure_sensor(
    monitored_jobs=[campaign_job, iteration_job],
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends a notification (`nightly.notify`) when a run of the night or of the automation fails.",
)
def notify_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    run = context.dagster_run
    if not unattended(run):
        return dg.SkipReason("a person started this run")
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return dg.SkipReason("its process died; Dagster starts it again")
    tell(context.log, names(place_of(run)[0]), failure_notification(run, of_run(context.instance, run.run_id)))
    return None


def failure_notification(run: dg.DagsterRun, problems: list[Problem]) -> Notification:
    """What the first failed asset says; a gate is named only where nothing else failed."""
    campaign, iteration = place_of(run)
    errors = [problem for problem in problems if not problem.gate]
    first = next(iter(errors or problems), Problem("", "the run broke off without an error of an asset"))
    return Notification(
        kind="gate" if first.gate else "failed",
        campaign=campaign,
        iteration=iteration,
        reason=first.text,
        command=command_to_go_on(run),
        asset=first.asset or None,
        run_id=run.run_id,
    )


def names(campaign: str) -> list[str]:
    """The notifiers a campaign asks for; where its configuration cannot be read any more, those of the defaults, or
    `log`."""
    try:
        return campaigns.load(campaign).nightly.notify
    except UserError:
        pass
    try:
        return campaigns.default("nightly").get("notify", ["log"])
    except UserError:
        return ["log"]


def tell(log: Any, wanted: Iterable[str], notification: Notification) -> None:
    """Sends to all; what went wrong with one goes into the tick's log, as the notification does."""
    made, problems = notifiers(wanted)
    problems += send_all(made, notification)
    log.warning(notification.text)
    for problem in problems:
        log.error(problem)
