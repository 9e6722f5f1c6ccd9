"""Which nodes a command is about.

Read from left to right: assets, campaigns and iterations choose nodes; `downstream` adds what
depends on them; `causes` keeps those that are not fresh for one of these causes; `upstream`
adds everything that the rest depends on, whatever its cause. The closures follow the back
edge, so they cross iterations; they never cross campaigns, which share no edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from worldvla.partitions import CAMPAIGN_SCOPE, iteration_key
from worldvla.planner.edges import with_ancestors, with_descendants
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.state import Key, Kind, NodeState

CauseGroup = Literal["code", "data", "missing"]
CAUSE_GROUPS: tuple[CauseGroup, ...] = get_args(CauseGroup)
GROUP_OF: dict[Kind, CauseGroup] = {
    "code": "code",
    "config": "code",
    "data": "data",
    "retracted": "data",
    "corrected": "data",
    "deleted": "data",
    "released": "data",
    "imported": "data",
    "missing": "missing",
}


@dataclass(frozen=True)
class Selection:
    """Which nodes are wanted; none means all. `missing` includes nodes that were never materialized.

    `iterations` holds partition keys, `""` for the nodes of campaign scope. A node counts
    under the cause at the root of its shortest chain; one behind a gate under none.
    """

    assets: frozenset[str] | None = None
    campaigns: frozenset[str] | None = None
    iterations: frozenset[str] | None = None
    missing: bool = False
    upstream: bool = False
    downstream: bool = False
    causes: frozenset[CauseGroup] = frozenset()

    def matches(self, state: NodeState) -> bool:
        """Whether assets, campaigns and iterations choose this node."""
        return (
            (self.assets is None or state.asset in self.assets)
            and (self.campaigns is None or state.campaign in self.campaigns)
            and (self.iterations is None or state.iteration in self.iterations)
        )

    def makes(self, state: NodeState) -> bool:
        """Whether a node, once chosen, is to be made: it is stale, or missing and missing nodes are wanted."""
        return state.state == "stale" or (state.state == "missing" and (self.missing or "missing" in self.causes))

    def wants(self, state: NodeState) -> bool:
        """Whether this node, judged alone, is to be made."""
        return self.matches(state) and self.makes(state)

    def choose(self, states: Sequence[NodeState], graph: Mapping[str, Node] = GRAPH) -> frozenset[Key]:
        """The nodes that it is about, fresh ones too unless causes are given; `states` as `assess` returned them."""
        chosen = frozenset(state.key for state in states if self.matches(state))
        if self.downstream:
            chosen = with_descendants(chosen, states, graph)
        if self.causes:
            chosen = frozenset(s.key for s in states if s.key in chosen and GROUP_OF.get(s.kind) in self.causes)
        return with_ancestors(chosen, states, graph) if self.upstream else chosen

    @classmethod
    def loop(cls, campaign: str, iterations: int) -> "Selection":
        """Everything a campaign needs for its first `iterations`."""
        keys = {CAMPAIGN_SCOPE, *map(iteration_key, range(iterations))}
        return cls(campaigns=frozenset({campaign}), iterations=frozenset(keys), missing=True)
