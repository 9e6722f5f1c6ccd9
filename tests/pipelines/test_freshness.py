"""Freshness of partitions: each campaign's newest iteration has a verdict of its own."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from assets.definitions import ASSETS
from pipelines import clock
from pipelines.definitions import defs
from pipelines.freshness import freshness_of_campaigns, on_time, with_freshness_policy
from pipelines.jobs import ON_TIME
from tests.pipelines.nights import ask, published_record

MADE = datetime(2026, 1, 1, 5, tzinfo=UTC)


@pytest.fixture
def home(tmp_path, monkeypatch):
    ask(tmp_path, monkeypatch, fast={"iterations": 5}, slow={"iterations": 5}, quiet={"enabled": False})
    for campaign in ("fast", "slow", "quiet"):
        published_record(campaign, "0000", MADE)
    return tmp_path / "home"


@pytest.fixture
def evaluate(instance, monkeypatch):
    """Evaluates the sensor so many hours after the first iterations, and reports its verdict to Dagster."""
    cursors = [None]

    def after(hours: float) -> dg.AssetCheckEvaluation | None:
        monkeypatch.setattr(clock, "now", lambda: MADE + timedelta(hours=hours))
        with dg.build_sensor_context(instance=instance, cursor=cursors[-1]) as context:
            result = freshness_of_campaigns(context)
        if isinstance(result, dg.SkipReason):
            return None
        cursors.append(result.cursor)
        [event] = result.asset_events
        instance.report_runless_asset_event(event)
        return event

    return after


def partitions(event: dg.AssetCheckEvaluation) -> list[tuple[str, str, bool]]:
    rows = event.metadata["partitions"].records
    return [(row.data["campaign"], row.data["iteration"], row.data["on time"]) for row in rows]


def test_each_partition_has_its_own_verdict_and_people_hear_of_it_once(home, instance, evaluate):
    first = evaluate(1)
    assert first.passed and partitions(first) == [("fast", "0000", True), ("slow", "0000", True)]
    assert evaluate(35) is None
    published_record("fast", "0001", MADE + timedelta(hours=30))
    late = evaluate(37)
    assert not late.passed and partitions(late) == [("fast", "0001", True), ("slow", "0000", False)]
    [told] = map(json.loads, (home / "logs" / "notifications.jsonl").read_text().splitlines())
    assert (told["kind"], told["campaign"], told["iteration"]) == ("overdue", "slow", "0000")
    assert told["command"] == "worldvla loop --campaign slow --iterations 2"
    assert told["reason"] == "37.0 hours old, the newest of the campaign; nightly.fresh_hours is 36"
    assert evaluate(38) is None
    published_record("slow", "0001", MADE + timedelta(hours=39))
    assert evaluate(40).passed
    history = instance.event_log_storage.get_asset_check_execution_history(ON_TIME, limit=9)
    assert [record.status.value for record in history] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]


def test_a_slip_in_the_settings_meanwhile_tells_nobody_twice(home, tmp_path, evaluate):
    assert not evaluate(37).passed
    file, told = tmp_path / "campaigns.yaml", home / "logs" / "notifications.jsonl"
    content, before = file.read_text(), told.read_text()
    file.write_text(content.replace("slow:", "slow: &slow\n    rl: {updates: many}"))
    evaluate(38)
    file.write_text(content)
    evaluate(39)
    assert told.read_text() == before


def test_nothing_is_promised_once_all_iterations_are_done(tmp_path, monkeypatch, evaluate):
    ask(tmp_path, monkeypatch, every_night={"iterations": 1})
    published_record("every-night", "0000", MADE)
    assert evaluate(1000) is None


def test_the_check_can_be_asked_from_the_ui(home, instance, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: MADE + timedelta(hours=37))
    asked = dg.define_asset_job("asked", selection=dg.AssetSelection.checks(on_time))
    job = dg.Definitions(asset_checks=[on_time], assets=ASSETS, jobs=[asked]).resolve_job_def("asked")
    [check] = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    assert not check.passed and check.severity is dg.AssetCheckSeverity.WARN
    assert check.description.startswith("fast 0000: 37.0 hours old") and "slow 0000: 37.0" in check.description


def test_making_an_iteration_does_not_ask_whether_it_is_on_time():
    iteration = defs.resolve_job_def("iteration").asset_layer.asset_graph
    assert ON_TIME not in iteration.asset_check_keys and ON_TIME in defs.resolve_asset_graph().asset_check_keys


def test_dagsters_own_policy_is_the_strictest_promise(tmp_path, monkeypatch):
    ask(tmp_path, monkeypatch, one={"fresh_hours": 30}, two={"fresh_hours": 48}, off={"enabled": False})
    policies = {
        key.to_user_string(): spec.freshness_policy
        for asset in with_freshness_policy(ASSETS)
        if isinstance(asset, dg.AssetsDefinition)
        for key, spec in asset.specs_by_key.items()
        if spec.freshness_policy
    }
    assert list(policies) == ["iteration_record"]
    assert policies["iteration_record"] == dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=30))
