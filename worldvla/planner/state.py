"""Which nodes are fresh, stale or missing, and why.

A pure function over (asset, campaign, iteration), the back edge included. It walks each
campaign once, parents before children and iterations in order, so its cost is linear in
the number of nodes.

A node is fresh when recomputing it would see the fingerprint it was computed from and what
it published is still whole. Its *effective version* is what its children read: its data
version without retracted episodes and with corrected ones as they are now.

A node that is not fresh has a cause of its own, reads other data from a fresh parent than it
was computed from, or reads a parent that is not fresh itself. `through` leads along the
shortest such chain; `worldvla.planner.causes` spells it out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Literal, NamedTuple, Protocol

from worldvla.config import Campaign
from worldvla.partitions import CAMPAIGN_SCOPE, iteration_key
from worldvla.planner.feedback import NOTHING, extend
from worldvla.planner.fingerprints import changed_sections, config_digest
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.memory import collector_paused

Key = tuple[str, str, str]  # asset, campaign, iteration
Cause = Literal["", "missing", "code", "config", "damage", "released", "imported", "data", "upstream", "gate"]
Kind = Literal[
    "", "missing", "code", "config", "deleted", "released", "imported", "data", "retracted", "corrected", "gate"
]

KIND_OF_CAUSE: dict[Cause, Kind] = {
    "missing": "missing",
    "code": "code",
    "config": "config",
    "damage": "deleted",
    "released": "released",
    "imported": "imported",
}


class Recorded(Protocol):
    """What the planner needs to know of a node's latest materialization."""

    @property
    def data_version(self) -> str: ...

    @property
    def code_version(self) -> str: ...

    @property
    def config_digest(self) -> str: ...

    @property
    def parents(self) -> Mapping[str, str]: ...

    @property
    def blocking_failure(self) -> str | None: ...

    @property
    def materialized_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Observed:
    """What is left of a published episode set of `size` members.

    `version` names the members that are recorded and not retracted, as they are now;
    `corrected` are those whose row no longer has the content that its id names. `released` are
    not members: quality rules kept them out, and a person has let them in since. `arrived` were imported since.
    `damaged` says that rows of the set itself are gone, or others there: its members are not those it is named after.
    """

    version: str
    size: int
    missing: tuple[str, ...] = ()
    retracted: tuple[tuple[str, str], ...] = ()  # episode id, reason
    corrected: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    arrived: tuple[str, ...] = ()
    damaged: bool = False

    @property
    def altered(self) -> bool:
        """Whether children read other content than what was published."""
        return bool(self.retracted or self.corrected)


class NodeState(NamedTuple):
    """One node's verdict.

    `version` is what children read, none while there is nothing to read. `cause` is why this
    node is not fresh, `kind` what lies at the root of its shortest chain of causes, `length`
    the number of nodes on that chain. `through` is the next node on it, none when the cause is
    the node's own; `root` the last one that is not fresh, or the gate; `detail` what is wrong
    at the chain's end where this node is the last or next to last. A `blocked` node cannot be
    computed until its root's gate passes; `gate_failure` is why a gate that is fresh holds
    back what reads it.
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
    root: "NodeState | None" = None
    kind: Kind = ""
    length: int = 0
    detail: str = ""
    gate_failure: str | None = None

    @property
    def key(self) -> Key:
        return self.asset, self.campaign, self.iteration

    @property
    def settled(self) -> bool:
        """Fresh, and nothing keeps its children from being computed."""
        return self.state == "fresh" and self.gate_failure is None


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
    with collector_paused():
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
        self._nodes = {scope: [n for n in order if n.scope == scope] for scope in ("campaign", "iteration")}
        self._config = {node.name: config_digest(node, campaign) for node in order}
        self._reads = {node.name: frozenset(node.parents) for node in order}
        # States by asset: of the campaign's own nodes, and of the latest iterations walked.
        self._current: dict[str, NodeState] = {}
        # By node of the back edge: of all that it has stood for so far, the state nearest to a root; and what its
        # version would be had no episode been retracted or corrected since, with the sets where some were.
        self._nearest: dict[str, NodeState | None] = {}
        self._unaltered: dict[str, tuple[str, list[NodeState]]] = {}

    def states(self, iterations: int) -> Iterator[NodeState]:
        yield from self._partition("campaign", CAMPAIGN_SCOPE)
        for number in range(iterations):
            yield from self._partition("iteration", iteration_key(number))

    def _partition(self, scope: str, iteration: str) -> Iterator[NodeState]:
        before = dict(self._current)
        for node in self._nodes[scope]:
            state = self._feedback(node, iteration, before) if node.feedback_from else self._state(node, iteration)
            self._current[node.name] = state
            yield state

    def _feedback(self, node: Node, iteration: str, before: Mapping[str, NodeState]) -> NodeState:
        """The back edge: nothing to compute, so it is as fresh as all that it stands for."""
        if node.name not in before:
            self._unaltered[node.name] = NOTHING, []
            return NodeState(node.name, self._campaign, iteration, "fresh", "", "", NOTHING)
        published, earlier = before[node.feedback_from], before[node.name]
        version = extend(earlier.version, published.version) if earlier.version and published.version else None
        self._remember(node.name, published)
        through = _nearest([self._nearest.get(node.name), published])
        self._nearest[node.name] = through
        key = (node.name, self._campaign, iteration)
        if through is None:
            return NodeState(*key, "fresh", "", "", version)
        return self._behind(through, key, "stale" if version else "missing", version, None)

    def _remember(self, back_edge: str, published: NodeState) -> None:
        """What a back edge stands for from now on, as it was published."""
        version, altered = self._unaltered[back_edge]
        record, observed = self._records.get(published.key), self._observed.get(published.key)
        if record:
            version = extend(version, record.data_version)
        if observed and observed.altered:
            altered.append(published)
        self._unaltered[back_edge] = version, altered

    def _state(self, node: Node, iteration: str) -> NodeState:
        key = (node.name, self._campaign, iteration)
        record = self._records.get(key)
        parents = [self._current[parent] for parent in node.parents]
        observed = self._observed.get(key)
        version, at = (record.data_version, record.materialized_at) if record else (None, None)
        if observed and record and observed.altered:
            version = observed.version
        state: Literal["stale", "missing"] = "stale" if record else "missing"
        unsettled = [parent for parent in parents if not parent.settled]
        through = _nearest(unsettled) if unsettled else None
        if through is not None and _closed(through):
            return self._behind(through, key, state, version, at)
        recorded = record.parents if record else {}
        cause, detail = self._own_cause(node, record, recorded, observed)
        if cause:
            kind = KIND_OF_CAUSE[cause]
            return NodeState(*key, state, cause, detail, version, at, kind=kind, length=1, detail=detail)
        for parent in parents:
            read = recorded[parent.asset]
            if read != parent.version and (parent.state == "fresh" or self._back_edge_altered(parent, read)):
                return self._changed(parent, read, key, version, at)
        if through is not None:
            return self._behind(through, key, state, version, at)
        # By position: this is what a hundred thousand nodes come to, and names would take twice as long.
        gate_failure = record.blocking_failure
        return NodeState(*key, "fresh", "", "", version, at, False, None, None, "", 0, "", gate_failure)

    def _behind(self, through: NodeState, key: Key, state: str, version: str | None, at: datetime | None) -> NodeState:
        """A node that is not fresh because of a parent that is not, or that waits for a gate."""
        iteration = key[2]
        root = through.root or through
        if _closed(through):
            cause, reason = "gate", f"blocked: {label(root, iteration)} gate failed: {root.gate_failure}"
        else:
            cause, reason = "upstream", f"upstream: {label(root, iteration)} is {root.state} ({root.reason})"
        return NodeState(
            *key,
            state,
            cause,
            reason,
            version,
            at,
            blocked=cause == "gate",
            through=through.key,
            root=root,
            kind="gate" if cause == "gate" else through.kind,
            length=1 + max(through.length, 1),
        )

    def _changed(
        self, parent: NodeState, recorded: str, key: Key, version: str | None, at: datetime | None
    ) -> NodeState:
        """A node that was computed from other content of a fresh parent."""
        kind, detail = self._what_changed(parent, recorded)
        name = label(parent, key[2])
        reason = f"parent {name} {detail}" if kind == "data" else f"{name} {detail}"
        return NodeState(
            *key, "stale", "data", reason, version, at, through=parent.key, kind=kind, length=2, detail=detail
        )

    def _own_cause(
        self, node: Node, record: Recorded | None, recorded: Mapping[str, str], observed: Observed | None
    ) -> tuple[Cause, str]:
        if record is None:
            return "missing", "never materialized"
        if record.code_version != node.code_version:
            return "code", f"code version {record.code_version} → {node.code_version}"
        config = self._config[node.name]
        if record.config_digest != config:
            return "config", f"configuration changed: {', '.join(changed_sections(record.config_digest, config))}"
        if observed and observed.missing:
            verb = "is" if len(observed.missing) == 1 else "are"
            count = f"{len(observed.missing)} of {observed.size} episodes"
            return "damage", f"{count} {verb} missing from table episodes: {_few(observed.missing)}"
        if observed and observed.damaged:
            return "damage", f"its {observed.size} members in table episode_sets are not those that its version names"
        if observed and observed.released:
            count, verb = len(observed.released), "was" if len(observed.released) == 1 else "were"
            some = f"{count} episode{'s' * (count > 1)} {verb} released from quarantine"
            return "released", f"{some}: {_few(observed.released)}"
        if observed and observed.arrived:
            count, verb = len(observed.arrived), "was" if len(observed.arrived) == 1 else "were"
            return "imported", f"{count} episode{'s' * (count > 1)} {verb} imported since: {_few(observed.arrived)}"
        if recorded.keys() != self._reads[node.name]:
            added, dropped = set(node.parents) - recorded.keys(), recorded.keys() - set(node.parents)
            parts = [f"now reads {', '.join(sorted(added))}"] if added else []
            parts += [f"no longer reads {', '.join(sorted(dropped))}"] if dropped else []
            return "code", " and ".join(parts)
        return "", ""

    def _back_edge_altered(self, parent: NodeState, recorded: str) -> bool:
        return parent.asset in self._unaltered and bool(self._altered_since(parent, recorded))

    def _altered_since(self, parent: NodeState, recorded: str) -> list[NodeState]:
        """The sets that lost or corrected episodes since a reader read `recorded` of this parent: itself, or those that
        a back edge stands for. None where what was read was published otherwise."""
        if parent.asset in self._unaltered:
            unaltered, altered = self._unaltered[parent.asset]
            return altered if recorded == unaltered else []
        observed, record = self._observed.get(parent.key), self._records.get(parent.key)
        return [parent] if observed and observed.altered and record and recorded == record.data_version else []

    def _what_changed(self, parent: NodeState, recorded: str) -> tuple[Kind, str]:
        altered = self._altered_since(parent, recorded)
        if not altered:
            return "data", f"changed: {_short(recorded)} → {_short(parent.version)}"
        told = [_alteration(self._observed[state.key]) for state in altered]
        details = [
            detail if state is parent else f"{detail} in {label(state, parent.iteration)}"
            for state, (_, detail) in zip(altered, told, strict=True)
        ]
        kinds = [kind for kind, _ in told]
        return "retracted" if "retracted" in kinds else kinds[0], " and ".join(details)


def _alteration(observed: Observed) -> tuple[Kind, str]:
    """What happened to a set since it was published."""
    parts = []
    if count := len(observed.retracted):
        reasons = "; ".join(sorted({reason for _, reason in observed.retracted if reason}))
        parts.append(f"lost {count} retracted episode{'s' * (count > 1)}" + f" ({reasons})" * bool(reasons))
    if count := len(observed.corrected):
        parts.append(f"has {count} corrected episode{'s' * (count > 1)}: {_few(observed.corrected)}")
    return "retracted" if observed.retracted else "corrected", " and ".join(parts)


def label(state: NodeState, iteration: str) -> str:
    """A node as seen from an iteration: the iteration is named where it is another one."""
    return state.asset if state.iteration in (CAMPAIGN_SCOPE, iteration) else f"{state.asset}[{state.iteration}]"


def _closed(state: NodeState) -> bool:
    """Whether nothing that reads this node can be computed.

    A gate holds while its own verdict is current; a stale one is asked again first.
    """
    return state.blocked or state.gate_failure is not None


def _nearest(states: Iterable[NodeState | None]) -> NodeState | None:
    """The state with the shortest chain, the first of equals; those behind a gate, or gates themselves, before all."""
    unsettled = [state for state in states if state is not None and not state.settled]
    return min(unsettled, key=lambda state: (not _closed(state), state.length), default=None)


def _few(episodes: tuple[str, ...]) -> str:
    return ", ".join(episodes[:3]) + (", …" if len(episodes) > 3 else "")


def _short(version: str | None) -> str:
    return version[:8] if version else "none"
