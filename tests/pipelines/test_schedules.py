"""The nightly schedules: what they start, when, and the reasons they give when they start nothing."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from assets.partitions import LOOP, partition_key
from pipelines import clock
from pipelines.dead_runs import TAG
from pipelines.definitions import defs
from pipelines.instance import add_partitions
from pipelines.runs import DEADLINE_TAG, NIGHT_TAG, in_flight, last_run, served_run
from pipelines.schedules import iteration_after_campaign, schedules
from tests.pipelines.nights import CAMPAIGN, ask, fail_step, make_run, outdate, published, published_record
from worldvla.errors import UserError
from worldvla.locks import campaign_lock
from worldvla.planner.graph import NODES

ONE = datetime(2026, 1, 1, 1, tzinfo=UTC)
DEADLINE = "2026-01-01T07:00:00+00:00"


@dg.asset(partitions_def=LOOP)
def begun(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What the project makes of the run that it is made by."""
    heartbeat = DaemonHeartbeat(clock.now().timestamp(), "SCHEDULER", "here", [])
    context.instance.add_daemon_heartbeat(heartbeat)
    run, at_work = context.run, in_flight(context.instance, CAMPAIGN)
    found = [
        one and one.run_id for one in (last_run(context.instance, CAMPAIGN), served_run(context.instance, CAMPAIGN))
    ]
    return dg.MaterializeResult(
        metadata={"seen": [run.run_id in (at_work or ""), *(one == run.run_id for one in found)]}
    )


@pytest.fixture
def asking(tmp_path, monkeypatch):
    ask(tmp_path, monkeypatch, every_night={})
    return tmp_path


@pytest.fixture(autouse=True)
def at(monkeypatch):
    """Sets the clock; it stands a minute after the start of the night."""

    def set_clock(now: datetime) -> None:
        monkeypatch.setattr(clock, "now", lambda: now)

    set_clock(ONE + timedelta(minutes=1))
    return set_clock


def tick(name: str, instance: dg.DagsterInstance, scheduled: datetime = ONE):
    schedule = next(one for one in schedules() if one.name == name)
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=scheduled, repository_def=defs.get_repository_def()
    )
    return schedule.evaluate_tick(context)


def test_nobody_asks(tmp_path, monkeypatch, instance):
    ask(tmp_path, monkeypatch, quiet={"enabled": False})
    assert "no campaign has nightly.enabled" in tick("nightly", instance).skip_message


def test_a_campaigns_own_assets_come_first(asking, instance):
    assert "its own assets come first" in tick("nightly", instance).skip_message
    [request] = tick("nightly_campaigns", instance).run_requests
    assert request.partition_key == CAMPAIGN
    assert {key.to_user_string() for key in request.asset_selection} == {n.name for n in NODES if n.scope == "campaign"}


def test_the_next_iteration_starts_and_the_last_one_ends_it(asking, instance):
    published("campaign", "")
    for iteration in ("0000", "0001"):
        [request] = tick("nightly", instance).run_requests
        assert request.partition_key == f"{CAMPAIGN}|{iteration}"
        assert request.tags[NIGHT_TAG] == "2026-01-01"
        assert request.tags[DEADLINE_TAG] == "2026-01-01T07:00:00+00:00"
        assert "fresh" in tick("nightly_campaigns", instance).skip_message
        published("iteration", iteration)
    assert "all 2 iterations it asks for are done" in tick("nightly", instance).skip_message


def test_what_no_iteration_follows_is_not_made_anew(asking, instance):
    published("campaign", "")
    for iteration in ("0000", "0001"):
        published("iteration", iteration)
    outdate("judge", "")
    for name in ("nightly", "nightly_campaigns"):
        assert "what it made once is stale (judge" in tick(name, instance).skip_message


def test_a_campaign_or_a_lake_that_cannot_be_read_is_told(asking, instance, monkeypatch):
    file = asking / "campaigns.yaml"
    file.write_text(file.read_text().replace("  every-night:", "  typo: {preset: tinny}\n  every-night:"))
    assert len(tick("nightly_campaigns", instance).run_requests) == 1
    tick("nightly", instance)
    told = (asking / "home" / "logs" / "notifications.jsonl").read_text().splitlines()
    [typo] = map(json.loads, told)
    assert (typo["kind"], typo["campaign"]) == ("missed", "typo") and "tinny" in typo["reason"]

    def damaged(*_):
        raise UserError("table materializations cannot be read")

    monkeypatch.setattr("pipelines.schedules.due_tonight", damaged)
    assert "cannot be read" in tick("nightly", instance).skip_message
    told = (asking / "home" / "logs" / "notifications.jsonl").read_text().splitlines()
    assert [json.loads(one)["campaign"] for one in told[1:]] == ["typo", CAMPAIGN]


def test_an_iteration_that_was_skipped_is_the_next_one(tmp_path, monkeypatch, instance):
    ask(tmp_path, monkeypatch, every_night={"iterations": 4})
    published("campaign", "")
    published("iteration", "0000")
    published_record(CAMPAIGN, "0002", ONE)
    [request] = tick("nightly", instance).run_requests
    assert request.partition_key == f"{CAMPAIGN}|0001"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (dg.DagsterRunStatus.STARTED, "still runs"),
        (dg.DagsterRunStatus.QUEUED, "still runs"),
        (dg.DagsterRunStatus.FAILURE, f"mend its cause, then `worldvla loop --campaign {CAMPAIGN} --iterations 1`"),
    ],
)
def test_skips_while_the_last_run_is_unsettled(asking, instance, status, reason):
    run = make_run(instance, status)
    message = tick("nightly_campaigns", instance).skip_message
    assert reason in message and run.run_id in message


def test_a_failed_run_whose_assets_are_all_fresh_does_not_stop_the_next_night(asking, instance):
    assets = [node.name for node in NODES if node.scope == "campaign"]
    make_run(instance, dg.DagsterRunStatus.FAILURE, assets=assets)
    assert "mend its cause" in tick("nightly_campaigns", instance).skip_message
    published("campaign", "")
    [request] = tick("nightly", instance).run_requests
    assert request.partition_key == f"{CAMPAIGN}|0000"


def test_a_button_in_the_ui_makes_a_run_in_flight_like_any_other(asking, instance):
    """Such a run has no tags but Dagster's own."""
    add_partitions(instance, CAMPAIGN, "0000")
    result = dg.materialize(
        [begun], partition_key=partition_key(CAMPAIGN, "0000"), instance=instance, raise_on_error=False
    )
    [made] = result.asset_materializations_for_node("begun")
    assert made.metadata["seen"].value == [True, True, True]


def test_a_command_that_was_stopped_does_not_stop_the_next_night(asking, instance):
    """Ctrl-C, or a kill: no asset had failed, and what there was of a training is kept."""
    interrupted = make_run(instance, dg.DagsterRunStatus.FAILURE, tags={TAG: "a process"})
    assert len(tick("nightly_campaigns", instance).run_requests) == 1
    fail_step(instance, interrupted, "judge", "ZeroDivisionError: no frames")
    assert "mend its cause" in tick("nightly_campaigns", instance).skip_message


def test_a_slip_in_the_campaigns_file_is_told_once(asking, tmp_path, monkeypatch, instance):
    ask(tmp_path, monkeypatch, every_night={}, late={"start": "22:30"})
    before = schedules()
    (tmp_path / "campaigns.yaml").write_text("campaigns: [")
    for schedule in before:
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=ONE, repository_def=defs.get_repository_def()
        )
        assert "campaigns.yaml" in schedule.evaluate_tick(context).skip_message
    [told] = map(json.loads, (tmp_path / "home" / "logs" / "notifications.jsonl").read_text().splitlines())
    assert (told["campaign"], told["command"]) == ("every campaign", "worldvla campaigns")


def test_a_terminated_run_does_not_stop_the_next_night(asking, instance):
    make_run(instance, dg.DagsterRunStatus.CANCELED)
    assert len(tick("nightly_campaigns", instance).run_requests) == 1


def test_skips_while_a_command_holds_the_campaign(asking, instance):
    with campaign_lock(CAMPAIGN):
        assert "is being run by process" in tick("nightly_campaigns", instance).skip_message
    assert len(tick("nightly_campaigns", instance).run_requests) == 1


def test_skips_behind_a_gate(asking, instance):
    published("campaign", "")
    published("iteration", "0000", blocking_failure="PSNR at the last step is 12.00 dB, below 20 dB")
    assert "below 20 dB" in tick("nightly", instance).skip_message


def test_a_stale_earlier_iteration_is_named(asking, instance):
    published("campaign", "")
    published("iteration", "0000")
    outdate("sans", "0000")
    message = tick("nightly", instance).skip_message
    assert "iteration 0000 is stale (sans: code version 0 → 3)" in message and "worldvla rematerialize" in message


def test_every_start_has_its_schedules_in_its_time_zone(tmp_path, monkeypatch, instance):
    ask(tmp_path, monkeypatch, every_night={}, berlin={"start": "22:30", "time_zone": "Europe/Berlin"})
    made = {one.name: (one.cron_schedule, one.execution_timezone) for one in schedules()}
    assert made == {
        "nightly": ("0 1 * * *", "UTC"),
        "nightly_campaigns": ("0 1 * * *", "UTC"),
        "nightly_2230_Europe_Berlin": ("30 22 * * *", "Europe/Berlin"),
        "nightly_2230_Europe_Berlin_campaigns": ("30 22 * * *", "Europe/Berlin"),
    }
    [request] = tick("nightly_2230_Europe_Berlin_campaigns", instance, ONE.replace(hour=21, minute=30)).run_requests
    assert request.partition_key == "berlin" and request.tags[DEADLINE_TAG] == "2026-01-02T06:00:00+00:00"
    [request] = tick("nightly_campaigns", instance).run_requests
    assert request.partition_key == CAMPAIGN


def test_zones_that_differ_by_a_sign_have_schedules_of_their_own(tmp_path, monkeypatch, instance):
    ask(tmp_path, monkeypatch, east={"time_zone": "Etc/GMT-5"}, west={"time_zone": "Etc/GMT+5"})
    zones = ("Etc_GMT_5", "Etc_GMT_plus_5")
    assert {one.name for one in schedules()} == {
        f"nightly_0100_{zone}{job}" for zone in zones for job in ("", "_campaigns")
    }


def test_a_late_tick_in_its_night_is_not_missed(asking, instance, at):
    at(ONE.replace(hour=6, minute=59))
    [request] = tick("nightly_campaigns", instance).run_requests
    assert request.tags[DEADLINE_TAG] == "2026-01-01T07:00:00+00:00"


def test_a_missed_night_is_skipped_and_told(asking, instance, at):
    published("campaign", "")
    at(ONE.replace(hour=9))
    message = tick("nightly", instance).skip_message
    assert "the night of 2026-01-01 was missed" in message and "nightly.missed is skip" in message
    assert "missed" in tick("nightly_campaigns", instance).skip_message
    [line] = (asking / "home" / "logs" / "notifications.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["kind"], told["iteration"]) == ("missed", "0000")
    assert told["command"] == f"worldvla loop --campaign {CAMPAIGN} --iterations 1"


def test_a_missed_night_is_caught_up_with_as_many_hours(tmp_path, monkeypatch, instance, at):
    ask(tmp_path, monkeypatch, every_night={"missed": "catch_up"})
    at(ONE.replace(hour=9))
    [request] = tick("nightly_campaigns", instance).run_requests
    assert request.tags[NIGHT_TAG] == "2026-01-01" and request.tags[DEADLINE_TAG] == "2026-01-01T15:00:00+00:00"


def test_a_campaign_that_cannot_be_read_stops_no_other(asking, instance):
    variants = asking / "home" / "campaigns"
    variants.mkdir(parents=True)
    (variants / "odd.yaml").write_text("campaign: every-night\nset: {nightly.time_zone: Mars/Olympus}\n")
    assert len(tick("nightly_campaigns", instance).run_requests) == 1
    assert "'Mars/Olympus' is no time zone" in tick("nightly", instance).skip_message


def after_campaign(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.SkipReason | dg.RunRequest:
    context = dg.build_run_status_sensor_context(
        sensor_name="iteration_after_campaign",
        dagster_event=dg.DagsterEvent("PIPELINE_SUCCESS", run.job_name),
        dagster_instance=instance,
        dagster_run=run,
    )
    return iteration_after_campaign(context)


def test_the_first_iteration_follows_its_campaign_until_the_deadline(asking, instance, at):
    published("campaign", "")
    tags = {NIGHT_TAG: "2026-01-01", DEADLINE_TAG: DEADLINE}
    run = make_run(instance, dg.DagsterRunStatus.SUCCESS, tags=tags)
    request = after_campaign(instance, run)
    assert request.partition_key == f"{CAMPAIGN}|0000" and request.tags.items() >= tags.items()
    at(ONE.replace(hour=7))
    assert "deadline of the night has passed" in after_campaign(instance, run).skip_message


def test_a_lake_that_cannot_be_read_after_the_campaign_is_told(asking, instance, monkeypatch):
    run = make_run(instance, dg.DagsterRunStatus.SUCCESS, tags={NIGHT_TAG: "2026-01-01", DEADLINE_TAG: DEADLINE})

    def damaged(*_):
        raise UserError("table materializations cannot be read")

    monkeypatch.setattr("pipelines.schedules.due_tonight", damaged)
    assert "cannot be read" in after_campaign(instance, run).skip_message
    [line] = (asking / "home" / "logs" / "notifications.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert (told["kind"], told["campaign"]) == ("missed", CAMPAIGN) and "cannot be read" in told["reason"]


def test_a_campaign_that_became_stale_meanwhile_waits_for_the_next_night(asking, instance):
    """Its own assets are of another partition than an iteration: a run of both at once cannot be."""
    published("campaign", "")
    run = make_run(instance, dg.DagsterRunStatus.SUCCESS, tags={NIGHT_TAG: "2026-01-01", DEADLINE_TAG: DEADLINE})
    outdate("demonstrations", "")
    assert "its own assets are stale again" in after_campaign(instance, run).skip_message


def test_a_persons_run_is_followed_by_nothing(asking, instance):
    published("campaign", "")
    run = make_run(instance, dg.DagsterRunStatus.SUCCESS)
    assert "no night started this run" in after_campaign(instance, run).skip_message
