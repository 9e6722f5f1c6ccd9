"""Campaigns that ask for nights, and what their lakes hold, without computing anything."""

from collections.abc import Iterable
from dataclasses import fields as fields_of
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._utils.error import SerializableErrorInfo

from assets.partitions import partition_key
from pipelines.definitions import defs
from pipelines.runs import PARTITION_TAG
from worldvla import campaigns
from worldvla.home import campaigns_file
from worldvla.lake.commit import Commit
from worldvla.lake.digests import EMPTY_SET
from worldvla.lake.materializations import Materialization, latest, publish
from worldvla.lake.store import Lake
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH
from worldvla.planner.observe import current, parent_versions
from worldvla.planner.state import topological_order

CAMPAIGN = "every-night"
JOBS = {True: defs.resolve_job_def("iteration"), False: defs.resolve_job_def("campaign")}


def ask(path: Path, monkeypatch: pytest.MonkeyPatch, **campaigns_and_nights: dict[str, Any]) -> None:
    """A home of its own with a campaigns file in which each campaign has these nightly settings."""
    content = yaml.safe_load(campaigns_file().read_text())
    content["campaigns"] = {
        name.replace("_", "-"): {"preset": "tiny", "nightly": {"enabled": True, "iterations": 2, **nightly}}
        for name, nightly in campaigns_and_nights.items()
    }
    file = path / "campaigns.yaml"
    file.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("WORLDVLA_CAMPAIGNS", str(file))
    monkeypatch.setenv("WORLDVLA_HOME", str(path / "home"))


def published(
    scope: str, iteration: str, blocking_failure: str | None = None, campaign: str = CAMPAIGN, **fields: Any
) -> None:
    """Records every node of a partition as made, as its assets would, in one append; a gate keeps back what follows."""
    lake, config = Lake.default(), campaigns.load(campaign)
    records, made = current(lake), []
    for node in topological_order(GRAPH):
        if node.scope != scope or node.feedback_from:
            continue
        gate = blocking_failure if node.name == "alignment" else None
        record = _record(node.name, campaign, iteration, blocking_failure=gate, **{"seconds": 60.0, **fields})
        parents = parent_versions(lake, node, campaign, iteration, records)
        made.append(replace(record, config_digest=config_digest(node, config), parents=parents))
        records[made[-1].node] = made[-1]
        if gate:
            break
    _append(lake, made)


def published_record(campaign: str, iteration: str, at: datetime) -> None:
    """The record of an iteration alone."""
    _append(Lake.default(), [_record("iteration_record", campaign, iteration, materialized_at=at)])


def _record(asset: str, campaign: str, iteration: str, **fields: Any) -> Materialization:
    version = EMPTY_SET if GRAPH[asset].holds_episodes else f"{asset}{iteration}"
    code = GRAPH[asset].code_version
    return Materialization(asset, campaign, iteration, version, code, "", {}, "", "run", **fields)


def _append(lake: Lake, made: list[Materialization]) -> None:
    rows = [{item.name: getattr(record, item.name) for item in fields_of(Materialization)} for record in made]
    lake.append("materializations", rows, Commit("run", made[-1].asset))


def outdate(asset: str, iteration: str, campaign: str = CAMPAIGN) -> None:
    """Makes a record that older code wrote."""
    lake = Lake.default()
    record = latest(lake)[asset, campaign, iteration]
    publish(lake, replace(record, code_version="0", materialized_at=datetime.now(UTC)), Commit("run", asset))


def fail_step(instance: dg.DagsterInstance, run: dg.DagsterRun, asset: str, message: str) -> None:
    """Writes into a run's events that the asset raised an error."""
    error = StepFailureData(SerializableErrorInfo(message, [], message.partition(":")[0]), None)
    failure = dg.DagsterEventType.STEP_FAILURE.value
    event = dg.DagsterEvent(failure, run.job_name, step_key=asset, event_specific_data=error)
    instance.report_dagster_event(event, run_id=run.run_id)


def partition_tags(campaign: str, iteration: str) -> dict[str, str]:
    """What Dagster writes on a run of one partition."""
    key = partition_key(campaign, iteration)
    if not iteration:
        return {PARTITION_TAG: campaign}
    return {PARTITION_TAG: key, **{f"{PARTITION_TAG}/{name}": value for name, value in key.keys_by_dimension.items()}}


def make_run(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus,
    iteration: str = "",
    campaign: str = CAMPAIGN,
    tags: dict[str, str] | None = None,
    assets: Iterable[str] | None = None,
) -> dg.DagsterRun:
    """A run as the schedule would have asked for, in this status, of `assets` alone where they are given."""
    tags = {**partition_tags(campaign, iteration), **(tags or {})}
    job = JOBS[bool(iteration)]
    if status is not dg.DagsterRunStatus.QUEUED:
        selection = None if assets is None else frozenset(map(dg.AssetKey, assets))
        return instance.create_run_for_job(job, status=status, tags=tags, asset_selection=selection)
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("worldvla"), "worldvla")
    run = instance.create_run_for_job(job, tags=tags, remote_job_origin=RemoteJobOrigin(repository, job.name))
    instance.report_dagster_event(dg.DagsterEvent.job_enqueue(run), run_id=run.run_id)
    return instance.get_run_by_id(run.run_id)
