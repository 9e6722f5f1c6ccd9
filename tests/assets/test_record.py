"""The version vector of an iteration: every campaign has its own row, and the row says what is published now."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from assets.partitions import CAMPAIGN, ITERATION, partition_key
from assets.record import ASSETS
from tests.planner.lakes import launcher
from worldvla import campaigns
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import latest, publish
from worldvla.lake.models import write_model
from worldvla.lake.query import run_audit
from worldvla.lake.retractions import restore_episodes, retract_episodes
from worldvla.lake.store import Lake
from worldvla.lake.tags import vectors
from worldvla.planner.graph import GRAPH
from worldvla.planner.plan import Run
from worldvla.planner.state import topological_order
from worldvla.tracking.champion import champion

RECORD = "iteration_record"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    return Lake.default()


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def close(lake: Lake, campaign: str, instance: dg.DagsterInstance) -> str:
    """Publishes everything of a campaign's first iteration, its record by the real asset; returns whom the evaluation
    chose as champion."""
    names = {
        scope: tuple(n.name for n in topological_order(GRAPH) if n.scope == scope and not n.feedback_from)
        for scope in ("campaign", "iteration")
    }
    launch = launcher(lake)
    launch(Run(campaign, "", names["campaign"], {}))
    launch(Run(campaign, "0000", tuple(name for name in names["iteration"] if name != RECORD), {}))
    chosen = write_model(lake, "rl_policy", {}, b"weights", {}, {}, None, None, Commit("run", "rl_policy"))
    evaluated = replace(latest(lake)["evaluation", campaign, "0000"], details={"champion": {"after": chosen}})
    publish(lake, evaluated, Commit("run", "evaluation"))
    instance.add_dynamic_partitions(CAMPAIGN, [campaign])
    instance.add_dynamic_partitions(ITERATION, ["0000"])
    assert dg.materialize(ASSETS, instance=instance, partition_key=partition_key(campaign, "0000")).success
    return chosen


def test_a_campaign_that_shares_everything_with_another_has_its_own_row(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    other = campaigns.make_variant("test", {"execution.workers": 1}, "other")
    assert champion("test") is None
    assert close(lake, "test", instance) == champion("test")
    assert close(lake, other, instance) == champion(other)
    assert set(vectors(lake)) == {("test", "0000"), (other, "0000")}
    records = latest(lake)
    assert records[RECORD, "test", "0000"].data_version == records[RECORD, other, "0000"].data_version
    assert not run_audit(lake, "tables", {}, as_of=f"{other}/0").is_empty()


def test_the_row_follows_a_retraction_that_is_taken_back(lake: Lake, instance: dg.DagsterInstance) -> None:
    def versions() -> dict[str, str]:
        [row] = lake.read("iterations", ["versions"]).to_pylist()
        return json.loads(row["versions"])

    close(lake, "test", instance)
    first = versions()
    episode = lake.frame("episodes", ["episode_id"])["episode_id"][0]
    retract_episodes(lake, [episode], "camera moved")
    close(lake, "test", instance)
    assert versions() != first
    restore_episodes(lake, [episode])
    close(lake, "test", instance)
    assert versions() == latest(lake)[RECORD, "test", "0000"].parents == first
