"""The edges of the graph over (asset, campaign, iteration), the back edge among them, and closures along them."""

from collections.abc import Collection, Mapping, Sequence

from worldvla.partitions import CAMPAIGN_SCOPE, iteration_key, iteration_number
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.state import Key, NodeState


def parents_of(key: Key, graph: Mapping[str, Node] = GRAPH) -> list[Key]:
    """The nodes that a node reads, across the back edge too: there it reads the node before it and what that adds."""
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


def with_ancestors(
    keys: Collection[Key], states: Sequence[NodeState], graph: Mapping[str, Node] = GRAPH
) -> frozenset[Key]:
    """The nodes and all that they depend on; `states` in executable order."""
    closure = set(keys)
    for state in reversed(states):
        if state.key in closure:
            closure.update(parents_of(state.key, graph))
    return frozenset(closure)


def with_descendants(
    keys: Collection[Key], states: Sequence[NodeState], graph: Mapping[str, Node] = GRAPH
) -> frozenset[Key]:
    """The nodes and all that depends on them; `states` in executable order."""
    closure = set(keys)
    for state in states:
        if state.key not in closure and not closure.isdisjoint(parents_of(state.key, graph)):
            closure.add(state.key)
    return frozenset(closure)
