"""Data flows one way: pipelines → assets → worldvla, and between the rooms of worldvla in no circle."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ABOVE = {"worldvla": ("assets", "pipelines", "benchmarks", "dagster"), "assets": ("pipelines", "benchmarks")}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    given = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    named = {f"{node.module}.{alias.name}" for node in given for alias in node.names}
    return plain | named | {node.module for node in given}


@pytest.mark.parametrize(("layer", "above"), ABOVE.items())
def test_no_layer_knows_one_above_it(layer: str, above: tuple[str, ...]) -> None:
    found = {
        (str(path.relative_to(ROOT)), module)
        for path in (ROOT / layer).rglob("*.py")
        for module in imports(path)
        if module.split(".")[0] in above
    }
    assert found == set()


def test_rooms_import_each_other_in_no_circle() -> None:
    rooms = {path.name for path in (ROOT / "worldvla").iterdir() if (path / "__init__.py").exists()}
    needs: dict[str, set[str]] = defaultdict(set)
    for room in rooms:
        for path in (ROOT / "worldvla" / room).rglob("*.py"):
            needs[room] |= {one.split(".")[1] for one in imports(path) if one.startswith("worldvla.")} & rooms - {room}
    order = list(TopologicalSorter(needs).static_order())
    assert order.index("lake") < order.index("quality") < order.index("planner") < order.index("cli")


def test_what_stands_beside_the_rooms_needs_none_of_them() -> None:
    """Configuration, errors, places: everything may import them."""
    rooms = {path.name for path in (ROOT / "worldvla").iterdir() if (path / "__init__.py").exists()}
    for path in (ROOT / "worldvla").glob("*.py"):
        assert not {one for one in imports(path) if one.startswith("worldvla.") and one.split(".")[1] in rooms}, path
