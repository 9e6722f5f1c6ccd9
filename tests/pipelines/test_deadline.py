"""The deadline: what waits is taken out of the queue, what runs ends or is reported, and people hear of it once."""

import json
from datetime import UTC, datetime

import dagster as dg
import pytest

from pipelines import clock
from pipelines.deadline import nightly_deadline
from pipelines.runs import AGAIN_TAG, DEADLINE_TAG, NIGHT_TAG, RETRY_TAG
from tests.pipelines.nights import ask, make_run

DEADLINE = datetime(2026, 1, 1, 7, tzinfo=UTC)
TAGS = {NIGHT_TAG: "2026-01-01", DEADLINE_TAG: DEADLINE.isoformat()}


@pytest.fixture
def evaluate(instance, tmp_path, monkeypatch):
    """Evaluates the sensor at an hour; returns the reason it gives and the notifications of the home so far."""

    def at(hour: int) -> tuple[str, list[dict]]:
        monkeypatch.setattr(clock, "now", lambda: DEADLINE.replace(hour=hour))
        with dg.build_sensor_context(instance=instance) as context:
            reason = nightly_deadline(context).skip_message
        file = tmp_path / "home" / "logs" / "notifications.jsonl"
        return reason, list(map(json.loads, file.read_text().splitlines())) if file.exists() else []

    return at


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    return instance.get_run_by_id(run.run_id).status


def test_nothing_happens_before_it_or_to_runs_of_no_night(tmp_path, monkeypatch, instance, evaluate):
    ask(tmp_path, monkeypatch, every_night={})
    runs = [make_run(instance, dg.DagsterRunStatus.QUEUED, tags=TAGS), make_run(instance, dg.DagsterRunStatus.QUEUED)]
    assert evaluate(6) == ("no run is past its deadline", [])
    evaluate(7)
    assert [status(instance, run).value for run in runs] == ["CANCELED", "QUEUED"]


def test_a_queued_run_never_starts(tmp_path, monkeypatch, instance, evaluate):
    ask(tmp_path, monkeypatch, every_night={})
    run = make_run(instance, dg.DagsterRunStatus.QUEUED, "0001", tags=TAGS)
    reason, [told] = evaluate(7)
    assert status(instance, run) is dg.DagsterRunStatus.CANCELED
    assert "taken out of the queue" in reason and "taken out of the queue" in told["reason"]
    assert (told["kind"], told["run_id"]) == ("deadline", run.run_id)
    assert told["command"] == "worldvla loop --campaign every-night --iterations 2"
    assert evaluate(8) == ("no run is past its deadline", [told])


def test_a_running_run_finishes_by_default_and_is_reported_once(tmp_path, monkeypatch, instance, evaluate):
    ask(tmp_path, monkeypatch, every_night={})
    run = make_run(instance, dg.DagsterRunStatus.STARTED, "0000", tags=TAGS)
    _, told = evaluate(7)
    assert status(instance, run) is dg.DagsterRunStatus.STARTED
    assert [one["reason"] for one in told] == [
        "It was still running when its night ended, and goes on. Nothing more of that night starts."
    ]
    assert evaluate(8)[1] == told


def test_a_running_run_is_terminated_where_the_policy_says_so(tmp_path, monkeypatch, instance, evaluate):
    ask(tmp_path, monkeypatch, every_night={"at_deadline": "terminate"})
    run = make_run(instance, dg.DagsterRunStatus.STARTED, "0000", tags=TAGS)
    _, [told] = evaluate(7)
    # No process executes this run, so it stays where a request to end leaves it.
    assert status(instance, run) is dg.DagsterRunStatus.CANCELING
    assert "was terminated" in told["reason"] and told["command"].endswith("--iterations 1")


def test_a_run_that_dagster_starts_again_after_it_is_ended_whatever_the_policy(
    tmp_path, monkeypatch, instance, evaluate
):
    """Its tags are those of the run that died: that one's deadline was dealt with, perhaps, and this one's was not."""
    ask(tmp_path, monkeypatch, every_night={})
    dealt_with = {"worldvla/deadline_passed": DEADLINE.isoformat(), AGAIN_TAG: "dead", RETRY_TAG: "1"}
    run = make_run(instance, dg.DagsterRunStatus.STARTED, "0000", tags=TAGS | dealt_with)
    _, [told] = evaluate(9)
    assert status(instance, run) is dg.DagsterRunStatus.CANCELING
    assert "started again after its night had ended" in told["reason"]


def test_a_run_that_a_person_starts_again_is_no_nights(tmp_path, monkeypatch, instance, evaluate):
    """The UI's button *Re-execute* copies the tags of the run that failed, its night's among them."""
    ask(tmp_path, monkeypatch, every_night={"at_deadline": "terminate"})
    run = make_run(instance, dg.DagsterRunStatus.STARTED, "0000", tags=TAGS | {AGAIN_TAG: "failed"})
    assert evaluate(9) == ("no run is past its deadline", [])
    assert status(instance, run) is dg.DagsterRunStatus.STARTED


def test_a_run_that_could_not_be_ended_is_ended_next_time_and_holds_up_no_other(
    tmp_path, monkeypatch, instance, evaluate
):
    ask(tmp_path, monkeypatch, every_night={})
    runs = [make_run(instance, dg.DagsterRunStatus.QUEUED, iteration, tags=TAGS) for iteration in ("0001", "0002")]
    cancel = instance.run_coordinator.cancel_run

    def refuses_the_newest(run_id: str) -> bool:
        if run_id == runs[1].run_id:
            raise OSError("the database is locked")
        return cancel(run_id)

    with monkeypatch.context() as patch:
        patch.setattr(instance.run_coordinator, "cancel_run", refuses_the_newest)
        reason, told = evaluate(7)
    assert "the database is locked" in reason and [one["run_id"] for one in told] == [runs[0].run_id]
    assert [status(instance, run).value for run in runs] == ["CANCELED", "QUEUED"]
    _, told = evaluate(8)
    assert status(instance, runs[1]) is dg.DagsterRunStatus.CANCELED and told[-1]["run_id"] == runs[1].run_id
