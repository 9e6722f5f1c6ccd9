"""The rules of staleness on the project's own graph."""

import time
from dataclasses import replace

import pytest

from tests.planner.world import NAME, Record, World
from worldvla.partitions import iteration_key
from worldvla.planner.feedback import NOTHING, extend
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH
from worldvla.planner.state import Observed, assess

CAMPAIGN_SCOPE = {node.name for node in GRAPH.values() if node.scope == "campaign"}
ITERATION_SCOPE = set(GRAPH) - CAMPAIGN_SCOPE
BACK_EDGES = {node.name for node in GRAPH.values() if node.feedback_from}


@pytest.fixture
def world() -> World:
    world = World(dict(GRAPH))
    assert world.loop(2).status == "done"
    return world


def test_nothing_made_is_missing_and_the_back_edges_start_fresh():
    states = {(s.asset, s.iteration): s for s in World(dict(GRAPH)).states(2)}
    for edge, source in (("incoming_rollouts", "policy_rollouts"), ("incoming_policy", "rl_policy")):
        assert states[edge, "0000"].state == "fresh"
        later = states[edge, "0001"]
        assert (later.state, later.reason) == ("missing", f"upstream: {source}[0000] is missing (never materialized)")
    own = [s for s in states.values() if s.asset not in BACK_EDGES]
    assert {(s.state, s.cause, s.reason) for s in own} == {("missing", "missing", "never materialized")}


def test_a_loop_makes_everything_fresh_in_one_run_a_partition(world):
    assert world.not_fresh(2) == set()
    assert [run.iteration for run in world.launched] == ["", "0000", "0001"]
    assert not BACK_EDGES & {asset for run in world.launched for asset in run.assets}


def test_code_version_of_sans_reaches_both_iterations(world):
    world.touch("sans")
    expected = {(asset, "0000") for asset in ITERATION_SCOPE - BACK_EDGES}
    expected |= {(asset, "0001") for asset in ITERATION_SCOPE}
    assert world.not_fresh(2) == expected
    assert world.state("sans", 0).reason == "code version 3 → 4"
    assert world.state("keyframes", 0).reason == "upstream: sans is stale (code version 3 → 4)"
    assert world.state("rl_policy", 0).reason == "upstream: sans is stale (code version 3 → 4)"
    incoming = world.state("incoming_rollouts", 1)
    assert incoming.reason == "upstream: sans[0000] is stale (code version 3 → 4)"
    assert incoming.through == ("policy_rollouts", NAME, "0000")
    assert incoming.root.key == ("sans", NAME, "0000")


def test_same_content_leaves_everything_downstream_fresh(world):
    world.deaf = frozenset({"sans"})
    world.records.clear()
    world.loop(2)
    world.touch("sans")
    before = {key: record.data_version for key, record in world.records.items()}
    world.rematerialize(2)
    assert [(run.iteration, run.assets) for run in world.launched] == [("0000", ("sans",)), ("0001", ("sans",))]
    assert world.not_fresh(2) == set()
    assert {key: record.data_version for key, record in world.records.items()} == before


def test_configuration_names_the_section(world):
    world.campaign = world.campaign.model_copy(update={"rl": world.campaign.rl.model_copy(update={"updates": 99})})
    assert world.state("rl_policy", 0).reason == "configuration changed: rl"
    assert world.state("world_model", 0).state == "fresh"
    assert world.state("sans", 1).reason == "upstream: rl_policy[0000] is stale (configuration changed: rl)"


def test_a_part_of_a_section_makes_stale_what_reads_it_alone(world):
    """The dynamics' settings leave autoencoder, embodiment and judge; the picture's size leaves none of them."""
    architecture = world.campaign.world_model
    heavier = architecture.training.model_copy(update={"reward_weight": 99})
    varied = {"training": heavier}, {"image_size": 48}
    reasons = []
    for changes in varied:
        world.campaign = world.campaign.model_copy(update={"world_model": architecture.model_copy(update=changes)})
        shown = {state.asset: state.reason for state in world.states(1) if state.state != "fresh"}
        reasons.append({asset: shown.get(asset) for asset in ("autoencoder", "embodiment", "judge")})
        assert "pretrained_world_model" in shown and "base_policy" not in shown and "sans" not in shown
    assert reasons[0] == {"autoencoder": None, "embodiment": None, "judge": None}
    size = "configuration changed: world_model.image_size"
    assert reasons[1] == {"autoencoder": size, "embodiment": f"upstream: autoencoder is stale ({size})", "judge": size}
    world.campaign = world.campaign.model_copy(update={"world_model": architecture.model_copy(update=varied[0])})
    assert world.state("pretrained_world_model").reason == "configuration changed: world_model.training"


def test_execution_settings_make_nothing_stale(world):
    changed = world.campaign.execution.model_copy(update={"workers": 7})
    world.campaign = world.campaign.model_copy(update={"execution": changed})
    assert world.not_fresh(2) == set()


def test_a_deleted_episode_is_damage_until_it_is_back(world):
    key = ("demonstrations", NAME, "")
    version = world.records[key].data_version
    world.observed[key] = Observed("other", 60, missing=("e17",))
    state = world.state("demonstrations")
    assert (state.state, state.cause) == ("stale", "damage")
    assert state.reason == "1 of 60 episodes is missing from table episodes: e17"
    assert world.state("sans", 1).reason.startswith("upstream: demonstrations is stale (1 of 60")
    assert world.not_fresh(2) >= {(asset, "0001") for asset in ITERATION_SCOPE}
    assert ("perturbed_demonstrations", "") not in world.not_fresh(2)
    world.rematerialize(2)
    assert world.records[key].data_version == version
    assert world.not_fresh(2) == set()


def test_a_retracted_episode_changes_what_children_read_and_nothing_else(world):
    key = ("demonstrations", NAME, "")
    world.observed[key] = Observed("without", 60, retracted=(("e17", "camera moved"),))
    assert world.state("demonstrations").state == "fresh"
    assert world.state("demonstrations").version == "without"
    assert world.state("base_policy").reason == "demonstrations lost 1 retracted episode (camera moved)"
    assert world.state("base_policy").cause == "data"
    world.rematerialize(2)
    world.observed[key] = Observed("without", 60, retracted=(("e17", "camera moved"),))
    assert world.records["base_policy", NAME, ""].parents["demonstrations"] == "without"
    assert world.not_fresh(2) == set()


def test_a_parent_published_anew_is_named_with_both_versions(world):
    key = ("sans", NAME, "0000")
    old = world.records[key].data_version
    world.records[key] = replace(world.records[key], data_version="f" * 32)
    assert world.state("world_model", 0).reason == f"parent sans changed: {old[:8]} → ffffffff"


def test_a_failed_gate_blocks_what_follows_and_the_next_iteration():
    world = World(dict(GRAPH), gates={("alignment", NAME, "0000"): "reward alignment 0.52 < 0.60"})
    outcome = world.loop(2)
    assert outcome.status == "gate"
    blocked = {(s.asset, s.iteration) for s in outcome.blocked}
    downstream = {"rl_policy", "evaluation", "policy_rollouts", "failure_rollouts", "iteration_record"}
    assert {asset for asset, iteration in blocked if iteration == "0000"} == downstream
    assert {asset for asset, iteration in blocked if iteration == "0001"} == ITERATION_SCOPE
    assert world.state("keyframes", 0).state == "fresh"
    rl = world.state("rl_policy", 0)
    assert (rl.state, rl.reason) == ("missing", "blocked: alignment gate failed: reward alignment 0.52 < 0.60")
    assert world.state("sans", 1).reason == "blocked: alignment[0000] gate failed: reward alignment 0.52 < 0.60"
    world.gates.clear()
    world.touch("alignment")
    assert world.state("rl_policy", 0).reason == "never materialized"
    assert world.loop(2).status == "done"


def test_ten_campaigns_of_a_thousand_iterations_are_assessed_in_time():
    campaign = World(dict(GRAPH)).campaign
    config = {node.name: config_digest(node, campaign) for node in GRAPH.values()}
    names = [f"c{i}" for i in range(10)]
    records, incoming = {}, NOTHING
    for number in range(1000):
        for node in GRAPH.values():
            parents = {parent: incoming if parent in BACK_EDGES else "v" for parent in node.parents}
            record = Record("v", node.code_version, config[node.name], parents)
            for name in names:
                records[node.name, name, iteration_key(number) if node.scope == "iteration" else ""] = record
        incoming = extend(incoming, "v")
    begin = time.process_time()
    states = assess(dict.fromkeys(names, campaign), dict.fromkeys(names, 1000), records, {})
    seconds = time.process_time() - begin
    assert len(states) == 10 * (len(CAMPAIGN_SCOPE) + 1000 * len(ITERATION_SCOPE))
    assert all(state.state == "fresh" for state in states)
    assert seconds < 3
