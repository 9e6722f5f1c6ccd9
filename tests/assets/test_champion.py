"""Which policy a new one has to beat, and when MLflow is told of it."""

from pathlib import Path

import pytest

from assets.publication import Step
from assets.record import crown
from assets.rollouts import reigning_policy
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import Materialization, publish
from worldvla.lake.models import read_model, write_model
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.tracking.champion import champion, promote, registered_name
from worldvla.tracking.client import client
from worldvla.tracking.training_run import MODEL_TAG, DatasetReference, training_run, versions_of

DATASET = DatasetReference("episodes", "lake/episodes", 1, "digest", 16)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    return Lake(tmp_path / "lake")


def policy(lake: Lake, name: str) -> str:
    return write_model(lake, "rl_policy", {}, name.encode(), {}, {}, None, None, Commit("run", "rl_policy", "test"))


def evaluated(lake: Lake, iteration: str, after: str) -> None:
    record = Materialization(
        asset="evaluation",
        campaign="test",
        iteration=iteration,
        data_version="d",
        code_version=GRAPH["evaluation"].code_version,
        config_digest="c",
        parents={},
        fingerprint=iteration,
        run_id="run",
        details={"champion": {"after": after}},
    )
    publish(lake, record, Commit("run", "evaluation", "test", iteration))


def at(lake: Lake, asset: str, iteration: str) -> Step:
    return Step(GRAPH[asset], "test", iteration, lake, "run")


def test_the_evaluation_before_says_who_reigns(lake: Lake) -> None:
    base, first, second = (policy(lake, name) for name in ("base", "first", "second"))
    assert reigning_policy(at(lake, "evaluation", "0000"), base) == base
    evaluated(lake, "0000", first)
    evaluated(lake, "0001", second)
    assert reigning_policy(at(lake, "evaluation", "0001"), base) == first
    assert reigning_policy(at(lake, "evaluation", "0000"), base) == base, "who was chosen later contests nobody before"
    evaluated(lake, "0000", "withdrawn since")
    assert reigning_policy(at(lake, "evaluation", "0001"), base) == base


@pytest.mark.slow
def test_the_newest_evaluation_crowns_even_whom_this_mlflow_has_never_seen(lake: Lake) -> None:
    first, second = policy(lake, "first"), policy(lake, "second")
    evaluated(lake, "0000", first)
    assert champion("test") is None
    crown(at(lake, "iteration_record", "0000"))
    assert champion("test") == first
    [version] = versions_of(client(), first)
    assert version.name == registered_name("test") and version.tags[MODEL_TAG] == first
    evaluated(lake, "0001", second)
    crown(at(lake, "iteration_record", "0000"))
    assert champion("test") == first, "the later iteration's own record will say it"
    crown(at(lake, "iteration_record", "0001"))
    assert champion("test") == second


@pytest.mark.slow
def test_a_training_names_the_parents_that_mlflow_knows(lake: Lake) -> None:
    known, shared = policy(lake, "known"), policy(lake, "trained beside another MLflow")
    promote("other", known, lambda: read_model(lake, known))
    with training_run("test", "rl_policy", "fingerprint", {}, DATASET) as training:
        training.register(registered_name("test"), "new", "rl_policy", {}, b"weights", [known, shared])
    inputs = client().get_run(training.run_id).inputs.model_inputs
    assert [f"models:/{one.model_id}" for one in inputs] == [versions_of(client(), known)[0].source]
