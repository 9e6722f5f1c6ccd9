"""Expected cost: the median of the runs that resemble a node most, and never a guess."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldvla import campaigns
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.materializations import Materialization, publish
from worldvla.lake.store import Lake
from worldvla.planner.cost import LATEST_RUNS, UNKNOWN, Expected, estimate, expected, past_runs, total
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH

BEGINNING = datetime(2026, 11, 1, tzinfo=UTC)
KEY = ("rl_policy", "test", "0003")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def record(seconds: float, campaign: str = "test", config: str | None = None, number: int = 0) -> Materialization:
    """A run of `rl_policy` that took `seconds`, the `number`th; by default with the campaign's configuration now."""
    if config is None:
        config = config_digest(GRAPH["rl_policy"], campaigns.load("test"))
    return Materialization(
        asset="rl_policy",
        campaign=campaign,
        iteration=f"{number:04d}",
        data_version=digest(number),
        code_version="1",
        config_digest=config,
        parents={},
        fingerprint=digest([campaign, config, number]),
        run_id="run",
        materialized_at=BEGINNING + timedelta(minutes=number),
        seconds=seconds,
        real_steps=int(seconds) * 10,
        imagined_steps=int(seconds) * 100,
    )


def publish_all(lake: Lake, records: list[Materialization]) -> None:
    for one in records:
        publish(lake, one, Commit("run", one.asset))


def test_without_a_past_nothing_is_known(lake):
    assert expected(lake, [KEY]) == {KEY: UNKNOWN}
    assert not lake.root.exists()
    assert total([UNKNOWN, Expected(2.0, 1, 0, 3, "asset")]) == total([Expected(2.0, 1, 0, 3, "asset"), UNKNOWN])
    assert total([UNKNOWN]).unknown == 1


def test_runs_that_resemble_the_node_most_decide(lake):
    publish_all(lake, [record(100.0, campaign="other", config="rl:old")])
    assert expected(lake, [KEY])[KEY] == Expected(100.0, 1000, 10000, 1, "asset")
    publish_all(lake, [record(50.0, config="rl:old", number=1)])
    assert expected(lake, [KEY])[KEY] == Expected(50.0, 500, 5000, 1, "campaign")
    publish_all(lake, [record(seconds, campaign="twin", number=2 + i) for i, seconds in enumerate((10.0, 12.0, 90.0))])
    assert expected(lake, [KEY])[KEY] == Expected(12.0, 120, 1200, 3, "configuration")


def test_content_published_again_counts_once(lake):
    first, second = record(10.0), record(30.0, number=1)
    again = [replace(first, campaign=name, materialized_at=BEGINNING + timedelta(days=1)) for name in ("a", "b", "c")]
    publish_all(lake, [first, second, *again])
    assert expected(lake, [KEY])[KEY] == Expected(20.0, 200, 2000, 2, "configuration")


def test_the_back_edge_costs_nothing_and_a_campaign_without_configuration_has_its_own_past(lake):
    publish_all(lake, [record(7.0, campaign="gone", config="rl:old")])
    found = expected(lake, [("incoming_rollouts", "test", "0001"), ("rl_policy", "gone", "0001")])
    assert [(cost.seconds, cost.basis) for cost in found.values()] == [(0.0, "none"), (7.0, "campaign")]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 1000).map(float), min_size=1, max_size=LATEST_RUNS + 5))
def test_the_median_of_the_latest_runs(tmp_path_factory, seconds):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    rows = [record(value, number=number) for number, value in enumerate(seconds)]
    lake.append("materializations", [vars(one) for one in rows], Commit("run", "rl_policy"))
    cost = estimate(past_runs(lake), "rl_policy", "test", rows[0].config_digest)
    assert cost.seconds == median(seconds[-LATEST_RUNS:])
    assert (cost.runs, cost.basis) == (min(len(seconds), LATEST_RUNS), "configuration")
