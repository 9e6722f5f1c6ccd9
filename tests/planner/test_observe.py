"""From a real lake to states: deletion, retraction, and the versions that records must name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.planner import lakes
from tests.planner.lakes import CAMPAIGN
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import set_members
from worldvla.lake.materializations import latest, publish
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake
from worldvla.planner.causes import chain
from worldvla.planner.feedback import incoming_version
from worldvla.planner.graph import GRAPH
from worldvla.planner.observe import current, incoming_versions, parent_versions, snapshot

ITERATION_SCOPE = {node.name for node in GRAPH.values() if node.scope == "iteration"}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    assert [run.iteration for run in lakes.loop(lake)] == ["", "0000", "0001"]
    assert lakes.not_fresh(lake) == {}
    return lake


def member(lake: Lake, asset: str, iteration: str = "") -> str:
    return set_members(lake, latest(lake)[asset, CAMPAIGN, iteration].data_version)[0]


def test_looking_leaves_an_unused_lake_untouched(tmp_path):
    seen = snapshot(Lake(tmp_path / "lake"), [CAMPAIGN], 1)
    assert {state.state for state in seen.assess()} == {"missing", "fresh"}
    assert not (tmp_path / "lake").exists()


def test_a_deleted_demonstration_is_found_and_mended_with_the_same_content(lake):
    episode = member(lake, "demonstrations")
    before = {key: record.data_version for key, record in latest(lake).items()}
    lake.delete("episodes", f"episode_id = '{episode}'")
    stale = lakes.not_fresh(lake)
    assert stale["demonstrations", ""] == f"1 of 4 episodes is missing from table episodes: {episode}"
    assert stale["raw_episodes", ""] == f"1 of 16 episodes is missing from table episodes: {episode}"
    assert stale["keyframes", "0001"].startswith("upstream: ")
    assert {asset for asset, iteration in stale if iteration == "0001"} == ITERATION_SCOPE
    assert ("perturbed_demonstrations", "") not in stale
    runs = lakes.rematerialize(lake)
    assert [(run.iteration, run.assets) for run in runs] == [("", ("demonstrations",))]
    assert {key: record.data_version for key, record in latest(lake).items()} == before
    assert lakes.not_fresh(lake) == {}


@pytest.mark.parametrize(("lost", "left"), [(1, 3), (4, 0)])
def test_a_set_that_lost_rows_of_its_own_is_mended_with_the_same_content(lake, lost, left):
    version = latest(lake)["demonstrations", CAMPAIGN, ""].data_version
    ids = ", ".join(f"'{one}'" for one in set_members(lake, version)[:lost])
    lake.delete("episode_sets", f"set_version = '{version}' AND episode_id IN ({ids})")
    said = f"its {left} members in table episode_sets are not those that its version names"
    assert lakes.not_fresh(lake)["demonstrations", ""] == said
    assert [run.assets for run in lakes.rematerialize(lake)] == [("demonstrations",)]
    assert latest(lake)["demonstrations", CAMPAIGN, ""].data_version == version and lakes.not_fresh(lake) == {}


def test_what_was_withdrawn_and_then_deleted_is_no_damage(lake):
    episode = member(lake, "demonstrations")
    retract_episodes(lake, [episode], "a face in the picture")
    before = lakes.not_fresh(lake)
    lake.delete("episodes", f"episode_id = '{episode}'")
    assert lakes.not_fresh(lake) == before
    lakes.rematerialize(lake)
    assert lakes.not_fresh(lake) == {} and episode not in set(lake.frame("episodes", ["episode_id"])["episode_id"])


def test_a_deleted_rollout_reaches_the_next_iteration_through_the_back_edge(lake):
    episode = member(lake, "policy_rollouts", "0000")
    lake.delete("episodes", f"episode_id = '{episode}'")
    stale = lakes.not_fresh(lake)
    assert set(stale) == {(a, "0000") for a in ("policy_rollouts", "failure_rollouts", "iteration_record")} | {
        (asset, "0001") for asset in ITERATION_SCOPE - {"incoming_policy"}
    }
    assert stale["incoming_rollouts", "0001"] == (
        f"upstream: policy_rollouts[0000] is stale (1 of 4 episodes is missing from table episodes: {episode})"
    )
    lakes.rematerialize(lake)
    assert lakes.not_fresh(lake) == {}


def test_a_retracted_rollout_changes_what_the_next_iteration_reads(lake):
    episode = member(lake, "policy_rollouts", "0000")
    before = incoming_versions(lake, CAMPAIGN, "incoming_rollouts")
    retract_episodes(lake, [episode], "gripper stuck")
    stale = lakes.not_fresh(lake)
    assert ("policy_rollouts", "0000") not in stale
    assert stale["failure_rollouts", "0000"] == "policy_rollouts lost 1 retracted episode (gripper stuck)"
    assert ("rl_policy", "0000") not in stale and ("rl_policy", "0001") in stale
    lakes.rematerialize(lake)
    assert lakes.not_fresh(lake) == {}
    after = incoming_versions(lake, CAMPAIGN, "incoming_rollouts")
    assert after["0000"] == before["0000"] and after["0001"] != before["0001"]
    assert episode not in set_members(lake, latest(lake)["failure_rollouts", CAMPAIGN, "0000"].data_version)


def test_a_corrected_episode_changes_what_is_read_and_is_mended_downstream(lake):
    episode = member(lake, "policy_rollouts", "0000")
    [row] = lake.frame("episodes", where=f"episode_id = '{episode}'").to_dicts()
    lake.upsert("episodes", [row | {"content_digest": "c" * 64}], Commit("hand", "correction"))
    stale = lakes.not_fresh(lake)
    assert stale["failure_rollouts", "0000"] == f"policy_rollouts has 1 corrected episode: {episode}"
    assert ("policy_rollouts", "0000") not in stale and ("rl_policy", "0001") in stale
    states = {state.key: state for state in lakes.look(lake)()}
    links = chain(states["sans", CAMPAIGN, "0001"], states)
    assert [(link.kind, link.asset, link.iteration) for link in links] == [
        ("upstream", "sans", "0001"),
        ("corrected", "incoming_rollouts", "0001"),
    ]
    lakes.rematerialize(lake)
    assert lakes.not_fresh(lake) == {}


def test_what_is_read_of_many_records_is_what_is_read_of_each(lake):
    whole, read = latest(lake), current(lake)
    assert read.keys() == whole.keys()
    for key, head in read.items():
        item = whole[key]
        assert head[:3] == key and (head.data_version, head.parents) == (item.data_version, item.parents)
        assert (head.code_version, head.config_digest) == (item.code_version, item.config_digest)
        assert (head.blocking_failure, head.materialized_at) == (item.blocking_failure, item.materialized_at)


def test_of_two_records_of_one_node_the_newest_counts_however_they_were_appended(lake):
    first = latest(lake)["sans", CAMPAIGN, "0000"]
    older = replace(first, data_version="older", materialized_at=first.materialized_at - timedelta(days=1))
    later = replace(first, data_version="later", materialized_at=datetime.now(UTC))
    for item in (later, older):
        publish(lake, item, Commit("run", "sans"))
    assert current(lake)[first.node].data_version == latest(lake)[first.node].data_version == "later"
    publish(lake, replace(later, data_version="last"), Commit("run", "sans"))
    assert current(lake)[first.node].data_version == latest(lake)[first.node].data_version == "last"


def test_parents_are_named_by_what_is_read(lake):
    records = latest(lake)
    rollouts = [records["policy_rollouts", CAMPAIGN, iteration].data_version for iteration in ("0000", "0001")]
    sans = parent_versions(lake, GRAPH["sans"], CAMPAIGN, "0002")
    assert (
        sans["incoming_rollouts"]
        == incoming_version(rollouts)
        == incoming_versions(lake, CAMPAIGN, "incoming_rollouts")["0002"]
    )
    assert sans["raw_episodes"] == records["raw_episodes", CAMPAIGN, ""].data_version
    with pytest.raises(UserError, match="world_model of test, iteration 0002 was never materialized"):
        parent_versions(lake, GRAPH["alignment"], CAMPAIGN, "0002")


def test_campaigns_may_be_looked_at_to_different_iterations(lake, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    other = campaigns.make_variant(CAMPAIGN, {"seed": 7})
    seen = snapshot(lake, [CAMPAIGN, other], {CAMPAIGN: 3, other: 1})
    assert seen.iterations == {CAMPAIGN: 3, other: 1}
    assert snapshot(lake, [CAMPAIGN, other], {}).iterations == {CAMPAIGN: 2, other: 0}


def test_campaigns_that_only_the_lake_knows_are_named(lake, monkeypatch):
    # The campaigns file names other campaigns now.
    path = lake.root.parent / "campaigns.yaml"
    path.write_text("defaults: {}\npresets: {}\ncampaigns: {}\n")
    monkeypatch.setenv("WORLDVLA_CAMPAIGNS", str(path))
    seen = snapshot(lake)
    assert seen.campaigns == {} and seen.assess() == []
    assert "no campaign 'test'" in seen.unknown["test"]
    with pytest.raises(UserError, match="no campaign 'test'"):
        snapshot(lake, ["test"])
