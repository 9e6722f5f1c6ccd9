"""Selection: ranges, closures over the graph, causes; and that nothing runs on what is known to be out of date."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planner.test_causes import reads
from tests.planner.test_properties import EDITS, ITERATIONS, PROFILE, edit, graphs
from tests.planner.world import NAME, World
from worldvla.errors import UserError
from worldvla.partitions import parse_iterations
from worldvla.planner.graph import GRAPH
from worldvla.planner.plan import decide
from worldvla.planner.selection import CAUSE_GROUPS, GROUP_OF, Selection
from worldvla.planner.state import Key


@pytest.mark.parametrize(
    "text, keys",
    [
        ("3", ["0003"]),
        ("0003", ["0003"]),
        ("2-4", ["0002", "0003", "0004"]),
        ("0002..0004", ["0002", "0003", "0004"]),
        ("4..", ["0004", "0005"]),
        ("..1", ["0000", "0001"]),
        ("5-9", ["0005"]),
        ("7", []),
    ],
)
def test_a_range_names_iterations_that_there_are(text, keys):
    assert sorted(parse_iterations(text).keys(6)) == keys


@pytest.mark.parametrize("text", ["", "x", "..", "-", "1-2-3", "1,2", "12345", "1...2", "-1..2", "²", "1..x"])
def test_what_is_no_range_is_refused_with_the_syntax(text):
    with pytest.raises(UserError, match=r"give its number \(3 or 0003\), a range"):
        parse_iterations(text)


def test_a_range_that_ends_before_it_begins_is_turned_round_in_the_message():
    with pytest.raises(UserError, match="write 2-5"):
        parse_iterations("5..2")


@st.composite
def selections(draw, graph) -> Selection:
    return Selection(
        assets=draw(st.none() | st.frozensets(st.sampled_from(sorted(graph)), min_size=1)),
        iterations=draw(st.none() | st.frozensets(st.sampled_from(["", "0000", "0001", "0002"]), min_size=1)),
        missing=draw(st.booleans()),
        upstream=draw(st.booleans()),
        downstream=draw(st.booleans()),
        causes=draw(st.frozensets(st.sampled_from(CAUSE_GROUPS))),
    )


def ancestors(world: World, key: Key) -> set[Key]:
    """All that a node depends on, without itself, straight from the graph."""
    found: set[Key] = set()
    stack = [key]
    while stack:
        for parent in reads(world, stack.pop()):
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    return found


def edited(graph, edits) -> World:
    world = World(graph)
    world.loop(ITERATIONS)
    edit(world, edits)
    return world


def is_computed(world: World, key: Key) -> bool:
    return world.graph[key[0]].feedback_from is None


@PROFILE
@given(st.data(), graphs(), EDITS)
def test_what_is_chosen_is_what_the_options_say(data, graph, edits):
    world = edited(graph, edits)
    selection = data.draw(selections(graph))
    states = world.states(ITERATIONS)
    above = {state.key: ancestors(world, state.key) for state in states}
    wanted = {
        s.key
        for s in states
        if (selection.assets is None or s.asset in selection.assets)
        and (selection.iterations is None or s.iteration in selection.iterations)
    }
    if selection.downstream:
        wanted |= {key for key in above if above[key] & wanted}
    if selection.causes:
        wanted = {s.key for s in states if s.key in wanted and GROUP_OF.get(s.kind) in selection.causes}
    if selection.upstream:
        # A node of the back edge reads through the one before it, which therefore comes along.
        wanted |= set().union(*(above[key] for key in wanted))
        chosen = selection.choose(states, graph)
        assert {key for key in chosen if is_computed(world, key)} == {k for k in wanted if is_computed(world, k)}
    else:
        assert selection.choose(states, graph) == wanted


@PROFILE
@given(st.data(), graphs(), EDITS)
def test_a_plan_runs_what_it_can_holds_the_rest_and_never_reads_what_is_stale(data, graph, edits):
    world = edited(graph, edits)
    selection = data.draw(selections(graph))
    states = {state.key: state for state in world.states(ITERATIONS)}
    chosen = selection.choose(list(states.values()), graph)
    plan = decide(list(states.values()), selection, chosen, graph)
    order = [key for run in plan.runs for key in run.keys]
    assert set(order) <= {key for key in chosen if states[key].state != "fresh"}
    for position, key in enumerate(order):
        stale = {p for p in ancestors(world, key) if states[p].state != "fresh" and is_computed(world, p)}
        assert stale <= set(order[:position])
    held = {one.state.key for one in plan.held}
    wanted = {key for key in chosen if selection.makes(states[key]) and is_computed(world, key)}
    assert held | (set(order) & wanted) == wanted and not held & set(order)
    for one in plan.held:
        assert one.waits_for.key in ancestors(world, one.state.key) - chosen
        assert states[one.waits_for.key].state != "fresh" and is_computed(world, one.waits_for.key)
    for key in set(order) - wanted:
        assert states[key].state == "missing" and any(key in ancestors(world, other) for other in wanted)
    if selection.upstream:
        assert not plan.held


@PROFILE
@given(st.data(), graphs(), EDITS)
def test_carrying_a_selection_out_makes_it_fresh_but_for_what_is_held(data, graph, edits):
    world = edited(graph, edits)
    selection = data.draw(selections(graph))
    states = world.states(ITERATIONS)
    chosen = selection.choose(states, graph)
    wanted = {s.key for s in states if s.key in chosen and selection.makes(s) and is_computed(world, s.key)}
    outcome = world.execute(ITERATIONS, selection)
    assert outcome.status == "done"
    assert {key for run in world.launched for key in run.keys} <= chosen
    left = {s.key for s in world.states(ITERATIONS) if s.key in wanted and s.state != "fresh"}
    assert left == {one.state.key for one in outcome.held}


@PROFILE
@given(graphs(), EDITS)
def test_causes_part_the_nodes_that_are_not_fresh(graph, edits):
    world = edited(graph, edits)
    states = world.states(ITERATIONS)
    parts = [Selection(causes=frozenset({group})).choose(states, graph) for group in CAUSE_GROUPS]
    assert sum(map(len, parts)) == len(frozenset().union(*parts))
    assert frozenset().union(*parts) == {state.key for state in states if state.state != "fresh"}


def test_only_missing_makes_missing_nodes_and_leaves_stale_ones():
    world = World(dict(GRAPH))
    world.loop(2)
    del world.records["evaluation", NAME, "0001"]
    world.touch("keyframes")
    runs = decide_on(world, Selection(causes=frozenset({"missing"})))
    assert [(run.iteration, run.assets) for run in runs.runs] == []
    assert {(one.state.asset, one.waits_for.asset) for one in runs.held} >= {("evaluation", "rl_policy")}
    world = World(dict(GRAPH))
    world.loop(2)
    del world.records["evaluation", NAME, "0001"]
    runs = decide_on(world, Selection(causes=frozenset({"missing"})))
    assert [(run.iteration, run.assets) for run in runs.runs] == [("0001", ("evaluation", "iteration_record"))]
    assert decide_on(world, Selection(assets=frozenset({"evaluation"}))).runs == []


def test_only_code_goes_on_when_what_ran_turns_its_followers_cause_into_data():
    world = World(dict(GRAPH))
    world.loop(1)
    world.touch("sans")
    outcome = world.execute(1, Selection(causes=frozenset({"code"})))
    assert outcome.status == "done" and outcome.held == []
    assert world.not_fresh(1) == set()


def decide_on(world: World, selection: Selection):
    states = world.states(2)
    return decide(states, selection, selection.choose(states, world.graph), world.graph)
