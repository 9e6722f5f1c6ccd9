"""What the coming night will run, how long it should take, whether in time, and what blocks it."""

import json
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._daemon.types import DaemonHeartbeat

from pipelines import clock, tonight
from pipelines.definitions import defs
from pipelines.tonight import rows
from tests.pipelines.nights import CAMPAIGN, ask, fail_step, make_run, outdate, published
from worldvla.errors import UserError
from worldvla.locks import campaign_lock
from worldvla.notifications.log import Log
from worldvla.notifications.registry import BUILT_IN
from worldvla.planner.graph import NODES

EVENING = datetime(2026, 1, 1, 20, tzinfo=UTC)
OWN = [node.name for node in NODES if node.scope == "campaign"]
ITERATION = [node.name for node in NODES if node.scope == "iteration" and not node.feedback_from]


@pytest.fixture(autouse=True)
def evening(tmp_path, monkeypatch):
    """A campaign that asks for two iterations, on an evening."""
    ask(tmp_path, monkeypatch, every_night={})
    monkeypatch.setattr(clock, "now", lambda: EVENING)
    return tmp_path


def awake(instance: dg.DagsterInstance) -> None:
    """The schedules are switched on, and a daemon has just said that it lives."""
    for suffix in ("", "_campaigns"):
        schedule = defs.get_repository_def().get_schedule_def("nightly" + suffix)
        origin = make_origin(schedule.name)
        data = ScheduleInstigatorData(schedule.cron_schedule, EVENING.timestamp())
        state = InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, data)
        instance.add_instigator_state(state)
    instance.add_daemon_heartbeat(DaemonHeartbeat(EVENING.timestamp(), "SCHEDULER", "here", []))


def make_origin(name: str):
    from dagster._core.remote_origin import (
        RegisteredCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )

    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("worldvla"), "worldvla"), name)


def test_a_first_night_makes_the_campaigns_own_and_its_first_iteration(instance):
    awake(instance)
    first, second = rows(instance)
    assert (first["campaign"], first["iteration"], sorted(first["assets"])) == (CAMPAIGN, None, sorted(OWN))
    assert (second["iteration"], sorted(second["assets"])) == ("0000", sorted(ITERATION))
    assert first["starts_at"] == datetime(2026, 1, 2, 1, tzinfo=UTC) and first["deadline"].hour == 7
    # Nothing like it ever ran: nobody can say when it ends.
    assert first["unknown_assets"] == len(OWN) and first["ends_at"] is first["before_deadline"] is None
    assert second["starts_at"] is None and first["blocked"] is second["blocked"] is None


def test_a_night_under_way_starts_nothing_by_itself_any_more(instance, monkeypatch):
    awake(instance)
    published("campaign", "")
    monkeypatch.setattr(clock, "now", lambda: EVENING.replace(day=2, hour=4))
    [row] = rows(instance)
    assert any("this night began at 01:00" in one and "--iterations 1" in one for one in row["notes"])


def test_when_a_night_began_is_told_by_the_campaigns_clock(instance, evening, monkeypatch):
    ask(evening, monkeypatch, every_night={"time_zone": "America/Los_Angeles"})
    monkeypatch.setattr(clock, "now", lambda: EVENING.replace(day=2, hour=10))
    assert any("this night began at 01:00 PST" in note for note in rows(instance)[0]["notes"])


def test_what_a_notifier_prints_is_not_in_the_answer(instance, monkeypatch, capsys):
    class Talkative(Log):
        def __init__(self) -> None:
            print("connected")

    monkeypatch.setitem(BUILT_IN, "log", Talkative)
    monkeypatch.setattr(tonight, "open_instance", lambda: nullcontext(instance))
    monkeypatch.setattr(sys, "argv", ["tonight"])
    assert tonight.main() == 0
    said = capsys.readouterr()
    assert json.loads(said.out)[0]["campaign"] == CAMPAIGN and "connected" in said.err


def test_past_runs_say_how_long_and_whether_before_the_deadline(instance):
    awake(instance)
    published("campaign", "", seconds=600.0)
    published("iteration", "0000", seconds=1800.0)
    [row] = rows(instance)
    assert (row["iteration"], row["unknown_assets"]) == ("0001", 0)
    assert row["expected_seconds"] == len(ITERATION) * 1800.0
    assert row["ends_at"] == row["starts_at"] + timedelta(seconds=row["expected_seconds"])
    assert row["before_deadline"] is True and row["at_deadline"] == "finish"


def test_a_night_that_is_too_short_says_so(instance, evening, monkeypatch):
    ask(evening, monkeypatch, every_night={"deadline": "02:00"})
    awake(instance)
    published("campaign", "", seconds=600.0)
    published("iteration", "0000", seconds=1800.0)
    [row] = rows(instance)
    assert row["before_deadline"] is False and row["blocked"] is None


def test_a_stale_iteration_after_the_campaigns_own_is_told(instance):
    awake(instance)
    published("campaign", "")
    published("iteration", "0000")
    outdate("demonstrations", "")
    outdate("evaluation", "0000")
    [row] = rows(instance)
    assert row["iteration"] is None and "demonstrations" in row["assets"]
    [note] = row["notes"]
    assert note.startswith("as things stand nothing follows these: iteration 0000 is stale")


def test_who_will_not_hear_of_a_failure_is_told(instance, evening, monkeypatch):
    monkeypatch.delenv("WORLDVLA_WEBHOOK_URL", raising=False)
    ask(evening, monkeypatch, every_night={"notify": ["log", "webhook"]})
    assert [[note[:13] for note in row["notes"]] for row in rows(instance)] == [["not everybody"]] * 2
    ask(evening, monkeypatch, every_night={"notify": ["webhook"]})
    assert [[note[:12] for note in row["notes"]] for row in rows(instance)] == [["nobody hears"]] * 2


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
def test_a_run_in_flight_blocks(instance, status):
    awake(instance)
    run = make_run(instance, status)
    blocked = [row["blocked"] for row in rows(instance)]
    assert blocked and all(f"run {run.run_id} still runs" in one for one in blocked)


def test_a_failed_run_blocks_with_its_command(instance):
    awake(instance)
    run = make_run(instance, dg.DagsterRunStatus.FAILURE)
    blocked = rows(instance)[0]["blocked"]
    assert f"run {run.run_id} failed" in blocked
    assert f"`worldvla loop --campaign {CAMPAIGN} --iterations 1` goes on" in blocked


def test_what_a_run_failed_of_is_no_reason_once_somebody_goes_on(instance):
    awake(instance)
    fail_step(instance, make_run(instance, dg.DagsterRunStatus.FAILURE), "judge", "OSError: the disk was full")
    assert "(judge: OSError: the disk was full)" in rows(instance)[0]["blocked"]
    with campaign_lock(CAMPAIGN):
        blocked = rows(instance)[0]["blocked"]
    assert "is being run by process" in blocked and "the disk was full" not in blocked


def test_a_campaign_that_is_off_tells_its_failure_too(instance, evening, monkeypatch):
    ask(evening, monkeypatch, quiet={"enabled": False})
    run = make_run(instance, dg.DagsterRunStatus.FAILURE, campaign="quiet")
    blocked = rows(instance, "quiet")[0]["blocked"]
    assert blocked.startswith("nightly.enabled is off") and f"run {run.run_id} failed" in blocked


def test_where_nothing_is_due_a_failure_is_told_before_the_reason(instance):
    awake(instance)
    published("campaign", "")
    published("iteration", "0000")
    published("iteration", "0001")
    outdate("evaluation", "0000")
    run = make_run(instance, dg.DagsterRunStatus.FAILURE, iteration="0000")
    [row] = rows(instance)
    assert row["blocked"].startswith(f"run {run.run_id} failed") and "iteration 0000 is stale" in row["blocked"]


def test_a_running_loop_blocks(instance):
    awake(instance)
    with campaign_lock(CAMPAIGN):
        assert "is being run by process" in rows(instance)[0]["blocked"]


def test_a_gate_blocks(instance):
    awake(instance)
    published("campaign", "")
    published("iteration", "0000", blocking_failure="reward alignment 0.52 < 0.60")
    [row] = rows(instance)
    assert row["assets"] == [] and "reward alignment 0.52 < 0.60" in row["blocked"]


def test_a_schedule_that_is_off_and_a_daemon_that_is_dead_block(instance, monkeypatch):
    assert "the schedule nightly_campaigns is off" in rows(instance)[0]["blocked"]
    awake(instance)
    monkeypatch.setattr(clock, "now", lambda: EVENING + timedelta(hours=1))
    assert "no Dagster daemon runs" in rows(instance)[0]["blocked"]


def test_a_disabled_campaign_is_told_only_when_it_is_asked_for(instance, evening, monkeypatch):
    ask(evening, monkeypatch, quiet={"enabled": False})
    assert rows(instance) == []
    blocked = [row["blocked"] for row in rows(instance, "quiet")]
    assert blocked and set(blocked) == {"nightly.enabled is off for this campaign"}
    with pytest.raises(UserError, match="no campaign 'unheard'; the campaigns are quiet"):
        rows(instance, "unheard")


def test_an_overdue_iteration_is_noted(instance, monkeypatch):
    published("campaign", "", materialized_at=EVENING - timedelta(hours=50))
    published("iteration", "0000", materialized_at=EVENING - timedelta(hours=50))
    assert rows(instance)[0]["notes"] == [
        "iteration 0000 is overdue: 50.0 hours old, the newest of the campaign; nightly.fresh_hours is 36"
    ]
