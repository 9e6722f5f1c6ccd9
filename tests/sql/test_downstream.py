"""What an audit says lies downstream of episodes is what the planner calls stale once they are retracted."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.audit_lake import CAMPAIGN, build
from tests.factories import synthetic_episode
from tests.planner import lakes
from worldvla.lake.commit import Commit
from worldvla.lake.digests import EMPTY_SET
from worldvla.lake.episodes import set_members, write_episodes, write_set
from worldvla.lake.materializations import history, latest, publish
from worldvla.lake.names import resolve_model
from worldvla.lake.query import connect, run_audit
from worldvla.lake.retractions import Supposed, retract_episodes
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.planner.observe import snapshot

# Sets of episodes that come from outside of the lake: from a simulator, or by an import.
RECORDED = {
    node.name for node in GRAPH.values() if (node.pool == "simulator" and node.holds_episodes) or node.follows_imports
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    build(lake, episodes=400, iterations=3)
    assert {state.state for state in snapshot(lake).assess()} == {"fresh"}
    return lake


SELECTIONS = [
    {"seeds": "3"},
    {"seeds": "100-140"},
    {"task": "StackCube-v1"},
    {"policy": f"{CAMPAIGN}/0"},
    {"policy": f"{CAMPAIGN}/2"},
    {"policy": f"{CAMPAIGN}/base_policy"},
    {"source": "perturbed", "seeds": "0-50"},
]


@pytest.mark.parametrize("selection", SELECTIONS, ids=lambda one: "-".join(one.values()).replace("/", "."))
def test_the_planner_agrees(lake: Lake, selection: dict[str, str]) -> None:
    ids = run_audit(lake, "episodes_of", selection)["episode_id"].to_list()
    audited = run_audit(lake, "downstream_of", selection).rows(named=True)
    # A recorded set loses the episodes and is not recorded again, unless the policy in it changes.
    remade = {
        (row["asset"], *_place(place))
        for row in audited
        for place in (row["held_by"] or "").split(", ")
        if place and not (row["asset"] in RECORDED and row["depth"] == 0)
    }
    states = snapshot(Supposed(lake, retract=ids, reason="bad")).assess()
    stale = {state.key for state in states if state.state != "fresh" and GRAPH[state.asset].feedback_from is None}
    assert remade <= stale
    # A recorded set at depth 0 may also be downstream of another: only those can be missing.
    assert {key for key in stale - remade if key[0] not in RECORDED} == set()
    held = {row["version"]: row["episodes"] for row in audited if row["depth"] == 0}
    members = connect(lake).sql("SELECT set_version, episode_id FROM episode_sets").fetchall()
    chosen = set(ids)
    for version in {one for one, _ in members}:
        assert held.get(version, 0) == sum(one == version and episode in chosen for one, episode in members)


def test_models_are_touched_through_the_episodes_of_the_policies_they_made(lake: Lake) -> None:
    by = resolve_model(lake, f"{CAMPAIGN}/0", ("rl_policy",))
    trained = run_audit(lake, "failures_that_trained", {"model": f"{CAMPAIGN}/2"})
    [episode, *_] = trained.filter(policy_id=by)["episode_id"].to_list()
    rows = run_audit(lake, "models_trained_on", {"episode": episode}).to_dicts()
    assert len({row["model_id"] for row in rows}) == len(rows)
    direct = {row["model_id"] for row in rows if row["how"] == "trained on the episode"}
    membership = lake.read("training_membership", ["model_id"], f"episode_id = '{episode}'")["model_id"].to_pylist()
    assert direct == set(membership) and {row["depth"] for row in rows if row["model_id"] in direct} == {0}
    # An expert's episode taught the base policy, whose rollouts taught the pre-trained world model, and so on.
    [expert] = run_audit(lake, "episodes_of", {"source": "expert", "seeds": "0"})["episode_id"].to_list()
    kinds = [row["kind"] for row in run_audit(lake, "models_trained_on", {"episode": expert}).to_dicts()]
    assert kinds.count("rl_policy") == kinds.count("world_model") == 3


def test_lineage_ends_however_long_the_loop(lake: Lake) -> None:
    rows = run_audit(lake, "lineage", {"policy": f"{CAMPAIGN}/2"}).to_dicts()
    assert len({row["version"] for row in rows}) == len(rows)
    assert {row["iteration"] for row in rows} == {"", "0000", "0001", "0002"}
    assert rows[0]["depth"] == 0 and rows[0]["node"] == "rl_policy"


def test_a_set_that_lost_episodes_stays_in_the_chain(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lakes.loop(lake)
    before = edges(lake)
    rollouts = latest(lake)["policy_rollouts", lakes.CAMPAIGN, "0000"].data_version
    retract_episodes(lake, set_members(lake, rollouts)[:1], "bad")
    assert lakes.rematerialize(lake)
    records = latest(lake)
    failures, raw = (
        records[key].data_version for key in (("failure_rollouts", "test", "0000"), ("raw_episodes", "test", ""))
    )
    assert records["failure_rollouts", "test", "0000"].parents["policy_rollouts"] != rollouts
    after = edges(lake)
    assert (failures, "policy_rollouts", rollouts) in after - before
    second = records["sans", "test", "0001"].data_version
    assert {(second, "policy_rollouts", rollouts), (second, "raw_episodes", raw)} <= after
    published = {one.data_version for one in history(lake)}
    assert {parent for _, _, parent in after} <= published


def test_campaigns_that_have_no_imports_are_not_made_of_each_others(tmp_path: Path) -> None:
    """The set of no episodes is the same in every campaign, whatever it was made from."""
    lake = Lake(tmp_path)
    lakes.loop(lake, 1)
    commit = Commit("run", "imported_episodes", "kitchen")
    [episode] = write_episodes(lake, [synthetic_episode(900)], commit)
    brought, none = write_set(lake, [episode], commit), EMPTY_SET
    of_ours = latest(lake)["imported_demonstrations", lakes.CAMPAIGN, ""]
    assert of_ours.data_version == none
    publish(lake, replace(of_ours, asset="imported_episodes", campaign="kitchen", data_version=brought), commit)
    publish(lake, replace(of_ours, campaign="kitchen", parents={"imported_episodes": brought}), commit)
    assert not any(none in (child, parent) for child, _, parent in edges(lake))
    downstream = run_audit(lake, "downstream_of", {"episode": episode}).to_dicts()
    # Its own empty set would be made again, and comes out as it was.
    assert [(row["depth"], row["asset"], row["held_by"]) for row in downstream] == [
        (0, "imported_episodes", "kitchen"),
        (1, "imported_demonstrations", "kitchen"),
    ]


def edges(lake: Lake) -> set[tuple[str, str, str]]:
    return set(connect(lake).sql("SELECT child, role, parent FROM version_edges").fetchall())


def _place(text: str) -> tuple[str, str]:
    campaign, _, iteration = text.partition("/")
    return campaign, iteration


def test_looking_ahead_touches_nothing(lake: Lake, tmp_path: Path) -> None:
    before = lake.versions()
    snapshot(Supposed(lake, retract=["x"], reason="bad")).assess()
    assert lake.versions() == before
    unused = Lake(tmp_path / "unused")
    snapshot(Supposed(unused, retract=["x"], reason="bad"))
    assert not (tmp_path / "unused").exists()
