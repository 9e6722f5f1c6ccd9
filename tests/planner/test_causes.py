"""Chains of causes: real paths, true roots, and none shorter, over random graphs and random edits."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.planner.test_properties import EDITS, ITERATIONS, PROFILE, edit, graphs
from tests.planner.world import NAME, World
from worldvla.partitions import CAMPAIGN_SCOPE, iteration_key, iteration_number
from worldvla.planner.causes import Link, chain, line
from worldvla.planner.feedback import incoming_version
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH
from worldvla.planner.state import Key, NodeState, Observed

States = dict[Key, NodeState]


def edited(graph, edits, gates) -> World:
    """A world after its loop, some edits, and gates that did not pass."""
    world = World(graph)
    world.loop(ITERATIONS)
    edit(world, edits)
    for pick in gates:
        keys = sorted(world.records)
        if keys:
            key = keys[pick % len(keys)]
            world.records[key] = replace(world.records[key], blocking_failure="too low")
    return world


def states_of(world: World, iterations: int = ITERATIONS) -> States:
    return {state.key: state for state in world.states(iterations)}


def reads(world: World, key: Key) -> list[Key]:
    """What a node reads, straight from the graph: a node of the back edge reads all iterations before its own."""
    asset, campaign, iteration = key
    node = world.graph[asset]
    if node.feedback_from:
        earlier = map(iteration_key, range(iteration_number(iteration)))
        return [(node.feedback_from, campaign, one) for one in earlier]
    scopes = {parent: world.graph[parent].scope for parent in node.parents}
    return [(p, campaign, iteration if scope == "iteration" else CAMPAIGN_SCOPE) for p, scope in scopes.items()]


def has_own_cause(world: World, key: Key) -> bool:
    """Whether a node would not be fresh even if all that it reads were as it was."""
    node, record = world.graph[key[0]], world.records.get(key)
    if node.feedback_from:
        return False
    return (
        record is None
        or record.code_version != node.code_version
        or record.config_digest != config_digest(node, world.campaign)
        or bool(key in world.observed and world.observed[key].missing)
    )


def reads_other_data(world: World, child: Key, parent: Key) -> bool:
    record = world.records.get(child)
    return record is not None and record.parents[parent[0]] != world.version(parent[0], child[2])


def is_back_edge(world: World, key: Key) -> bool:
    return world.graph[key[0]].feedback_from is not None


def altered_since(world: World, child: Key, parent: Key) -> bool:
    """Whether the child read the parent as it was published, and episodes were retracted or corrected since."""
    sets = reads(world, parent) if is_back_edge(world, parent) else [parent]
    if not all(key in world.records for key in sets):
        return False
    published = [world.records[key].data_version for key in sets]
    was = world.records[child].parents[parent[0]]
    as_published = was == (incoming_version(published) if is_back_edge(world, parent) else published[0])
    return as_published and any(key in world.observed and world.observed[key].altered for key in sets)


def is_gate(world: World, states: States, key: Key) -> bool:
    record = world.records.get(key)
    return states[key].state == "fresh" and record is not None and record.blocking_failure is not None


def shortest(world: World, states: States, key: Key) -> float:
    """Nodes on the shortest chain from a node that is not fresh, over all chains that there are.

    Those of a blocked node end at a gate; the others at a node with a cause of its own, or at
    a fresh one whose data is not what its reader was computed from.
    """
    blocked = states[key].blocked
    lengths = [1.0] if has_own_cause(world, key) and not blocked else []
    for parent in reads(world, key):
        if is_gate(world, states, parent) if blocked else states[parent].state == "fresh":
            if blocked or reads_other_data(world, key, parent):
                lengths.append(2.0)
        elif not blocked and is_back_edge(world, parent) and key in world.records and altered_since(world, key, parent):
            lengths.append(2.0)
        elif states[parent].blocked if blocked else True:
            lengths.append(1 + shortest(world, states, parent))
    return min(lengths, default=float("inf"))


@PROFILE
@given(graphs(), EDITS, st.lists(st.integers(0, 10**6), max_size=1))
def test_a_chain_is_a_real_path_to_a_true_root_and_none_is_shorter(graph, edits, gates):
    world = edited(graph, edits, gates)
    states = states_of(world)
    for state in states.values():
        links = chain(state, states)
        assert (links == []) == (state.state == "fresh")
        if not links:
            continue
        keys = [link.key for link in links]
        assert keys[0] == state.key
        for child, parent in zip(keys, keys[1:], strict=False):
            assert parent in reads(world, child)
        assert {link.kind for link in links[:-1]} <= {"blocked" if state.blocked else "upstream"}
        assert links[-1].kind == state.kind and links[-1].detail
        check_root(world, states, keys, links[-1].kind)
        assert len(links) == state.length == shortest(world, states, state.key)


def check_root(world: World, states: States, keys: list[Key], kind: str) -> None:
    """The last node explains the chain by itself, in the way that its kind says."""
    root = keys[-1]
    record, observed = world.records.get(root), world.observed.get(root)
    if kind == "gate":
        assert is_gate(world, states, root)
    elif kind == "missing":
        assert record is None
    elif kind == "code":
        assert record.code_version != world.graph[root[0]].code_version
    elif kind == "config":
        assert record.config_digest != config_digest(world.graph[root[0]], world.campaign)
    elif kind == "deleted":
        assert observed.missing
    else:
        assert reads_other_data(world, keys[-2], root)
        assert (kind != "data") == altered_since(world, keys[-2], root)
        assert states[root].state == "fresh" or (kind != "data" and is_back_edge(world, root))


def test_the_chain_crosses_the_back_edge_in_one_step_however_far():
    world = World(dict(GRAPH))
    world.loop(6)
    lost = ("policy_rollouts", NAME, "0001")
    world.observed[lost] = Observed("without", 9, retracted=(("e", "camera moved"),))
    states = states_of(world, 6)
    links = chain(states["keyframes", NAME, "0005"], states)
    assert links == [
        Link("upstream", "keyframes", NAME, "0005", "reads sans"),
        Link("upstream", "sans", NAME, "0005", "reads incoming_rollouts"),
        Link(
            "retracted",
            "incoming_rollouts",
            NAME,
            "0005",
            "lost 1 retracted episode (camera moved) in policy_rollouts[0001]",
        ),
    ]
    assert line(links) == (
        "← sans ← incoming_rollouts: lost 1 retracted episode (camera moved) in policy_rollouts[0001]"
    )
    assert line(chain(states["keyframes", NAME, "0001"], states)) == ""


def test_kinds_of_causes_are_named():
    world = World(dict(GRAPH))
    world.loop(1)
    world.observed["demonstrations", NAME, ""] = Observed("now", 9, corrected=("e17",))
    states = states_of(world, 1)
    [_, root] = chain(states["base_policy", NAME, ""], states)
    assert (root.kind, root.asset, root.detail) == ("corrected", "demonstrations", "has 1 corrected episode: e17")
    del world.records["sans", NAME, "0000"]
    assert line(chain(states_of(world, 1)["keyframes", NAME, "0000"], states_of(world, 1))) == (
        "← sans: never materialized"
    )
    world.graph = {**world.graph, "judge": replace(world.graph["judge"], parents=("demonstrations",))}
    [own] = chain(states_of(world, 1)["judge", NAME, ""], states_of(world, 1))
    assert (own.kind, own.detail) == ("code", "now reads demonstrations and no longer reads raw_episodes")


def test_a_gate_is_the_root_of_what_it_holds_back():
    world = World(dict(GRAPH), gates={("alignment", NAME, "0000"): "reward alignment 0.52 < 0.60"})
    world.loop(2)
    states = states_of(world, 2)
    links = chain(states["sans", NAME, "0001"], states)
    assert [link.kind for link in links] == ["blocked"] * (len(links) - 1) + ["gate"]
    assert line(links).endswith("← rl_policy[0000] ← alignment[0000]: reward alignment 0.52 < 0.60")
