"""A lake of many campaigns and iterations, all fresh: the records and episode sets that the planner reads, no frames.

Every node has the record that its real materialization would leave: parents by effective
version, configuration digests, the back edge's chain of versions, details and table versions
of the usual size. Every episode set is named by its members. Rows go in by few direct appends:
the lake of someone whose tables are compacted.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from worldvla import campaigns
from worldvla.lake.commit import Commit
from worldvla.lake.digests import canonical_json, digest, set_version
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.partitions import CAMPAIGN_SCOPE, iteration_key
from worldvla.planner.feedback import NOTHING, extend
from worldvla.planner.fingerprints import config_digest, fingerprint
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.state import topological_order

BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
COMMIT = Commit("benchmark", "benchmark")
FAILURES = 0.4  # share of rollouts that fail
SECONDS = {"simulator": 60.0, "training": 600.0, None: 2.0}
DETAILS = {
    "rows": 250,
    "rate": {"rate": 0.6, "low": 0.46, "high": 0.72, "n": 50, "successes": 30},
    "checks": [
        {"name": "sizes", "passed": True, "description": "every member is recorded and decodes", "gate": False},
        {"name": "fresh_inputs", "passed": True, "description": "every parent is as its record says", "gate": False},
    ],
}
TABLE_VERSIONS = {name: 1000 + index for index, name in enumerate(TABLES)}

Pair = tuple[str, str]


def build(lake: Lake, names: list[str], iterations: int, episodes: int, appends: int = 1) -> int:
    """Fills an empty lake with `names` campaigns, `episodes` rollouts an iteration; returns the number of nodes.

    Each campaign is written in `appends` commits a table.
    """
    nodes = 0
    for name in names:
        history = _History(name, episodes)
        size = -(-iterations // appends)
        for begin in range(0, iterations, size):
            nodes += history.extend(range(begin, min(begin + size, iterations)))
            for table, rows in history.flush().items():
                lake.append(table, rows, COMMIT)
    return nodes


class _History:
    """What one campaign has published, night after night."""

    def __init__(self, campaign: str, episodes: int):
        self.campaign = campaign
        self.config = campaigns.load(campaign)
        self.episodes = episodes
        self.order = topological_order(GRAPH)
        self.versions: dict[str, str] = {}
        self.members: dict[str, list[Pair]] = {}
        self.written = 0
        self.rows: dict[str, list] = {"materializations": [], "sets": [], "episodes": []}

    def extend(self, numbers: range) -> int:
        """Publishes these iterations, before the first of all what a campaign makes once; returns how many nodes."""
        partitions = [("iteration", iteration_key(number)) for number in numbers]
        if numbers.start == 0:
            partitions.insert(0, ("campaign", CAMPAIGN_SCOPE))
        return sum(self._publish(node, key) for scope, key in partitions for node in self.order if node.scope == scope)

    def flush(self) -> dict[str, pa.Table]:
        """The rows since the last flush, by table."""
        rows, self.rows = self.rows, {"materializations": [], "sets": [], "episodes": []}
        tables = {"materializations": TABLES["materializations"].arrow(rows["materializations"])}
        versions, positions, ids = zip(*rows["sets"], strict=True)
        tables["episode_sets"] = pa.table([versions, ids, positions], schema=TABLES["episode_sets"].schema)
        ids, contents = zip(*rows["episodes"], strict=True)
        episodes = {"episode_id": ids, "content_digest": contents}
        schema = TABLES["episodes"].schema
        tables["episodes"] = pa.table(
            [pa.array(episodes.get(one.name, [None] * len(ids)), one.type) for one in schema], schema=schema
        )
        return tables

    def _publish(self, node: Node, iteration: str) -> int:
        parents = {parent: self.versions[parent] for parent in node.parents}
        if node.feedback_from:
            earlier = self.versions.get(node.name)
            published = self.versions.get(node.feedback_from)
            self.versions[node.name] = extend(earlier, published) if earlier else NOTHING
            return 1
        version = self._set(node) if node.holds_episodes else digest([node.name, parents, iteration])
        self.versions[node.name] = version
        config = config_digest(node, self.config)
        self.written += 1
        self.rows["materializations"].append(
            {
                "asset": node.name,
                "campaign": self.campaign,
                "iteration": iteration,
                "data_version": version,
                "code_version": node.code_version,
                "config_digest": config,
                "parents": parents,
                "fingerprint": fingerprint(node, node.code_version, config, parents),
                "details": DETAILS,
                "run_id": f"{self.campaign}-{iteration}",
                "materialized_at": BEGINNING + timedelta(minutes=self.written),
                "seconds": SECONDS[node.pool] + self.written % 7,
                "real_steps": 2000 if node.pool == "simulator" else 0,
                "imagined_steps": 4000 if node.name == "rl_policy" else 0,
                "tables": TABLE_VERSIONS,
            }
        )
        return 1

    def _set(self, node: Node) -> str:
        """Names the node's episodes: new ones, those that fail, or all that its parents hold."""
        if node.pool == "simulator":
            members = list(self._new_episodes(node.name))
            self.rows["episodes"].extend(members)
        elif node.scope == "iteration":
            members = self.members[node.parents[0]][: round(self.episodes * FAILURES)]
        else:
            members = [pair for parent in node.parents for pair in self.members[parent]]
        self.members[node.name] = members
        version = set_version(members)
        self.rows["sets"].extend((version, position, episode) for position, (episode, _) in enumerate(members))
        return version

    def _new_episodes(self, asset: str) -> Iterator[Pair]:
        for number in range(self.episodes):
            name = hashlib.sha256(f"{self.campaign} {asset} {self.written} {number}".encode()).hexdigest()
            yield name[:32], hashlib.sha256(name.encode()).hexdigest()


def campaigns_text(names: list[str], source: str) -> str:
    """The project's campaigns file with `names` as its campaigns, which differ by their seed."""
    head, _, _ = source.partition("\ncampaigns:")
    own = {name: {"preset": "nightly", "seed": seed} for seed, name in enumerate(names)}
    return f"{head}\ncampaigns: {canonical_json(own)}\n"
