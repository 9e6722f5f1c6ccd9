"""The code location: it is the planner's graph, it loads, and it loads fast."""

import subprocess
import sys

import dagster as dg

from pipelines.definitions import defs
from worldvla.planner.graph import GRAPH

HEAVY = ("torch", "mlflow", "great_expectations", "diffusers", "transformers", "mani_skill", "sapien", "matplotlib")


def test_dagster_has_exactly_the_planners_graph():
    graph = defs.resolve_asset_graph()
    edges = {
        node.key.to_user_string(): {parent.to_user_string() for parent in node.parent_keys}
        for node in graph.asset_nodes
    }
    assert edges == {name: set(node.parents) for name, node in GRAPH.items()}
    # Sorting finds a cycle that `validate_loadable` lets pass.
    assert len(graph.toposorted_asset_keys) == len(GRAPH)
    for name, node in GRAPH.items():
        asset = graph.get(dg.AssetKey(name))
        assert asset.is_observable == (node.feedback_from is not None)
        if not asset.is_observable:
            assert asset.code_version == node.code_version
            assert asset.pools == ({node.pool} if node.pool else set())


def test_definitions_are_loadable():
    dg.Definitions.validate_loadable(defs)


def test_loading_imports_nothing_heavy():
    script = f"import sys, pipelines.definitions; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
