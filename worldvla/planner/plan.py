"""What to run, in which order: from the states of all nodes to a list of runs.

One run computes assets of one campaign and one iteration; so a campaign's own assets come
first, then its iterations one after the other.

A node is run only if everything that it would read is fresh by then. So a chosen node that
reads one which is neither fresh nor chosen is held back and reported, not computed from what
is known to be out of date.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from worldvla.planner.edges import parents_of
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.selection import Selection
from worldvla.planner.state import Key, NodeState

__all__ = ["Held", "Plan", "Run", "Selection", "decide", "plan"]


@dataclass(frozen=True)
class Run:
    """One launch: assets of one partition, parents first, and why each is due."""

    campaign: str
    iteration: str
    assets: tuple[str, ...]
    reasons: dict[str, str] = field(compare=False)

    @property
    def keys(self) -> list[Key]:
        return [(asset, self.campaign, self.iteration) for asset in self.assets]


@dataclass(frozen=True)
class Held:
    """A wanted node that is not run, because `waits_for`, upstream of it, is neither fresh nor chosen."""

    state: NodeState
    waits_for: NodeState


@dataclass(frozen=True)
class Plan:
    """The runs in order, and the wanted nodes that none of them makes: held back, or `blocked` by a gate."""

    runs: list[Run]
    held: list[Held]
    blocked: list[NodeState]


def plan(states: Sequence[NodeState], selection: Selection, graph: Mapping[str, Node] = GRAPH) -> list[Run]:
    """The runs, in order, that make every wanted node fresh that can be; `states` is what `assess` returned."""
    return decide(states, selection, selection.choose(states, graph), graph).runs


def decide(
    states: Sequence[NodeState], selection: Selection, chosen: Collection[Key], graph: Mapping[str, Node] = GRAPH
) -> Plan:
    """The plan for the chosen nodes.

    A wanted node brings the missing ones among the chosen that it depends on, wanted or not.
    `chosen` is given and not asked of `selection`, because a node's cause changes while a plan
    is carried out, and what the command is about must not.
    """
    obstacles = _obstacles(states, chosen, graph)
    runs: dict[tuple[str, str], dict[str, str]] = {}
    wanted = [state for state in states if state.key in chosen and selection.makes(state)]
    due = _needed({state.key for state in wanted if obstacles[state.key] is None}, states, obstacles, graph)
    for state in states:
        if state.key in due and graph[state.asset].feedback_from is None:
            runs.setdefault((state.campaign, state.iteration), {})[state.asset] = state.reason
    stopped = [
        (state, obstacles[state.key])
        for state in wanted
        if obstacles[state.key] is not None and graph[state.asset].feedback_from is None
    ]
    return Plan(
        runs=[Run(campaign, iteration, tuple(why), why) for (campaign, iteration), why in runs.items()],
        held=[Held(state, obstacle) for state, obstacle in stopped if not state.blocked],
        blocked=[state for state in wanted if state.blocked],
    )


def _obstacles(
    states: Sequence[NodeState], chosen: Collection[Key], graph: Mapping[str, Node]
) -> dict[Key, NodeState | None]:
    """For each node that is not fresh, what keeps it from being made: None, or the first node that nobody makes.

    The back edge computes nothing, so it is made with what it stands for, chosen or not.
    """
    obstacles: dict[Key, NodeState | None] = {}
    for state in states:
        if state.state == "fresh":
            continue
        if state.blocked or (state.key not in chosen and graph[state.asset].feedback_from is None):
            obstacles[state.key] = state
        else:
            upstream = (obstacles.get(parent) for parent in parents_of(state.key, graph))
            obstacles[state.key] = next((one for one in upstream if one is not None), None)
    return obstacles


def _needed(
    wanted: set[Key], states: Sequence[NodeState], obstacles: Mapping[Key, NodeState | None], graph: Mapping[str, Node]
) -> set[Key]:
    """The wanted nodes and those not fresh that they depend on."""
    needed = set(wanted)
    for state in reversed(states):
        if state.key in needed:
            needed.update(parent for parent in parents_of(state.key, graph) if parent in obstacles)
    return needed
