"""The planner and Dagster's own staleness on the same hops, over random graphs and random edits.

A *hop* is a node and the parents it reads. Dagster looks one hop far: a partition is stale if
its code version changed, if a parent's data version is another than the one it was computed
from, or if it reads other parents than it did. The planner, asked about one hop alone, must
say the same of every materialized partition, for the same parents. What it knows beyond that:

- *Transitive staleness.* A node is not fresh exactly if a chain of hops leads to it from a
  node that is stale in its own hop, the back edge among the hops.
- *Configuration, damage, retraction, correction.* Dagster is not told of these. They are the
  only hops that the planner calls stale and Dagster fresh; the reverse never happens.

Where Dagster says fresh without having looked (asked without a partition, 100 or more upstream
partitions) there is nothing to agree with: the last tests show those gaps, and that no hop of
the project's graph falls into the second.
"""

from dataclasses import dataclass, field, replace

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleCauseCategory, StaleStatus
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.loader import LoadingContextForTest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from assets.partitions import CAMPAIGNS, ITERATIONS, LOOP, partition_key
from pipelines.definitions import defs
from tests.planner.test_properties import graphs
from tests.planner.world import NAME, Record, World
from worldvla.partitions import iteration_key, iteration_number
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.plan import Run, Selection, parents_of, plan
from worldvla.planner.state import Key, NodeState, Observed, assess, topological_order

ITERATIONS_MADE = 2
# An example executes some ten Dagster runs: few of them, and none to make a failing one smaller.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
PROFILE = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
VERSION_TAG = "dagster/data_version"


@dataclass
class DagsterWorld(World):
    """A world whose runs Dagster executes, so that it is told what the project's assets tell it."""

    instance: dg.DagsterInstance = None
    # By asset, what makes its content another than its inputs would.
    salt: dict[str, int] = field(default_factory=dict)

    def launch(self, run: Run) -> int:
        result = dg.materialize(
            self.assets(),
            selection=dg.AssetSelection.assets(*run.assets),
            partition_key=partition_key(NAME, run.iteration),
            instance=self.instance,
            run_config=QUIET,
        )
        assert result.success
        return 0

    def content(self, node: Node, parents) -> str:
        return f"{super().content(node, parents)}.{self.salt.get(node.name, 0)}"

    def assets(self) -> list:
        return [self._source(node) if node.feedback_from else self._asset(node) for node in self.graph.values()]

    def stale_causes(self) -> dict[Key, list]:
        """What Dagster says of every materialized partition, asked one at a time."""
        graph = dg.Definitions(assets=self.assets()).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        return {
            key: resolver.get_stale_causes(dg.AssetKey(key[0]), str(partition_key(NAME, key[2])))
            for key in self.records
        }

    def _source(self, node: Node):
        @dg.observable_source_asset(name=node.name, partitions_def=LOOP)
        def source() -> dg.DataVersionsByPartition:
            return dg.DataVersionsByPartition({})

        return source

    def _asset(self, node: Node) -> dg.AssetsDefinition:
        @dg.asset(
            name=node.name,
            deps=list(node.parents),
            partitions_def=LOOP if node.scope == "iteration" else CAMPAIGNS,
            code_version=node.code_version,
        )
        def asset(context: dg.AssetExecutionContext):
            key = context.partition_key
            iteration = key.keys_by_dimension["iteration"] if isinstance(key, dg.MultiPartitionKey) else ""
            super(DagsterWorld, self).launch(Run(NAME, iteration, (node.name,), {}))
            yield from self._feedback(node, iteration)
            yield dg.MaterializeResult(
                data_version=dg.DataVersion(self.records[node.name, NAME, iteration].data_version)
            )

        return asset

    def _feedback(self, node: Node, iteration: str):
        """As `assets.publication` reports it: every later iteration whose input is complete."""
        for source in self.graph.values():
            if source.feedback_from == node.name:
                for number in range(iteration_number(iteration) + 1, ITERATIONS_MADE + 1):
                    if (node.name, NAME, iteration_key(number - 1)) in self.records:
                        later = iteration_key(number)
                        yield dg.AssetObservation(
                            source.name,
                            partition=str(partition_key(NAME, later)),
                            tags={VERSION_TAG: self.version(source.name, later)},
                        )


def computed(graph: dict[str, Node]) -> list[str]:
    return [node.name for node in topological_order(graph) if not node.feedback_from]


def edit(world: DagsterWorld, kind: str, pick: int) -> None:
    """One edit, to code, data, dependencies, or to what only the planner knows; `pick` says where."""
    names, keys = computed(world.graph), sorted(world.records)
    name, key = names[pick % len(names)], keys[pick % len(keys)]
    node = world.graph[name]
    if kind == "code":
        world.touch(name)
    elif kind in ("content", "again"):
        # Somebody rematerializes one partition by hand: it comes out otherwise, or as it was.
        world.salt[key[0]] = world.salt.get(key[0], 0) + (kind == "content")
        world.launch(Run(NAME, key[2], (key[0],), {}))
    elif kind == "step":
        for run in plan(world.states(ITERATIONS_MADE), Selection(), world.graph)[:1]:
            world.launch(run)
    elif kind == "edge":
        earlier = [one for one in names[: names.index(name)] if world.graph[one].scope in ("campaign", node.scope)]
        if earlier:
            other = earlier[pick // 7 % len(earlier)]
            parents = (
                tuple(one for one in node.parents if one != other) if other in node.parents else (*node.parents, other)
            )
            world.graph = {**world.graph, name: replace(node, parents=parents)}
    elif kind == "config":
        world.campaign = world.campaign.model_copy(update={"seed": pick})
    elif kind == "retract":
        world.observed[key] = Observed(f"left{pick}", 9, retracted=(("e", "bad"),))
    elif kind == "damage":
        world.observed[key] = Observed(f"left{pick}", 9, missing=("e",))


def hop(world: DagsterWorld, states: dict[Key, NodeState], key: Key) -> NodeState:
    """What the planner says of a node whose parents it must take as they are."""
    asset, _, iteration = key
    parents = {name: Node(name, world.graph[name].scope, (), "1") for name in world.graph[asset].parents}
    records = {key: world.records[key]}
    for name, node in parents.items():
        where = (name, NAME, iteration if node.scope == "iteration" else "")
        records[where] = Record(states[where].version, "1", config_digest(node, world.campaign), {})
    graph, number = {**parents, asset: world.graph[asset]}, iteration_number(iteration or "0000")
    observed = {key: world.observed[key]} if key in world.observed else {}
    assessed = assess({NAME: world.campaign}, {NAME: number + 1}, records, observed, graph)
    return next(state for state in assessed if state.key == key)


def differing_parents(world: DagsterWorld, states: dict[Key, NodeState], key: Key) -> set[str]:
    """Parents whose version is not the one that the node's record names; those it reads no longer; new ones."""
    asset, _, iteration = key
    recorded = world.records[key].parents
    now = {
        name: states[name, NAME, iteration if world.graph[name].scope == "iteration" else ""].version
        for name in world.graph[asset].parents
    }
    return {name for name in recorded.keys() | now.keys() if recorded.get(name) != now.get(name)}


def downstream(keys: set[Key], states: list[NodeState], graph: dict[str, Node]) -> set[Key]:
    """The keys and everything that a chain of hops leads to from them."""
    reached = set(keys)
    for state in states:
        if not reached.isdisjoint(parents_of(state.key, graph)):
            reached.add(state.key)
    return reached


@pytest.fixture
def make_world():
    """A world over a graph, whose loop has run."""

    def make(graph: dict[str, Node], instance: dg.DagsterInstance) -> DagsterWorld:
        instance.add_dynamic_partitions(CAMPAIGNS.name, [NAME])
        instance.add_dynamic_partitions(ITERATIONS.name, [iteration_key(n) for n in range(ITERATIONS_MADE)])
        world = DagsterWorld(graph, instance=instance)
        world.loop(ITERATIONS_MADE)
        return world

    return make


def edits(*kinds: str):
    return st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 10**6)), min_size=1, max_size=5)


@PROFILE
@given(graph=graphs(), changes=edits("code", "content", "again", "step", "edge"))
def test_every_hop_agrees_and_the_planner_closes_over_them(make_world, graph, changes):
    with dg.DagsterInstance.ephemeral() as instance:
        world = make_world(graph, instance)
        for kind, pick in changes:
            edit(world, kind, pick)
        listed = world.states(ITERATIONS_MADE)
        states = {state.key: state for state in listed}
        stale = set()
        for key, causes in world.stale_causes().items():
            verdict = hop(world, states, key)
            assert (verdict.state == "stale") is bool(causes), (key, verdict.reason, causes)
            # Reading other parents than before is a change of code to the planner, of dependencies to Dagster.
            own = [cause for cause in causes if cause.category is not StaleCauseCategory.DATA]
            assert bool(own) is (verdict.cause == "code")
            parents = {cause.dependency.asset_key.to_user_string() for cause in causes if cause.dependency}
            assert parents == differing_parents(world, states, key)
            assert_same_versions(world, key)
            if causes:
                stale.add(key)
        assert {state.key for state in listed if state.state != "fresh"} == downstream(stale, listed, world.graph)


def assert_same_versions(world: DagsterWorld, key: Key) -> None:
    """What the lake records and what Dagster was told are the same versions."""
    event = world.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(key[0]), asset_partitions=[str(partition_key(NAME, key[2]))]), limit=1
    ).records[0]
    tags = event.asset_materialization.tags
    assert tags[VERSION_TAG] == world.records[key].data_version
    assert tags["dagster/code_version"] == world.records[key].code_version


@PROFILE
@given(graph=graphs(), changes=edits("code", "content", "config", "retract", "damage"))
def test_the_planner_knows_what_dagster_is_not_told_and_misses_nothing(make_world, graph, changes):
    with dg.DagsterInstance.ephemeral() as instance:
        world = make_world(graph, instance)
        for kind, pick in changes:
            edit(world, kind, pick)
        listed = world.states(ITERATIONS_MADE)
        states = {state.key: state for state in listed}
        hops = {key: hop(world, states, key) for key in world.records}
        called_stale = {key for key, causes in world.stale_causes().items() if causes}
        own = {key for key, verdict in hops.items() if verdict.state == "stale"}
        assert called_stale <= own
        for key in own - called_stale:
            altered = any(reads_altered(world, parent) for parent in parents_of(key, world.graph))
            assert hops[key].cause in ("config", "damage") or (hops[key].cause == "data" and altered)
        assert {state.key for state in listed if state.state != "fresh"} == downstream(own, listed, world.graph)


def reads_altered(world: DagsterWorld, key: Key) -> bool:
    """Whether a node gives its children other content than it published; the back edge gives what it stands for."""
    if world.graph[key[0]].feedback_from:
        return any(reads_altered(world, parent) for parent in parents_of(key, world.graph))
    return key in world.observed


def test_the_project_reports_every_later_iteration(tmp_path):
    """A back edge is a chain: a change in iteration 0 is new input of 1 and of 2, though 1 comes out as it was."""
    from assets.publication import Step, _feedback
    from tests.planner import lakes
    from worldvla.lake.store import Lake
    from worldvla.planner.observe import incoming_versions

    lake = Lake(tmp_path / "lake")
    lakes.loop(lake)
    for edge in (node for node in GRAPH.values() if node.feedback_from):
        reported = list(_feedback(Step(GRAPH[edge.feedback_from], lakes.CAMPAIGN, "0000", lake, "run")))
        versions = incoming_versions(lake, lakes.CAMPAIGN, edge.name)
        assert {(event.asset_key.to_user_string(), event.partition): event.tags[VERSION_TAG] for event in reported} == {
            (edge.name, f"{lakes.CAMPAIGN}|{iteration}"): versions[iteration] for iteration in ("0001", "0002")
        }


def test_every_hop_of_the_project_leads_to_one_partition():
    """Dagster ignores an edge onto 100 or more upstream partitions: no edge here leads to more than one."""
    graph = defs.resolve_asset_graph()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(CAMPAIGNS.name, ["a", "b"])
        instance.add_dynamic_partitions(ITERATIONS.name, [iteration_key(n) for n in range(150)])
        with partition_loading_context(dynamic_partitions_store=instance):
            for name, node in GRAPH.items():
                key = str(partition_key("a", "0120" if node.scope == "iteration" else ""))
                for parent in node.parents:
                    mapped = graph.get_parent_partition_keys_for_child(key, dg.AssetKey(parent), dg.AssetKey(name))
                    expected = str(partition_key("a", "0120" if GRAPH[parent].scope == "iteration" else ""))
                    assert list(mapped.partitions_subset.get_partition_keys()) == [expected]


def test_dagsters_gaps_are_where_the_design_says():
    many = dg.StaticPartitionsDefinition([str(n) for n in range(100)])
    few = dg.StaticPartitionsDefinition([str(n) for n in range(99)])

    def pair(partitions: dg.PartitionsDefinition, suffix: str, code: str = "1") -> list[dg.AssetsDefinition]:
        @dg.asset(name=f"up_{suffix}", partitions_def=partitions, code_version=code)
        def up():
            return dg.MaterializeResult(data_version=dg.DataVersion(code))

        @dg.asset(name=f"down_{suffix}", deps=[up])
        def down(): ...

        return [up, down]

    with dg.DagsterInstance.ephemeral() as instance:
        for partitions, suffix in ((many, "many"), (few, "few")):
            up, down = pair(partitions, suffix)
            for assets, key in (([up], "0"), ([up, down], None), ([pair(partitions, suffix, "2")[0]], "0")):
                selection = [assets[-1]]
                dg.materialize(assets, selection=selection, partition_key=key, instance=instance, run_config=QUIET)
        changed = [*pair(many, "many", "3"), *pair(few, "few", "3")]
        graph = dg.Definitions(assets=changed).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        # Partition 0 is stale by its code; the asset as a whole, which is what `stale_assets_only` asks, reads fresh.
        assert resolver.get_status(dg.AssetKey("up_few"), "0") is StaleStatus.STALE
        assert resolver.get_status(dg.AssetKey("up_few")) is StaleStatus.FRESH
        # A change in one of 99 upstream partitions is seen, one in 100 is not.
        assert resolver.get_status(dg.AssetKey("down_few")) is StaleStatus.STALE
        assert resolver.get_status(dg.AssetKey("down_many")) is StaleStatus.FRESH
