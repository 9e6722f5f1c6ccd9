"""A world small enough to recompute: records made by running plans over any graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from worldvla import campaigns
from worldvla.config import Campaign
from worldvla.lake.digests import digest
from worldvla.partitions import CAMPAIGN_SCOPE, iteration_key, iteration_number
from worldvla.planner.execute import Outcome, execute
from worldvla.planner.feedback import incoming_version
from worldvla.planner.fingerprints import config_digest, fingerprint
from worldvla.planner.graph import Node
from worldvla.planner.plan import Run, Selection
from worldvla.planner.state import Key, NodeState, assess, topological_order

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "c"


@dataclass(frozen=True)
class Record:
    data_version: str
    code_version: str
    config_digest: str
    parents: Mapping[str, str]
    blocking_failure: str | None = None
    materialized_at: datetime = EPOCH


@dataclass
class World:
    """Code, configuration and records of one campaign.

    `deaf` names nodes whose content does not depend on their code version, so recomputing
    them yields the same content.
    """

    graph: dict[str, Node]
    campaign: Campaign = field(default_factory=lambda: campaigns.load("test"))
    records: dict[Key, Record] = field(default_factory=dict)
    observed: dict = field(default_factory=dict)
    deaf: frozenset[str] = frozenset()
    gates: dict[Key, str] = field(default_factory=dict)
    launched: list[Run] = field(default_factory=list)

    def states(self, iterations: int) -> list[NodeState]:
        return assess({NAME: self.campaign}, {NAME: iterations}, self.records, self.observed, self.graph)

    def state(self, asset: str, iteration: int | None = None, iterations: int = 2) -> NodeState:
        key = CAMPAIGN_SCOPE if iteration is None else iteration_key(iteration)
        return next(s for s in self.states(iterations) if s.key == (asset, NAME, key))

    def not_fresh(self, iterations: int) -> set[tuple[str, str]]:
        return {(s.asset, s.iteration) for s in self.states(iterations) if s.state != "fresh"}

    def touch(self, asset: str) -> None:
        node = self.graph[asset]
        self.graph = {**self.graph, asset: replace(node, code_version=f"{int(node.code_version) + 1}")}

    def loop(self, iterations: int) -> Outcome:
        return self.execute(iterations, Selection.loop(NAME, iterations))

    def rematerialize(self, iterations: int) -> Outcome:
        return self.execute(iterations, Selection())

    def execute(self, iterations: int, selection: Selection) -> Outcome:
        self.launched = []
        return execute(lambda: self.states(iterations), selection, self.launch, graph=self.graph)

    def launch(self, run: Run) -> int:
        self.launched.append(run)
        for asset in run.assets:
            parents = {parent: self.version(parent, run.iteration) for parent in self.graph[asset].parents}
            if any(self._gated(parent, run.iteration) for parent in self.graph[asset].parents):
                return 3
            key = (asset, NAME, run.iteration)
            node = self.graph[asset]
            config = config_digest(node, self.campaign)
            content = self.content(node, parents)
            self.records[key] = Record(content, node.code_version, config, parents, self.gates.get(key))
            self.observed.pop(key, None)
        return 0

    def content(self, node: Node, parents: Mapping[str, str]) -> str:
        code = "" if node.name in self.deaf else node.code_version
        return digest([fingerprint(node, code, config_digest(node, self.campaign), parents)])

    def version(self, asset: str, iteration: str) -> str:
        """The effective version of a parent seen from an iteration, from the records alone."""
        node = self.graph[asset]
        if node.feedback_from:
            before = map(iteration_key, range(iteration_number(iteration)))
            return incoming_version([self.version(node.feedback_from, one) for one in before])
        key = (asset, NAME, iteration if node.scope == "iteration" else CAMPAIGN_SCOPE)
        observed = self.observed.get(key)
        return observed.version if observed and observed.altered else self.records[key].data_version

    def from_scratch(self, iterations: int) -> dict[tuple[str, str], str]:
        """The fingerprint of every node if all were computed anew."""
        fingerprints: dict[tuple[str, str], str] = {}
        versions: dict[tuple[str, str], str] = {}
        for scope, partitions in (("campaign", [CAMPAIGN_SCOPE]), ("iteration", map(iteration_key, range(iterations)))):
            for partition in partitions:
                for node in topological_order(self.graph):
                    if node.scope != scope:
                        continue
                    if node.feedback_from:
                        before = map(iteration_key, range(iteration_number(partition)))
                        versions[node.name, partition] = incoming_version(
                            [versions[node.feedback_from, one] for one in before]
                        )
                        continue
                    parents = {
                        parent: versions[
                            parent, partition if self.graph[parent].scope == "iteration" else CAMPAIGN_SCOPE
                        ]
                        for parent in node.parents
                    }
                    config = config_digest(node, self.campaign)
                    fingerprints[node.name, partition] = fingerprint(node, node.code_version, config, parents)
                    versions[node.name, partition] = self.content(node, parents)
        return fingerprints

    def recorded_fingerprint(self, asset: str, iteration: str) -> str | None:
        record = self.records.get((asset, NAME, iteration))
        if record is None:
            return None
        return fingerprint(self.graph[asset], record.code_version, record.config_digest, record.parents)

    def _gated(self, parent: str, iteration: str) -> bool:
        scope = iteration if self.graph[parent].scope == "iteration" else CAMPAIGN_SCOPE
        record = self.records.get((parent, NAME, scope))
        return record is not None and record.blocking_failure is not None
