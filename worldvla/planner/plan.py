"""What to run, in which order: from the states of all nodes to a list of runs.

One run computes assets of one campaign and one iteration; so a campaign's own assets come
first, then its iterations one after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.partitions import CAMPAIGN_SCOPE, iteration_key, iteration_number
from worldvla.planner.state import Key, NodeState


@dataclass(frozen=True)
class Selection:
    """Which nodes are wanted; none means all. `missing` includes nodes that were never materialized.

    `iterations` holds partition keys, `""` for the nodes of campaign scope.
    """

    assets: frozenset[str] | None = None
    campaigns: frozenset[str] | None = None
    iterations: frozenset[str] | None = None
    missing: bool = False

    def wants(self, state: NodeState) -> bool:
        return (
            (self.assets is None or state.asset in self.assets)
            and (self.campaigns is None or state.campaign in self.campaigns)
            and (self.iterations is None or state.iteration in self.iterations)
            and (state.state == "stale" or (state.state == "missing" and self.missing))
        )

    @classmethod
    def loop(cls, campaign: str, iterations: int) -> "Selection":
        """Everything a campaign needs for its first `iterations`."""
        keys = {CAMPAIGN_SCOPE, *map(iteration_key, range(iterations))}
        return cls(campaigns=frozenset({campaign}), iterations=frozenset(keys), missing=True)


@dataclass(frozen=True)
class Run:
    """One launch: assets of one partition, parents first, and why each is due."""

    campaign: str
    iteration: str
    assets: tuple[str, ...]
    reasons: dict[str, str] = field(compare=False)


def plan(states: Sequence[NodeState], selection: Selection, graph: Mapping[str, Node] = GRAPH) -> list[Run]:
    """The runs, in order, that make every selected node fresh.

    A selected node brings the stale and missing nodes it depends on, selected or not. Nodes
    behind a failed gate are left out. `states` is what `assess` returned, in its order.
    """
    by_key = {state.key: state for state in states}
    due: set[Key] = set()
    stack = [state for state in states if selection.wants(state)]
    while stack:
        state = stack.pop()
        if state.key in due or state.state == "fresh" or state.blocked:
            continue
        due.add(state.key)
        stack.extend(by_key[parent] for parent in parents_of(state.key, graph) if parent in by_key)
    runs: dict[tuple[str, str], dict[str, str]] = {}
    for state in states:
        if state.key in due and graph[state.asset].feedback_from is None:
            runs.setdefault((state.campaign, state.iteration), {})[state.asset] = state.reason
    return [Run(campaign, iteration, tuple(why), why) for (campaign, iteration), why in runs.items()]


def parents_of(key: Key, graph: Mapping[str, Node] = GRAPH) -> list[Key]:
    """The nodes that a node reads, across the back edge too."""
    asset, campaign, iteration = key
    node = graph[asset]
    parents = [
        (parent, campaign, iteration if graph[parent].scope == "iteration" else CAMPAIGN_SCOPE)
        for parent in node.parents
    ]
    if node.feedback_from and iteration_number(iteration) > 0:
        before = iteration_key(iteration_number(iteration) - 1)
        parents += [(node.feedback_from, campaign, before), (asset, campaign, before)]
    return parents
