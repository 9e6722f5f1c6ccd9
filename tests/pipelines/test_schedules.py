"""The nightly schedule: what it starts, and the reasons it gives when it starts nothing."""

from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import pytest
import yaml

from pipelines.definitions import defs
from pipelines.schedules import CAMPAIGN_TAG, nightly, nightly_campaigns
from worldvla import campaigns
from worldvla.home import campaigns_file
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import Materialization, latest, publish
from worldvla.lake.store import Lake
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH, NODES
from worldvla.planner.observe import parent_versions
from worldvla.planner.state import topological_order

CAMPAIGN = "every-night"


@pytest.fixture
def asking(tmp_path, monkeypatch):
    """A home of its own, and a campaign that asks for two iterations."""
    content = yaml.safe_load(campaigns_file().read_text())
    content["campaigns"] = {CAMPAIGN: {"preset": "tiny", "nightly": {"enabled": True, "iterations": 2}}}
    path = tmp_path / "campaigns.yaml"
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("WORLDVLA_CAMPAIGNS", str(path))
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    return path


def tick(schedule: dg.ScheduleDefinition, instance: dg.DagsterInstance):
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 1, 1, 1, tzinfo=UTC),
        repository_def=defs.get_repository_def(),
    )
    return schedule.evaluate_tick(context)


def published(scope: str, iteration: str, blocking_failure: str | None = None) -> None:
    """Records every node of a partition as made, as its assets would."""
    lake, campaign = Lake.default(), campaigns.load(CAMPAIGN)
    for node in topological_order(GRAPH):
        if node.scope != scope or node.feedback_from:
            continue
        parents = parent_versions(lake, node, CAMPAIGN, iteration)
        gate = blocking_failure if node.name == "alignment" else None
        record = Materialization(
            asset=node.name,
            campaign=CAMPAIGN,
            iteration=iteration,
            data_version=f"{node.name}{iteration}",
            code_version=node.code_version,
            config_digest=config_digest(node, campaign),
            parents=parents,
            fingerprint="",
            run_id="run",
            blocking_failure=gate,
        )
        publish(lake, record, Commit("run", node.name))
        if gate:
            return


def test_nobody_asks(asking):
    content = yaml.safe_load(asking.read_text())
    content["campaigns"] = {"quiet": {"preset": "tiny"}}
    asking.write_text(yaml.safe_dump(content))
    with dg.instance_for_test() as instance:
        assert "no campaign has nightly.enabled" in tick(nightly, instance).skip_message


def test_a_campaigns_own_assets_come_first(asking):
    with dg.instance_for_test() as instance:
        assert "its own assets come first" in tick(nightly, instance).skip_message
        [request] = tick(nightly_campaigns, instance).run_requests
    assert request.partition_key == CAMPAIGN
    assert {key.to_user_string() for key in request.asset_selection} == {n.name for n in NODES if n.scope == "campaign"}


def test_the_next_iteration_starts_and_the_last_one_ends_it(asking):
    published("campaign", "")
    with dg.instance_for_test() as instance:
        for iteration in ("0000", "0001"):
            [request] = tick(nightly, instance).run_requests
            assert request.partition_key == f"{CAMPAIGN}|{iteration}"
            assert "fresh" in tick(nightly_campaigns, instance).skip_message
            published("iteration", iteration)
        assert "all 2 iterations it asks for are done" in tick(nightly, instance).skip_message


@pytest.mark.parametrize(
    ("status", "reason"),
    [(dg.DagsterRunStatus.STARTED, "still runs"), (dg.DagsterRunStatus.FAILURE, "failed; mend its cause")],
)
def test_skips_while_the_last_run_is_unsettled(asking, status, reason):
    with dg.instance_for_test() as instance:
        job = defs.resolve_implicit_global_asset_job_def()
        run = instance.create_run_for_job(job, status=status, tags={CAMPAIGN_TAG: CAMPAIGN})
        message = tick(nightly_campaigns, instance).skip_message
    assert reason in message and run.run_id in message


def test_skips_behind_a_gate(asking):
    published("campaign", "")
    published("iteration", "0000", blocking_failure="PSNR at the last step is 12.00 dB, below 20 dB")
    with dg.instance_for_test() as instance:
        assert "below 20 dB" in tick(nightly, instance).skip_message


def test_a_stale_earlier_iteration_is_named(asking):
    published("campaign", "")
    published("iteration", "0000")
    lake = Lake.default()
    record = latest(lake)["sans", CAMPAIGN, "0000"]
    publish(lake, replace(record, code_version="0", materialized_at=datetime.now(UTC)), Commit("run", "sans"))
    with dg.instance_for_test() as instance:
        message = tick(nightly, instance).skip_message
    assert "iteration 0000 is stale (sans: code version 0 → 1)" in message and "worldvla rematerialize" in message
