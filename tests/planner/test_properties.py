"""The planner against recomputation from scratch, over random graphs and random edits."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.planner.world import NAME, World
from worldvla.planner.graph import Node
from worldvla.planner.plan import Selection
from worldvla.planner.state import Observed

SECTIONS = ("seed", "rl", "judge")
ITERATIONS = 3
PROFILE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def graphs(draw) -> dict[str, Node]:
    """Some campaign-scope nodes, then iteration-scope ones; the first of those may be a back edge from the last."""
    nodes: list[Node] = []
    sizes = draw(st.tuples(st.integers(1, 4), st.integers(2, 5)))
    has_feedback = draw(st.booleans())
    for scope, size in zip(("campaign", "iteration"), sizes, strict=True):
        for index in range(size):
            name = f"{scope[0]}{index}"
            if scope == "iteration" and index == 0 and has_feedback:
                nodes.append(Node(name, scope, (), "1", feedback_from=f"i{size - 1}"))
                continue
            earlier = [node.name for node in nodes]
            parents = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
            reads = draw(st.lists(st.sampled_from(SECTIONS), unique=True, max_size=2))
            nodes.append(Node(name, scope, tuple(parents), "1", tuple(reads)))
    return {node.name: node for node in nodes}


EDITS = st.lists(
    st.tuples(st.sampled_from(["code", "config", "forget", "retract", "correct", "damage"]), st.integers(0, 10**6)),
    max_size=4,
)


def edit(world: World, edits: list[tuple[str, int]]) -> None:
    """Applies edits to code, configuration and data; the number picks what is edited."""
    for kind, pick in edits:
        computed = sorted(name for name, node in world.graph.items() if not node.feedback_from)
        keys = sorted(world.records)
        if kind == "code":
            world.touch(computed[pick % len(computed)])
        elif kind == "config":
            world.campaign = world.campaign.model_copy(update={"seed": pick})
        elif kind == "forget" and keys:
            del world.records[keys[pick % len(keys)]]
        elif kind == "retract" and keys:
            world.observed[keys[pick % len(keys)]] = Observed(f"left{pick}", 9, retracted=(("e", "bad"),))
        elif kind == "correct" and keys:
            world.observed[keys[pick % len(keys)]] = Observed(f"left{pick}", 9, corrected=("e",))
        elif kind == "damage" and keys:
            world.observed[keys[pick % len(keys)]] = Observed(f"left{pick}", 9, missing=("e",))


@PROFILE
@given(graphs(), EDITS, st.frozensets(st.sampled_from(["c0", "c1", "i1", "i2"])))
def test_after_the_plan_everything_is_fresh(graph, edits, deaf):
    world = World(graph, deaf=deaf)
    world.loop(ITERATIONS)
    edit(world, edits)
    assert world.loop(ITERATIONS).status == "done"
    assert world.not_fresh(ITERATIONS) == set()
    assert world.loop(ITERATIONS).runs == []


@PROFILE
@given(graphs(), EDITS.map(lambda edits: [e for e in edits if e[0] in ("code", "config", "forget")]))
def test_a_node_is_not_fresh_exactly_when_recomputation_would_differ(graph, edits):
    world = World(graph)
    world.loop(ITERATIONS)
    edit(world, edits)
    wanted = world.from_scratch(ITERATIONS)
    differs = {node for node, fingerprint in wanted.items() if world.recorded_fingerprint(*node) != fingerprint}
    computed = {node for node in world.not_fresh(ITERATIONS) if not graph[node[0]].feedback_from}
    forgotten = {(asset, it) for asset, _, it in missing_ancestry(world)}
    assert differs <= computed
    assert computed - differs <= forgotten


def missing_ancestry(world: World) -> set:
    """Nodes that are not fresh only because something they read was forgotten and must be made again."""
    return {s.key for s in world.states(ITERATIONS) if s.root is not None and s.root.state == "missing"}


@PROFILE
@given(graphs(), st.data())
def test_the_same_content_again_leaves_all_downstream_fresh(graph, data):
    world = World(graph, deaf=frozenset(graph))
    world.loop(ITERATIONS)
    computed = sorted(name for name, node in graph.items() if not node.feedback_from)
    touched = data.draw(st.sampled_from(computed))
    world.touch(touched)
    world.rematerialize(ITERATIONS)
    assert {asset for run in world.launched for asset in run.assets} == {touched}
    assert world.not_fresh(ITERATIONS) == set()


@PROFILE
@given(graphs(), EDITS, st.data())
def test_a_selection_makes_itself_fresh_and_runs_parents_first(graph, edits, data):
    world = World(graph)
    world.loop(ITERATIONS)
    edit(world, edits)
    asset = data.draw(st.sampled_from(sorted(graph)))
    world.execute(ITERATIONS, Selection(assets=frozenset({asset}), missing=True, upstream=True))
    assert all(name != asset for name, _ in world.not_fresh(ITERATIONS))
    for run in world.launched:
        for position, name in enumerate(run.assets):
            assert not set(run.assets[position:]) & set(graph[name].parents)
            assert run.campaign == NAME
