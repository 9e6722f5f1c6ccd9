"""The nightly schedules: the next iteration of each campaign that asks for it, within its night.

A campaign is skipped, with the reason in the tick, while anything is at work on it, after a
run that failed, when a gate keeps its world model back, when an earlier iteration is stale,
once it has made all iterations it asked for, and when its night was missed and the policy is
to skip. docs/nightly.md says what a night is.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines import clock
from pipelines.jobs import campaign_job, iteration_job
from pipelines.notices import names, tell
from pipelines.runs import DEADLINE_TAG, NIGHT_TAG, night_tags, place_of, run_request, unsettled_run
from worldvla import campaigns
from worldvla.config import Nightly
from worldvla.errors import UserError
from worldvla.lake.store import Lake
from worldvla.notifications.notification import Notification
from worldvla.planner.night import Night, moment, opening
from worldvla.planner.nightly import Due, due_tonight, settings_of_all

Window = tuple[str, str]  # start, time zone


def window(settings: Nightly) -> Window:
    return settings.start, settings.time_zone


def schedule_name(start: str, time_zone: str) -> str:
    """`nightly` for the start that the file's defaults give; every other start has a schedule of its own."""
    default = campaigns.default("nightly")
    if (start, time_zone) == (default.get("start"), default.get("time_zone")):
        return "nightly"
    # Etc/GMT+5 is not Etc/GMT-5.
    zone = "".join(letter if letter.isalnum() else "_" for letter in time_zone.replace("+", "_plus_"))
    return f"nightly_{start.replace(':', '')}_{zone}"


def windows() -> list[Window]:
    """Every start that some campaign has, when the code location loads."""
    readable, _ = settings_of_all()
    return sorted({window(settings) for settings in readable.values()})


def schedules() -> list[dg.ScheduleDefinition]:
    """Two for each start: a schedule starts runs of one job, and a campaign's own assets and its iterations are two."""
    return [
        _schedule(start, time_zone, job, suffix, for_iterations, tells=for_iterations and not number)
        for number, (start, time_zone) in enumerate(windows())
        for job, suffix, for_iterations in ((iteration_job, "", True), (campaign_job, "_campaigns", False))
    ]


def _schedule(
    start: str, time_zone: str, job: Any, suffix: str, for_iterations: bool, tells: bool
) -> dg.ScheduleDefinition:
    """The one that `tells` does so of what cannot be read: who starts when is not known then."""
    what = "the next iteration of each campaign" if for_iterations else "what a campaign needs once, for each"
    hour, minute = start.split(":")

    @dg.schedule(
        name=schedule_name(start, time_zone) + suffix,
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * *",
        execution_timezone=time_zone,
        description=f"Starts {what} with `nightly.enabled` whose night starts at {start} {time_zone}.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        decided = list(_decide(context, (start, time_zone), for_iterations, tells))
        requests = [one for one in decided if isinstance(one, dg.RunRequest)]
        reasons = [one for one in decided if isinstance(one, str)]
        return requests or dg.SkipReason(
            "; ".join(reasons) or f"no campaign has nightly.enabled and starts at {start}; see pipelines/campaigns.yaml"
        )

    return schedule


def _decide(
    context: dg.ScheduleEvaluationContext, own: Window, for_iterations: bool, tells: bool
) -> Iterator[dg.RunRequest | str]:
    """A run for each campaign of this start that is due one of this job, and reasons for the others."""
    try:
        readable, broken = settings_of_all()
    except UserError as error:  # the file as a whole
        yield str(error)
        if tells:
            told = Notification("missed", "every campaign", "", str(error), "worldvla campaigns")
            tell(context.log, names("every campaign"), told)
        return
    for campaign, reason in broken.items():
        yield reason
        if tells:
            _report_undecided(context, campaign, reason)
    for campaign, settings in readable.items():
        if not settings.enabled or window(settings) != own:
            continue
        scheduled, now = context.scheduled_execution_time, clock.now()
        night = opening(settings, scheduled, now)
        try:
            due = night if isinstance(night, str) else _due(context.instance, campaign)
            if isinstance(night, str) and for_iterations:
                _report_missed(context, campaign, settings, night)
        except (UserError, OSError) as error:  # the others start all the same
            due = str(error)
            if for_iterations:
                _report_undecided(context, campaign, due)
        if isinstance(due, str):
            yield f"{campaign}: {due}"
        elif bool(due.iteration) == for_iterations:
            key = f"{campaign}/{due.iteration}/{scheduled.isoformat()}"
            yield run_request(context.instance, campaign, due.iteration, due.assets, key, night_tags(night))
        else:
            yield f"{campaign}: {'its own assets come first' if for_iterations else 'its own assets are fresh'}"


def _due(instance: dg.DagsterInstance, campaign: str) -> Due | str:
    busy = unsettled_run(instance, campaign)
    due = busy or due_tonight(Lake.default(), campaign)
    return due if isinstance(due, str) else due[0]


def _report_undecided(
    context: dg.ScheduleEvaluationContext | dg.RunStatusSensorContext, campaign: str, reason: str
) -> None:
    """A campaign or a lake that cannot be read makes no run, so nothing else would tell."""
    command = f"worldvla tonight --campaign {campaign}"
    tell(context.log, names(campaign), Notification("missed", campaign, "", reason, command))


def _report_missed(context: dg.ScheduleEvaluationContext, campaign: str, settings: Nightly, reason: str) -> None:
    due = due_tonight(Lake.default(), campaign)
    if isinstance(due, list):
        iteration = due[-1].iteration
        command = f"worldvla loop --campaign {campaign} --iterations {int(iteration or 0) + 1}"
        tell(context.log, settings.notify, Notification("missed", campaign, iteration, reason, command))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[campaign_job],
    request_job=iteration_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="When a night's run has made a campaign's own assets, its next iteration starts, before the deadline.",
)
def iteration_after_campaign(context: dg.RunStatusSensorContext) -> dg.SkipReason | dg.RunRequest:
    tags = context.dagster_run.tags
    if NIGHT_TAG not in tags:
        return dg.SkipReason("no night started this run")
    campaign, _ = place_of(context.dagster_run)
    deadline = moment(tags[DEADLINE_TAG])
    if clock.now() >= deadline:
        return dg.SkipReason(f"{campaign}: the deadline of the night has passed; the next night goes on")
    try:
        settings = campaigns.load(campaign).nightly
        due = _due(context.instance, campaign) if settings.enabled else "nightly.enabled is off"
    except UserError as error:
        due = str(error)
        _report_undecided(context, campaign, due)
    if isinstance(due, str):
        return dg.SkipReason(f"{campaign}: {due}")
    if not due.iteration:
        return dg.SkipReason(f"{campaign}: its own assets are stale again; the next night goes on")
    night = Night(tags[NIGHT_TAG], clock.now(), deadline)
    key = f"{campaign}/{due.iteration}/{context.dagster_run.run_id}"
    return run_request(context.instance, campaign, due.iteration, due.assets, key, night_tags(night))
