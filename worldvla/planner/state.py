"""Which nodes are fresh, stale or missing, and why.

A pure function over (asset, campaign, iteration), the back edge included. It walks each
campaign once, parents before children and iterations in order, so its cost is linear in
the number of nodes.

A node is fresh when recomputing it would see the fingerprint it was computed from and what
it published is still whole. Its *effective version* is what its children read: its data
version without retracted episodes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Literal, Protocol

from worldvla.config import Campaign
from worldvla.planner.feedback import NOTHING, extend
from worldvla.planner.fingerprints import changed_sections, config_digest
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.partitions import CAMPAIGN_SCOPE, iteration_key

Key = tuple[str, str, str]  # asset, campaign, iteration
Cause = Literal["", "missing", "code", "config", "damage", "data", "upstream", "gate"]


class Recorded(Protocol):
    """What the planner needs to know of a node's latest materialization."""

    data_version: str
    code_version: str
    config_digest: str
    parents: Mapping[str, str]
    blocking_failure: str | None
    materialized_at: datetime


@dataclass(frozen=True, slots=True)
class Observed:
    """What is left of a published episode set of `size` members."""

    version: str
    size: int
    missing: tuple[str, ...] = ()
    retracted: tuple[tuple[str, str], ...] = ()  # episode id, reason


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node's verdict.

    `version` is what children read, none while there is nothing to read. `through` is the
    parent that makes the node stale or blocks it, `root` the node where that chain begins;
    both are none when the cause is the node's own. A `blocked` node cannot be computed
    until its root's gate passes.
    """

    asset: str
    campaign: str
    iteration: str
    state: Literal["fresh", "stale", "missing"]
    cause: Cause
    reason: str
    version: str | None
    materialized_at: datetime | None = None
    blocked: bool = False
    through: Key | None = None
    root: "NodeState | None" = field(default=None, repr=False)

    @property
    def key(self) -> Key:
        return self.asset, self.campaign, self.iteration


def topological_order(graph: Mapping[str, Node]) -> list[Node]:
    """Parents before children; the back edge is none within an iteration."""
    parents = {node.name: node.parents for node in graph.values()}
    return [graph[name] for name in TopologicalSorter(parents).static_order()]


def assess(
    campaigns: Mapping[str, Campaign],
    iterations: Mapping[str, int],
    records: Mapping[Key, Recorded],
    observed: Mapping[Key, Observed],
    graph: Mapping[str, Node] = GRAPH,
) -> list[NodeState]:
    """The state of every node of `campaigns`, each looked at for its number of `iterations`.

    In executable order: a campaign's own nodes, then its iterations, parents first.
    `records` holds the latest materialization of each node, `observed` what is left of the
    episode sets that lost episodes.
    """
    order = topological_order(graph)
    states: list[NodeState] = []
    for name, campaign in campaigns.items():
        walk = _Walk(name, campaign, records, observed, order)
        states.extend(walk.states(iterations.get(name, 0)))
    return states


class _Walk:
    """One campaign, once through."""

    def __init__(
        self,
        name: str,
        campaign: Campaign,
        records: Mapping[Key, Recorded],
        observed: Mapping[Key, Observed],
        order: list[Node],
    ) -> None:
        self._campaign = name
        self._records = records
        self._observed = observed
        self._order = order
        self._config = {node.name: config_digest(node, campaign) for node in order}
        # States by asset: of the campaign's own nodes, and of the latest iterations walked.
        self._current: dict[str, NodeState] = {}

    def states(self, iterations: int) -> Iterator[NodeState]:
        yield from self._partition("campaign", CAMPAIGN_SCOPE)
        for number in range(iterations):
            yield from self._partition("iteration", iteration_key(number))

    def _partition(self, scope: str, iteration: str) -> Iterator[NodeState]:
        before = dict(self._current)
        for node in self._order:
            if node.scope == scope:
                state = self._feedback(node, iteration, before) if node.feedback_from else self._state(node, iteration)
                self._current[node.name] = state
                yield state

    def _feedback(self, node: Node, iteration: str, before: Mapping[str, NodeState]) -> NodeState:
        """The back edge: nothing to compute, so it is as fresh as what it stands for."""
        if node.name not in before:
            return NodeState(node.name, self._campaign, iteration, "fresh", "", "", NOTHING)
        published, earlier = before[node.feedback_from], before[node.name]
        version = extend(earlier.version, published.version) if earlier.version and published.version else None
        unsettled = _first_unsettled([published, earlier])
        if unsettled is None:
            return NodeState(node.name, self._campaign, iteration, "fresh", "", "", version)
        if unsettled.blocked:
            reason, cause = self._gate_reason(unsettled.root, iteration), "gate"
        else:
            reason, cause = _upstream_reason(unsettled, iteration), "upstream"
        return NodeState(
            node.name,
            self._campaign,
            iteration,
            "stale" if version else "missing",
            cause,
            reason,
            version,
            blocked=cause == "gate",
            through=unsettled.key,
            root=unsettled.root or unsettled,
        )

    def _state(self, node: Node, iteration: str) -> NodeState:
        key = (node.name, self._campaign, iteration)
        record = self._records.get(key)
        parents = [self._current[parent] for parent in node.parents]
        gate = next((p for p in parents if p.blocked or self._failed_gate(p)), None)
        through = gate
        if gate is not None:
            reason, cause = self._gate_reason(gate.root if gate.blocked else gate, iteration), "gate"
        else:
            reason, cause = self._own_cause(node, record, key)
            if record is not None and not cause:
                through = _first_unsettled(parents)
                if through is not None:
                    reason, cause = _upstream_reason(through, iteration), "upstream"
                else:
                    reason, cause = self._data_cause(node, record, parents, iteration)
        return NodeState(
            node.name,
            self._campaign,
            iteration,
            "missing" if record is None else "stale" if cause else "fresh",
            cause,
            reason,
            self._effective_version(key, record),
            record.materialized_at if record else None,
            blocked=gate is not None,
            through=through.key if through else None,
            root=(through.root or through) if through else None,
        )

    def _gate_reason(self, gate: NodeState, iteration: str) -> str:
        return f"blocked: {_label(gate, iteration)} gate failed: {self._records[gate.key].blocking_failure}"

    def _failed_gate(self, state: NodeState) -> bool:
        """A gate holds while its own verdict is current; a stale one is asked again first."""
        record = self._records.get(state.key)
        return state.state == "fresh" and record is not None and record.blocking_failure is not None

    def _effective_version(self, key: Key, record: Recorded | None) -> str | None:
        if record is None:
            return None
        observed = self._observed.get(key)
        return observed.version if observed and observed.retracted else record.data_version

    def _own_cause(self, node: Node, record: Recorded | None, key: Key) -> tuple[str, Cause]:
        if record is None:
            return "never materialized", "missing"
        if record.code_version != node.code_version:
            return f"code version {record.code_version} → {node.code_version}", "code"
        config = self._config[node.name]
        if record.config_digest != config:
            return f"configuration changed: {', '.join(changed_sections(record.config_digest, config))}", "config"
        observed = self._observed.get(key)
        if observed and observed.missing:
            count, verb = len(observed.missing), "is" if len(observed.missing) == 1 else "are"
            some = ", ".join(observed.missing[:3]) + (", …" if count > 3 else "")
            return f"{count} of {observed.size} episodes {verb} missing from table episodes: {some}", "damage"
        return "", ""

    def _data_cause(self, node: Node, record: Recorded, parents: list[NodeState], iteration: str) -> tuple[str, Cause]:
        for parent in parents:
            recorded = record.parents.get(parent.asset)
            if recorded != parent.version:
                return self._what_changed(parent, recorded, iteration), "data"
        dropped = sorted(record.parents.keys() - set(node.parents))
        return (f"no longer reads {', '.join(dropped)}", "data") if dropped else ("", "")

    def _what_changed(self, parent: NodeState, recorded: str | None, iteration: str) -> str:
        observed = self._observed.get(parent.key)
        now = self._records.get(parent.key)
        if observed and observed.retracted and now and recorded == now.data_version:
            count = len(observed.retracted)
            reasons = "; ".join(sorted({reason for _, reason in observed.retracted}))
            return f"{_label(parent, iteration)} lost {count} retracted episode{'s' * (count > 1)} ({reasons})"
        return f"parent {_label(parent, iteration)} changed: {_short(recorded)} → {_short(parent.version)}"


def _first_unsettled(states: list[NodeState]) -> NodeState | None:
    """The first that is not fresh; a blocked one before all."""
    unsettled = [state for state in states if state.state != "fresh"]
    return next((state for state in unsettled if state.blocked), unsettled[0] if unsettled else None)


def _upstream_reason(parent: NodeState, iteration: str) -> str:
    root = parent.root or parent
    return f"upstream: {_label(root, iteration)} is {root.state} ({root.reason})"


def _label(state: NodeState, iteration: str) -> str:
    """A node as seen from an iteration: the iteration is named where it is another one."""
    return state.asset if state.iteration in (CAMPAIGN_SCOPE, iteration) else f"{state.asset}[{state.iteration}]"


def _short(version: str | None) -> str:
    return version[:8] if version else "none"
