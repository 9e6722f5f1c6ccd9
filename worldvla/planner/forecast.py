"""What carrying out a plan should cost, and what it spares against computing everything anew."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from worldvla.planner.cost import Expected, Total, total
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.plan import Run
from worldvla.planner.state import Key, NodeState


@dataclass(frozen=True)
class Forecast:
    """The cost of a plan's runs, of nodes one after the other.

    `planned` is what it costs if every node of the plan has to be computed. `certain` is the
    part that is computed whatever comes out before it; the rest runs only because something
    upstream does, and turns out fresh where that comes out as it was. `full` is a rerun of
    everything that the plan's campaigns have or are about to have. `fresh` counts the nodes
    among those that the plan leaves as they are because they are fresh.
    """

    planned: Total
    certain: Total
    full: Total
    fresh: int

    @property
    def spared(self) -> Total:
        """A full rerun less the plan."""
        return Total(*(whole - part for whole, part in zip(astuple(self.full), astuple(self.planned), strict=True)))

    @property
    def may_stay_fresh(self) -> int:
        """How many planned nodes may turn out fresh."""
        return self.planned.nodes - self.certain.nodes


def in_scope(states: Sequence[NodeState], runs: Sequence[Run], graph: Mapping[str, Node] = GRAPH) -> list[NodeState]:
    """The computed nodes of the runs' campaigns that have content or are planned to get some."""
    campaigns = {run.campaign for run in runs}
    planned = {key for run in runs for key in run.keys}
    return [
        state
        for state in states
        if state.campaign in campaigns
        and graph[state.asset].feedback_from is None
        and (state.state != "missing" or state.key in planned)
    ]


def forecast(
    states: Sequence[NodeState], runs: Sequence[Run], costs: Mapping[Key, Expected], graph: Mapping[str, Node] = GRAPH
) -> Forecast:
    """`costs` holds an expectation of every node `in_scope`."""
    scope = in_scope(states, runs, graph)
    keys = {key for run in runs for key in run.keys}
    planned = [state for state in scope if state.key in keys]
    return Forecast(
        planned=total(costs[state.key] for state in planned),
        certain=total(costs[state.key] for state in planned if state.cause != "upstream"),
        full=total(costs[state.key] for state in scope),
        fresh=sum(state.state == "fresh" for state in scope),
    )
