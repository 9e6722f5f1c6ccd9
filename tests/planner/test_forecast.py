"""What a plan costs and spares: bounds that carrying it out keeps, over random graphs, edits and contents."""

from hypothesis import given
from hypothesis import strategies as st

from tests.planner.test_properties import EDITS, ITERATIONS, PROFILE, edit, graphs
from tests.planner.world import World
from worldvla.planner.cost import Expected, total
from worldvla.planner.forecast import forecast, in_scope
from worldvla.planner.plan import plan
from worldvla.planner.selection import Selection

COSTS = st.one_of(
    st.just(Expected(None, None, None, 0, "none")),
    st.builds(lambda seconds: Expected(float(seconds), seconds * 2, seconds * 3, 1, "asset"), st.integers(0, 9)),
)


@PROFILE
@given(st.data(), graphs(), EDITS, st.frozensets(st.sampled_from(["c0", "c1", "i1", "i2"])))
def test_what_runs_lies_between_the_certain_and_the_planned(data, graph, edits, deaf):
    world = World(graph, deaf=deaf)
    world.loop(ITERATIONS)
    edit(world, edits)
    of_asset = {asset: data.draw(COSTS) for asset in graph}
    states = world.states(ITERATIONS)
    runs = plan(states, Selection(), graph)
    costs = {state.key: of_asset[state.asset] for state in in_scope(states, runs, graph)}
    found = forecast(states, runs, costs, graph)

    fresh_before = {state.key for state in states if state.state == "fresh"}
    world.rematerialize(ITERATIONS)
    spent = total(of_asset[asset] for run in world.launched for asset in run.assets)
    assert found.certain.nodes <= spent.nodes <= found.planned.nodes
    assert found.certain.seconds <= spent.seconds <= found.planned.seconds
    assert found.certain.real_steps <= spent.real_steps <= found.planned.real_steps
    assert not fresh_before & {key for run in world.launched for key in run.keys}


@PROFILE
@given(st.data(), graphs(), EDITS)
def test_full_is_planned_and_spared_together(data, graph, edits):
    world = World(graph)
    world.loop(ITERATIONS)
    edit(world, edits)
    states = world.states(ITERATIONS)
    runs = plan(states, Selection(), graph)
    costs = {state.key: data.draw(COSTS) for state in in_scope(states, runs, graph)}
    found = forecast(states, runs, costs, graph)
    assert found.planned.nodes == sum(len(run.assets) for run in runs)
    assert found.full == total(costs.values())
    assert found.spared.seconds == found.full.seconds - found.planned.seconds >= 0
    assert found.spared.nodes == found.fresh
    assert found.may_stay_fresh == found.planned.nodes - found.certain.nodes >= 0
    assert found.planned.unknown == sum(costs[key].seconds is None for run in runs for key in run.keys)
