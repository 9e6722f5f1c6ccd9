"""Nothing that was stored is unpickled: weights are safetensors, values go through the lake, arrays are plain."""

import ast
from pathlib import Path

import dagster as dg
import pytest

from pipelines.no_pickle import RESOURCES, LakeOnly
from worldvla.home import project_root

ROOMS = ("worldvla", "assets", "pipelines", "benchmarks")
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# torch.load and np.load may unpickle, yaml.load may construct anything, read_pickle says it.
CALLS = {"torch.load", "np.load", "numpy.load", "yaml.load", "yaml.unsafe_load", "pd.read_pickle", "pandas.read_pickle"}
# With these said outright, the first reads tensors and arrays alone (as LIBERO ships its initial states), the second
# plain arrays.
SAFE = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
# A pipe between a process and the workers it has just started; neither ever reads a file or a table from it.
PRIVATE_PIPE = Path("worldvla/sim/worker.py")


def _files() -> list[Path]:
    return [path for room in ROOMS for path in sorted((project_root() / room).rglob("*.py"))]


def _dotted(node: ast.expr) -> str:
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLERS:
            found.append(node.module)
        elif isinstance(node, ast.Call) and _dotted(node.func) in CALLS and not _is_safe(node):
            found.append(_dotted(node.func))
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and not _is(node.value, False):
            found.append("allow_pickle")
    return found


def _is_safe(call: ast.Call) -> bool:
    name, value = SAFE.get(_dotted(call.func), (None, None))
    return any(keyword.arg == name and _is(keyword.value, value) for keyword in call.keywords if name)


def _is(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "def f():\n    import cloudpickle.x as y",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert offences(source)


def test_no_module_can_unpickle_what_is_stored() -> None:
    found = {str(path.relative_to(project_root())): offences(path.read_text()) for path in _files()}
    assert len(found) > 100
    assert {name: what for name, what in found.items() if what} == {str(PRIVATE_PIPE): ["pickle"]}


def test_a_value_that_an_asset_returns_is_refused_not_pickled(home: Path) -> None:
    @dg.asset
    def careless() -> list[int]:
        return [1]

    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        result = dg.materialize([careless], instance=instance, resources=RESOURCES, raise_on_error=False)
        [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "write it to the lake" in failure.step_failure_data.error.cause.message
    assert not list(home.rglob("*careless*"))


def test_the_code_location_hands_nothing_to_dagsters_own_io_manager() -> None:
    from pipelines.definitions import defs

    for name in ("campaign", "iteration"):
        manager = defs.resolve_job_def(name).resource_defs["io_manager"]
        assert isinstance(manager.resource_fn(None), LakeOnly)
