"""What people are told of a failed run: the asset or gate, its own words, and the command to go on."""

import json

import dagster as dg
import pytest
import yaml

from assets.partitions import CAMPAIGNS, LOOP, partition_key
from pipelines.failures import of_run
from pipelines.notices import failure_notification, names, notify_failure
from pipelines.runs import AGAIN_TAG, AUTOMATION_TAG, NIGHT_TAG, RETRY_TAG
from tests.pipelines.nights import CAMPAIGN, ask
from worldvla.errors import UserError

NIGHT = {NIGHT_TAG: "2026-01-01"}


@dg.asset(partitions_def=CAMPAIGNS)
def demonstrations() -> None:
    try:
        raise UserError("the expert of PushCube-v1 succeeded 0 times in 40")
    except UserError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


@dg.asset(partitions_def=CAMPAIGNS)
def judge() -> None:
    raise ZeroDivisionError("no frames")


@dg.asset(
    partitions_def=LOOP, check_specs=[dg.AssetCheckSpec("gate", asset="alignment", blocking=True)], name="alignment"
)
def gated():
    low = dg.AssetCheckResult(check_name="gate", passed=False, description="reward alignment 0.52 < 0.60")
    yield dg.MaterializeResult(check_results=[low])


@dg.asset(partitions_def=LOOP, deps=["alignment"])
def rl_policy() -> None: ...


@pytest.fixture
def home(tmp_path, monkeypatch):
    ask(tmp_path, monkeypatch, every_night={})
    return tmp_path / "home"


def failed(instance: dg.DagsterInstance, assets: list, iteration: str = "", **tags: str) -> dg.DagsterRun:
    instance.add_dynamic_partitions("campaign", [CAMPAIGN])
    instance.add_dynamic_partitions("iteration", ["0003"])
    result = dg.materialize(
        assets,
        partition_key=partition_key(CAMPAIGN, iteration),
        instance=instance,
        raise_on_error=False,
        tags=tags,
    )
    assert not result.success
    return instance.get_run_by_id(result.run_id)


def evaluate(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.SkipReason | None:
    [entry] = instance.all_logs(run.run_id, of_type={dg.DagsterEventType.RUN_FAILURE})
    context = dg.build_run_status_sensor_context(
        sensor_name="notify_failure",
        dagster_event=entry.get_dagster_event(),
        dagster_instance=instance,
        dagster_run=run,
    )
    return notify_failure(context.for_run_failure())


def test_an_asset_speaks_for_itself(home, instance):
    run = failed(instance, [demonstrations], **NIGHT)
    assert evaluate(instance, run) is None
    told = json.loads((home / "logs" / "notifications.jsonl").read_text())
    assert (told["kind"], told["campaign"], told["asset"]) == ("failed", CAMPAIGN, "demonstrations")
    assert told["reason"] == "the expert of PushCube-v1 succeeded 0 times in 40"
    assert told["command"] == f"worldvla loop --campaign {CAMPAIGN} --iterations 1" and told["run_id"] == run.run_id


def test_an_unforeseen_error_has_its_trace(home, instance):
    told = failure_notification(*of(instance, failed(instance, [judge], **NIGHT)))
    assert told.reason.startswith("ZeroDivisionError: no frames\n") and "test_notices.py" in told.reason


def test_a_gate_is_told_as_one(home, instance):
    told = failure_notification(*of(instance, failed(instance, [gated, rl_policy], "0003", **NIGHT)))
    assert (told.kind, told.asset, told.iteration) == ("gate", "alignment", "0003")
    assert told.reason == "check gate: reward alignment 0.52 < 0.60"
    assert told.command == f"worldvla loop --campaign {CAMPAIGN} --iterations 4"


def test_automation_goes_on_by_rematerializing(home, instance):
    told = failure_notification(*of(instance, failed(instance, [judge], **{AUTOMATION_TAG: "rematerialize_stale"})))
    assert told.command == f"worldvla rematerialize --campaign {CAMPAIGN}"


def test_what_a_person_started_or_dagster_starts_again_is_not_told(home, instance):
    assert "a person started" in evaluate(instance, failed(instance, [judge])).skip_message
    by_button = failed(instance, [judge], **NIGHT, **{AGAIN_TAG: "failed"})
    assert "a person started" in evaluate(instance, by_button).skip_message
    again = failed(instance, [judge], **NIGHT, **{"dagster/will_retry": "true"})
    assert "starts it again" in evaluate(instance, again).skip_message
    assert not (home / "logs").exists()
    evaluate(instance, failed(instance, [judge], **NIGHT, **{AGAIN_TAG: "died", RETRY_TAG: "1"}))
    assert (home / "logs").exists()


def test_where_a_campaigns_settings_cannot_be_read_those_of_the_defaults_say_who(tmp_path, monkeypatch):
    ask(tmp_path, monkeypatch, every_night={})
    file = tmp_path / "campaigns.yaml"
    content = yaml.safe_load(file.read_text())
    content["defaults"]["nightly"]["notify"] = ["log", "webhook"]
    content["campaigns"][CAMPAIGN]["rl"] = {"updates": "many"}
    file.write_text(yaml.safe_dump(content))
    assert names(CAMPAIGN) == ["log", "webhook"]
    file.write_text("campaigns: [")
    assert names(CAMPAIGN) == ["log"]


def of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple:
    return run, of_run(instance, run.run_id)
